"""What rules ask about constants: is a tensor one number everywhere, is a product of two safe, does a cast lose anything."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from graphflow.ir.op import constant_node
from graphflow.ir.tensor import Tensor
from graphflow.ops.movement import broadcast_to_
from graphflow.ops.source import constant
from graphflow.types import DType

MAX_SCANNED = 4096  # elements looked at to see whether a constant is the same everywhere


def array_of(tensor: Tensor) -> np.ndarray | None:
    """The array of a constant; None for other tensors."""
    return tensor.attrs["value"].array if tensor.op is constant else None


def uniform(tensor: Tensor) -> Any:
    """The Python number that every element of `tensor` is, where its form shows one; None where not."""
    while tensor.op is broadcast_to_:
        tensor = tensor.inputs[0]
    if tensor.op is not constant:
        return None
    array = tensor.attrs["value"].array
    if array.size == 0 or array.size > MAX_SCANNED:
        return None
    first = array.flat[0].item() if array.dtype.kind in "biufc" else float(array.flat[0])
    if array.size > 1 and not bool((array == array.flat[0]).all()):
        return None
    return first


def is_uniform(tensor: Tensor, value: complex) -> bool:
    """Is every element of `tensor` the number `value`? Zeros of either sign are 0."""
    found = uniform(tensor)
    return found is not None and found == value


def scalar_like(value: Any, tensor: Tensor) -> Tensor:
    """`value` as a scalar constant of the dtype of `tensor`."""
    return constant_node(np.asarray(value).astype(tensor.dtype.numpy), tensor.dtype)


def safe_result(result: np.ndarray, *operands: np.ndarray) -> bool:
    """Did combining finite, normal constants give finite, normal constants, so that joining them changes rounding only?"""
    if result.dtype.kind in "biu":
        return True
    tiny = float(ml_dtypes.finfo(result.dtype).tiny)
    for array in (result, *operands):
        wide = np.abs(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))
        if not bool((np.isfinite(wide) & (wide >= tiny)).all()):
            return False
    return True


def is_power_of_two(value: Any, dtype: DType) -> bool:
    """Are 1/value and x * (1/value) exact, as far as they are in range?"""
    if not isinstance(value, float) or not math.isfinite(value) or value == 0.0:
        return False
    mantissa, exponent = math.frexp(value)
    limit = {"float64": 1000, "float32": 120, "bfloat16": 120, "float16": 13}[dtype.name]
    return abs(mantissa) == 0.5 and abs(exponent) <= limit


def lossless(source: DType, target: DType) -> bool:
    """Does every value of `source` have the same value in `target`?"""
    if source == target or source.is_bool:
        return True
    digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53, "complex64": 24, "complex128": 53}
    exponent = {"float16": 16, "bfloat16": 128, "float32": 128, "float64": 1024, "complex64": 128, "complex128": 1024}
    if source.is_integer and target.is_integer:
        return target.bits - (target.kind == "int") >= source.bits - (source.kind == "int") and (
            source.kind == "uint" or target.kind == "int"
        )
    if target.is_integer or target.is_bool:
        return False
    if source.is_integer:
        magnitude = source.bits - (source.kind == "int")
        return magnitude <= digits[target.name] and magnitude < exponent[target.name]
    if source.is_complex and not target.is_complex:
        return False
    return digits[source.name] <= digits[target.name] and exponent[source.name] <= exponent[target.name]
