"""`gf.vmap`: lanes are independent of one another, bit for bit, whatever runs in them."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import ShapeError
from graphflow.ir.evaluate import evaluate

ROWS = np.array([0.2, 0.4, 0.6])
LANES = np.linspace(-1.0, 2.0, 301)


def newton(x):
    """A loop whose number of steps differs from lane to lane."""
    return gf.while_loop(
        lambda k, y: gf.logical_and(k < 60, gf.abs(y * y * y - x) > 1e-12),
        lambda k, y: (k + 1, y - (y * y * y - x) / (3 * y * y + 1e-3)),
        (0, x + 2.0),
    )[1]


BODIES = {
    "while": newton,
    "scan": lambda x: gf.scan(lambda c, r: (gf.sin(c * 1.3 + r), c * x), gf.constant(np.linspace(0, 1, 9)), x)[0],
    "cond": lambda x: gf.cond(x > 0, lambda: newton(x), lambda: gf.exp(x)),
    "a while in a scan": lambda x: gf.scan(lambda c, r: (newton(c * r + x), c), gf.constant(ROWS), x)[1],
    "a map in a lane": lambda x: gf.reduce_sum(gf.map_fn(lambda r: newton(r + x), gf.constant(ROWS))),
    "a gradient": lambda x: gf.gradients(newton(x), x)[0],
    "a tangent": lambda x: gf.jvp(newton(x), x, 1.0),
}


@pytest.mark.parametrize("name", BODIES)
def test_lanes_are_those_one_by_one_bit_for_bit(name):
    fn = BODIES[name]
    xs, x = gf.placeholder(gf.float64, [None]), gf.placeholder(gf.float64, [])
    lanes, one = gf.vmap(fn)(xs), fn(x)
    before = gf.get_num_threads()
    with gf.Session() as session:
        try:
            gf.set_num_threads(1)
            alone = session.run(lanes, {xs: LANES})
            gf.set_num_threads(2)
            shared = session.run(lanes, {xs: LANES})
        finally:
            gf.set_num_threads(before)
        np.testing.assert_array_equal(alone, shared)
        np.testing.assert_array_equal(session.run(lanes, {xs: LANES[7:8]}), alone[7:8])
        np.testing.assert_array_equal(np.array([session.run(one, {x: v}) for v in LANES[::50]]), alone[::50])
        assert session.run(lanes, {xs: LANES[:0]}).shape == (0, *alone.shape[1:])
    np.testing.assert_allclose(alone[::100], evaluate([lanes], {xs: LANES[::100]})[0], rtol=1e-9, atol=1e-12)


def test_gradients_through_lanes_are_those_of_the_lanes():
    xs, x, w = gf.placeholder(gf.float64, [None]), gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [])
    fn = lambda x: newton(x * w)
    of_lanes, of_w = gf.gradients(gf.vmap(fn)(xs), [xs, w])
    g, g_w = gf.gradients(fn(x), [x, w])
    values = np.array([0.5, 1.0, 8.0])
    with gf.Session() as session:
        alone = [session.run([g, g_w], {x: v, w: 1.5}) for v in values]
        found = session.run([of_lanes, of_w], {xs: values, w: 1.5})
    np.testing.assert_array_equal(found[0], [a for a, _ in alone])
    np.testing.assert_allclose(found[1], sum(b for _, b in alone), rtol=1e-14)


def test_axes_nests_and_captured_values():
    a, b, w = gf.placeholder(gf.float64, [2, 3]), gf.placeholder(gf.float64, [3]), gf.placeholder(gf.float64, [2])

    def fn(pair, factor, number):
        first, second = pair["a"], pair["b"]
        return {"dot": gf.reduce_sum(first * w) * factor, "rows": (first + second, number + 0.0)}

    found = gf.vmap(fn, in_axes=(0, None, None))({"a": gf.transpose(a), "b": b}, 2.0, gf.constant(3.0, gf.float64))
    columns = gf.vmap(lambda u, v: u * v, in_axes=(1, None), out_axes=1)(a, w)
    of_negative = gf.vmap(lambda u: u * 2.0, in_axes=-1, out_axes=-1)(a)
    feeds = {a: np.arange(6.0).reshape(2, 3), b: np.ones(3), w: np.array([1.0, 10.0])}
    with gf.Session() as session:
        values, across, doubled = session.run([found, columns, of_negative], feeds)
    np.testing.assert_array_equal(values["dot"], 2 * feeds[w] @ feeds[a])
    np.testing.assert_array_equal(values["rows"][0], feeds[a].T + 1)
    np.testing.assert_array_equal(values["rows"][1], [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(across, feeds[a] * feeds[w][:, None])
    np.testing.assert_array_equal(doubled, 2 * feeds[a])


def test_lanes_of_lanes():
    a, b = gf.placeholder(gf.float64, [None]), gf.placeholder(gf.float64, [None])
    table = gf.vmap(lambda x: gf.vmap(lambda y: newton(x * y))(b))(a)
    u, v = np.linspace(0.1, 2, 4), np.linspace(0.5, 3, 3)
    one = gf.placeholder(gf.float64, [])
    with gf.Session() as session:
        found = session.run(table, {a: u, b: v})
        expected = [[session.run(newton(one), {one: x * y}) for y in v] for x in u]
    np.testing.assert_array_equal(found, expected)


def test_errors():
    a = gf.placeholder(gf.float64, [2, 3])
    with pytest.raises(ShapeError, match="2 in_axes for 1 arguments"):
        gf.vmap(lambda x: x, in_axes=(0, 0))(a)
    with pytest.raises(ShapeError, match="no argument has lanes"):
        gf.vmap(lambda x: x, in_axes=None)(a)
    with pytest.raises(ShapeError, match="scalar"):
        gf.vmap(lambda x: x)(a[0, 0])
    with pytest.raises(ShapeError, match="2 and 3 rows"):
        gf.vmap(lambda x, y: x, in_axes=(0, 1))(a, a)
    with pytest.raises(ShapeError, match="axis 2"):
        gf.vmap(lambda x: x, in_axes=2)(a)
