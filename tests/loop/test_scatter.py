"""Scatters: what is added is computed on the way, indices are checked before anything is written, tables are updated in place."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.loop.ir import Role
from graphflow.ops.indexing import scatter_add


def forms(sess, fetches, feeds):
    return [k.form for k in sess.executable(fetches, feeds).kernels]


@pytest.fixture
def table(rng):
    """A variable, its value, and a placeholder of indices."""
    values = rng.normal(size=(50, 6))
    return gf.Variable(values, name="table"), values, gf.placeholder(gf.int32, [None], name="words")


def train(table, words):
    """An SGD step with rate 0.5 on the sum of squares of the rows of some words."""
    return gf.train.GradientDescentOptimizer(0.5).minimize(gf.reduce_sum(gf.square(gf.gather(table, words))))


def stepped(values, words):
    expected = values.copy()
    np.add.at(expected, words, -0.5 * 2 * values[words])
    return expected


def test_updates_are_computed_where_they_are_added(rng):
    x, i = gf.placeholder(gf.float64, [None, 4], name="x"), gf.placeholder(gf.int64, [None], name="i")
    total = scatter_add(i, gf.exp(x) * 2.0, size=7, drop=False)
    with gf.Session() as sess:
        values, indices = rng.normal(size=(20, 4)), rng.integers(0, 7, 20)
        expected = np.zeros((7, 4))
        np.add.at(expected, indices, np.exp(values) * 2)
        np.testing.assert_allclose(sess.run(total, {x: values, i: indices}), expected, rtol=1e-12)
        assert forms(sess, total, [x, i]) == ["check", "scatter"]


@pytest.mark.parametrize("threads", [1, 2])
def test_large_scatters_are_shared_out_by_rows(rng, threads):
    before = gf.get_num_threads()
    gf.set_num_threads(threads)
    x, i = gf.placeholder(gf.float32, [None, 1100], name="x"), gf.placeholder(gf.int32, [None], name="i")
    values, indices = rng.normal(size=(2000, 1100)).astype(np.float32), rng.integers(0, 13, 2000).astype(np.int32)
    with gf.Session() as sess:
        found = sess.run(scatter_add(i, x, size=13, drop=False), {x: values, i: indices})
    gf.set_num_threads(before)
    expected = np.zeros((13, 1100), np.float32)
    np.add.at(expected, indices, values)  # in the same order, so with the same bits
    np.testing.assert_array_equal(found, expected)


def test_a_step_writes_the_rows_it_changes(table):
    variable, values, words = table
    step = train(variable, words)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        fed = np.array([3, 7, 3, 3], np.int32)
        sess.run(step, {words: fed})
        np.testing.assert_allclose(sess.run(variable), stepped(values, fed), rtol=1e-12)
        kernel = sess.executable(step, [words]).kernels[-1]
        assert kernel.form == "scatter" and Role.INOUT in kernel.roles


def test_a_step_with_a_bad_index_changes_nothing(table):
    variable, values, words = table
    step = train(variable, words)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        with pytest.raises(gf.errors.IndexOutOfRangeError):
            sess.run(step, {words: np.array([3, 7, 50], np.int32)})
        np.testing.assert_array_equal(sess.run(variable), values)


def test_of_two_tables_neither_changes_where_one_index_is_bad(rng):
    """All indices are checked before either table is written, in place or not."""
    start = rng.normal(size=(9, 3))
    tables = [gf.Variable(start, name=f"table{k}") for k in range(2)]
    words = [gf.placeholder(gf.int32, [None], name=f"words{k}") for k in range(2)]
    updates = [t.assign_add(scatter_add(w, gf.ones([gf.shape(w)[0], 3], gf.float64), size=9, drop=False))
               for t, w in zip(tables, words, strict=True)]  # fmt: skip
    good, bad = np.array([1, 2], np.int32), np.array([0, -1], np.int32)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        for feeds in ((good, bad), (bad, good)):
            with pytest.raises(gf.errors.IndexOutOfRangeError):
                sess.run(updates, dict(zip(words, feeds, strict=True)))
        for variable in tables:
            np.testing.assert_array_equal(sess.run(variable), start)
        kernels = sess.executable(gf.group(*updates), words).kernels
        assert [k.form for k in kernels] == ["check", "check", "scatter", "scatter"]
        assert all(Role.INOUT in k.roles for k in kernels[2:])


def test_a_gradient_that_is_read_elsewhere_stays_dense(table):
    variable, values, words = table
    (gradient,) = gf.gradients(gf.reduce_sum(gf.square(gf.gather(variable, words))), [variable])
    step = variable.assign_sub(0.5 * gradient)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        fed = np.array([3, 7, 3], np.int32)
        found, after = sess.run([gradient, step], {words: fed})
        np.testing.assert_allclose(found, 2 * (values - stepped(values, fed)), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(after, stepped(values, fed), rtol=1e-12)


def test_a_table_looked_up_twice_gets_both_updates(table):
    variable, values, words = table
    loss = gf.reduce_sum(gf.square(gf.gather(variable, words))) - gf.reduce_sum(gf.gather(variable, words + 1))
    step = gf.train.GradientDescentOptimizer(0.5).minimize(loss)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        fed = np.array([3, 7, 3], np.int32)
        sess.run(step, {words: fed})
        expected = stepped(values, fed)
        np.add.at(expected, fed + 1, 0.5)
        np.testing.assert_allclose(sess.run(variable), expected, rtol=1e-12)
        assert forms(sess, step, [words]).count("scatter") == 2


def test_products_with_one_hot_add_up_rows(rng):
    """Indices outside select nothing."""
    i, x = gf.placeholder(gf.int32, [None], name="i"), gf.placeholder(gf.float64, [None, 4], name="x")
    chosen = gf.one_hot(i, 5, dtype=gf.float64)
    fetches = [gf.matmul(chosen, x, transpose_a=True), gf.reduce_sum(chosen, axis=0)]
    indices, values = np.array([0, 4, 4, -1, 5, 2], np.int32), rng.normal(size=(6, 4))
    one_hot = (indices[:, None] == np.arange(5)).astype(float)
    with gf.Session() as sess:
        sums, counts = sess.run(fetches, {i: indices, x: values})
        assert forms(sess, fetches, [i, x]) == ["scatter", "scatter"]
    np.testing.assert_allclose(sums, one_hot.T @ values, rtol=1e-12)
    np.testing.assert_array_equal(counts, one_hot.sum(0))


def test_a_single_element_is_added_to_what_is_there_when_it_is_added():
    index, update = gf.placeholder(gf.int32, [1]), gf.placeholder(gf.float64, [1])
    total = scatter_add(index, update, size=3, drop=False)
    with gf.Session() as sess:
        for _ in range(3):  # the memory of a small result is that of the run before
            np.testing.assert_array_equal(sess.run(total, {index: [1], update: [5.0]}), [0, 5, 0])
