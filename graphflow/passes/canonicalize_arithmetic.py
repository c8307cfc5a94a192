"""Canonical forms of arithmetic: constants, signs, powers, extremes.

What is exact in real numbers and differs by rounding in floats is rewritten; what NaN, an infinity or a negative zero
would change beyond the sign of a zero is rewritten only for dtypes, or constants, that do not have them.
"""

from __future__ import annotations

import numpy as np

from graphflow.ir.op import constant_node
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute, add, divide_, maximum, minimum, multiply, negative, relu, sign, subtract
from graphflow.ops.elementary import exp, power, sqrt
from graphflow.ops.logic import equal, where
from graphflow.ops.movement import broadcast_to_
from graphflow.passes.constants import array_of, is_power_of_two, is_uniform, safe_result, scalar_like, uniform
from graphflow.passes.rewrite import COMMUTATIVE, rule

# --- constants ------------------------------------------------------------------------------------------------------------


@rule(*COMMUTATIVE)
def constant_goes_right(t: Tensor) -> Tensor | None:
    """c + x -> x + c, and so for every commutative op"""
    left, right = t.inputs
    if uniform(left) is None and array_of(left) is None:
        return None
    if uniform(right) is not None or array_of(right) is not None:
        return None
    return t.op(right, left)


@rule(subtract)
def subtract_constant(t: Tensor) -> Tensor | None:
    """x - c -> x + (-c), unless c is unsigned"""
    x, c = t.inputs
    array = array_of(c)
    if array is None or c.dtype.kind == "uint":
        return None
    return add(x, constant_node(np.negative(array), c.dtype))


@rule(add)
def add_zero(t: Tensor) -> Tensor | None:
    """x + 0 -> x"""
    x, zero = t.inputs
    return x if is_uniform(zero, 0) and x.type == t.type else None


@rule(multiply)
def multiply_one(t: Tensor) -> Tensor | None:
    """x * 1 -> x"""
    x, one = t.inputs
    return x if is_uniform(one, 1) and x.type == t.type else None


@rule(multiply)
def multiply_minus_one(t: Tensor) -> Tensor | None:
    """x * -1 -> -x"""
    x, factor = t.inputs
    return negative(x) if is_uniform(factor, -1) and x.type == t.type else None


@rule(multiply)
def multiply_zero(t: Tensor) -> Tensor | None:
    """x * 0 -> 0, for integers: a float may be NaN or infinite"""
    if not t.dtype.is_integer or not is_uniform(t.inputs[1], 0):
        return None
    return zeros(t)


@rule(divide_)
def divide_by_power_of_two(t: Tensor) -> Tensor | None:
    """x / c -> x * (1/c), for c a power of two, where 1/c is exact; so x / 1 -> x * 1"""
    x, c = t.inputs
    value = uniform(c)
    if not t.dtype.is_floating or x.dtype != t.dtype or not is_power_of_two(value, t.dtype):
        return None
    factor = scalar_like(1 / value, t)
    return multiply(x, factor if x.type == t.type else broadcast_to_(factor, shape=c.shape))


@rule(add)
def add_two_constants(t: Tensor) -> Tensor | None:
    """(x + c1) + c2 -> x + (c1 + c2), for integers, or floats of one sign: what cancels may be meant to round"""
    joined = _join_constants(t)
    if joined is None:
        return None
    x, a, b = joined
    if t.dtype.is_complex or (t.dtype.is_floating and not (a.min() > 0 < b.min() or a.max() < 0 > b.max())):
        return None
    return _with_constant(t, x, np.add, a, b)


@rule(multiply)
def multiply_two_constants(t: Tensor) -> Tensor | None:
    """(x * c1) * c2 -> x * (c1 * c2), unless c1 * c2 overflows or underflows"""
    joined = _join_constants(t)
    return None if joined is None else _with_constant(t, joined[0], np.multiply, joined[1], joined[2])


@rule(maximum, minimum)
def extreme_of_two_constants(t: Tensor) -> Tensor | None:
    """max(max(x, c1), c2) -> max(x, max(c1, c2)), and so for min"""
    joined = _join_constants(t)
    if joined is None:
        return None
    x, a, b = joined
    array = (np.maximum if t.op is maximum else np.minimum)(a, b)
    return _same_type(t, t.op(x, constant_node(array, t.dtype)))


def _join_constants(t: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray] | None:
    """(x, c1, c2) for (x op c1) op c2, where one constant is a scalar, so that joining them makes neither larger."""
    inner, outer = t.inputs
    b = array_of(outer)
    if b is None or b.size == 0 or inner.op is not t.op:
        return None
    a = array_of(inner.inputs[1])
    if a is None or min(a.size, b.size) != 1:
        return None
    return inner.inputs[0], a, b


def _with_constant(t: Tensor, x: Tensor, combine: np.ufunc, a: np.ndarray, b: np.ndarray) -> Tensor | None:
    with np.errstate(all="ignore"):
        array = np.asarray(combine(a, b)).astype(a.dtype)
    if not safe_result(array, a, b):
        return None
    return _same_type(t, t.op(x, constant_node(array, t.dtype)))


def _same_type(t: Tensor, replacement: Tensor) -> Tensor | None:
    return replacement if replacement.type == t.type else None


def zeros(t: Tensor) -> Tensor:
    """Zeros of the type of `t`."""
    zero = scalar_like(0, t)
    return zero if t.shape == () else broadcast_to_(zero, shape=t.shape)


# --- signs ----------------------------------------------------------------------------------------------------------------


@rule(negative)
def negative_of_negative(t: Tensor) -> Tensor | None:
    """-(-x) -> x"""
    (x,) = t.inputs
    return x.inputs[0] if x.op is negative else None


@rule(negative)
def negative_of_difference(t: Tensor) -> Tensor | None:
    """-(a - b) -> b - a"""
    (x,) = t.inputs
    return subtract(x.inputs[1], x.inputs[0]) if x.op is subtract else None


@rule(negative)
def negative_of_scaled(t: Tensor) -> Tensor | None:
    """-(x * c) -> x * (-c)"""
    (product,) = t.inputs
    if product.op is not multiply:
        return None
    x, c = product.inputs
    array = array_of(c)
    return None if array is None else multiply(x, constant_node(np.negative(array), c.dtype))


@rule(add)
def add_negative(t: Tensor) -> Tensor | None:
    """a + (-b) -> a - b, and (-a) + b -> b - a"""
    a, b = t.inputs
    if b.op is negative:
        return subtract(a, b.inputs[0])
    return subtract(b, a.inputs[0]) if a.op is negative else None


@rule(subtract)
def subtract_negative(t: Tensor) -> Tensor | None:
    """a - (-b) -> a + b"""
    a, b = t.inputs
    return add(a, b.inputs[0]) if b.op is negative else None


@rule(subtract)
def subtract_itself(t: Tensor) -> Tensor | None:
    """x - x -> 0, for integers: a float may be NaN or infinite"""
    x, y = t.inputs
    return zeros(t) if x is y and t.dtype.is_integer else None


@rule(multiply, divide_)
def sign_leaves_product(t: Tensor) -> Tensor | None:
    """(-a) * b -> -(a * b), a * (-b) -> -(a * b), (-a) * (-b) -> a * b, (-a) * c -> a * (-c), and so for /"""
    a, b = t.inputs
    if t.op is divide_ and a.dtype != t.dtype:
        return None  # integers, whose quotient is a float: -a may wrap around
    if a.op is not negative and b.op is not negative:
        return None
    array = array_of(b)
    if array is not None:
        return t.op(a.inputs[0], constant_node(np.negative(array), b.dtype))
    if a.op is negative and b.op is negative:
        return t.op(a.inputs[0], b.inputs[0])
    negated = a if a.op is negative else b
    if negated.type != t.type or uniform(a) is not None:
        return None  # the sign of a small operand costs less than that of the result
    return negative(t.op(a.inputs[0], b) if a.op is negative else t.op(a, b.inputs[0]))


@rule(absolute)
def absolute_of_sign(t: Tensor) -> Tensor | None:
    """|-x| -> |x|, and ||x|| -> |x|"""
    (x,) = t.inputs
    if x.op is negative:
        return absolute(x.inputs[0])
    return x if x.op is absolute and x.type == t.type else None


@rule(relu, sign)
def sign_or_relu_twice(t: Tensor) -> Tensor | None:
    """relu(relu(x)) -> relu(x), and so for sign"""
    (x,) = t.inputs
    return x if x.op is t.op else None


# --- powers ---------------------------------------------------------------------------------------------------------------


@rule(power)
def power_zero(t: Tensor) -> Tensor | None:
    """x**0 -> 1, also for NaN"""
    if not is_uniform(t.inputs[1], 0):
        return None
    one = scalar_like(1, t)
    return one if t.shape == () else broadcast_to_(one, shape=t.shape)


@rule(power)
def power_one(t: Tensor) -> Tensor | None:
    """x**1 -> x"""
    x, one = t.inputs
    return x if is_uniform(one, 1) and x.type == t.type else None


@rule(power)
def power_two_or_three(t: Tensor) -> Tensor | None:
    """x**2 -> x * x, and x**3 -> x * x * x"""
    x, exponent = t.inputs
    if x.type != t.type:
        return None
    if is_uniform(exponent, 2):
        return multiply(x, x)
    return multiply(multiply(x, x), x) if is_uniform(exponent, 3) else None


@rule(power)
def power_half(t: Tensor) -> Tensor | None:
    """x**0.5 -> sqrt(x), where x shows that it is not negative; else where(x == -inf, inf, |sqrt(x)|), which is its value"""
    x, exponent = t.inputs
    if not t.dtype.is_floating or x.type != t.type or not is_uniform(exponent, 0.5):
        return None
    if is_nonnegative(x):
        return sqrt(x)
    infinity = scalar_like(np.inf, t)
    return where(equal(x, scalar_like(-np.inf, t)), infinity, absolute(sqrt(x)))


@rule(power)
def power_minus_one(t: Tensor) -> Tensor | None:
    """x**-1 -> 1 / x, for floats"""
    x, exponent = t.inputs
    if not t.dtype.is_floating or x.type != t.type or not is_uniform(exponent, -1):
        return None
    return divide_(scalar_like(1, t), x)


def is_nonnegative(x: Tensor) -> bool:
    """Does the form of x show that it has no negative element, no negative infinity and no negative zero?"""
    return x.op in (exp, absolute) or (x.op is multiply and x.inputs[0] is x.inputs[1] and not x.dtype.is_complex)


# --- extremes -------------------------------------------------------------------------------------------------------------


@rule(maximum, minimum)
def extreme_of_itself(t: Tensor) -> Tensor | None:
    """max(x, x) -> x, and so for min"""
    x, y = t.inputs
    return x if x is y else None


RULES = (
    constant_goes_right,
    subtract_constant,
    add_zero,
    multiply_one,
    multiply_minus_one,
    multiply_zero,
    divide_by_power_of_two,
    add_two_constants,
    multiply_two_constants,
    extreme_of_two_constants,
    negative_of_negative,
    negative_of_difference,
    negative_of_scaled,
    add_negative,
    subtract_negative,
    subtract_itself,
    sign_leaves_product,
    absolute_of_sign,
    sign_or_relu_twice,
    power_zero,
    power_one,
    power_two_or_three,
    power_half,
    power_minus_one,
    extreme_of_itself,
)
