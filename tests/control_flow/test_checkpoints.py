"""Gradients of loops within a budget of bytes, and of loops whose number of steps nothing bounds."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate


def central(fetch, wrt, feeds, step=1e-6):
    """The derivative of a scalar by a placeholder, by central differences of the references."""
    value = np.asarray(feeds[wrt], np.float64)
    found = np.zeros(value.shape)
    for place in np.ndindex(value.shape):
        shift = np.zeros(value.shape)
        shift[place] = step
        high, low = (evaluate([fetch], {**feeds, wrt: value + sign * shift})[0] for sign in (1, -1))
        found[place] = (high - low) / (2 * step)
    return found


def growing(x, b, **bound):
    """A loop whose number of steps depends on x."""
    return gf.while_loop(
        lambda n, y: y < 10.0, lambda n, y: (n + 1, y + gf.square(gf.sin(b * y)) + x * x + 0.1), (0, x), **bound
    )[1]


NESTS = {
    "while": lambda a, b: growing(b, b),
    "of dicts": lambda a, b: gf.while_loop(lambda y, n: y < 9.0, lambda y, n: {"y": y * 1.5 + b, "n": n + 1}, {"y": b, "n": 0})[
        "y"
    ],
    "of lanes": lambda a, b: gf.reduce_sum(gf.vmap(lambda x: growing(x, b))(a)),
    "in a scan": lambda a, b: gf.scan(lambda c, x: (growing(c * 0.1 + x, b), c), a, b)[1],
    "with a branch": lambda a, b: gf.while_loop(
        lambda y: y < 5, lambda y: gf.cond(y > 2, lambda: y * 1.1 + b, lambda: y + 0.1 * gf.exp(y)), (b,)
    )[0],
    "in a while": lambda a, b: gf.while_loop(
        lambda y: y < 5, lambda y: y + gf.while_loop(lambda z: z < 3 * b, lambda z: z * 1.5 * b + 0.1, (b * y,))[0], (b,)
    )[0],
}


@pytest.mark.parametrize("name", NESTS)
def test_a_while_without_a_bound_has_a_gradient(name):
    a, b = gf.placeholder(gf.float64, [3]), gf.placeholder(gf.float64, [])
    y = NESTS[name](a, b)
    with gf.options(tape_bytes=100):
        found = gf.gradients(y, [a, b], unconnected_gradients="zero")
    feeds = {a: np.array([0.3, 0.5, 0.7]), b: np.float64(0.8)}
    wanted = evaluate(found, feeds)
    for x, g in zip((a, b), wanted, strict=True):
        np.testing.assert_allclose(g, central(y, x, feeds), rtol=1e-6, atol=1e-8)
    with gf.Session() as session:
        for g, w in zip(session.run(found, feeds), wanted, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-12)


def test_no_step_and_many_steps():
    """The gradient of a while is that of as many steps as were made: none, one chunk, many segments of many chunks."""
    n, a = gf.placeholder(gf.int64, []), gf.placeholder(gf.float64, [])
    y = gf.while_loop(lambda k, y: k < n, lambda k, y: (k + 1, gf.sin(y * a) + 0.5), (gf.constant(0, gf.int64), a))[1]
    with gf.options(tape_bytes=128):  # four checkpoints, four steps a chunk
        g = gf.gradients(y, a)[0]
    with gf.Session() as session:
        for steps in (0, 1, 4, 5, 16, 17, 31, 64, 1000):
            u, du = 0.7, 1.0
            for _ in range(steps):
                u, du = np.sin(u * 0.7) + 0.5, np.cos(u * 0.7) * (u + 0.7 * du)
            np.testing.assert_allclose(session.run([y, g], {n: steps, a: 0.7}), [u, du], rtol=1e-12)


@pytest.mark.parametrize(("reverse", "tape_bytes"), [(False, 4000), (True, 1000), (True, 1)])
def test_a_scan_beyond_the_budget_has_the_same_gradient(reverse, tape_bytes):
    a, xs, more = gf.placeholder(gf.float64, [2]), gf.placeholder(gf.float64, [41]), gf.placeholder(gf.float64, [41, 2])

    def step(state, row):
        c, n = state
        x, m = row
        c = gf.sin(c * a + m) + x * c
        return (c, n + 1), (c * x, n)

    ys, (c, _) = gf.scan(step, (xs, more), (a, 0), reverse=reverse)
    loss = gf.reduce_sum(ys[0] * ys[0]) + gf.reduce_sum(c)
    plain = gf.gradients(loss, [a, xs, more])
    with gf.options(tape_bytes=tape_bytes):
        kept = gf.gradients(loss, [a, xs, more])
    rng = np.random.default_rng(0)
    feeds = {a: np.array([0.3, 0.7]), xs: 0.5 * rng.normal(size=41), more: rng.normal(size=(41, 2))}
    with gf.Session() as session:
        for p, q in zip(*session.run([plain, kept], feeds), strict=True):
            np.testing.assert_allclose(q, p, rtol=1e-9, atol=1e-13)
    for p, q in zip(evaluate(plain, feeds), evaluate(kept, feeds), strict=True):
        np.testing.assert_allclose(q, p, rtol=1e-9, atol=1e-13)


def test_a_million_steps_in_a_megabyte():
    """The plan of the gradient's memory is within the budget; the gradient is the same as with room for everything."""
    steps = 1_000_000
    a, w = gf.placeholder(gf.float64, []), gf.placeholder(gf.float64, [3])
    y = gf.while_loop(lambda n, y: n < steps, lambda n, y: (n + 1, gf.sin(y * a + w)), (0, w), maximum_iterations=steps)[1]
    plain = gf.gradients(y, [a, w])
    with gf.options(tape_bytes=1 << 20):
        kept = gf.gradients(y, [a, w])
    feeds = {a: 0.3, w: np.array([0.1, 0.2, 0.3])}
    with gf.Session() as session:
        for p, q in zip(*session.run([plain, kept], feeds), strict=True):
            np.testing.assert_allclose(q, p, rtol=1e-9)
        assert session.memory_plan(plain, feeds).run > 20 << 20
        assert session.memory_plan(kept, feeds).run <= 1 << 20


def test_lanes_share_the_budget():
    a = gf.placeholder(gf.float64, [64])
    y = gf.vmap(lambda x: growing(x, x))(a)
    with gf.options(tape_bytes=1 << 16):
        g = gf.gradients(y, a)[0]
    feeds = {a: np.linspace(0.1, 0.9, 64)}
    with gf.Session() as session:
        assert session.memory_plan(g, feeds).run <= 2 << 16
        one = gf.gradients(growing(a[5], a[5]), a)[0]
        np.testing.assert_allclose(session.run(g, feeds)[5], session.run(one, feeds)[5], rtol=1e-12)


def test_second_derivatives():
    a = gf.placeholder(gf.float64, [])
    with gf.options(tape_bytes=256):
        first = gf.gradients(growing(a, a), a)[0]
        second = gf.gradients(first, a)[0]
    feeds = {a: np.float64(0.3)}
    np.testing.assert_allclose(evaluate([second], feeds)[0], central(first, a, feeds), rtol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("steps", "width"), [(None, 5), (400, None), (None, None)])
def test_sizes_that_a_run_alone_knows_have_a_bound_too(steps, width, reverse):
    a, xs = gf.placeholder(gf.float64, [width]), gf.placeholder(gf.float64, [steps, width])
    ys, h = gf.scan(lambda h, x: (gf.tanh(h * a + x), h * x), xs, a, reverse=reverse)
    loss = gf.reduce_sum(ys * ys) + gf.reduce_sum(h)
    plain, last = gf.gradients(loss, [a, xs]), gf.gradients(gf.reduce_sum(h), a)
    with gf.options(tape_bytes=4000):
        kept, last_kept = gf.gradients(loss, [a, xs]), gf.gradients(gf.reduce_sum(h), a)
    rng = np.random.default_rng(0)
    feeds = {a: rng.normal(size=5), xs: rng.normal(size=(400, 5))}
    with gf.Session() as session:
        for p, q in zip(*session.run([plain, kept], feeds), strict=True):
            np.testing.assert_allclose(q, p, rtol=1e-12)
        assert session.memory_plan(last, feeds).run > 16_000
        assert session.memory_plan(last_kept, feeds).run <= 4000 + 1000
        for n in (0, 1, 9, 20, 21, 399) if steps is None else ():
            few = {**feeds, xs: feeds[xs][:n]}
            for p, q in zip(session.run(plain, few), session.run(kept, few), strict=True):
                np.testing.assert_allclose(q, p, rtol=1e-12)


def test_the_gradient_of_a_matrix_is_summed_in_chunks_too():
    """Without a budget it is one product of the rows of all steps, which are kept for it."""
    w, xs = gf.placeholder(gf.float64, [100, 100]), gf.placeholder(gf.float64, [None, None, 100])
    h = gf.foldl(lambda h, x: gf.tanh(gf.matmul(h, w) + x), xs, 0 * xs[0])
    plain = gf.gradients(gf.reduce_sum(h), w)[0]
    with gf.options(tape_bytes=1 << 16):
        kept = gf.gradients(gf.reduce_sum(h), w)[0]
    rng = np.random.default_rng(0)
    feeds = {w: 0.05 * rng.normal(size=(100, 100)), xs: rng.normal(size=(200, 2, 100))}
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(kept, feeds), session.run(plain, feeds), rtol=1e-9, atol=1e-12)
        assert session.memory_plan(plain, feeds).run > 900_000
        assert session.memory_plan(kept, feeds).run < (1 << 16) + 400_000


def test_lanes_that_a_run_alone_knows_share_the_budget():
    xs = gf.placeholder(gf.float64, [None])

    def last(x):
        return gf.scan(lambda y, _: (gf.sin(y * x) + x, None), initializer=x, length=500)[1]

    y = gf.vmap(last)(xs)
    plain = gf.gradients(y, xs)
    with gf.options(tape_bytes=1 << 16):
        kept = gf.gradients(y, xs)
    feeds = {xs: np.linspace(0.1, 0.9, 64)}
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(kept, feeds), session.run(plain, feeds), rtol=1e-12)
        assert session.memory_plan(plain, feeds).run > 64 * 500 * 8
        assert session.memory_plan(kept, feeds).run < (1 << 16) + 4000
