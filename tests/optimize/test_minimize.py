"""`gf.optimize.minimize`: against SciPy and closed forms, with derivatives of the minimum of first and second order."""

import numpy as np
import pytest
import scipy.optimize

import graphflow as gf
from graphflow.errors import GraphflowError, TypeRuleError
from graphflow.optimize import minimize

METHODS = ("bfgs", "l-bfgs", "gradient-descent")


def run(fetches, feeds=None):
    with gf.Session() as session:
        return session.run(fetches, feeds or {})


def rosenbrock(x, a):
    return gf.reduce_sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


@pytest.mark.parametrize("method", METHODS[:2])
def test_rosenbrock(method):
    a = gf.placeholder(gf.float64, [])
    start = np.array([-1.2, 0.5, 0.7])
    found = minimize(rosenbrock, gf.constant(start), (a,), method=method, tol=1e-8)
    result = run(found, {a: 1.0})
    wanted = scipy.optimize.minimize(lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), start)
    assert result.converged and result.iterations < 2 * wanted.nit
    np.testing.assert_allclose(result.x, np.ones(3), rtol=1e-7)
    assert result.fun < 1e-14 and np.abs(result.gradient).max() < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_of_the_minimum_by_what_the_objective_reads(method):
    """min exp(x) - a x + b/2 y**2 - c y + y x / 4 over a nest of x and y; b is read, not given as an argument."""
    a, b = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [])

    def objective(p, a):
        x, y = p["x"], p["y"][0]
        return gf.exp(x) - a * x + 0.5 * b * y * y - b * y + 0.25 * x * y

    start = {"x": gf.constant(0.0, gf.float64), "y": gf.constant([3.0], gf.float64)}
    found = minimize(objective, start, (a,), method=method, tol=1e-9, maximum_iterations=500)
    value = found.x["x"] + 3.0 * found.x["y"][0] * found.fun
    first = gf.gradients(value, [a, b])
    second = gf.gradients(first[0], [a, b])

    def at(av, bv):
        equations = lambda p: [np.exp(p[0]) - av + p[1] / 4, bv * p[1] - bv + p[0] / 4]
        x, y = scipy.optimize.root(equations, [0.0, 1.0], tol=1e-14).x
        return x + 3 * y * (np.exp(x) - av * x + bv / 2 * y * y - bv * y + x * y / 4)

    h, a0, b0 = 1e-3, 2.0, 1.5
    got = run([value, *first, *second, found.converged], {a: a0, b: b0})
    central = [
        at(a0, b0),
        (at(a0 + h, b0) - at(a0 - h, b0)) / (2 * h),
        (at(a0, b0 + h) - at(a0, b0 - h)) / (2 * h),
        (at(a0 + h, b0) - 2 * at(a0, b0) + at(a0 - h, b0)) / h**2,
        (at(a0 + h, b0 + h) - at(a0 + h, b0 - h) - at(a0 - h, b0 + h) + at(a0 - h, b0 - h)) / (4 * h**2),
    ]
    assert got[-1]
    np.testing.assert_allclose(got[:-1], central, rtol=2e-6)


def test_many_fits_are_lanes_with_gradients():
    """Maximum likelihood of a normal distribution for each row, all at once; in closed form the mean and the deviation."""
    data, weight = gf.placeholder(gf.float64, [None, 5]), gf.placeholder(gf.float64, [])

    def objective(p, row):
        return gf.reduce_sum(0.5 * weight * ((row - p["mean"]) / gf.exp(p["log"])) ** 2 + p["log"])

    start = {"mean": gf.constant(0.0, gf.float64), "log": gf.constant(0.0, gf.float64)}
    fits = gf.vmap(lambda row: minimize(objective, start, (row,), tol=1e-10))(data)
    grads = gf.gradients(gf.reduce_sum(fits.x["mean"] + fits.x["log"]), [data, weight])
    rows = np.random.default_rng(0).normal(1.0, 2.0, (7, 5))
    result, (by_data, by_weight) = run([fits, grads], {data: rows, weight: 1.0})
    mean, deviation = rows.mean(1, keepdims=True), rows.std(1, keepdims=True)
    np.testing.assert_allclose(result.x["mean"], mean[:, 0], atol=1e-8)
    np.testing.assert_allclose(np.exp(result.x["log"]), deviation[:, 0], rtol=1e-8)
    np.testing.assert_allclose(by_data, 0.2 + (rows - mean) / (5 * deviation**2), atol=1e-8)
    np.testing.assert_allclose(by_weight, 3.5)
    assert len(set(result.iterations)) > 1


def test_many_variables_need_no_matrix():
    """A quadratic of 100 variables, a stretched one: its minimum is b / d; the implicit gradient is by conjugate gradients."""
    d = np.linspace(1.0, 30.0, 100)
    b = gf.placeholder(gf.float64, [100])
    objective = lambda x: gf.reduce_sum(0.5 * d * x * x - b * x)
    found = minimize(objective, gf.constant(np.zeros(100)), method="l-bfgs", tol=1e-9)
    grad = gf.gradients(gf.reduce_sum(found.x * found.x), b)
    value = np.cos(np.arange(100.0))
    x, converged, by_b = run([found.x, found.converged, *grad], {b: value})
    assert converged
    np.testing.assert_allclose(x, value / d, atol=1e-8)
    np.testing.assert_allclose(by_b, 2 * value / d**2, atol=1e-7)


def test_float32_at_the_minimum_and_without_one():
    found = minimize(lambda x: (x - 3.0) ** 2, gf.constant(3.0))
    result = run(found)
    assert result.x == 3.0 and result.iterations == 0 and result.converged and result.x.dtype == np.float32
    nowhere = run(minimize(lambda x: -x, gf.constant(0.0), maximum_iterations=20))
    assert not nowhere.converged and np.isfinite(nowhere.x)
    broken = run(minimize(lambda x: gf.log(x), gf.constant(-1.0)))
    assert not broken.converged


def test_a_wall_of_nan_is_avoided():
    """The first step leads to where the objective is NaN."""
    found = run(minimize(lambda x: 0.01 * x - gf.log(x) * 0.01 + 0.0 * gf.sqrt(x), gf.constant(0.1, gf.float64)))
    assert found.converged
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-5)


def test_errors():
    x = gf.constant([1.0, 2.0])
    with pytest.raises(TypeRuleError, match="the objective is"):
        minimize(lambda x: x * x, x)
    with pytest.raises(GraphflowError, match="method 'newton'"):
        minimize(gf.reduce_sum, x, method="newton")
    with pytest.raises(TypeRuleError, match="x0 is int32"):
        minimize(lambda x: x * x, gf.constant(1))
