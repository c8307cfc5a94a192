"""Host calls: what a run calls back into Python for, in every place a program can have it."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import graphflow as gf


def test_a_function_of_python_gets_arrays_of_the_sizes_of_the_run(rng):
    x = gf.placeholder(gf.float32, [None, 3])
    seen = []

    def rows(a, b):
        seen.append((type(a), a.shape))
        return a.sum(1), a.T + b

    total, turned = gf.numpy_function(rows, [x * 2, 1.0], [gf.float32, gf.float32], shape=[[x.shape[0]], [3, x.shape[0]]])
    out = gf.reduce_sum(turned, 0) + total
    with gf.Session() as sess:
        for n in (4, 0, 2):
            value = rng.normal(size=(n, 3)).astype("float32")
            np.testing.assert_allclose(sess.run(out, {x: value}), 4 * value.sum(1) + 3, rtol=1e-5)
    assert seen == [(np.ndarray, (4, 3)), (np.ndarray, (0, 3)), (np.ndarray, (2, 3))]


def test_what_a_function_raises_is_the_runs_error_and_leaves_variables_alone():
    v = gf.Variable(np.ones(2), name="v")

    def reject(x):
        if x[0] > 2:
            raise KeyError("too large")
        return x

    checked = gf.py_function(reject, [v * 2 + 0.5], gf.float64, name="checked")
    update = gf.assign(v, v + checked)
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        with pytest.raises(gf.errors.HostError, match=r"host_function \(checked\): KeyError: 'too large'") as caught:
            sess.run(update)
        assert isinstance(caught.value.__cause__, KeyError) and "test_host.py" in str(caught.value)
        np.testing.assert_array_equal(sess.run(v), [1, 1])


@pytest.mark.parametrize("answer", [np.zeros(3), np.zeros(2, complex), None, (1, 2)], ids=["shape", "dtype", "none", "count"])
def test_what_was_not_promised_is_an_error(answer):
    y = gf.py_function(lambda x: answer, [gf.constant([1.0, 2.0])], gf.float32)
    with gf.Session() as sess, pytest.raises(gf.errors.HostError, match="promised"):
        sess.run(y)


def test_an_interrupt_in_a_function_ends_the_run():
    def interrupt(x):
        raise KeyboardInterrupt

    with gf.Session() as sess, pytest.raises(KeyboardInterrupt):
        sess.run(gf.py_function(interrupt, [gf.constant(1.0)], gf.float32))


def test_functions_with_an_effect_are_neither_folded_nor_merged():
    calls = []
    x = gf.constant([1.0, 2.0])
    note = lambda a: calls.append(len(a)) or a
    total = gf.py_function(note, [x], gf.float32) + gf.py_function(note, [x], gf.float32)
    with gf.Session() as sess:
        for _ in range(2):
            np.testing.assert_array_equal(sess.run(total), [2, 4])
    assert calls == [2] * 4


def test_in_a_loop_each_step_calls_and_an_error_names_the_step():
    x = gf.placeholder(gf.float64, [None, 2])

    def step(total, row):
        return total + gf.numpy_function(fail_at_seven, [row], gf.float64)

    def fail_at_seven(row):
        if row[0] == 7:
            raise ValueError("seven")
        return row * 3

    last = gf.foldl(step, x, initializer=gf.zeros([2], gf.float64))
    with gf.Session() as sess:
        value = np.arange(6.0).reshape(3, 2)
        np.testing.assert_array_equal(sess.run(last, {x: value}), 3 * value.sum(0))
        with pytest.raises(gf.errors.HostError, match=r"step 1 of .*ValueError: seven"):
            sess.run(last, {x: value + [[0, 0], [5, 0], [0, 0]]})


def test_runs_of_several_threads_meet_in_a_function(rng):
    x = gf.placeholder(gf.float64, [None])
    meeting = threading.Barrier(2, timeout=30)

    def meet(a):
        meeting.wait()
        return a + 1

    y = gf.py_function(meet, [gf.tanh(x)], gf.float64) * 2
    found = {}
    with gf.Session() as sess:

        def run(k):
            value = np.full(5, float(k))
            found[k] = sess.run(y, {x: value}), 2 * np.tanh(value) + 2

        threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for actual, expected in found.values():
        np.testing.assert_allclose(actual, expected)
    assert len(found) == 2


PROGRAM = textwrap.dedent(
    """
    import numpy as np
    import graphflow as gf

    x = gf.placeholder(gf.float64, [None, 3, 3])
    factor = gf.linalg.cholesky(gf.tanh(x), name="factor")
    step = lambda total, row: total + gf.cumsum(row * 2, 1)
    fetches = [gf.foldl(step, factor, initializer=gf.zeros([3, 3], gf.float64)), gf.fft.fft(x, 5, norm="ortho", axis=0)]
    with gf.Session() as sess:
        found = sess.run(fetches, {x: np.eye(3) + np.arange(2.0)[:, None, None]})
        try:
            sess.run(fetches, {x: -np.eye(3)[None]})
        except gf.errors.DecompositionError as error:
            message = str(error)
    stats = gf.cache.stats()
    print(stats.programs_built, stats.programs_loaded, "cholesky (factor)" in message, "<string>:6" in message)
    print(*[f.tobytes().hex() for f in found])
    """
)


def test_a_second_process_links_host_calls_again(tmp_path):
    def run():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "GRAPHFLOW_CACHE": str(tmp_path)}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, second = run(), run()
    assert first[0] == "1 0 True True" and second[0] == "0 1 True True"
    assert first[1] == second[1]


def test_selections_know_no_size_in_a_graph():
    x = gf.placeholder(gf.float32, [None])
    for select in (gf.nonzero, gf.unique, lambda t: gf.boolean_mask(t, t > 0)):
        with pytest.raises(gf.errors.ShapeError, match="depends on values"):
            select(x)
    with gf.eager():
        values = gf.constant([3.0, 0.0, 3.0, -1.0])
        assert [t.numpy().tolist() for t in gf.nonzero(values)] == [[0, 2, 3]]
        assert [t.numpy().tolist() for t in gf.unique(values)] == [[3, 0, -1], [0, 1, 0, 2]]
        assert gf.boolean_mask(values, values > 0).numpy().tolist() == [3, 3]
        assert gf.repeat(values, gf.constant([0, 1, 2, 0])).numpy().tolist() == [0, 3, 3]
        assert gf.boolean_mask([[1, 2], [3, 4]], [True, False], 1).numpy().tolist() == [[1], [3]]


@pytest.mark.parametrize("size", [3, 65], ids=["kernel", "LAPACK"])
@pytest.mark.parametrize(
    "solve", [gf.linalg.cholesky, gf.linalg.inv, lambda a: gf.linalg.solve(a, a), lambda a: gf.linalg.triangular_solve(a, a)]
)
def test_a_matrix_that_cannot_be_factored_is_an_error_that_changes_nothing(size, solve):
    v = gf.Variable(np.eye(size), name="v")
    a = gf.placeholder(gf.float64, [None, size, size], name="a")
    step = gf.assign(v, v + gf.reduce_sum(solve(a), 0))
    good, bad = np.stack([np.eye(size)] * 3), np.stack([np.eye(size), np.eye(size), np.zeros((size, size))])
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        for _ in range(2):
            with pytest.raises(gf.errors.DecompositionError, match=r"a: +a +float64"):
                sess.run(step, {a: bad})
        np.testing.assert_array_equal(sess.run(v), np.eye(size))
        assert np.isfinite(sess.run(solve(a), {a: good})).all()
