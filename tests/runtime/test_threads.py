"""Threads: results do not depend on their number, sessions run side by side, nothing survives a fork."""

import functools
import os
import threading
import time

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import OptionError
from graphflow.runtime import native


@pytest.fixture
def threads():
    before = gf.get_num_threads()
    yield gf.set_num_threads
    gf.set_num_threads(before)


def workload():
    x = gf.placeholder(gf.float32, [None, 96], name="x")
    y = gf.tanh(x) * gf.exp(-gf.square(x))
    row = gf.nn.softmax(y)
    products = [gf.matmul(x, y, transpose_a=True), gf.nn.relu(gf.matmul(x, x[:16], transpose_b=True))]  # the library's, ours
    return x, [y, row, gf.reduce_sum(y), gf.reduce_sum(row * x, axis=0), *products]


def test_same_bits_for_any_number_of_threads(threads, rng):
    x, fetches = workload()
    data = rng.standard_normal((5000, 96)).astype(np.float32)
    with gf.Session() as sess:
        threads(1)
        expected = sess.run(fetches, {x: data})
        for count in (2, 3, 5):
            threads(count)
            for value, wanted in zip(sess.run(fetches, {x: data}), expected, strict=True):
                assert np.array_equal(value, wanted)


def test_one_thread_means_one(threads, rng):
    x, fetches = workload()
    threads(1)
    before = threading.active_count()
    with gf.Session() as sess:
        sess.run(fetches, {x: rng.standard_normal((5000, 96)).astype(np.float32)})
    assert threading.active_count() <= before


def test_sessions_run_side_by_side(rng):
    x, fetches = workload()
    data = [rng.standard_normal((2000 + 100 * k, 96)).astype(np.float32) for k in range(4)]
    with gf.Session() as sess:
        expected = [sess.run(fetches, {x: d}) for d in data]
    graph, failures = gf.get_default_graph(), []

    def work(k):
        try:
            with gf.Session(graph) as own:
                for _ in range(20):
                    for value, wanted in zip(own.run(fetches, {x: data[k]}), expected[k], strict=True):
                        assert np.array_equal(value, wanted)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert not failures


def test_one_session_from_several_threads_loses_no_update():
    v = gf.Variable(np.zeros(100, np.float32), name="v")
    step = v.assign_add(np.ones(100, np.float32))
    with gf.Session() as sess:
        sess.run(v.initializer)
        call = sess.make_callable(step)
        workers = [threading.Thread(target=lambda: [call() for _ in range(200)]) for _ in range(4)]
        [w.start() for w in workers]
        [w.join() for w in workers]
        assert (sess.run(v) == 800).all()


def test_building_while_another_thread_runs_is_safe(rng):
    x, fetches = workload()
    data = rng.standard_normal((3000, 96)).astype(np.float32)
    stop, failures = threading.Event(), []
    graph = gf.get_default_graph()
    with gf.Session() as sess:
        expected = sess.run(fetches, {x: data})

        def run():
            try:
                while not stop.is_set():
                    for value, wanted in zip(sess.run(fetches, {x: data}), expected, strict=True):
                        assert np.array_equal(value, wanted)
            except BaseException as error:
                failures.append(error)

        worker = threading.Thread(target=run)
        worker.start()
        with graph.as_default():
            y = x
            for _ in range(300):
                y = y + 1.0
        stop.set()
        worker.join()
        assert not failures
        assert np.allclose(sess.run(y, {x: data}), data + 300, atol=1e-2)


def test_threads_compile_at_the_same_time(rng):
    failures = []

    def work(k):
        try:
            with gf.Graph().as_default() as graph, gf.Session(graph) as sess:
                x = gf.placeholder(gf.float32, [None, 7 + k], name="x")
                data = rng.standard_normal((3, 7 + k)).astype(np.float32)
                value = sess.run(gf.reduce_sum(gf.exp(x) + gf.random.uniform([7 + k], 0.0, 1e-6), axis=1), {x: data})
                np.testing.assert_allclose(value, np.exp(data).sum(1), rtol=1e-4)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes(rng):
    x, fetches = workload()
    data = rng.standard_normal((5000, 96)).astype(np.float32)
    with gf.Session() as sess:
        expected = sess.run(fetches, {x: data})
        child = os.fork()
        if child == 0:
            same = all(np.array_equal(a, b) for a, b in zip(sess.run(fetches, {x: data}), expected, strict=True))
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_bad_number_of_threads(count):
    with pytest.raises(OptionError, match="at least 1"):
        gf.set_num_threads(count)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not say where threads run")
def test_a_worker_on_the_callers_processor_stands_back(threads, rng):
    """Both would only displace one another: the worker goes to sleep, and the runs that follow do without it."""
    x, fetches = workload()
    data = rng.standard_normal((5000, 96)).astype(np.float32)
    allowed = os.sched_getaffinity(0)
    threads(3)
    threads(2)  # a new pool
    try:
        os.sched_setaffinity(0, {min(allowed)})
        with gf.Session() as sess:
            for _ in range(20):
                sess.run(fetches, {x: data})
                if native._pool.words[64] > 0:
                    return
        raise AssertionError("the worker was never seen to stand back")
    finally:
        os.sched_setaffinity(0, allowed)
        threads(3)  # a new pool, whose worker may run anywhere


def test_the_entry_of_native_code_is_defined_once(monkeypatch):
    """Functions refer to the definition by its address: a second one in its place would leave them dangling."""
    made = []

    def define():
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(native, "_entry_definition", functools.cache(define))
    threads = [threading.Thread(target=native.load_driver) for _ in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(made) == 1
