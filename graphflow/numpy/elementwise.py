"""NumPy's elementwise functions: the ops under NumPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops import math as ops
from graphflow.ops.logic import cast, stop_gradient, where
from graphflow.ops.math import (
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    cbrt,
    ceil,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    exp,
    exp2,
    expm1,
    floor,
    greater,
    greater_equal,
    imag,
    invert,
    left_shift,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    real,
    reciprocal,
    right_shift,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "around", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "cbrt", "ceil", "clip", "conj", "conjugate", "copysign", "cos",
    "cosh", "deg2rad", "degrees", "divide", "divmod", "equal", "exp", "exp2", "expm1", "fix", "floor", "floor_divide", "fmod",
    "greater", "greater_equal", "hypot", "imag", "invert", "isclose", "isfinite", "isinf", "isnan", "left_shift", "less",
    "less_equal", "log", "log1p", "log2", "log10", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor",
    "maximum", "minimum", "mod", "multiply", "nan_to_num", "negative", "nextafter", "not_equal", "positive", "pow", "power",
    "rad2deg", "radians", "real", "reciprocal", "remainder", "right_shift", "rint", "round", "sign", "signbit", "sin", "sinh",
    "sqrt", "square", "subtract", "tan", "tanh", "true_divide", "trunc",
]  # fmt: skip

absolute = abs = ops.absolute
arccos, arccosh, arcsin, arcsinh, arctan, arctanh, arctan2 = acos, acosh, asin, asinh, atan, atanh, atan2
bitwise_not = bitwise_invert = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
conj = conjugate = ops.conj
fix = trunc
floor_divide = ops.floordiv
isfinite, isinf, isnan = ops.is_finite, ops.is_inf, ops.is_nan
mod = remainder = ops.mod
power = pow = ops.power
hypot, logaddexp, nextafter, signbit = ops.hypot, ops.logaddexp, ops.nextafter, ops.signbit
rint = ops.round_
true_divide = divide


def positive(x: Any) -> Tensor:
    """The tensor itself."""
    return convert_to_tensor(x)


def _truths(*operands: Any) -> list[Tensor]:
    """Which elements are not 0."""
    tensors = [convert_to_tensor(x) for x in operands]
    return [x if x.dtype.is_bool else not_equal(x, 0) for x in tensors]


def logical_and(x: Any, y: Any) -> Tensor:
    """Elementwise: neither is 0 or False."""
    return ops.logical_and(*_truths(x, y))


def logical_or(x: Any, y: Any) -> Tensor:
    """Elementwise: at least one is neither 0 nor False."""
    return ops.logical_or(*_truths(x, y))


def logical_xor(x: Any, y: Any) -> Tensor:
    """Elementwise: exactly one is neither 0 nor False."""
    return ops.logical_xor(*_truths(x, y))


def logical_not(x: Any) -> Tensor:
    """Elementwise: is x 0 or False?"""
    return ops.logical_not(*_truths(x))


def fmod(x: Any, y: Any) -> Tensor:
    """Elementwise remainder of x / y with the sign of x."""
    x = convert_to_tensor(x)
    return x - trunc(divide(x, y)) * y if x.dtype.is_floating else x - cast(trunc(divide(x, y)), x.dtype) * y


def divmod(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """(floor of x / y, x - y * that), elementwise."""
    return floor_divide(x, y), remainder(x, y)


def deg2rad(x: Any) -> Tensor:
    """An angle in degrees as one in radians."""
    return multiply(x, np.pi / 180)


def rad2deg(x: Any) -> Tensor:
    """An angle in radians as one in degrees."""
    return multiply(x, 180 / np.pi)


radians, degrees = deg2rad, rad2deg


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    """Elementwise a, raised to `a_min` and lowered to `a_max`, either of which may be None."""
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    a = convert_to_tensor(a)
    a = a if low is None else maximum(a, low)
    return a if high is None else minimum(a, high)


def round(a: Any, decimals: int = 0) -> Tensor:
    """Elementwise nearest number with `decimals` places; halves go to the even one."""
    return ops.round_(a) if not decimals else divide(ops.round_(multiply(a, 10.0**decimals)), 10.0**decimals)


around = round


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """Elementwise x, with `nan` for NaN and the largest finite numbers, or those given, for infinities."""
    x = convert_to_tensor(x)
    if not x.dtype.is_floating:
        return x
    high, low = (float(x.dtype.max) if posinf is None else posinf), (float(x.dtype.min) if neginf is None else neginf)
    x = where(isnan(x), nan, x)
    x = where(equal(x, np.inf), high, x)
    return where(equal(x, -np.inf), low, x)


def isclose(a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Elementwise: is |a - b| at most atol + rtol |b|? Equal infinities are close."""
    a, b = stop_gradient(a), stop_gradient(b)
    near = less_equal(absolute(subtract(a, b)), add(multiply(absolute(b), rtol), atol))
    near = ops.logical_or(ops.logical_and(near, isfinite(b)), equal(a, b))
    return ops.logical_or(near, ops.logical_and(isnan(a), isnan(b))) if equal_nan else near
