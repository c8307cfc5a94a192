"""Canonical forms of choices, truth values, casts and markers."""

from __future__ import annotations

from graphflow.ir.tensor import Tensor
from graphflow.ops.logic import cast_, equal, identity, logical_and, logical_not, logical_or, not_equal, stop_gradient, where
from graphflow.ops.movement import broadcast_to_
from graphflow.ops.state import read_after
from graphflow.passes.constants import lossless, scalar_like, uniform
from graphflow.passes.rewrite import rule

# --- choices --------------------------------------------------------------------------------------------------------------


@rule(where)
def where_of_constant(t: Tensor) -> Tensor | None:
    """where(True, x, y) -> x, and where(False, x, y) -> y"""
    condition, x, y = t.inputs
    value = uniform(condition)
    if value is None:
        return None
    chosen = x if value else y
    return chosen if chosen.type == t.type else broadcast_to_(chosen, shape=t.shape)


@rule(where)
def where_of_equals(t: Tensor) -> Tensor | None:
    """where(c, x, x) -> x"""
    _, x, y = t.inputs
    if x is not y:
        return None
    return x if x.type == t.type else broadcast_to_(x, shape=t.shape)


@rule(where)
def where_not(t: Tensor) -> Tensor | None:
    """where(not c, x, y) -> where(c, y, x)"""
    condition, x, y = t.inputs
    return where(condition.inputs[0], y, x) if condition.op is logical_not else None


@rule(where)
def where_in_where(t: Tensor) -> Tensor | None:
    """where(c, where(c, x, y), z) -> where(c, x, z), and where(c, x, where(c, y, z)) -> where(c, x, z)"""
    condition, x, y = t.inputs
    if x.op is where and x.inputs[0] is condition:
        replacement = where(condition, x.inputs[1], y)
    elif y.op is where and y.inputs[0] is condition:
        replacement = where(condition, x, y.inputs[2])
    else:
        return None
    return replacement if replacement.type == t.type else None


# --- truth values ---------------------------------------------------------------------------------------------------------


@rule(logical_not)
def not_not(t: Tensor) -> Tensor | None:
    """not (not x) -> x"""
    (x,) = t.inputs
    return x.inputs[0] if x.op is logical_not else None


@rule(logical_not)
def not_equality(t: Tensor) -> Tensor | None:
    """not (x == y) -> x != y, and not (x != y) -> x == y; the other comparisons are false for NaN, and so is their opposite"""
    (x,) = t.inputs
    if x.op is equal:
        return not_equal(*x.inputs)
    return equal(*x.inputs) if x.op is not_equal else None


@rule(logical_and, logical_or)
def truth_with_constant(t: Tensor) -> Tensor | None:
    """x and True -> x, x and False -> False, x or False -> x, x or True -> True"""
    x, c = t.inputs
    value = uniform(c)
    if value is None:
        return None
    if bool(value) is (t.op is logical_and):
        return x if x.type == t.type else None
    if c.type == t.type:
        return c
    return broadcast_to_(scalar_like(value, t), shape=t.shape)


@rule(logical_and, logical_or)
def truth_with_itself(t: Tensor) -> Tensor | None:
    """x and x -> x, and so for or"""
    x, y = t.inputs
    return x if x is y else None


# --- casts and markers ----------------------------------------------------------------------------------------------------


@rule(cast_)
def cast_to_same(t: Tensor) -> Tensor | None:
    """cast(x, dtype of x) -> x"""
    (x,) = t.inputs
    return x if x.type == t.type else None


@rule(cast_)
def cast_of_cast(t: Tensor) -> Tensor | None:
    """cast(cast(x, a), b) -> cast(x, b), if a holds every value of x"""
    (inner,) = t.inputs
    if inner.op is not cast_ or not lossless(inner.inputs[0].dtype, inner.dtype):
        return None
    x = inner.inputs[0]
    return x if x.dtype == t.dtype else cast_(x, dtype=t.dtype)


@rule(stop_gradient, identity, read_after)
def marker(t: Tensor) -> Tensor | None:
    """stop_gradient(x) -> x, and so for identity: gradients are built before passes run"""
    (x,) = t.inputs
    return x if x.type == t.type else None


RULES = (
    where_of_constant,
    where_of_equals,
    where_not,
    where_in_where,
    not_not,
    not_equality,
    truth_with_constant,
    truth_with_itself,
    cast_to_same,
    cast_of_cast,
    marker,
)
