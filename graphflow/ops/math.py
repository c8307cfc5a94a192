"""Every elementwise op and the elementwise compositions: the modules `logic`, `arithmetic` and `elementary` under one name."""

from __future__ import annotations

import builtins
from typing import Any

from graphflow.ir.op import convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import (
    absolute,
    add,
    ceil,
    complex_,
    conj,
    copysign,
    divide,
    floor,
    floordiv,
    imag,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    nextafter,
    real,
    relu,
    round_,
    sign,
    subtract,
    trunc,
)
from graphflow.ops.declare import composition
from graphflow.ops.elementary import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cbrt,
    cos,
    cosh,
    digamma,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    hypot,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    power,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    softplus,
    sqrt,
    tan,
    tanh,
)
from graphflow.ops.logic import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    cast,
    equal,
    greater,
    greater_equal,
    identity,
    invert,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    right_shift,
    stop_gradient,
    where,
)


@composition
def square(x: Any) -> Tensor:
    """Elementwise x * x."""
    x = convert_to_tensor(x)
    return x * x


@composition
def reciprocal(x: Any) -> Tensor:
    """Elementwise 1 / x."""
    return divide(1, x)


@composition
def squared_difference(x: Any, y: Any) -> Tensor:
    """Elementwise (x - y) * conj(x - y)."""
    difference = subtract(x, y)
    return difference * conj(difference)


@composition
def clip_by_value(x: Any, clip_value_min: Any, clip_value_max: Any) -> Tensor:
    """Elementwise x, raised to `clip_value_min` and lowered to `clip_value_max`; NaN stays NaN."""
    return minimum(maximum(x, clip_value_min), clip_value_max)


@composition
def is_nan(x: Any) -> Tensor:
    """Elementwise: is x NaN?"""
    x = convert_to_tensor(x)
    return not_equal(x, x)


@composition
def is_finite(x: Any) -> Tensor:
    """Elementwise: is x neither NaN nor infinite?"""
    x = convert_to_tensor(x)
    return equal(x - x, 0)


@composition
def is_inf(x: Any) -> Tensor:
    """Elementwise: is x infinite?"""
    x = convert_to_tensor(x)
    return equal(absolute(x), builtins.float("inf")) if x.dtype.is_differentiable else not_equal(x, x)


@composition
def log_sigmoid(x: Any) -> Tensor:
    """Elementwise log(sigmoid(x)), without underflow."""
    return negative(softplus(negative(x)))


@composition
def xlogy(x: Any, y: Any) -> Tensor:
    """Elementwise x * log(y), 0 where x is 0."""
    x, y = convert_to_tensor(x), convert_to_tensor(y)
    return where(equal(x, 0), 0, x * log(y))


@composition
def signbit(x: Any) -> Tensor:
    """Elementwise: does x have a minus sign, as -0.0 has?"""
    x = convert_to_tensor(x)
    return less(copysign(literal(1, x.dtype), x), 0) if x.dtype.is_floating else less(x, 0)


__all__ = [
    "absolute",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cast",
    "cbrt",
    "ceil",
    "clip_by_value",
    "complex_",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "digamma",
    "divide",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floordiv",
    "greater",
    "greater_equal",
    "hypot",
    "identity",
    "imag",
    "invert",
    "is_finite",
    "is_inf",
    "is_nan",
    "left_shift",
    "less",
    "less_equal",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "power",
    "real",
    "reciprocal",
    "relu",
    "right_shift",
    "round_",
    "rsqrt",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "squared_difference",
    "stop_gradient",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
    "xlogy",
]  # fmt: skip
