"""`gf.custom_gradient`: stated gradients, of any order, in loops and branches, through sessions."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GradientError
from graphflow.ir.evaluate import evaluate


@gf.custom_gradient
def log1pexp(x):
    e = gf.exp(x)
    return gf.log(1 + e), lambda g: g * (1 - 1 / (1 + e))


@gf.custom_gradient
def root(a):
    """The square root of a, whose gradient is stated in terms of the result."""
    y = gf.stop_gradient(gf.sqrt(a))
    return y, lambda g: g / (2 * y)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_stated_gradient_is_taken_where_that_of_the_ops_is_nan():
    x = gf.placeholder(gf.float64, [])
    y = log1pexp(x)
    dx = gf.gradients(y, x)
    with gf.Session() as session:
        np.testing.assert_allclose(session.run([y, *dx], {x: 1.0}), [np.log1p(np.e), sigmoid(1.0)])
        assert session.run(dx, {x: 1000.0}) == [1.0]


def test_higher_orders_differentiate_the_stated_gradient_with_the_gradient_of_the_result():
    a = gf.placeholder(gf.float64, [])
    found = [root(a)]
    for _ in range(3):
        found += gf.gradients(found[-1], a)
    wanted = [3.0, 0.5 / 3, -0.25 / 27, 3 / 8 / 243]
    np.testing.assert_allclose(evaluate(found, {a: 9.0}), wanted)
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(found, {a: 9.0}), wanted)


@pytest.mark.parametrize("inside", ["scan", "while_loop", "cond", "vmap", "vmap over a capture"])
def test_in_bodies(inside):
    a = gf.placeholder(gf.float64, [])
    match inside:
        case "scan":
            y = gf.scan(lambda s, _: root(s * a), None, a, length=3)[1]
        case "while_loop":
            y = gf.while_loop(lambda k, s: k < 3, lambda k, s: (k + 1, root(s * a)), (0, a), maximum_iterations=5)[1]
        case "cond":
            y = gf.cond(a > 0, lambda: root(a * a * root(a)), lambda: a)
        case "vmap":
            y = gf.reduce_sum(gf.vmap(root)(gf.stack([a, 4 * a])))
        case _:
            y = gf.reduce_sum(gf.vmap(lambda b: root(b * root(a)))(gf.constant(np.array([1.0, 4.0]))))
    power, factor = {"cond": (1.25, 1.0), "vmap": (0.5, 3.0), "vmap over a capture": (0.25, 3.0)}.get(inside, (1.0, 1.0))
    dy = gf.gradients(y, a)
    ddy = gf.gradients(dy, a, unconnected_gradients="zero")
    found = evaluate([y, *dy, *ddy], {a: 2.0})
    derivatives = [factor * 2**power, factor * power * 2 ** (power - 1), factor * power * (power - 1) * 2 ** (power - 2)]
    np.testing.assert_allclose(found, derivatives, atol=1e-14)


def test_several_arguments_and_results():
    @gf.custom_gradient
    def polar(point, scale, count):
        x, y = point["x"], point["y"]
        r = gf.sqrt(x * x + y * y)
        return {"r": r * scale, "n": count}, lambda g, _: ({"x": 10 * g, "y": None}, g * r, None)

    x, y, scale = (gf.placeholder(gf.float64, []) for _ in range(3))
    result = polar({"x": x, "y": y}, scale, 3)
    grads = gf.gradients(result["r"], [x, scale])
    assert gf.gradients(result["r"], [y], unconnected_gradients="none") == [None]
    np.testing.assert_allclose(evaluate([result["r"], result["n"], *grads], {x: 3.0, y: 4.0, scale: 2.0}), [10, 3, 10, 5])


def test_errors():
    x = gf.placeholder(gf.float64, [])
    with pytest.raises(GradientError, match="no pair"):
        gf.custom_gradient(lambda x: x)(x)
    y = gf.custom_gradient(lambda x, y: (2 * x, lambda g: g))(x, x)
    with pytest.raises(GradientError, match="1 values for 2 arguments"):
        gf.gradients(y, x)
    y = gf.custom_gradient(lambda x: (2 * x, lambda g: gf.cast(g, gf.float32)))(x)
    with pytest.raises(GradientError, match="float32"):
        gf.gradients(y, x)
