"""Sums over rows: alone, stage after stage, in the kernel that reduces each row; products with vectors, which become such."""

import itertools

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def compiled():
    """A function that runs fetches on one thread and on two: (values, forms of the kernels). The bits are the same."""

    def run(fetches, feeds):
        found = []
        with gf.Session() as sess:
            for threads in (1, 2):
                gf.set_num_threads(threads)
                found.append(sess.run(fetches, feeds))
            for one, two in zip(*found, strict=True):
                np.testing.assert_array_equal(one, two)
            return found[0], [k.form for k in sess.executable(fetches, list(feeds)).kernels]

    threads = gf.get_num_threads()
    yield run
    gf.set_num_threads(threads)


@pytest.mark.parametrize(("rows", "lanes"), [(0, 3), (1, 5), (3000, 1), (2500, 10), (700, 64), (65, 1000)])
@pytest.mark.parametrize("reduction", ["reduce_sum", "reduce_max"])
def test_columns_of_any_shape(compiled, rng, reduction, rows, lanes):
    x = gf.placeholder(gf.float64, [None, lanes], name="x")
    values = rng.normal(size=(rows, lanes))
    (found,), _ = compiled([getattr(gf, reduction)(x * 2.0, axis=0)], {x: values})
    expected = 2 * values.sum(0) if reduction == "reduce_sum" else (2 * values).max(0, initial=-np.inf)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_stages_over_columns_follow_one_another(compiled, rng):
    x = gf.placeholder(gf.float64, [None, 12], name="x")
    mean, variance = gf.moments(x, axes=[0], keepdims=True)
    values = rng.normal(size=(5000, 12))
    found, forms = compiled([(x - mean) / gf.sqrt(variance), mean, variance], {x: values})
    np.testing.assert_allclose(found[0], (values - values.mean(0)) / values.std(0), rtol=1e-9)
    np.testing.assert_allclose(found[2], values.var(0, keepdims=True), rtol=1e-9)
    assert forms == ["across", "column", "across", "column", "map"]


def test_gradients_of_rows_and_columns_are_one_kernel(compiled, rng):
    """Layer norm: what is summed over all rows, the gradients of scale and shift, is summed where each row is at hand."""
    x = gf.placeholder(gf.float64, [None, 40], name="x")
    scale, shift = (gf.placeholder(gf.float64, [40], name=name) for name in ("scale", "shift"))
    mean, variance = gf.moments(x, axes=[1], keepdims=True)
    y = (x - mean) * gf.rsqrt(variance + 1e-5) * scale + shift
    gradients = gf.gradients(gf.reduce_sum(y * y), [x, scale, shift])
    feeds = {x: rng.normal(size=(3000, 40)), scale: rng.normal(size=40), shift: rng.normal(size=40)}
    found, forms = compiled(gradients, feeds)
    assert forms == ["across", "column"]
    normal = (feeds[x] - feeds[x].mean(1, keepdims=True)) / np.sqrt(feeds[x].var(1, keepdims=True) + 1e-5)
    dy = 2 * (normal * feeds[scale] + feeds[shift])
    np.testing.assert_allclose(found[1], (dy * normal).sum(0), rtol=1e-8)
    np.testing.assert_allclose(found[2], dy.sum(0), rtol=1e-8)


def test_what_follows_a_sum_over_rows_is_never_mistaken_for_a_value_of_a_row(compiled, rng):
    """As many rows as lanes: shapes do not tell them apart."""
    x = gf.placeholder(gf.float64, [200, 200], name="x")
    weights = gf.nn.softmax(x)
    of_lanes, of_rows = gf.reduce_sum(weights, axis=0), gf.reduce_max(weights, axis=1)
    values = rng.normal(size=(200, 200))
    found, _ = compiled([of_lanes * 2.0, of_rows * 2.0, of_lanes + of_rows, weights / of_lanes], {x: values})
    softmax = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    lanes, rows = softmax.sum(0), softmax.max(1)
    for one, expected in zip(found, (lanes * 2, rows * 2, lanes + rows, softmax / lanes), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-9)


def test_a_variable_may_be_overwritten_by_what_follows_its_gradient(rng):
    x = gf.placeholder(gf.float64, [None, 30], name="x")
    start = rng.normal(size=30)
    w = gf.Variable(start, name="w")
    values = rng.normal(size=(1000, 30))
    loss = gf.reduce_sum(gf.square(gf.tensordot(x, w, 1)))
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        sess.run(gf.train.GradientDescentOptimizer(1e-4).minimize(loss), {x: values})
        found = sess.run(w)
    np.testing.assert_allclose(found, start - 1e-4 * 2 * values.T @ (values @ start), rtol=1e-9)


@pytest.mark.parametrize(("rows", "columns", "depth"), [s for s in itertools.product([1, 5], [1, 7], [1, 6]) if 1 in s])
@pytest.mark.parametrize("batches", [((), ()), ((3,), (3,)), ((2, 1), (1, 4))])
def test_products_with_vectors(compiled, rng, rows, columns, depth, batches):
    fetches, feeds, expected = [], {}, []
    for transpose_a, transpose_b in itertools.product([False, True], repeat=2):
        a = rng.normal(size=(*batches[0], *((depth, rows) if transpose_a else (rows, depth))))
        b = rng.normal(size=(*batches[1], *((columns, depth) if transpose_b else (depth, columns))))
        p, q = (gf.placeholder(gf.float64, list(array.shape)) for array in (a, b))
        feeds |= {p: a, q: b}
        fetches.append(gf.matmul(p, q, transpose_a=transpose_a, transpose_b=transpose_b))
        expected.append((a.swapaxes(-1, -2) if transpose_a else a) @ (b.swapaxes(-1, -2) if transpose_b else b))
    found, forms = compiled(fetches, feeds)
    assert "matmul" not in forms
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-10, atol=1e-12)


def test_the_state_of_a_loop_may_be_a_sum_over_rows(rng):
    a, b = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))

    def step(s, row):
        rest = s - gf.reduce_sum(gf.constant(a) * s, 1)
        return gf.reduce_sum(rest[:, None] * b * row, 0)

    x = gf.placeholder(gf.float64, [None])
    last = gf.foldl(step, x, initializer=gf.ones([3], gf.float64))
    expected = np.ones(3)
    for _ in range(4):
        expected = (expected - a @ expected) @ b
    for disable in ("", "sequential"):
        with gf.options(disable=disable), gf.Session() as sess:
            np.testing.assert_allclose(sess.run(last, {x: np.ones(4)}), expected)
