"""The driver: rules are applied until none applies, equal nodes merge, loops are found, depth does not matter."""

import time

import pytest

from graphflow.errors import RewriteLoopError
from graphflow.ir.op import constant
from graphflow.ops import math
from graphflow.ops.source import make_placeholder
from graphflow.passes.rewrite import Fired, rewrite, rule


@rule(math.negative)
def negative_of_negative(t):
    """-(-x) -> x"""
    (x,) = t.inputs
    return x.inputs[0] if x.op is math.negative else None


@rule(math.add)
def add_becomes_subtract(t):
    """a + b -> a - (-b)"""
    return math.subtract(t.inputs[0], math.negative(t.inputs[1]))


@rule(math.subtract)
def subtract_becomes_add(t):
    """a - (-b) -> a + b"""
    a, b = t.inputs
    return math.add(a, b.inputs[0]) if b.op is math.negative else None


@rule(math.exp)
def exp_is_expm1_plus_one(t):
    """exp(x) -> expm1(x) + 1"""
    return math.add(math.expm1(t.inputs[0]), 1.0)


@rule(math.multiply)
def wraps_itself(t):
    """a * b -> -(a * b)"""
    return math.negative(t)


@rule(math.exp)
def grows(t):
    """exp(x) -> exp(-x)"""
    return math.exp(math.negative(t.inputs[0]))


@pytest.fixture
def x():
    return make_placeholder("float32", [None, 3], name="x")


def test_a_program_that_no_rule_changes_is_returned_itself(x, program_of):
    before = program_of(math.exp(x))
    assert rewrite(before, [negative_of_negative]) is before
    assert rewrite(before, []) is before
    assert rewrite(program_of(), [negative_of_negative]).outputs == ()


def test_what_a_rule_makes_is_examined_again(x, program_of, assert_same_program):
    before = program_of(math.negative(math.negative(math.negative(math.negative(math.exp(x))))))
    fired = Fired()
    after = rewrite(before, [negative_of_negative, exp_is_expm1_plus_one], fired=fired)
    assert_same_program(after, program_of(math.add(math.expm1(x), 1.0)))
    assert {r.name: n for r, n in fired.items()} == {"negative_of_negative": 2, "exp_is_expm1_plus_one": 1}


def test_equal_nodes_merge_only_when_asked_but_those_that_rules_make_always_do(x, program_of):
    twice = program_of(math.add(math.tanh(x), math.tanh(x)))
    assert len(rewrite(twice, []).nodes) == 4
    assert len(rewrite(twice, [], merge=True).nodes) == 3
    made = rewrite(program_of(math.multiply(math.exp(x), math.exp(x))), [exp_is_expm1_plus_one])
    a, b = made.outputs[0].inputs
    assert a is b


def test_new_nodes_carry_line_name_and_twin_of_the_node_they_replace(x, program_of):
    exp = math.exp(x, name="growth")
    after = rewrite(program_of(math.sin(exp)), [exp_is_expm1_plus_one]).outputs[0].inputs[0]
    assert after.op is math.add
    assert after.location == after.inputs[0].location == exp.location
    assert after.name == "growth"


def test_inputs_and_the_order_of_results_stay(x, program_of):
    y = make_placeholder("float32", [3], name="y")
    before = program_of(math.multiply(y, x), math.negative(math.negative(x)), x)
    after = rewrite(before, [negative_of_negative])
    assert after.inputs == before.inputs
    assert after.outputs == (before.outputs[0], x, x)


def test_two_rules_that_undo_each_other_are_named(x, program_of):
    before = program_of(math.sin(math.add(x, x)))
    with pytest.raises(RewriteLoopError, match="add_becomes_subtract and subtract_becomes_add") as raised:
        rewrite(before, [add_becomes_subtract, subtract_becomes_add])
    assert "a - (-b) -> a + b" in str(raised.value)
    assert "test_rewrite.py" in str(raised.value)


@pytest.mark.parametrize(("build", "looping"), [(lambda x: math.multiply(x, x), wraps_itself), (math.exp, grows)])
def test_one_rule_that_never_ends_is_named(x, program_of, build, looping):
    with pytest.raises(RewriteLoopError, match=looping.name):
        rewrite(program_of(build(x)), [looping])


def test_a_chain_of_replacements_longer_than_the_limit_is_a_loop(x, program_of):
    deep = x
    for _ in range(8):
        deep = math.negative(deep)
    rewrite(program_of(deep), [negative_of_negative], limit=2)
    with pytest.raises(RewriteLoopError, match="grows"):
        rewrite(program_of(math.exp(x)), [grows], limit=3)


def test_a_rule_must_keep_the_type(x, program_of):
    @rule(math.exp)
    def wrong(t):
        """exp(x) -> 1"""
        return constant(1.0)

    with pytest.raises(AssertionError, match="wrong"):
        rewrite(program_of(math.exp(x)), [wrong])


def test_a_rule_needs_its_equation():
    with pytest.raises(AssertionError, match="equation"):

        @rule()
        def silent(t):
            return None


def test_depth_does_not_matter(x, program_of):
    deep = x
    for _ in range(5000):
        deep = math.negative(deep)
    start = time.perf_counter()
    assert rewrite(program_of(deep), [negative_of_negative]).outputs == (x,)
    deep = x
    for _ in range(5000):
        deep = math.sin(deep)
    before = program_of(deep)
    assert rewrite(before, [negative_of_negative], merge=True) is before
    assert time.perf_counter() - start < 20
