"""`gf.integrate.odeint`: against SciPy and closed forms; its derivatives against central differences."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import graphflow as gf
from graphflow.errors import GraphflowError, ShapeError, TypeRuleError
from graphflow.integrate import odeint
from graphflow.integrate.dormand_prince import NODES, STAGES, DormandPrince
from graphflow.integrate.rodas import Rodas
from graphflow.ir.evaluate import evaluate

METHODS = ("dopri5", "rodas", "rk4")
P, Y, T = np.array([1.1, 0.4, 0.4, 0.1]), np.array([10.0, 5.0]), np.array([0.0, 0.7, 2.0, 3.1, 6.0])


def run(fetches, feeds=None):
    with gf.Session() as session:
        return session.run(fetches, feeds or {})


def prey(y, t, p):
    """Lotka and Volterra's equations, with a season."""
    return gf.stack([p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1] + 0.1 * gf.sin(t)])


def reference(p=P, y=Y, t=T):
    rhs = lambda t, y: [p[0] * y[0] - p[1] * y[0] * y[1], -p[2] * y[1] + p[3] * y[0] * y[1] + 0.1 * np.sin(t)]
    return solve_ivp(rhs, (t[0], t[-1]), y, t_eval=t, method="DOP853", rtol=1e-12, atol=1e-12).y.T


def test_nodes_are_the_sums_of_stages():
    np.testing.assert_allclose([sum(row) for row in STAGES], NODES, rtol=1e-14)


@pytest.mark.parametrize(("method", "order"), [(DormandPrince(), 5), (Rodas(), 4)])
def test_orders_of_a_step_its_estimate_and_its_dense_output(method, order):
    """A step of half the length: errors of y fall by 2**(order + 1), those of estimate and dense output by twice less."""
    h, y, t = gf.placeholder(gf.float64, []), gf.constant(Y), gf.constant(0.3, gf.float64)
    rhs = lambda y, t: prey(y, t, gf.constant(P))
    found = method.attempt(rhs, t, y, h, method.start(rhs(y, t)))
    fetches = [found.y, method.between(found.dense, gf.constant(0.6, gf.float64)), found.error]
    errors = []
    for length in (0.05, 0.025):
        end, middle, estimate = evaluate(fetches, {h: length})
        _, middle_wanted, wanted = reference(t=0.3 + length * np.array([0.0, 0.6, 1.0]))
        errors.append([np.linalg.norm(end - wanted), np.linalg.norm(middle - middle_wanted), np.linalg.norm(estimate)])
    orders = np.log2(np.divide(*errors))
    np.testing.assert_array_less([order + 0.6, order - 0.4, order - 0.4], orders)
    np.testing.assert_array_less(orders[2], order + 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_solution_and_gradients(method):
    """By parameters, one of which is read and not given, by the start and by times, whose number only the run knows."""
    p, y0, t = gf.placeholder(gf.float64, [4]), gf.placeholder(gf.float64, [2]), gf.placeholder(gf.float64, [None])
    ys = odeint(lambda y, t: prey(y, t, p), y0, t, method=method, rtol=1e-9, atol=1e-9, steps=100)
    weights = np.array([[0.0, 0.0], [1.0, -2.0], [0.5, 1.0], [2.0, 1.0], [1.0, -1.0]])
    loss = gf.reduce_sum(ys * weights)
    grads = gf.gradients(loss, [p, y0, t])
    values, *found = run([ys, *grads], {p: P, y0: Y, t: T})
    np.testing.assert_allclose(values, reference(), rtol=2e-6)

    def central(change):
        h = 1e-4
        return np.sum(weights * (change(h) - change(-h))) / (2 * h)

    wanted = [
        [central(lambda h, e=e: reference(p=P + h * e)) for e in np.eye(4)],
        [central(lambda h, e=e: reference(y=Y + h * e)) for e in np.eye(2)],
        [central(lambda h, e=e: reference(t=T + h * e)) for e in np.eye(5)],
    ]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    assert run(ys, {p: P, y0: Y, t: T[:1]}).tolist() == [Y.tolist()]


def test_a_stiff_problem_over_twelve_decades():
    """Robertson's reaction, as a nest, against SciPy's Radau; the gradient by a rate against central differences of it."""
    k = gf.placeholder(gf.float64, [3])

    def reaction(y, t, k):
        slow, back, fast = k[0] * y["a"], k[1] * y["b"] * y["c"], k[2] * y["b"] ** 2
        return {"a": back - slow, "b": slow - back - fast, "c": fast}

    times = np.array([0.0, *4.0 * 10.0 ** np.arange(-1.0, 11.0)])
    start = {name: gf.constant(value, gf.float64) for name, value in {"a": 1.0, "b": 0.0, "c": 0.0}.items()}
    atol = {"a": 1e-10, "b": 1e-14, "c": 1e-10}
    ys = odeint(reaction, start, gf.constant(times), (k,), method="rodas", rtol=1e-6, atol=atol)
    (by_rates,) = gf.gradients(ys["a"][3], k)

    def radau(k, until=13, rtol=1e-8):
        def rhs(t, y):
            slow, back, fast = k[0] * y[0], k[1] * y[1] * y[2], k[2] * y[1] ** 2
            return [back - slow, slow - back - fast, fast]

        t = times[:until]
        return solve_ivp(rhs, (0.0, t[-1]), [1, 0, 0], "Radau", t_eval=t, rtol=rtol, atol=[1e-11, 1e-15, 1e-11]).y

    rates = np.array([0.04, 1e4, 3e7])
    with gf.Session() as session:
        found = session.run(ys, {k: rates})
        derivative = session.run(by_rates, {k: rates})
    wanted = radau(rates)
    np.testing.assert_allclose([found["a"], found["b"], found["c"]], wanted, rtol=2e-3, atol=1e-13)
    np.testing.assert_allclose([found["a"][:8], found["c"][:8]], wanted[[0, 2], :8], rtol=2e-5)
    h = np.array([1e-3, 0.0, 0.0]) * rates
    central = (radau(rates + h, 4, 1e-11)[0, 3] - radau(rates - h, 4, 1e-11)[0, 3]) / (2 * h[0])
    np.testing.assert_allclose(derivative[0], central, rtol=1e-4)


def test_second_derivatives_and_falling_times():
    """y' = a y from t = 2 back to 0: y(0) = y(2) exp(-2 a)."""
    a = gf.placeholder(gf.float64, [])
    y = odeint(lambda y, t: a * y, gf.constant(3.0, gf.float64), gf.constant([2.0, 1.0, 0.0], gf.float64), rtol=1e-10, atol=1e-12)
    first = gf.gradients(y[2], a)
    second = gf.gradients(first, a)
    exact = 3 * np.exp(-2 * 0.7)
    np.testing.assert_allclose(
        run([y[1], y[2], *first, *second], {a: 0.7}), [3 * np.exp(-0.7), exact, -2 * exact, 4 * exact], rtol=1e-8
    )


def test_lanes_take_their_own_steps():
    """Each lane has the bits that it has alone."""
    rates = np.array([0.1, 3.0, 40.0])
    rate = gf.placeholder(gf.float64, [None])
    solve = lambda r: odeint(
        lambda y, t: gf.cos(r * t) * y, gf.constant(1.0, gf.float64), gf.constant([0.0, 1.0, 2.0], gf.float64)
    )
    together = gf.vmap(solve)(rate)
    (gradient,) = gf.gradients(together[:, 2], rate)
    with gf.Session() as session:
        values = session.run(together, {rate: rates})
        assert all((session.run(together, {rate: rates[k : k + 1]})[0] == values[k]).all() for k in range(3))
        slopes = session.run(gradient, {rate: rates})
    exact = np.exp(np.sin(2 * rates) / rates)
    np.testing.assert_allclose(values[:, 2], exact, rtol=1e-5)
    np.testing.assert_allclose(
        slopes, exact * (2 * np.cos(2 * rates) / rates - np.sin(2 * rates) / rates**2), rtol=1e-4, atol=1e-6
    )


def test_what_cannot_be_reached_is_nan():
    """y' = y**2 from 1 goes to infinity at t = 1; and too many steps."""
    t = gf.constant([0.0, 0.5, 0.9, 1.5, 2.0], gf.float64)
    with gf.Session() as session:
        y = session.run(odeint(lambda y, t: y * y, gf.constant(1.0, gf.float64), t))
        np.testing.assert_allclose(y[:3], [1.0, 2.0, 10.0], rtol=1e-5)
        assert np.isnan(y[3:]).all()
        y = session.run(odeint(lambda y, t: gf.cos(100.0 * t) * y, gf.constant(1.0, gf.float64), t, maximum_steps=5))
        assert y[0] == 1.0 and np.isnan(y[1:]).all()


def test_errors():
    y, t = gf.constant([1.0, 2.0]), gf.constant([0.0, 1.0])
    with pytest.raises(GraphflowError, match="method 'euler'"):
        odeint(lambda y, t: y, y, t, method="euler")
    with pytest.raises(TypeRuleError, match="t is float64"):
        odeint(lambda y, t: y, y, gf.constant(np.array([0.0, 1.0])))
    with pytest.raises(TypeRuleError, match="odeint: func"):
        odeint(lambda y, t: gf.reduce_sum(y), y, t)
    with pytest.raises(ShapeError, match="atol has 3 elements, y0 2"):
        odeint(lambda y, t: y, y, t, atol=[1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="rodas: 40 equations"):
        odeint(lambda y, t: y, gf.zeros([40]), t, method="rodas")
