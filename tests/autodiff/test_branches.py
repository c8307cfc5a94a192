"""Branches that are not taken, and singular points: no NaN in first or second derivatives."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate

POINTS = np.array([-2.0, -0.0, 0.0, 0.25, 1.0, 3.0])


def derivatives(function, points=POINTS, orders=2):
    """[function, its derivative, ...] at the points."""
    x = gf.placeholder(gf.float64, [None], name="x")
    found = [function(x)]
    for _ in range(orders):
        found.append(gf.gradients(found[-1], x, unconnected_gradients="zero")[0])
    return evaluate(found, {x: np.asarray(points, float)})


def on_positive(function):
    return lambda x: gf.where(x > 0, function(x), 0.0)


P = POINTS > 0
SAFE = np.where(P, POINTS, 1.0)
CASES = {
    "sqrt": (gf.sqrt, 0.5 / np.sqrt(SAFE), -0.25 * SAFE**-1.5),
    "log": (gf.log, 1 / SAFE, -1 / SAFE**2),
    "reciprocal": (lambda x: 1 / x, -1 / SAFE**2, 2 / SAFE**3),
    "x log x": (lambda x: x * gf.log(x), np.log(SAFE) + 1, 1 / SAFE),
    "power": (lambda x: x**0.5, 0.5 / np.sqrt(SAFE), -0.25 * SAFE**-1.5),
    "negative power": (lambda x: x**-1.5, -1.5 * SAFE**-2.5, 3.75 * SAFE**-3.5),
    "x/x": (lambda x: x / x, np.zeros(6), np.zeros(6)),
    "sin x / x": (
        lambda x: gf.sin(x) / x,
        np.cos(SAFE) / SAFE - np.sin(SAFE) / SAFE**2,
        -np.sin(SAFE) / SAFE - 2 * np.cos(SAFE) / SAFE**2 + 2 * np.sin(SAFE) / SAFE**3,
    ),
    "behind sums": (lambda x: gf.sqrt(x) + gf.log(x) - x, 0.5 / np.sqrt(SAFE) + 1 / SAFE - 1, -0.25 * SAFE**-1.5 - 1 / SAFE**2),
    "nested": (lambda x: gf.exp(gf.sqrt(gf.log(x * x + 0.0) * 0 + x)), np.exp(np.sqrt(SAFE)) * 0.5 / np.sqrt(SAFE), None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_branch_not_taken_is_silent(name):
    function, first, second = CASES[name]
    _, one, two = derivatives(on_positive(function))
    np.testing.assert_allclose(one, np.where(P, first, 0), rtol=1e-12)
    if second is not None:
        np.testing.assert_allclose(two, np.where(P, second, 0), rtol=1e-12)
    assert np.isfinite(two).all()


def test_overflow_in_the_branch_not_taken():
    x = np.array([-1.0, 2.0, 1e4])
    _, one, two = derivatives(lambda t: gf.where(t > 3, t, gf.exp(t)), x)
    np.testing.assert_allclose(one, [np.exp(-1), np.exp(2), 1])
    np.testing.assert_allclose(two, [np.exp(-1), np.exp(2), 0])


def test_through_reductions_movement_and_broadcasting():
    x = gf.placeholder(gf.float64, [None, 3], name="x")
    values = np.array([[0.0, 0.0, 0.0], [1.0, 4.0, 9.0]])
    empty = gf.reduce_sum(x, 1, keepdims=True)
    for root in (
        gf.reduce_sum(gf.sqrt(x), 1, keepdims=True),
        gf.sqrt(gf.reduce_sum(x, 1, keepdims=True)),
        gf.log(gf.reduce_prod(x, 1, keepdims=True)),
        gf.transpose(gf.reshape(gf.sqrt(gf.transpose(x)), [3, -1]))[:, :1],
        gf.concat([gf.sqrt(x[:, :1]), 1 / x[:, 1:2]], 1)[:, 1:],
        gf.sqrt(gf.reduce_max(x, 1, keepdims=True)),
        gf.norm(x, 1, keepdims=True) / empty,
    ):
        y = gf.reduce_sum(gf.where(empty > 0, root, 0.0))
        one = gf.gradients(y, x)[0]
        two = gf.gradients(one, x)[0]
        first, second = evaluate([one, two], {x: values})
        assert np.isfinite(first).all() and np.isfinite(second).all(), root
        assert not first[0].any() and first[1].any()


def test_a_value_used_in_both_branches():
    def function(x):
        root = gf.sqrt(x)
        return gf.where(x > 0, root, root * 0.0 + 1.0)

    x = np.array([1.0, 4.0])
    np.testing.assert_allclose(derivatives(function, x)[1], [0.5, 0.25])
    assert np.isfinite(
        derivatives(lambda x: gf.where(x > 1, gf.sqrt(x), gf.where(x > 0, 2 * x, gf.log(x + 1))), [0.0, 0.5, 4.0])[2]
    ).all()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: gf.maximum(gf.sqrt(x), 1.0), [0, 0, 0.25]),
        (lambda x: gf.minimum(1 / x, 10.0), [0, -1, -1 / 16]),
        (lambda x: gf.nn.relu(gf.log(x)), [0, 0, 0.25]),
        (lambda x: gf.clip_by_value(gf.log(x), -1.0, 5.0), [0, 1, 0.25]),
    ],
    ids=["maximum", "minimum", "relu", "clip"],
)
def test_friends_of_where(function, expected):
    _, one, two = derivatives(function, [0.0, 1.0, 4.0])
    if expected[1] == 0 and one[1] == 0.25:
        expected = [0, 0.25, 0.25]  # a tie is shared
    np.testing.assert_allclose(one, expected)
    assert np.isfinite(two).all()


def test_norm_at_zero():
    for order, value in enumerate(derivatives(gf.norm, np.zeros(3))):
        np.testing.assert_array_equal(value, np.zeros(3) if order else 0.0)
    assert np.isfinite(derivatives(lambda x: gf.reduce_std(x), np.ones(3))[2]).all()


def test_powers_at_zero():
    _, one, two = derivatives(lambda x: x**2, [0.0, -1.0])
    np.testing.assert_array_equal(one, [0, -2])
    np.testing.assert_array_equal(two, [2, 2])
    _, one, two = derivatives(lambda x: x**1, [0.0])
    assert (one, two) == (1, 0)
    _, one, _ = derivatives(lambda x: x**0, [0.0])
    assert one == 0
    x, y = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [])
    for base, exponent in ((0.0, 2.0), (-2.0, 3.0)):
        values = evaluate(gf.gradients(x**y, [x, y]), {x: base, y: exponent})
        np.testing.assert_allclose(values, [exponent * base ** (exponent - 1), 0])


def test_ties_are_shared():
    x = gf.placeholder(gf.float64, [None])
    values = np.array([2.0, 1.0, 2.0])
    for y, expected in (
        (gf.reduce_max(x), [0.5, 0, 0.5]),
        (gf.reduce_min(-x), [-0.5, 0, -0.5]),
        (gf.reduce_sum(gf.maximum(x, 2.0)), [0.5, 0, 0.5]),
        (gf.reduce_sum(gf.minimum(x, x)), [1, 1, 1]),
    ):
        np.testing.assert_array_equal(evaluate(gf.gradients(y, x), {x: values})[0], expected)


def test_no_guard_is_built_without_need():
    x = gf.placeholder(gf.float64, [None, 4], name="x")
    w = gf.placeholder(gf.float64, [4, 4], name="w")
    before = len(x.graph.nodes)
    loss = gf.reduce_mean(gf.nn.relu(gf.nn.relu(x @ w + 1.0) @ w + 1.0))
    forward = len(x.graph.nodes)
    gf.gradients(loss, w)
    made = [n.op.name for n in x.graph.nodes[forward:]]
    assert before < forward and made.count("where") == 2 and "logical_and" not in made


def test_long_chains_and_many_consumers():
    def function(x):
        y = x
        for _ in range(600):
            y = gf.reshape(gf.reshape(y, [1, -1]), [-1])
        branches = [gf.where(x > k / 100, gf.sqrt(x), 0.0) for k in range(300)]
        return gf.where(x > 0, gf.sqrt(y), 0.0) + sum(branches, gf.where(x > 0, gf.log(y), 0.0))

    _, one = derivatives(function, [0.0, 4.0], orders=1)
    np.testing.assert_allclose(one, [0, 0.25 + 300 * 0.25 + 0.25])
