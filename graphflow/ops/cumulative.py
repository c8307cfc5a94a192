"""Cumulative sums and products along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import flip
from graphflow.ops.declare import check_axis, composition, op
from graphflow.ops.logic import cast, equal, logical_and, where, zero_of
from graphflow.ops.math import conj, divide
from graphflow.ops.movement import pad_, slice_
from graphflow.types import TensorType, int64

ACCUMULATE = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def _reference(x: np.ndarray, *, axis: int, combine: str) -> np.ndarray:
    return ACCUMULATE[combine].accumulate(x, axis, dtype=x.dtype)


def _numbers(x: TensorType, kinds: str) -> TensorType:
    if x.dtype.kind not in kinds.split():
        raise DTypeError(f"nothing cumulative of {x.dtype}", rule=f"It takes {kinds}; use gf.cast(x, dtype).")
    return x


def is_narrow(types: Sequence[TensorType]) -> bool:
    """16-bit floats have no kernel: what they add up to would be rounded at every step."""
    return types[0].dtype.compute != types[0].dtype


@op(access=Access.OPAQUE, reference=_reference, host=is_narrow, cost=2)
def cumulate(x, *, axis, combine):
    """The sum ("add") or the product ("multiply") of the elements along `axis` up to each one, itself included."""
    return _numbers(x, "int uint float complex")


def backwards(x: Tensor, axis: int) -> Tensor:
    """The sums of the elements from each one on."""
    return flip(cumulate(flip(x, axis), axis=axis, combine="add"), axis)


def _vjp(g: Tensor, out: Tensor, x: Tensor, axis: int, combine: str) -> Tensor:
    """Of a product before the first zero: the sum of g * out from there on, over x; at it the same without the zero; then 0."""
    if combine == "add":
        return backwards(g, axis)
    zero = equal(x, 0)
    zeros = cumulate(cast(zero, int64), axis=axis, combine="add")
    first = logical_and(zero, equal(zeros, 1))
    without = cumulate(where(first, 1, x), axis=axis, combine="multiply")
    before = divide(backwards(g * conj(out), axis), conj(where(zero, 1, x)))
    return where(first, backwards(g * conj(without), axis), where(equal(zeros, 0), before, zero_of(g)))


cumulate.defvjp(_vjp)


@op(access=Access.OPAQUE, reference=_reference, host=is_narrow, differentiable=False, cost=2)
def cumulative_extreme(x, *, axis, combine):
    """The largest ("maximum") or smallest ("minimum") of the elements along `axis` up to each one; NaN from the first NaN on."""
    return _numbers(x, "int uint float")


def _cumulative(x: Any, axis: int, exclusive: bool, reverse: bool, combine: str, first: int) -> Tensor:
    x = convert_to_tensor(x)
    axis = check_axis(axis, x.rank)
    if reverse:
        x = flip(x, axis)
    x = cumulate(x, axis=axis, combine=combine)
    if exclusive:
        begin = tuple(1 if a == axis else 0 for a in range(x.rank))
        longer = tuple(d + 1 if a == axis else d for a, d in enumerate(x.shape))
        padded = pad_(x, begin=begin, step=(1,) * x.rank, shape=longer, value=first)
        x = slice_(padded, begin=(0,) * x.rank, step=(1,) * x.rank, shape=x.shape)
    return flip(x, axis) if reverse else x


@composition
def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The sum of the elements along `axis` up to each one; without it where `exclusive`, from the end on where `reverse`."""
    return _cumulative(x, axis, exclusive, reverse, "add", 0)


@composition
def cumprod(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """The product of the elements along `axis` up to each one; without it where `exclusive`, from the end on where `reverse`."""
    return _cumulative(x, axis, exclusive, reverse, "multiply", 1)
