"""Lanes of `gf.vmap` in vectors: each computes what it computes alone, whatever its neighbours do."""

import ast
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.codegen import lanes
from graphflow.codegen.backend import Compilation
from graphflow.codegen.blocks import block_shape
from graphflow.codegen.divergence import Divergence
from graphflow.ir.evaluate import evaluate
from tests.control_flow.test_random_loops import bodies, run

SCAN = ("scan", [0, 0, 0], [[("unary", [0, 0, 0], [])]])
SUMS = [SCAN, ("unary", [0, 0, 0], []), SCAN]  # of rows that a loop between them writes: they are not one pass


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps=bodies(), count=st.integers(0, 11))
@example(steps=SUMS, count=2)
def test_a_lane_is_the_same_alone_and_among_others(dtype, steps, count):
    with gf.Graph().as_default() as graph:
        dtype = gf.as_dtype(dtype)
        xs, w = gf.placeholder(dtype, [None, 2]), gf.placeholder(dtype, [2])
        rows, go = gf.placeholder(dtype, [None, 2]), gf.placeholder(gf.int32, [])
        ys = gf.vmap(lambda x: run(steps, [w, x], rows, go))(xs)
        with gf.options(tape_bytes=1 << 16):
            fetches = [ys, *gf.gradients(gf.reduce_sum(gf.tanh(ys)), xs, unconnected_gradients="zero")]
        rng = np.random.default_rng(5)
        data = {xs: rng.normal(size=(count, 2)), w: rng.normal(size=2), rows: rng.normal(size=(3, 2)), go: 1}
        feeds = {k: np.asarray(v, k.dtype.numpy) for k, v in data.items()}
        tolerance = {"float64": 1e-9, "float32": 2e-4}[dtype.name]
        with gf.Session(graph) as session:
            together = session.run(fetches, feeds)
            for found, wanted in zip(together, evaluate(fetches, feeds), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
            for k in range(count):
                alone = session.run(fetches, {**feeds, xs: feeds[xs][k : k + 1]})
                np.testing.assert_array_equal([t[k] for t in together], [a[0] for a in alone])


def counts(n, x):
    """Steps of 0.25 until x is negative or n are made; each reads a row of a table, the square of x is kept of each."""
    table = gf.constant([0.25, 0.25, 0.25, 0.25, 0.25], x.dtype)
    squares, (k, last) = gf.scan(lambda s, _: (s, s[1] * s[1]), initializer=(gf.constant(0), x), length=2)
    k, last = gf.while_loop(lambda k, y: gf.logical_and(k < n, y > 0), lambda k, y: (k + 1, y - gf.gather(table, k)), (k, last))
    return k, last, gf.reduce_sum(squares)


@pytest.mark.parametrize("dtype", [gf.float64, gf.float32])
def test_lanes_end_apart(dtype):
    """Some at once, some with values that are not finite in between, in numbers that fill no vector."""
    n, x = gf.placeholder(gf.int32, [None]), gf.placeholder(dtype, [None])
    fetches = gf.vmap(counts)(n, x)
    xs = np.array([1.0, 0.3, -1.0, np.nan, np.inf, 5.0, 0.25, 1e-30, -np.inf, 0.6, 0.0], dtype.name)
    limits = np.array([5, 2, 5, 5, 3, 0, 1, 4, 5, 5, 5], np.int32)
    with gf.Session() as session:
        for k in (1, 3, 8, 11):
            feeds = {n: limits[:k], x: xs[:k]}
            for found, wanted in zip(session.run(fetches, feeds), evaluate(fetches, feeds), strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_a_lane_that_is_done_reads_and_reports_nothing():
    """It stands beyond the rows, where the others' steps would not let it read."""
    start, end = gf.placeholder(gf.int32, [None]), gf.placeholder(gf.int32, [])
    steps, lengths = gf.constant([2, 3, 3, 5, 5, 1]), gf.constant([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], gf.float64)

    def walk(start):
        def step(at, way):
            return at + gf.gather(steps, at), way + gf.gather(lengths, at)

        return gf.while_loop(lambda at, way: at < end, step, (start, gf.zeros([], gf.float64)))

    fetches = gf.vmap(walk)(start)
    with gf.Session() as session:
        at, way = session.run(fetches, {start: [0, 1, 2, 5, 6, 9], end: 6})
        assert at.tolist() == [6, 9, 6, 6, 6, 9] and way.tolist() == [5.0, 3.5, 4.5, 3.0, 0.0, 0.0]
        with pytest.raises(gf.errors.GraphflowError, match="index 6 is"):
            session.run(fetches, {start: [0, 1, 5, 2], end: 7})


def test_lanes_divide_integers_by_zero_where_they_take_no_part():
    n, x = gf.placeholder(gf.int64, [None]), gf.placeholder(gf.float64, [None])

    def fn(n, x):
        return gf.while_loop(lambda d, y: d > 0, lambda d, y: (d - 1, y + gf.cast(100 // d + n % d, y.dtype)), (n, x))[1]

    y, data = gf.vmap(fn)(n, x), np.array([3, 0, -2, 5, 1, 2])
    expected = [sum(100 // d + k % d for d in range(1, k + 1)) for k in data]
    with gf.Session() as session:
        assert session.run(y, {n: data, x: np.zeros(6)}).tolist() == expected


def test_both_parts_of_a_branch_and_of_one_inside_it():
    x = gf.placeholder(gf.float64, [None])

    def fn(x):
        inner = lambda: gf.cond(x > 2, lambda: gf.log(x), lambda: gf.sqrt(x))
        return gf.scan(lambda s, _: (s * 0.5 + gf.cond(x > 1, inner, lambda: gf.exp(x) + s), s), initializer=x, length=3)[1]

    y, data = gf.vmap(fn)(x), np.array([0.5, 1.5, 2.5, -1.0, 3.0, 0.0, 1.0])
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(y, {x: data}), evaluate([y], {x: data})[0], rtol=1e-14)
        np.testing.assert_array_equal(session.run(y, {x: data}), [session.run(y, {x: [v]})[0] for v in data])


def test_the_kernel_of_lanes_has_vectors():
    x = gf.placeholder(gf.float64, [None])
    y = gf.vmap(lambda x: gf.while_loop(lambda y: y < 10, lambda y: y * y + gf.exp(-y), (x,))[0])(x)
    text = gf.Session().explain(y)
    source = text[text.index("from numpy import") : text.index("# launch program")]
    code = Compilation(lanes.assembly(source, "kernel")).optimized()
    assert re.search(rf"fmul [\w ]*<{block_shape(np.dtype('float64')).lanes} x double>", code)


def test_what_differs_between_lanes():
    text = """
def kernel(buffers, dims, begin, end):
    in0 = buffer_f64(buffers, 0)
    stack = scratch_f64(8, 1)
    for lane in range(begin, end):
        at = lane * 3
        same = float64(2.0)
        state = float64(0.0)
        for t in range(8):
            if (state < in0[at]):
                pass
            else:
                break
            step = same * float64(3.0)
            stack[t] = step
            near = at + t
            state = step
        for u in range(8):
            read = stack[u]
            far = read + in0[near]
            if u == 3:
                rest = u + 1
"""
    (definition,) = ast.parse(text).body
    found = Divergence(definition, definition.body[-1])
    assert found.varying == {
        "lane",
        "at",
        "state",
        "near",
        "read",
        "far",
    }  # a step that not all lanes make has a state of its own
    assert found.of_lane >= {"lane", "at"} and not found.of_lane & {"near", "state", "read", "far"}
