"""`gf.optimize.root` and `fixed_point`: against SciPy, with derivatives of the solution of first and second order."""

import numpy as np
import pytest
import scipy.optimize

import graphflow as gf
from graphflow.errors import GraphflowError, ShapeError, TypeRuleError
from graphflow.optimize import fixed_point, root


def run(fetches, feeds=None):
    with gf.Session() as session:
        return session.run(fetches, feeds or {})


def central(function, at, h=1e-3):
    """The first and the second derivative."""
    up, here, down = function(at + h), function(at), function(at - h)
    return [(up - down) / (2 * h), (up - 2 * here + down) / h**2]


@pytest.mark.parametrize("method", ["newton", "broyden"])
def test_root(method):
    a = gf.placeholder(gf.float64, [])
    func = lambda x, a: gf.stack([x[0] + 0.5 * (x[0] - x[1]) ** 3 - a, 0.5 * (x[1] - x[0]) ** 3 + a * x[1]])
    found = root(func, gf.constant([1.0, 1.0], gf.float64), (a,), method=method, tol=1e-12)
    first = gf.gradients(found.x[0], a)
    result, *derivatives = run([found, *first, *gf.gradients(first, a)], {a: 1.3})

    def at(a):
        return scipy.optimize.root(
            lambda x: [x[0] + 0.5 * (x[0] - x[1]) ** 3 - a, 0.5 * (x[1] - x[0]) ** 3 + a * x[1]], [1, 1], tol=1e-14
        ).x

    assert result.converged and result.iterations < 12
    np.testing.assert_allclose(result.x, at(1.3), rtol=1e-9)
    np.testing.assert_allclose(derivatives, central(lambda a: at(a)[0], 1.3), rtol=1e-5)
    assert np.abs(result.fun).max() <= 1e-12


@pytest.mark.parametrize("method", ["newton", "broyden"])
def test_steps_are_halved_and_matrices_renewed(method):
    """Newton's full steps on atan diverge from 3; a nest of scalars."""
    found = run(
        root(
            lambda p: (gf.atan(p[0]), gf.sinh(p[1] - 1.0)),
            (gf.constant(3.0, gf.float64), gf.constant(4.0, gf.float64)),
            method=method,
        )
    )
    assert found.converged
    np.testing.assert_allclose(found.x, [0.0, 1.0], atol=1e-7)
    assert not run(root(lambda x: x * x + 1.0, gf.constant(2.0), method=method)).converged


def test_roots_in_lanes():
    a = gf.placeholder(gf.float64, [None])
    x = gf.vmap(lambda a: root(lambda x: x**3 - a, gf.constant(1.0, gf.float64), tol=1e-13).x)(a)
    grad = gf.gradients(x, a)
    values = np.array([1.0, 8.0, 20.0, 1000.0])
    roots, derivative = run([x, *grad], {a: values})
    np.testing.assert_allclose(roots, np.cbrt(values), rtol=1e-12)
    np.testing.assert_allclose(derivative, np.cbrt(values) ** -2 / 3, rtol=1e-12)


def test_fixed_point():
    a, shift = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [None])
    found = fixed_point(lambda x: gf.cos(a * x) + shift, gf.zeros_like(shift), tol=1e-14)
    first = gf.gradients(found.x, a)
    shifts = np.array([0.0, 0.1])
    x, converged, *derivatives = run([found.x, found.converged, *first, *gf.gradients(first, a)], {a: 0.9, shift: shifts})
    one = lambda a, s: scipy.optimize.brentq(lambda x: np.cos(a * x) + s - x, 0, 2, xtol=1e-15)
    at = lambda a: sum(one(a, s) for s in shifts)
    assert converged
    np.testing.assert_allclose(x.sum(), at(0.9), rtol=1e-12)
    np.testing.assert_allclose(derivatives, central(at, 0.9), rtol=1e-5)


def test_a_fixed_point_that_is_not_reached():
    result = run(fixed_point(lambda x: 2.0 * x + 1.0, gf.constant(1.0), maximum_iterations=5))
    assert not result.converged and result.iterations == 5 and result.x == 63.0


def test_errors():
    x = gf.constant([1.0, 2.0])
    with pytest.raises(TypeRuleError, match="root: the residual"):
        root(gf.reduce_sum, x)
    with pytest.raises(GraphflowError, match="method 'secant'"):
        root(lambda x: x, x, method="secant")
    with pytest.raises(ShapeError, match="33 unknowns"):
        root(lambda x: x, gf.zeros([33]))
