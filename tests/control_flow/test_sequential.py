"""Loops and branches on small values are one kernel; it computes what the references compute."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import IndexOutOfRangeError
from graphflow.ir.evaluate import evaluate


def kernels(session, fetches):
    """The forms of the kernels of loops and branches."""
    return [k.form for k in session.executable(fetches).kernels if k.group.kind == "control"]


def check(fetches, feeds, forms=None):
    """Run, compare with the references, and check that there are these kernels."""
    with gf.Session() as session:
        found = session.run(fetches, feeds)
        if forms is not None:
            assert kernels(session, fetches) == forms
    for actual, expected in zip(found, evaluate(fetches, feeds), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)
    return found


def test_a_recursion_and_its_gradient_are_a_kernel_each():
    x, a = gf.placeholder(gf.float64, [None]), gf.placeholder(gf.float64, [])
    ys, last = gf.scan(lambda h, row: (gf.tanh(a * h + row), h * h), x, gf.constant(0.5, gf.float64))
    loss = gf.reduce_sum(ys) + last
    check([loss, *gf.gradients(loss, [x, a])], {x: np.linspace(-1, 1, 7), a: np.float64(0.7)}, ["sequential"] * 2)


def test_what_an_inner_loop_stacks_is_read_after_it():
    x = gf.placeholder(gf.float64, [3])

    def lane(row):
        ys, _ = gf.scan(lambda s, _: (gf.tanh(s), s), initializer=row, length=2)
        return gf.reduce_sum(ys)

    y = gf.vmap(lane)(x)
    check([y, *gf.gradients(y, [x])], {x: np.array([1.0, 2.0, 3.0])})


@pytest.mark.parametrize("player", [0, 2])
def test_rows_of_a_carried_table_change_in_place(player):
    """Also where both rows are one: the second change counts."""
    table, pairs = gf.placeholder(gf.float64, [100]), gf.placeholder(gf.int32, [None, 2])

    def game(ratings, pair):
        a, b = gf.gather(ratings, pair[0]), gf.gather(ratings, pair[1])
        return gf.tensor_scatter_nd_update(ratings, pair[:, None], gf.stack([a + 0.1 * b, b - 0.2 * a])), a * b

    scores, last = gf.scan(game, pairs, table)
    loss = gf.reduce_sum(scores) + gf.reduce_sum(last * last)
    feeds = {table: np.linspace(0, 1, 100), pairs: np.array([[0, 1], [player, 0], [99, 2]], np.int32)}
    check([loss, last, *gf.gradients(loss, [table])], feeds, ["sequential"] * 2)


def test_a_carried_table_is_read_as_it_is_in_each_step():
    """Its first element stands at the same place in every step, and changes."""
    table = gf.placeholder(gf.float64, [100])

    def step(state, _):
        return gf.tensor_scatter_nd_add(state, [[0]], gf.stack([state[0] * 0.5 + state[1]])), state[0]

    firsts, _ = gf.scan(step, None, table, length=4)
    check([firsts], {table: np.arange(100.0)}, ["sequential"])


def test_a_vector_in_registers_is_indexed_by_a_value_of_the_run():
    order = gf.placeholder(gf.int32, [None])
    _, last = gf.scan(lambda s, i: (s + gf.gather(s, i), None), order, gf.constant([1.0, 2.0, 4.0], gf.float64))
    check([last], {order: np.array([2, 0, 1, 1], np.int32)}, ["sequential"])


def test_long_sums_inside_a_loop_share_a_pass():
    x, y = gf.placeholder(gf.float64, [None]), gf.placeholder(gf.float64, [None])

    def step(w, _):
        error = gf.sigmoid(w[0] + w[1] * x) - y
        return w - 0.1 * gf.stack([gf.reduce_sum(error), gf.reduce_sum(error * x)]), None

    _, w = gf.scan(step, None, gf.zeros([2], gf.float64), length=5)
    grid = np.linspace(-1, 1, 90)
    check([w], {x: grid, y: (grid > 0.2).astype(float)}, ["sequential"])
    with gf.Session() as session:
        (kernel,) = [k for k in session.executable([w]).sources if k.kernel.form == "sequential"]
    assert kernel.text.count("sigmoid_f64(") == 1


def test_a_hundred_values_stand_side_by_side():
    parts = [gf.placeholder(gf.float64, [1]) for _ in range(120)]
    joined = gf.concat(parts, 0)
    check([joined], {part: np.array([float(k)]) for k, part in enumerate(parts)})


def test_a_bad_index_stops_the_run():
    table, order = gf.placeholder(gf.float64, [10]), gf.placeholder(gf.int32, [None])
    ys, _ = gf.scan(lambda s, i: (s + gf.gather(table, i), s), order, gf.constant(0.0, gf.float64))
    with gf.Session() as session, pytest.raises(IndexOutOfRangeError, match="index 10 is outside axis 0 of size 10"):
        session.run(ys, {table: np.zeros(10), order: np.array([1, 10, 3], np.int32)})
