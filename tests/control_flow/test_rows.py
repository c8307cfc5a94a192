"""Loops and branches as rows of the launch program: the same values as the references, in one kernel or in rows, in one block
of memory, from the cache, on any number of threads; what fails says in which step, and what never ends can be interrupted."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import graphflow as gf
from graphflow.capture import capture
from graphflow.errors import IndexOutOfRangeError
from graphflow.ir.evaluate import evaluate
from graphflow.options import current as current_options
from graphflow.runtime import programs
from graphflow.runtime.launch import Move

ROWS = "sequential"  # disabled, so that small loops are rows too


def squares(*tensors):
    return sum(gf.reduce_sum(t * t) for t in tensors)


def inputs(rng, steps=4, width=3):
    x = gf.placeholder(gf.float64, [None, width], name="x")
    w = gf.placeholder(gf.float64, [width, width], name="w")
    h = gf.placeholder(gf.float64, [2, width], name="h")
    return x, w, h, {x: rng.normal(size=(steps, width)), w: rng.normal(size=(width, width)), h: rng.normal(size=(2, width))}


def recurrence(rng, reverse=False):
    """The state is a result of each step too, and goes through a product."""
    x, w, h, feeds = inputs(rng)
    states, final = gf.scan(lambda s, row: gf.tanh(gf.matmul(s, w) + row), x, h, reverse=reverse)
    loss = squares(states, final)
    return [states, final, *gf.gradients(loss, [x, w, h])], feeds


def backwards(rng):
    return recurrence(rng, reverse=True)


def in_place(rng):
    """Each element of the state is changed where it is."""
    x, _, h, feeds = inputs(rng)
    states, final = gf.scan(lambda s, row: (gf.sin(s) + row, gf.reduce_sum(s, axis=1)), x, h)
    return [states, final, *gf.gradients(squares(states, final), [x, h])], feeds


def second_derivative(rng):
    x, w, h, feeds = inputs(rng, steps=3)
    _, final = gf.scan(lambda s, row: (gf.tanh(gf.matmul(s, w)) * row, None), x, h)
    (first,) = gf.gradients(squares(final), [w])
    return gf.gradients(squares(first), [w, x]), feeds


def fibonacci(rng):
    """What a step returns is what it was given, elsewhere."""
    x, _, h, feeds = inputs(rng)
    a, b, c = gf.while_loop(
        lambda a, b, c: gf.reduce_sum(gf.abs(b)) < 500.0,
        lambda a, b, c: (b, a + b, c),
        [h, h * 2.0 + 5.0, x],
        maximum_iterations=9,
    )
    return [a, b, c, *gf.gradients(squares(a, b), [h])], feeds


def copies(rng):
    """One value goes to several places; rows and captured values are results."""
    x, w, h, feeds = inputs(rng)

    def step(state, row):
        a, b, _ = state
        same = a * 2.0 + row
        return (same, same, a), (same, row, w, b, gf.reshape(h, [3, 2]))

    outs, finals = gf.scan(step, x, (h, h, h))
    return [*outs, *finals, *gf.gradients(squares(*outs, *finals), [x, w, h])], feeds


def unbounded(rng):
    n = gf.placeholder(gf.float64, [2, 2], name="n")
    steps, y = gf.while_loop(lambda i, y: gf.reduce_sum(y) < 100.0, lambda i, y: (i + 1, gf.matmul(y, n) + 1.0), [0, n])
    return [steps, y], {n: np.array([[1.5, 0.1], [0.3, 0.4]])}


def nested(rng):
    x, w, h, feeds = inputs(rng)

    def outer(state, row):
        _, inner = gf.scan(lambda s, scale: (gf.tanh(gf.matmul(s, w) * scale), None), row, state)
        return inner + state, gf.reduce_sum(inner)

    sums, final = gf.scan(outer, x, h)
    return [sums, final, *gf.gradients(squares(sums, final), [x, w, h])], feeds


def branches(rng):
    x, w, h, feeds = inputs(rng)
    chosen = [gf.cond(x[0, 0] < bound, lambda: gf.matmul(h, w), lambda: gf.exp(h)) for bound in (-9.0, 9.0)]
    many = [gf.switch_case(k, [lambda: gf.matmul(h, w) * 2.0, lambda: h, lambda: h @ w + h]) for k in (-1, 0, 1, 2, 5)]
    return [*chosen, *many, *gf.gradients(squares(*chosen, *many), [w, h])], feeds


def branch_in_a_loop(rng):
    """One branch changes the state and the other leaves it as it is."""
    x, w, h, feeds = inputs(rng)

    def step(state, row):
        return gf.cond(row[0] > 0.0, lambda: gf.matmul(state, w) + row, lambda: state), gf.reduce_max(state)

    outs, final = gf.scan(step, x, h)
    return [outs, final, *gf.gradients(squares(outs, final), [x, w, h])], feeds


def loop_in_a_branch(rng):
    x, w, h, feeds = inputs(rng)

    def solve():
        return gf.scan(lambda s, row: gf.tanh(gf.matmul(s, w) + row), x, h)[1]

    value = gf.cond(gf.reduce_sum(x) > -100.0, solve, lambda: h)
    return [value, *gf.gradients(squares(value), [x, w, h])], feeds


def lanes(rng):
    """A map over rows, each with a loop of its own length."""
    x, w, _, feeds = inputs(rng)

    def lane(row):
        start = gf.stack([row, row * 0.5])
        return gf.while_loop(
            lambda s: gf.reduce_sum(s * s) < 50.0, lambda s: (gf.matmul(s, w) * 1.5 + 0.1,), [start], maximum_iterations=7
        )[0]

    found = gf.vmap(lane)(x)
    return [found, *gf.gradients(squares(found), [x, w])], feeds


def no_steps(rng):
    fetches, feeds = recurrence(rng)
    return fetches, {t: np.zeros((0, 3)) if t.name == "x" else value for t, value in feeds.items()}


def empty_rows(rng):
    x = gf.placeholder(gf.float32, [None, None], name="x")
    states, final = gf.scan(lambda s, row: s * 2.0 + gf.reduce_sum(row), x, gf.constant([1.0, 2.0]))
    return [states, final], {x: np.zeros((3, 0), np.float32)}


def other_types(rng):
    """Bools, small integers, and a count that only the run knows."""
    flags = gf.placeholder(gf.bool, [None, 5], name="flags")

    def step(state, row):
        seen, count = state
        return (gf.logical_or(seen, row), count + gf.cast(row, gf.int8)), gf.cast(seen, gf.float16)

    outs, finals = gf.scan(step, flags, (gf.constant([False] * 5), gf.constant([0] * 5, gf.int8)))
    return [outs, *finals], {flags: rng.random((6, 5)) < 0.3}


def random_steps(rng):
    x, _, h, feeds = inputs(rng)
    outs, final = gf.scan(lambda s, row: s + gf.random.normal([2, 3], seed=3, dtype=gf.float64) * row, x, h)
    return [outs, final], feeds


CASES = [
    recurrence, backwards, in_place, second_derivative, fibonacci, copies, unbounded, nested, branches, branch_in_a_loop,
    loop_in_a_branch, lanes, no_steps, empty_rows, other_types, random_steps,
]  # fmt: skip


@pytest.mark.parametrize("disabled", [ROWS, "", f"{ROWS},inplace,fusion", f"{ROWS},control_flow"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_same_values_as_the_references(case, disabled, rng):
    fetches, feeds = case(rng)
    with gf.options(disable=disabled), gf.Session() as sess:
        found = [sess.run(fetches, feeds) for _ in range(2)][1 if case is not random_steps else 0]
        sess.run_counter = 0
        again = sess.run(fetches, feeds)
    for value, wanted, once_more in zip(found, evaluate(fetches, feeds), again, strict=True):
        tolerance = 1e-9 if wanted.dtype == np.float64 else 1e-3
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(value, once_more)
    if ROWS in disabled:
        with gf.options(disable=disabled), gf.Session() as sess:
            rows = sess.executable(fetches, list(feeds)).launch_program.rows
            assert any(isinstance(row, Move) for row in rows)


def large(steps=6, width=200):
    """A loop over matrices whose products are worth two threads."""
    x = gf.placeholder(gf.float32, [steps, width, width], name="x")
    w = gf.placeholder(gf.float32, [width, width], name="w")
    states, final = gf.scan(lambda s, row: gf.tanh(gf.matmul(s, w) + row), x, gf.zeros([width, width]))
    return x, w, [final, *gf.gradients(squares(states, final), [x, w])]


def test_same_bits_on_any_number_of_threads(rng):
    x, w, fetches = large()
    feeds = {x: rng.normal(size=(6, 200, 200)), w: rng.normal(size=(200, 200)) * 0.05}
    before = gf.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            gf.set_num_threads(count)
            with gf.Session() as sess:
                found.append(sess.run(fetches, feeds))
    finally:
        gf.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_step_allocates_and_copies_nothing(rng):
    """Memory does not grow with the steps, but for what is stacked; no row of a step copies."""
    x = gf.placeholder(gf.float32, [None, 100], name="x")
    w = gf.placeholder(gf.float32, [100, 100], name="w")
    _, final = gf.scan(lambda s, row: (gf.tanh(gf.matmul(s, w)) + row, None), x, gf.zeros([50, 100]))
    with gf.Session() as sess:
        short, long = (sess.memory_plan(final, {x: (steps, 100), w: (100, 100)}) for steps in (3, 3000))
        assert short.run == long.run <= 4 * 50 * 100 * 4 + 1000
        program = sess.executable(final, [x, w]).launch_program
        (cycle,) = program.cycles
        moves = [row.op for row in program.rows[cycle.head : cycle.last] if isinstance(row, Move)]
        assert moves == ["until", "locate", "turn", "count", "again", "copy"]  # once, of the final value
        assert str(short).count("scan/loop") == 2  # the two buffers that the state is in by turns


def test_in_place_where_each_element_is_read_where_it_is_written(rng):
    x = gf.placeholder(gf.float32, [None, 300], name="x")
    _, final = gf.scan(lambda s, row: (gf.tanh(s) + row, None), x, gf.zeros([50, 300]))
    with gf.options(disable=ROWS), gf.Session() as sess:
        moves = [row.op for row in sess.executable(final, [x]).launch_program.rows if isinstance(row, Move)]
        assert "turn" not in moves and moves.count("copy") == 1  # of the initial value, before the loop
        assert sess.memory_plan(final, {x: (5, 300)}).run < 3 * 50 * 300 * 4


def test_a_branch_that_leaves_the_state_as_it_is_does_nothing(rng):
    x = gf.placeholder(gf.float32, [None, 100], name="x")
    step = lambda s, row: (gf.cond(row[0] > 0.0, lambda: gf.tanh(s) * row, lambda: s), None)
    _, final = gf.scan(step, x, gf.ones([40, 100]))
    with gf.Session() as sess:
        program = sess.executable(final, [x]).launch_program
        (cycle,) = program.cycles
        moves = [row.op for row in program.rows[cycle.head : cycle.last] if isinstance(row, Move)]
        assert "copy" not in moves and "turn" not in moves
        feeds = {x: rng.normal(size=(6, 100))}
        np.testing.assert_allclose(sess.run(final, feeds), evaluate([final], feeds)[0], rtol=1e-5)


def test_the_rows_are_shown(rng):
    fetches, feeds = nested(rng)
    with gf.options(disable=ROWS), gf.Session() as sess:
        text = sess.explain(fetches, list(feeds))
    for part in ("until scan/loop", "again: go to", "group", "(control)", "matmul", "+= 1"):
        assert part in text


@pytest.mark.parametrize("disabled", [ROWS, ""])
def test_rows_that_no_step_reached_are_zeros(disabled, rng):
    """The gradient of a weight is one product over all rows, of which the next run may reach fewer."""
    w = gf.placeholder(gf.float64, [9, 9], name="w")
    s = gf.placeholder(gf.float64, [8, 9], name="s")
    bound = gf.placeholder(gf.float64, [], name="bound")
    final = gf.while_loop(lambda s: gf.reduce_sum(s * s) < bound, lambda s: gf.tanh(s @ w) * 1.5, s, maximum_iterations=12)
    fetches = [final, *gf.gradients(squares(final), [w, s])]
    feeds = {w: rng.normal(size=(9, 9)), s: rng.normal(size=(8, 9)) * 0.1}
    with gf.options(disable=disabled), gf.Session() as sess:
        for limit in (1e9, 10.0, 1.0, 0.0):
            found = sess.run(fetches, {**feeds, bound: limit})
            for value, wanted in zip(found, evaluate(fetches, {**feeds, bound: limit}), strict=True):
                np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)


# --- failures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disabled", [ROWS, ""])
def test_an_error_names_the_step(disabled, rng):
    table = gf.placeholder(gf.float64, [3], name="table")
    numbers = gf.placeholder(gf.int32, [None], name="numbers")
    seen = gf.Variable(0.0, name="seen")
    total, _ = gf.scan(lambda s, k: s + gf.gather(table, k), numbers, gf.constant(0.0, gf.float64))
    step = seen.assign_add(1.0)
    with gf.options(disable=disabled), gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        with pytest.raises(IndexOutOfRangeError) as found:
            sess.run([total, step], {table: rng.normal(size=3), numbers: [0, 2, 7, 1]})
        assert "index 7 is outside axis 0 of size 3, in step 2" in str(found.value) and "test_rows.py" in str(found.value)
        assert sess.run(seen) == 0.0
        np.testing.assert_allclose(sess.run(total, {table: [1.0, 2.0, 3.0], numbers: [0, 2]}), [1.0, 4.0])


def test_an_error_names_the_steps_of_nested_loops(rng):
    x = gf.placeholder(gf.int32, [None, None], name="x")
    table = gf.placeholder(gf.float64, [3, 100], name="table")

    def outer(state, row):
        return gf.scan(lambda s, k: (s + gf.gather(table, k), None), row, state)[1], None

    _, final = gf.scan(outer, x, gf.zeros([100], gf.float64))
    with gf.options(disable=ROWS), gf.Session() as sess, pytest.raises(IndexOutOfRangeError) as found:
        sess.run(final, {x: [[0, 1], [1, 2], [0, -1]], table: rng.normal(size=(3, 100))})
    assert "in step 1 of scan/scan/loop of step 2 of scan/loop" in str(found.value)


ENDLESS = textwrap.dedent(
    """
    import os, signal, sys, threading
    import numpy as np
    import graphflow as gf
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a shell: the tests' workers ignore it, and hand that on
    {before}
    w = gf.Variable(np.eye(40, dtype=np.float32), name="w")
    limit = gf.placeholder(gf.float32, [], name="limit")
    {loop}
    step = w.assign(value)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        sess.run(step, {{limit: -1.0}})
        print("ready", flush=True)
        try:
            sess.run(step, {{limit: 1.0}})
        except KeyboardInterrupt:
            print("interrupted", float(sess.run(w).sum()), flush=True)
        sess.run(step, {{limit: -1.0}})
        print("goes on", flush=True)
    """
)


# In rows; in one kernel; in a kernel whose lanes two threads share, each of which takes half of an endless lane.
ENDLESS_LOOPS = {
    "rows": """
    value, _ = gf.while_loop(lambda s, n: n < limit, lambda s, n: (gf.matmul(s, w), n + 0.0), [w * 1.0, gf.constant(0.0)])
    """,
    "kernel": "value = w + 0.0 * gf.while_loop(lambda n: n < limit, lambda n: gf.sin(n) * 0.5, limit * 0.0 + 0.5)",
    "lanes": """
    lane = gf.vmap(lambda x: gf.while_loop(lambda n: n < limit, lambda n: gf.sin(n + x) * 0.5, x))
    value = w + 0.0 * gf.reduce_sum(lane(w[0] * limit))
    """,
}


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process")
@pytest.mark.parametrize("before", ["", "gf.set_num_threads(1)"])
@pytest.mark.parametrize("loop", ENDLESS_LOOPS)
def test_a_loop_without_end_is_interrupted(loop, before):
    text = ENDLESS.format(before=before, loop=textwrap.dedent(ENDLESS_LOOPS[loop]).strip())
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20)[0] == "interrupted 40.0\ngoes on\n"
        finally:
            process.kill()


# --- the cache ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [nested, branch_in_a_loop, backwards, unbounded], ids=lambda c: c.__name__)
def test_a_stored_program_is_what_was_linked(case, rng):
    fetches, feeds = case(rng)
    program = capture(fetches, [], list(feeds), gf.get_default_graph())
    with gf.options(disable=ROWS), gf.Session() as sess:
        linked = sess.executable(fetches, list(feeds)).launch_program
        entry = programs.entry_of(program, current_options())
        found, problem = programs.load(entry, program)
    assert problem is None and found is not None
    assert (found.rows, found.cycles, found.slots, found.results) == (linked.rows, linked.cycles, linked.slots, linked.results)


SECOND = textwrap.dedent(
    """
    import sys
    import numpy as np
    import graphflow as gf
    x = gf.placeholder(gf.float32, [None, 120], name="x")
    w = gf.placeholder(gf.float32, [120, 120], name="w")
    states, final = gf.scan(lambda s, row: gf.tanh(gf.matmul(s, w) + row * {factor}), x, gf.zeros([2, 120]))
    loss = gf.reduce_sum(states) + gf.reduce_sum(final * final)
    with gf.Session() as sess:
        values = sess.run([loss, *gf.gradients(loss, [x, w])], {{x: np.ones((5, 120)), w: np.ones((120, 120)) / 50}})
    stats = gf.cache.stats()
    print(stats.compiled, stats.programs_built, "graphflow.passes" in sys.modules, *[v.sum() for v in values])
    """
)


def test_a_second_process_compiles_nothing(tmp_path):
    def run(factor):
        environment = {**os.environ, "GRAPHFLOW_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", SECOND.format(factor=factor)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    first, second, other = run("1.0"), run("1.0"), run("0.5")
    assert int(first[0]) > 0 and first[1] == "1"
    assert second[:3] == ["0", "0", "False"] and second[3:] == first[3:]
    assert other[1] == "1" and other[3:] != first[3:]  # a constant in the body of the loop
