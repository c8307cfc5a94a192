"""The standard's elementwise functions: ops, whose operands are promoted first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphflow.array_api import dtypes
from graphflow.array_api.array import binary, eagerly, tensor_of
from graphflow.array_api.array import floor_divide as floor_division
from graphflow.ops import math as ops
from graphflow.ops.logic import cast, identity
from graphflow.types import DType

Function = Callable[..., Any]


def _unary(op: Function, name: str) -> Function:
    def call(x: Any, /) -> Any:
        return op(tensor_of(x))

    return _named(eagerly(call), name, op)


def _binary(op: Function, name: str) -> Function:
    return _named(binary(op), name, op)


def _named(call: Function, name: str, op: Function) -> Function:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = op.__doc__
    return call


def _whole(op: Function) -> Function:
    """The op, which leaves integers and bools as they are."""

    def call(x: Any) -> Any:
        return identity(x) if x.dtype.is_integer else op(x)

    call.__doc__ = op.__doc__
    return call


abs = _unary(ops.absolute, "abs")
acos = _unary(ops.acos, "acos")
acosh = _unary(ops.acosh, "acosh")
asin = _unary(ops.asin, "asin")
asinh = _unary(ops.asinh, "asinh")
atan = _unary(ops.atan, "atan")
atanh = _unary(ops.atanh, "atanh")
bitwise_invert = _unary(ops.invert, "bitwise_invert")
ceil = _unary(_whole(ops.ceil), "ceil")
conj = _unary(ops.conj, "conj")
cos = _unary(ops.cos, "cos")
cosh = _unary(ops.cosh, "cosh")
exp = _unary(ops.exp, "exp")
expm1 = _unary(ops.expm1, "expm1")
floor = _unary(_whole(ops.floor), "floor")
imag = _unary(ops.imag, "imag")
isfinite = _unary(ops.is_finite, "isfinite")
isinf = _unary(ops.is_inf, "isinf")
isnan = _unary(ops.is_nan, "isnan")
log = _unary(ops.log, "log")
log10 = _unary(ops.log10, "log10")
log1p = _unary(ops.log1p, "log1p")
log2 = _unary(ops.log2, "log2")
logical_not = _unary(ops.logical_not, "logical_not")
negative = _unary(ops.negative, "negative")
positive = _unary(ops.identity, "positive")
real = _unary(ops.real, "real")
reciprocal = _unary(ops.reciprocal, "reciprocal")
round = _unary(_whole(ops.round_), "round")
sign = _unary(ops.sign, "sign")
signbit = _unary(ops.signbit, "signbit")
sin = _unary(ops.sin, "sin")
sinh = _unary(ops.sinh, "sinh")
sqrt = _unary(ops.sqrt, "sqrt")
square = _unary(ops.square, "square")
tan = _unary(ops.tan, "tan")
tanh = _unary(ops.tanh, "tanh")
trunc = _unary(_whole(ops.trunc), "trunc")

add = _binary(ops.add, "add")
atan2 = _binary(ops.atan2, "atan2")
bitwise_and = _binary(ops.bitwise_and, "bitwise_and")
bitwise_left_shift = _binary(ops.left_shift, "bitwise_left_shift")
bitwise_or = _binary(ops.bitwise_or, "bitwise_or")
bitwise_right_shift = _binary(ops.right_shift, "bitwise_right_shift")
bitwise_xor = _binary(ops.bitwise_xor, "bitwise_xor")
copysign = _binary(ops.copysign, "copysign")
divide = _binary(ops.divide, "divide")
equal = _binary(ops.equal, "equal")
floor_divide = _binary(floor_division, "floor_divide")
greater = _binary(ops.greater, "greater")
greater_equal = _binary(ops.greater_equal, "greater_equal")
hypot = _binary(ops.hypot, "hypot")
less = _binary(ops.less, "less")
less_equal = _binary(ops.less_equal, "less_equal")
logaddexp = _binary(ops.logaddexp, "logaddexp")
logical_and = _binary(ops.logical_and, "logical_and")
logical_or = _binary(ops.logical_or, "logical_or")
logical_xor = _binary(ops.logical_xor, "logical_xor")
maximum = _binary(ops.maximum, "maximum")
minimum = _binary(ops.minimum, "minimum")
multiply = _binary(ops.multiply, "multiply")
nextafter = _binary(ops.nextafter, "nextafter")
not_equal = _binary(ops.not_equal, "not_equal")
pow = _binary(ops.power, "pow")
remainder = _binary(ops.mod, "remainder")
subtract = _binary(ops.subtract, "subtract")


@eagerly
def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Elementwise x, raised to `min` and lowered to `max`, in the dtype of x; NaN where one of the three is NaN."""
    found = tensor_of(x)
    for bound, op in ((min, ops.maximum), (max, ops.minimum)):
        if bound is not None:
            found = op(found, _bound(bound, found.dtype))
    return found


def _bound(bound: Any, dtype: DType) -> Any:
    """A bound in `dtype`; one that an integer dtype cannot hold is cut to what it can."""
    if isinstance(bound, bool | int | float):
        return np.asarray(np.clip(bound, int(dtype.min), int(dtype.max)) if dtype.is_integer else bound, dtype.numpy)
    tensor = tensor_of(bound)
    dtypes.promote(dtype, tensor.dtype)
    return cast(tensor, dtype)


__all__ = [
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_invert",
    "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "clip", "conj", "copysign", "cos",
    "cosh", "divide", "equal", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "hypot", "imag",
    "isfinite", "isinf", "isnan", "less", "less_equal", "log", "log1p", "log2", "log10", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "negative", "nextafter", "not_equal",
    "positive", "pow", "real", "reciprocal", "remainder", "round", "sign", "signbit", "sin", "sinh", "sqrt", "square",
    "subtract", "tan", "tanh", "trunc",
]  # fmt: skip
