"""A planted NaN is found where it was made: op, line, element, iteration, operands, and the feed they came from."""

import re

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import NumericsError


@pytest.fixture
def session():
    with gf.Session() as found:
        yield found


def failure(session, fetches, feeds, **settings):
    with gf.debug.nan_check(**settings), pytest.raises(NumericsError) as error:
        session.run(fetches, feeds)
    return str(error.value)


def test_the_op_in_a_fused_kernel_and_the_element_of_the_feed(session):
    x = gf.placeholder(gf.float32, [None, 4], name="x")
    w = gf.Variable(np.ones((4, 4), np.float32), name="w")
    part = gf.log(gf.transpose(x)[1:3] * 2)
    loss = gf.reduce_sum(gf.tanh(gf.matmul(x, w))) + gf.reduce_sum(gf.exp(part))
    update = w.assign_sub(gf.gradients(loss, [w])[0])
    session.run(w.initializer)
    feed = np.ones((5, 4), np.float32)
    with gf.debug.nan_check():
        before = session.run(loss, {x: feed})
    assert session.run(loss, {x: feed}) == pytest.approx(before), "the checks change nothing"
    feed[3, 2] = -1
    text = failure(session, [loss, update], {x: feed})
    assert re.match(r"log \(log\) makes nan of what is no NaN: element \[1, 3\]\n", text)
    assert f"built at {part.location}" in text and "[1, 3] = -2.0, computed from x[3, 2]" in text
    assert np.all(session.run(w) == 1), "no variable was changed"
    feed[3, 2] = 0
    assert "log (log) makes -inf of what is finite" in failure(session, loss, {x: feed})
    with gf.debug.nan_check(infinities=False):
        session.run(loss, {x: feed})
    feed[3, 2] = np.nan
    assert "x is fed NaN at [3, 2]" in failure(session, loss, {x: feed})


def test_infinities_that_are_meant_are_no_error(session):
    x = gf.placeholder(gf.float32, [3])
    masked = gf.nn.softmax(gf.where(x > 0, x, -np.inf))
    with gf.debug.nan_check():
        np.testing.assert_allclose(session.run(masked, {x: [1, 1, -1]}), [0.5, 0.5, 0])


@pytest.mark.parametrize("disable", ["", "sequential"])
def test_iteration_731_of_the_gradient_of_a_scan(session, disable):
    rows = gf.placeholder(gf.float32, [None, 3], name="rows")

    def step(state, row):
        roots.append(gf.sqrt(row * row))  # the root of 0 has no derivative
        return state * 0.5 + roots[0], state

    roots = []

    last = gf.scan(step, rows, gf.ones([3]))[1]
    (gradient,) = gf.gradients(gf.reduce_sum(last * last), [rows])
    feed = np.full((1000, 3), 0.001, np.float32)
    with gf.options(disable=disable):
        with gf.debug.nan_check():
            assert np.isfinite(session.run(gradient, {rows: feed})).all()
        feed[731, 1] = 0
        text = failure(session, gradient, {rows: feed})
    assert text.startswith("divide (") and "element [1], in iteration 731 of" in text and "in the gradient of scan" in text
    assert f"built at {roots[0].location}" in text and "= 0.0" in text


def test_products_reductions_and_narrow_floats(session):
    x = gf.placeholder(gf.float32, [None, 4], name="x")
    large = np.full((2, 4), 1e30, np.float32)
    text = failure(session, gf.matmul(x, x, transpose_b=True), {x: large})
    assert "matmul (matmul) makes inf of what is finite: element [0, 0]" in text and "float32[2, 4], from 1e+30 to 1e+30" in text
    assert "reduce_sum" in failure(session, gf.reduce_sum(x), {x: large * 1e8})
    half = gf.placeholder(gf.float16, [2])
    assert "exp" in failure(session, gf.exp(half), {half: [1, 60]})


def test_a_check_behind_a_product(session):
    x = gf.placeholder(gf.float32, [2, 2])
    with pytest.raises(NumericsError, match=r"element \[1, 1\] of matmul is infinite"):
        session.run(gf.check_numerics(gf.matmul(x, x)), {x: [[1, 0], [0, 1e38]]})


def test_functions_are_watched_too():
    @gf.function
    def f(x):
        return gf.log(x) * 2

    with gf.eager():
        value = gf.constant([1.0, 0.0])
        assert np.isneginf(f(value).numpy()[1])
        with (
            gf.debug.nan_check(),
            pytest.raises(NumericsError, match=r"log \(log\) makes -inf of what is finite: element \[1\]") as error,
        ):
            f(value)
        assert "x = x[1] = 0.0" in str(error.value)
        assert np.isneginf(f(value).numpy()[1])
