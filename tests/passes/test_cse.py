"""Equal nodes merge; nodes that only look equal do not."""

import numpy as np
import pytest

from graphflow.ir.op import constant
from graphflow.ops import arithmetic as a
from graphflow.ops import elementary as e
from graphflow.ops import logic, random
from graphflow.ops import movement as m
from graphflow.ops.source import make_placeholder
from graphflow.ops.state import Variable
from graphflow.passes.cse import cse


@pytest.fixture
def x():
    return make_placeholder("float32", [None, 3], name="x")


@pytest.fixture
def y():
    return make_placeholder("float32", [None, 3], name="y")


EQUAL = {
    "chains": lambda x, y: [a.add(e.exp(x), e.sin(y)) for _ in range(2)],
    "commutative operands": lambda x, y: [a.multiply(x, y), a.multiply(y, x)],
    "constants": lambda x, y: [a.add(x, 1.0), a.add(x, np.float32(1.0))],
    "large constants": lambda x, y: [constant(np.arange(500.0)), constant(np.arange(500.0))],
    "attributes": lambda x, y: [m.transpose(x, [1, 0]), m.transpose(x, (1, 0))],
}
DIFFERENT = {
    "order of operands": lambda x, y: [a.subtract(x, y), a.subtract(y, x)],
    "placeholders of one type": lambda x, y: [e.exp(x), e.exp(y)],
    "zeros of either sign": lambda x, y: [a.multiply(x, 0.0), a.multiply(x, -0.0)],
    "dtypes of constants": lambda x, y: [constant(1.0), constant(1.0, dtype="float64")],
    "attributes": lambda x, y: [logic.cast(x, "int32"), logic.cast(x, "int64")],
    "variables": lambda x, y: [e.exp(Variable([1.0, 2.0]).value), e.exp(Variable([1.0, 2.0]).value)],
    "random numbers": lambda x, y: [random.uniform([3]), random.uniform([3])],
    "padding": lambda x, y: [m.pad_(y[0], begin=(0,), step=(1,), shape=(5,), value=v) for v in (0.0, -0.0)],
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name, x, y, program_of):
    after = cse(program_of(*EQUAL[name](x, y)))
    assert after.outputs[0] is after.outputs[1]
    assert cse(after) is after


@pytest.mark.parametrize("name", DIFFERENT)
def test_different(name, x, y, program_of):
    after = cse(program_of(*DIFFERENT[name](x, y)))
    assert after.outputs[0] is not after.outputs[1]


def test_random_numbers_of_one_seed_and_name_are_the_same(x, y, program_of):
    first = random.uniform([3], seed=1)
    bits = next(n for n in program_of(first).nodes if n.op.name == "random_bits")
    again = bits.op(*bits.inputs, **bits.attrs)
    after = cse(program_of(bits.output, again))
    assert after.outputs[0] is after.outputs[1]


def test_updates_and_inputs_keep_their_structure(x, program_of):
    v = Variable([1.0, 2.0, 3.0], name="v").value
    before = program_of(a.add(v, x), updates=((v, a.add(v, 1.0)),), inputs=(x, v))
    after = cse(before)
    assert after is before
    doubled = program_of(a.add(v, 1.0), updates=((v, a.add(v, 1.0)),), inputs=(x, v))
    after = cse(doubled)
    assert after.inputs == (x, v)
    assert after.updates[0][0] is v
    assert after.updates[0][1] is after.outputs[0]
