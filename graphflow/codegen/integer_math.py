"""Integers of vector maths (see `vector_math`): floor division, remainder, power."""

from __future__ import annotations

import numpy as np

from graphflow.codegen.tracing import (
    Scalar,
    Traced,
    as_type,
    bits_of,
    convert,
    f32,
    f64,
    helper,
    i32,
    is_traced,
    round_down,
    select,
)
from graphflow.codegen.vector_math import FORMAT


def unsigned(dtype: np.dtype) -> np.dtype:
    """The unsigned integer of the same size."""
    return np.dtype(f"u{dtype.itemsize}")


def floored_quotient(x: Scalar, y: Scalar) -> Scalar:
    """x // y as NumPy has it: towards minus infinity, 0 for y == 0, the least integer // -1 is itself.

    Up to 32 bits the quotient comes from a float division, which is exact enough and, unlike an integer division, vectorises.
    """
    if not is_traced(x):
        return np.floor_divide(x, y)
    special = y == 0
    if x.dtype.kind == "i":
        special = special | (y == -1)
    divisor = select(special, as_type(1, x.dtype), y)
    if x.dtype.itemsize == 8:
        quotient = floored_quotient_64(x, divisor)
    elif x.dtype.itemsize == 4:
        bits = bits_of(round_down(convert(x, f64) / convert(divisor, f64)) + FORMAT[f64].magic)
        quotient = convert(bits, x.dtype)
    else:
        quotient = convert(convert(round_down(convert(x, f32) / convert(divisor, f32)), i32), x.dtype)
    if x.dtype.kind == "i":
        quotient = select(special, -x, quotient)
    return select(y == 0, as_type(0, x.dtype), quotient)


def floored_quotient_64(x: Traced, divisor: Traced) -> Traced:
    """x // divisor by the machine's division, for divisors that cannot trap."""
    quotient = x.arithmetic(divisor, "", "sdiv", "udiv")
    if x.dtype.kind == "u":
        return quotient
    remainder = x - quotient * divisor
    below = (remainder != 0) & ((remainder ^ divisor) < 0)
    return select(below, quotient - 1, quotient)


def floored_integer_remainder(x: Scalar, y: Scalar) -> Scalar:
    """x % y as NumPy has it: the sign of y, 0 for y == 0."""
    if not is_traced(x):
        return np.remainder(x, y)
    return select(y == 0, as_type(0, x.dtype), x - floored_quotient(x, y) * y)


def integer_power(x: Scalar, y: Scalar) -> Scalar:
    """x**y, wrapping around; for a negative exponent what truncation leaves: 0, or 1 and -1 for the bases 1 and -1."""
    dtype = x.dtype
    base, exponent = convert(x, unsigned(dtype)), convert(y, unsigned(dtype))
    if dtype.kind == "u":
        return power_by_squaring(base, exponent)
    positive = convert(power_by_squaring(base, select(y < 0, as_type(0, unsigned(dtype)), exponent)), dtype)
    one, zero = as_type(1, dtype), as_type(0, dtype)
    of_minus_one = select((y & 1) == 0, one, -one)
    return select(y < 0, select(x == 1, one, select(x == -1, of_minus_one, zero)), positive)


def power_by_squaring(base: Scalar, exponent: Scalar) -> Scalar:
    """base**exponent for unsigned integers: the one function here with a loop, as long as the exponent has bits."""
    if not is_traced(base):
        result = np.ones_like(base * exponent)
        while np.any(exponent != 0):
            result = np.where((exponent & base.dtype.type(1)) != 0, result * base, result)
            base, exponent = base * base, exponent >> base.dtype.type(1)
        return result[()]
    builder, dtype = base.builder, base.dtype
    before = builder.block
    loop, after = builder.append_basic_block("square"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    nodes = [builder.phi(base.value.type) for _ in range(3)]
    result, square, rest = (Traced(builder, node, dtype) for node in nodes)
    next_values = (select((rest & 1) == 0, result, result * square), square * square, rest >> 1)
    for node, first, following in zip(nodes, (base.like(1), base, exponent), next_values, strict=True):
        node.add_incoming(first.value, before)
        node.add_incoming(following.value, loop)
    builder.cbranch(builder.any((next_values[2] != 0).value), loop, after)
    builder.position_at_end(after)
    return next_values[0]


floordiv_i8 = helper(floored_quotient, "floordiv_i8")
floordiv_i16 = helper(floored_quotient, "floordiv_i16")
floordiv_i32 = helper(floored_quotient, "floordiv_i32")
floordiv_i64 = helper(floored_quotient, "floordiv_i64")
floordiv_u8 = helper(floored_quotient, "floordiv_u8")
floordiv_u16 = helper(floored_quotient, "floordiv_u16")
floordiv_u32 = helper(floored_quotient, "floordiv_u32")
floordiv_u64 = helper(floored_quotient, "floordiv_u64")
mod_i8 = helper(floored_integer_remainder, "mod_i8")
mod_i16 = helper(floored_integer_remainder, "mod_i16")
mod_i32 = helper(floored_integer_remainder, "mod_i32")
mod_i64 = helper(floored_integer_remainder, "mod_i64")
mod_u8 = helper(floored_integer_remainder, "mod_u8")
mod_u16 = helper(floored_integer_remainder, "mod_u16")
mod_u32 = helper(floored_integer_remainder, "mod_u32")
mod_u64 = helper(floored_integer_remainder, "mod_u64")
pow_i8 = helper(integer_power, "pow_i8")
pow_i16 = helper(integer_power, "pow_i16")
pow_i32 = helper(integer_power, "pow_i32")
pow_i64 = helper(integer_power, "pow_i64")
pow_u8 = helper(integer_power, "pow_u8")
pow_u16 = helper(integer_power, "pow_u16")
pow_u32 = helper(integer_power, "pow_u32")
pow_u64 = helper(integer_power, "pow_u64")
