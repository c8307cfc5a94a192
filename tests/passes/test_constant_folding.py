"""Constant folding: what it computes, and what it leaves to the run."""

import numpy as np
import pytest

from graphflow.ir.op import constant
from graphflow.ops import arithmetic as a
from graphflow.ops import elementary as e
from graphflow.ops import indexing, random
from graphflow.ops import movement as m
from graphflow.ops import reductions as r
from graphflow.ops.control import while_loop
from graphflow.ops.source import make_placeholder, size_value
from graphflow.passes.constant_folding import MAX_FOLDED_BYTES, constant_folding


def test_a_tree_of_constants_becomes_one(program_of, assert_same_program):
    x = make_placeholder("float32", [2], name="x")
    before = program_of(a.add(x, a.multiply(a.add(constant(2.0), constant(3.0)), r.reduce_sum(constant([1.0, 2.0])))))
    assert_same_program(constant_folding(before), program_of(a.add(x, 15.0)))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "bfloat16", "float32", "float64", "complex64"])
def test_the_dtype_stays(dtype, program_of):
    folded = constant_folding(program_of(m.reshape(constant(np.array([1, 0]), dtype=dtype), [2, 1]))).outputs[0]
    assert folded.op.name == "constant"
    assert folded.dtype == folded.numpy().dtype == dtype
    assert folded.numpy().tolist() == [[1], [0]]


def test_the_line_and_the_name_stay(program_of):
    before = e.exp(constant(1.0), name="growth")
    after = constant_folding(program_of(before)).outputs[0]
    assert (after.name, after.location) == ("growth", before.location)


def test_special_values_are_folded_without_warning(program_of):
    found = constant_folding(program_of(e.log(constant([-1.0, 0.0])), a.divide(constant(0.0), 0.0), e.exp(constant(1e9))))
    assert [t.op.name for t in found.outputs] == ["constant"] * 3
    np.testing.assert_array_equal(found.outputs[0].numpy(), np.float32([np.nan, -np.inf]))


def test_a_folded_constant_has_at_most_64_kib_unless_its_operands_have(program_of):
    count = MAX_FOLDED_BYTES // 4
    at_limit, above = (a.add(constant(np.zeros((n, 1), np.float32)), [1.0, 2.0]) for n in (count // 2, count // 2 + 1))
    large = a.negative(constant(np.zeros(count + 1, np.float32)))
    after = constant_folding(program_of(at_limit, above, large))
    assert [t.op.name for t in after.outputs] == ["constant", "add", "constant"]


def test_what_stays(program_of):
    x = make_placeholder("float32", [None], name="x")
    repeated = m.broadcast_to(constant(1.0), [4])
    symbolic = a.add(size_value(size=x.shape[0]), 1)
    outside = indexing.gather(constant([1.0, 2.0]), constant([5]))
    drawn = random.uniform([2], seed=1)
    before = program_of(x, repeated, m.iota(size=3, dtype=x.dtype), symbolic, outside, drawn)
    after = constant_folding(before)
    assert [t.op.name for t in after.outputs[1:4]] == ["broadcast_to", "iota", "add"]
    assert after.outputs[4].op.name != "constant"
    assert any(n.op.name == "run_counter" for n in after.nodes)


def test_loops_are_left_to_the_run(program_of):
    """The compiler would run them in Python, for as long as they take."""
    (final,) = while_loop(lambda k: k < 10, lambda k: (k + 1,), (constant(0),))
    assert constant_folding(program_of(final)).outputs[0].op.name == "loop"
