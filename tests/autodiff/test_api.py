"""`gf.gradients` itself: orders, structure, weights, intermediates, variables, and the errors of paths that break."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GradientError, GraphflowError
from graphflow.ir.evaluate import evaluate


def scalar(name):
    return gf.placeholder(gf.float64, [], name=name)


def test_the_derivatives_of_the_tutorials():
    x = scalar("x")
    assert evaluate(gf.gradients(x**2 + 3 * x + 1, x), {x: 2})[0] == 7
    assert evaluate(gf.gradients(5 * (2 * x**2 + 3) + 6, x), {x: 10})[0] == 200
    a = scalar("a")
    y, b = 2 * x**2 + 3 * a, 6 * x * a
    np.testing.assert_allclose(evaluate(gf.gradients(y * y + 1 / (b * y), x), {x: 10, a: 5})[0], 17200, rtol=1e-6)


def test_any_order():
    x = scalar("x")
    y = gf.sin(x)
    for expected in (np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin, np.cos):
        (y,) = gf.gradients(y, x)
        np.testing.assert_allclose(evaluate([y], {x: 0.7})[0], expected(0.7), rtol=1e-12)


def test_structure_order_and_weights():
    x, y = scalar("x"), scalar("y")
    z = gf.stack([x * y, x])
    dy, dx = gf.gradients([z, [x * 2.0]], [y, [x]], grad_ys=[[3.0, 5.0], [7.0]])
    assert evaluate([dy, dx], {x: 2, y: 4}) == [6, 12 + 5 + 14]
    assert evaluate(gf.gradients([x, x], x), {x: 1}) == [2]
    assert evaluate(gf.gradients(x, [x, x]), {x: 1}) == [1, 1]
    with pytest.raises(GradientError, match="1 grad_ys for 2 ys"):
        gf.gradients([x, y], x, grad_ys=[1.0])
    with pytest.raises(GraphflowError):
        gf.gradients(x, x, grad_ys=[[1.0, 2.0]])


def test_by_intermediate_tensors():
    x = scalar("x")
    h = x * x
    y = h * h + x
    assert evaluate(gf.gradients(y, [h, x]), {x: 3.0}) == [18.0, 109.0]


def test_a_variable_counts_as_its_value():
    w = gf.Variable(np.array([1.0, 2.0]), name="w")
    (g,) = gf.gradients(gf.reduce_sum(w * w), w)
    np.testing.assert_array_equal(evaluate([g], {w.value: [1.0, 2.0]})[0], [2, 4])
    with gf.control_dependencies([w.assign_add([1.0, 1.0])]):
        y = gf.reduce_sum(w * w)  # the updated value
    with pytest.raises(GradientError):
        gf.gradients(gf.cast(w, gf.int32), w)
    assert gf.gradients(y, w)[0].shape == (2,)


def test_gradient_nodes_carry_the_forward_line_and_a_scope():
    x = scalar("x")
    y = gf.exp(x)
    (g,) = gf.gradients(y * 2.0, x)
    assert g.name.startswith("gradients/") and str(g.location) == str(y.location)
    assert g.node.twin is y.node


def test_only_paths_are_walked():
    x, y = scalar("x"), scalar("y")
    expensive = gf.lgamma(y)
    z = x * expensive
    before = {n.name for n in x.graph.nodes}
    gf.gradients(z, x)
    assert "digamma" not in {n.op.name for n in x.graph.nodes if n.name not in before}


def test_complex_gradients_point_uphill():
    z = gf.placeholder(gf.complex128, [3], name="z")
    (g,) = gf.gradients(gf.reduce_sum(gf.square(gf.abs(z))), z)
    value = np.array([1 + 2j, 0, -3j])
    np.testing.assert_allclose(evaluate([g], {z: value})[0], 2 * value)


# --- where a path breaks ------------------------------------------------------------------------------------------------


def test_no_path():
    x, y = scalar("x"), scalar("y")
    with pytest.raises(GradientError, match="y does not depend on x") as caught:
        gf.gradients(y, x)
    assert "unconnected_gradients" in str(caught.value) and "test_api.py" in str(caught.value)
    assert gf.gradients(y, [x], unconnected_gradients="none") == [None]
    (zero,) = gf.gradients(y, [x], unconnected_gradients="zero")
    assert zero.type == x.type and evaluate([zero], {x: 1, y: 1}) == [0]
    with pytest.raises(GradientError, match="'raise'"):
        gf.gradients(x, x, unconnected_gradients="maybe")


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (lambda x: gf.cast(gf.cast(x, gf.int32), gf.float64) * 2.0, "breaks at my_break.*to int32"),
        (lambda x: gf.stop_gradient(x) + 1.0, "breaks at .*stop_gradient has no gradient"),
        (lambda x: gf.floor(x) + 1.0, "breaks at .*floor has no gradient"),
        (lambda x: gf.where(x > 1.0, 2.0, gf.constant(3.0, gf.float64)), "breaks at .*greater has no gradient"),
    ],
    ids=["cast", "stop_gradient", "floor", "comparison"],
)
def test_the_error_says_where_the_path_breaks(function, where):
    x = scalar("x")
    with pytest.raises(GradientError, match=where.replace("my_break", "cast")) as caught:
        gf.gradients(function(x), x)
    assert "test_api.py" in str(caught.value)


def test_integers_have_no_derivative():
    x, n = scalar("x"), gf.placeholder(gf.int32, [], name="n")
    with pytest.raises(GradientError, match="n is int32"):
        gf.gradients(x, n)
    with pytest.raises(GradientError, match="is bool"):
        gf.gradients(x > 0.0, x)
