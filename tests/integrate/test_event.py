"""`gf.integrate.odeint_event`: events in closed form, with derivatives of first and second order."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import TypeRuleError
from graphflow.integrate import odeint_event


def run(fetches, feeds=None):
    with gf.Session() as session:
        return session.run(fetches, feeds or {})


def number(value):
    return gf.constant(value, gf.float64)


def test_a_ball_meets_the_ground():
    """From 10 m with v: t = (v + sqrt(v**2 + 20 g)) / g."""
    g, v = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [])
    fall = lambda y, t: {"height": y["speed"], "speed": -g}
    hit = odeint_event(fall, {"height": number(10.0), "speed": v}, 0.0, 100.0, lambda y, t: y["height"], rtol=1e-9)
    first = gf.gradients(hit.t, [g, v])
    second = gf.gradients(first[0], [g, v])
    speed = gf.gradients(hit.y["speed"], [g, v])
    result, *derivatives = run([hit, *first, *second, *speed], {g: 9.81, v: 3.0})
    time = lambda g, v: (v + np.sqrt(v * v + 20 * g)) / g
    root, h = np.sqrt(9.0 + 196.2), 1e-3
    t = time(9.81, 3.0)
    by_g = (time(9.81 + h, 3.0) - time(9.81 - h, 3.0)) / (2 * h)
    by_gg = (time(9.81 + h, 3.0) - 2 * t + time(9.81 - h, 3.0)) / h**2
    mixed = (time(9.81 + h, 3 + h) - time(9.81 + h, 3 - h) - time(9.81 - h, 3 + h) + time(9.81 - h, 3 - h)) / (4 * h * h)
    assert result.found
    np.testing.assert_allclose(result.t, t, rtol=1e-9)
    np.testing.assert_allclose([result.y["height"], result.y["speed"]], [0.0, -root], atol=1e-8)
    np.testing.assert_allclose(derivatives, [by_g, (1 + 3 / root) / 9.81, by_gg, mixed, -10 / root, -3 / root], rtol=1e-5)


@pytest.mark.parametrize("method", ["dopri5", "rodas"])
def test_the_event_may_depend_on_time_and_time_may_fall(method):
    """y = exp(t) meets 2 + t at 1.146193; backwards from 1 it meets 0.5 at log(0.5)."""
    grow = lambda y, t: y
    ahead = odeint_event(grow, number(1.0), 0.0, 5.0, lambda y, t: y - 2.0 - t, method=method, rtol=1e-8, atol=1e-10)
    back = odeint_event(grow, number(1.0), 0.0, -5.0, lambda y, t: y - 0.5, method=method, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(run([ahead.t, back.t, back.y]), [1.1461932206, np.log(0.5), 0.5], rtol=1e-6)


def test_no_event():
    grow = lambda y, t: y
    none = run(odeint_event(grow, number(1.0), 0.0, 1.0, lambda y, t: y + 1.0))
    assert not none.found and none.t == 1.0
    np.testing.assert_allclose(none.y, np.e, rtol=1e-5)
    at_the_start = run(odeint_event(grow, number(1.0), 0.0, 1.0, lambda y, t: y - 1.0))
    assert not at_the_start.found
    given_up = run(odeint_event(lambda y, t: y * y, number(1.0), 0.0, 2.0, lambda y, t: y + 1.0))
    assert not given_up.found and np.isnan(given_up.t) and np.isnan(given_up.y)


def test_events_in_lanes():
    levels = gf.placeholder(gf.float64, [None])
    times = gf.vmap(lambda level: odeint_event(lambda y, t: y, number(1.0), 0.0, 9.0, lambda y, t: y - level, rtol=1e-9).t)(
        levels
    )
    (slopes,) = gf.gradients(times, levels)
    values = np.array([1.5, 20.0, 3000.0])
    found, derivative = run([times, slopes], {levels: values})
    np.testing.assert_allclose(found, np.log(values), rtol=1e-7)
    np.testing.assert_allclose(derivative, 1 / values, rtol=1e-6)


def test_an_event_is_a_number():
    with pytest.raises(TypeRuleError, match="the event is"):
        odeint_event(lambda y, t: y, gf.constant([1.0, 2.0]), 0.0, 1.0, lambda y, t: y)
