"""`gf.jvp`: derivatives in a direction, through every op, loops and branches; Hessians times vectors in both ways."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GradientError, ShapeError
from graphflow.ir.evaluate import evaluate

A, XS = np.array([0.3, -0.4]), np.array([0.5, -0.2, 0.8, 0.1])


def growing(x):
    return gf.while_loop(lambda n, y: y < 10.0, lambda n, y: (n + 1, y + gf.square(gf.sin(y)) + x * x + 0.1), (0, x))[1]


def loops(a, xs):
    """Functions of a vector of two and a vector of four."""
    s = gf.reduce_sum(a)
    step = lambda c, x: (gf.sin(c * a + x), gf.reduce_sum(c) * x)
    return {
        "ops": lambda: gf.reduce_sum(gf.tanh(gf.tensordot(a, xs, 0)) ** 2) * gf.reduce_max(xs) + gf.logsumexp(xs * s),
        "scan": lambda: gf.scan(step, xs, a)[0],
        "reversed scan": lambda: gf.scan(step, xs, a, reverse=True)[1],
        "a result that follows": lambda: gf.tanh(gf.scan(step, xs, a)[1]) * s,
        "while": lambda: growing(s),
        "counted values beside it": lambda: gf.while_loop(
            lambda n, y, z: n < 5, lambda n, y, z: (n + 1, y * s, z * 0.5), (0, a, gf.constant(1.0, gf.float64))
        )[1],
        "cond": lambda: gf.cond(s > 0, lambda: s * xs, lambda: gf.exp(xs)) + gf.cond(s < 0, lambda: s * a[0], lambda: s),
        "a branch in a scan": lambda: gf.scan(lambda c, x: (gf.cond(x > 0, lambda: c * x, lambda: c + s * x), c), xs, a[0] + 1.0)[
            0
        ],
        "lanes": lambda: gf.vmap(growing)(xs) * s,
        "a captured value alone": lambda: gf.scan(lambda c, x: (c + x * s, c), xs, gf.constant(0.0, gf.float64))[1],
    }


NAMES = list(loops(gf.constant([1.0, 2.0], gf.float64), gf.constant([1.0], gf.float64)))


@pytest.mark.parametrize("name", NAMES)
def test_jvp_is_the_derivative_in_the_direction(name, rng):
    a, xs = gf.placeholder(gf.float64, [2]), gf.placeholder(gf.float64, [4])
    y = loops(a, xs)[name]()
    da, dxs = rng.normal(size=2), rng.normal(size=4)
    found = gf.jvp(y, [a, xs], [da, dxs])
    feeds = {a: A, xs: XS}
    h = 1e-6
    high, low = (evaluate([y], {a: A + s * h * da, xs: XS + s * h * dxs})[0] for s in (1, -1))
    np.testing.assert_allclose(evaluate([found], feeds)[0], (high - low) / (2 * h), rtol=1e-6, atol=1e-8)
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(found, feeds), (high - low) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["ops", "scan", "while", "a branch in a scan"])
def test_hessian_times_vector_both_ways(name, rng):
    a, xs = gf.placeholder(gf.float64, [2]), gf.placeholder(gf.float64, [4])
    with gf.options(tape_bytes=4096):
        y = gf.reduce_sum(gf.square(loops(a, xs)[name]()))
        (g,) = gf.gradients(y, a)
        v = rng.normal(size=2)
        over_reverse = gf.jvp(g, a, v)
        (over_forward,) = gf.gradients(gf.jvp(y, a, v), a)
        (twice,) = gf.gradients(g, a, grad_ys=v)
    feeds = {a: A, xs: XS}
    h = 1e-6
    high, low = (evaluate([g], {a: A + s * h * v, xs: XS})[0] for s in (1, -1))
    for found in (over_reverse, over_forward, twice):
        np.testing.assert_allclose(evaluate([found], feeds)[0], (high - low) / (2 * h), rtol=1e-6, atol=1e-8)


def test_nothing_is_kept_of_the_steps():
    """The tangents of a loop are carried by one loop, whose memory does not grow with the steps."""
    a, xs = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [100_000])
    y = gf.scan(lambda c, x: (gf.sin(c * a + x), None), xs, a)[1]
    found = gf.jvp(y, a, 1.0)
    feeds = {a: 0.3, xs: np.zeros(100_000)}
    with gf.Session() as session:
        assert session.memory_plan([y, found], feeds).run < 1000
        np.testing.assert_allclose(session.run(found, feeds), session.run(gf.gradients(y, a)[0], feeds), rtol=1e-9)


def test_structure_variables_and_what_does_not_depend():
    a, b = gf.placeholder(gf.float64, []), gf.Variable(np.ones(2))
    found = gf.jvp([a * b, (a * a, gf.constant(1.0, gf.float64))], [a, b], [2.0, None])
    assert isinstance(found, list) and isinstance(found[1], tuple)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        first, (second, third) = session.run(found, {a: 3.0})
    np.testing.assert_array_equal(first, [2.0, 2.0])
    assert (second, third) == (12.0, 0.0)


def test_a_tensor_between_is_a_source_of_its_own():
    """As with gradients: b has its own direction, and that which a gives it."""
    a = gf.placeholder(gf.float64, [])
    b = a * a
    assert evaluate([gf.jvp(b * 5.0, [a, b], [1.0, 1.0])], {a: np.float64(3.0)})[0] == 5 * (1 + 6)


def test_bad_tangents():
    a, n = gf.placeholder(gf.float64, [2]), gf.placeholder(gf.int64, [])
    with pytest.raises(GradientError, match="jvp: 1 tangents for 2 xs"):
        gf.jvp(a, [a, a], [1.0])
    with pytest.raises(GradientError, match="is int64"):
        gf.jvp(a, n, 1)
    with pytest.raises(GradientError, match="no derivative"):
        gf.jvp(gf.cast(a, gf.int32), a, 1.0)
    with pytest.raises(ShapeError, match="jvp: a tangent of type float32"):
        gf.jvp(a, a, gf.placeholder(gf.float32, [2]))
