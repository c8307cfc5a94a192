"""Compositions that build and rearrange tensors: fill, range, stack, split, tile, pad, squeeze and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import as_tensor_or_none, convert_to_tensor, literal, widest_literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import axis_tuple, check_axis, check_size, composition, public
from graphflow.ops.indexing import getitem
from graphflow.ops.logic import cast, identity, where
from graphflow.ops.movement import (
    broadcast_to,
    concat_,
    ensure_shape,
    iota,
    pad_,
    reshape,
    slice_,
    transpose,
)
from graphflow.ops.shapes import shape_tuple, sizes_of
from graphflow.ops.source import size_value
from graphflow.types import AnySize, DType, Size, as_dtype, float32, float64, floordiv, int32, int64, size_max

__all__ = [
    "cast", "concat", "ensure_shape", "expand_dims", "fill", "flip", "moveaxis", "ones", "ones_like", "pad", "range_", "rank",
    "reverse", "shape", "size", "split", "squeeze", "stack", "swapaxes", "tile", "transpose", "unstack", "where",
    "zeros", "zeros_like",
]  # fmt: skip

# --- filled ------------------------------------------------------------------------------------------------------------


@public
def fill(dims: Any, value: Any, name: str | None = None) -> Tensor:
    """A tensor of shape `dims` with `value` everywhere."""
    tensor = convert_to_tensor(value)
    if tensor.rank:
        raise ShapeError(f"a value of shape {list(tensor.shape)}", operands={"value": tensor}, rule="The value is one number.")
    return broadcast_to(tensor, shape_tuple(dims, "fill"), name=name)


@public
def zeros(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    """A tensor of `shape` with 0 everywhere."""
    return broadcast_to(_number(0, as_dtype(dtype)), shape_tuple(shape, "zeros"), name=name)


@public
def ones(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:
    """A tensor of `shape` with 1 everywhere."""
    return broadcast_to(_number(1, as_dtype(dtype)), shape_tuple(shape, "ones"), name=name)


def _number(value: int, dtype: DType) -> Tensor:
    return literal(bool(value) if dtype.is_bool else value, dtype)


@public
def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """0 everywhere, in the shape of `x`, and in its dtype unless `dtype` is given."""
    x = convert_to_tensor(x)
    return zeros(x.shape, x.dtype if dtype is None else dtype, name=name)


@public
def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """1 everywhere, in the shape of `x`, and in its dtype unless `dtype` is given."""
    x = convert_to_tensor(x)
    return ones(x.shape, x.dtype if dtype is None else dtype, name=name)


@composition
def range_(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None) -> Tensor:
    """start, start + delta, ... up to but without `limit`; range(n) counts from 0. Sizes of tensors may be bounds."""
    low, high = (0, start) if limit is None else (start, limit)
    bounds: list[Any] = [_scalar_bound(v) for v in (low, high, delta)]
    low, high, step = bounds
    if not isinstance(step, int | float) or step == 0:
        raise ShapeError(f"delta {delta!r}", rule="delta is a number other than 0.")
    whole = all(isinstance(v, int | Size) for v in (low, high, step))
    wanted = as_dtype(dtype) if dtype is not None else (int32 if whole else float32)
    if whole:
        span: Any = (high - low) if step > 0 else (low - high)
        stride = abs(int(step))
        count = size_max(0, floordiv(span + (stride - 1), stride))
        wide = int64
    else:
        count = max(0, math.ceil((high - low) / step))
        wide = float64
    values = iota(size=count, dtype=wide) if wide != wanted else iota(size=count, dtype=wanted)
    values = values if step == 1 else values * step
    values = (
        values if isinstance(low, int | float) and low == 0 else values + (size_value(size=low) if isinstance(low, Size) else low)
    )
    return cast(values, wanted)


def _scalar_bound(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = sizes_of(value, "range")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | Size):
        raise DTypeError(f"{value!r} is no number")
    return value


# --- sizes -------------------------------------------------------------------------------------------------------------


@public
def shape(x: Any, out_type: Any = int32, name: str | None = None) -> Tensor:
    """The sizes of `x` as a vector; `x.shape` has them as numbers and symbols, for use in shapes."""
    x = convert_to_tensor(x)
    if x.type.is_static:
        return (
            literal(np.asarray(x.shape, np.int64).tolist(), as_dtype(out_type))
            if x.rank
            else convert_to_tensor(np.zeros(0, as_dtype(out_type).numpy))
        )
    parts = [reshape(size_value(size=d), (1,)) for d in x.shape]
    return cast(concat_(*parts, axis=0), out_type, name=name)


@public
def size(x: Any, out_type: Any = int32, name: str | None = None) -> Tensor:
    """The number of elements of `x`."""
    return cast(size_value(size=convert_to_tensor(x).type.size), out_type, name=name)


@public
def rank(x: Any, name: str | None = None) -> Tensor:
    """The number of axes of `x`."""
    return literal(convert_to_tensor(x).rank, int32)


# --- axes --------------------------------------------------------------------------------------------------------------


@public
def expand_dims(x: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """`x` with a new axis of size 1 at `axis`."""
    x = convert_to_tensor(x)
    axis = check_axis(axis, x.rank + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]), name=name)


@public
def squeeze(x: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`x` without axes of size 1: those named by `axis`, or all that are known to be of size 1."""
    x = convert_to_tensor(x)
    axes = tuple(a for a, d in enumerate(x.shape) if d == 1) if axis is None else axis_tuple(axis, x.rank)
    for a in axes:
        if isinstance(x.shape[a], int) and x.shape[a] != 1:
            raise ShapeError(f"axis {a} has size {x.shape[a]}", rule="Only axes of size 1 can be removed.")
    return reshape(x, tuple(d for a, d in enumerate(x.shape) if a not in axes), name=name)


@public
def moveaxis(x: Any, source: int, destination: int, name: str | None = None) -> Tensor:
    """`x` with axis `source` moved to `destination`, the others in order."""
    x = convert_to_tensor(x)
    source, destination = check_axis(source, x.rank), check_axis(destination, x.rank)
    order = [a for a in range(x.rank) if a != source]
    order.insert(destination, source)
    return transpose(x, order, name=name)


@public
def swapaxes(x: Any, axis1: int, axis2: int, name: str | None = None) -> Tensor:
    """`x` with two axes exchanged."""
    x = convert_to_tensor(x)
    a, b = check_axis(axis1, x.rank), check_axis(axis2, x.rank)
    order = list(range(x.rank))
    order[a], order[b] = b, a
    return transpose(x, order, name=name)


@public
def flip(x: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`x` with the order of the elements along `axis` reversed."""
    x = convert_to_tensor(x)
    axes = axis_tuple(axis, x.rank)
    key = tuple(slice(None, None, -1) if a in axes else slice(None) for a in range(x.rank))
    return getitem(x, key, name=name) if axes else identity(x, name=name)


reverse = flip

# --- joining and splitting ---------------------------------------------------------------------------------------------


def common_tensors(values: Sequence[Any]) -> list[Tensor]:
    """All values as tensors; Python numbers and lists adopt the dtype of the tensors among them."""
    found = [as_tensor_or_none(v) for v in values]
    dtype = next((t.dtype for t in found if t is not None), None) or widest_literal(list(values))
    return [literal(v, dtype) if t is None else t for v, t in zip(values, found, strict=True)]


@public
def concat(values: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """The tensors in `values` one after the other along `axis`."""
    if isinstance(values, Tensor) or not isinstance(values, Sequence):
        values = [values]
    if not values:
        raise ShapeError("no tensors to join", rule="Give at least one.")
    tensors = common_tensors(values)
    if not tensors[0].rank:
        raise ShapeError("scalars have no axis to be joined along", rule="gf.stack makes a vector of scalars.")
    axis = check_axis(axis, tensors[0].rank)
    return concat_(*tensors, axis=axis, name=name) if len(tensors) > 1 else identity(tensors[0], name=name)


@public
def stack(values: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """The tensors in `values`, all of one shape, side by side along a new `axis`."""
    if isinstance(values, Tensor):
        return identity(values, name=name)
    if not values:
        raise ShapeError("no tensors to stack", rule="Give at least one.")
    tensors = common_tensors(values)
    first = tensors[0]
    axis = check_axis(axis, first.rank + 1)
    for tensor in tensors:
        sizes = zip(first.shape, tensor.shape, strict=False)
        if tensor.rank != first.rank or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in sizes):
            raise ShapeError(
                f"shapes differ, {first.type} and {tensor.type}",
                operands=tensors,
                rule="All tensors have one shape.",
            )
    parts = [reshape(t, (*t.shape[:axis], 1, *t.shape[axis:])) for t in tensors]
    return concat_(*parts, axis=axis, name=name) if len(parts) > 1 else parts[0]


@public
def unstack(x: Any, num: int | None = None, axis: int = 0, name: str | None = None) -> list[Tensor]:
    """The slices of `x` along `axis`, without it."""
    x = convert_to_tensor(x)
    axis = check_axis(axis, x.rank)
    count = x.shape[axis] if num is None else num
    if not isinstance(count, int):
        raise ShapeError(f"axis {axis} has size {count}", rule="How many slices there are must be known: give num.")
    if isinstance(x.shape[axis], int) and count != x.shape[axis]:
        raise ShapeError(f"num {count}, but axis {axis} has size {x.shape[axis]}")
    x = ensure_shape(x, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    return [getitem(x, (*(slice(None),) * axis, k)) for k in range(count)]


@public
def split(value: Any, num_or_size_splits: Any, axis: int = 0, name: str | None = None) -> list[Tensor]:
    """`value` cut along `axis` into equal parts, or into parts of given sizes, of which one may be -1: what is left."""
    x = convert_to_tensor(value)
    axis = check_axis(axis, x.rank)
    whole = x.shape[axis]
    if isinstance(num_or_size_splits, int):
        count = check_size(num_or_size_splits, "number of parts")
        if not count or (isinstance(whole, int) and whole % count):
            raise ShapeError(f"axis {axis} of size {whole} does not divide into {count} equal parts")
        sizes: list[AnySize] = [floordiv(whole, count)] * count
    else:
        sizes = list(shape_tuple(num_or_size_splits, "split", allow_unknown=True))
        rest = whole
        for part in sizes:
            rest = rest - part if not (isinstance(part, int) and part == -1) else rest
        sizes = [rest if isinstance(part, int) and part == -1 else part for part in sizes]
    total: AnySize = 0
    for part in sizes:
        total = total + part
    if total != whole:
        if isinstance(total, int) and isinstance(whole, int):
            raise ShapeError(f"parts {sizes} do not add up to axis {axis} of size {whole}")
        x = ensure_shape(x, (*x.shape[:axis], total, *x.shape[axis + 1 :]))
    parts = []
    offset: AnySize = 0
    for part in sizes:
        begin = tuple(offset if a == axis else 0 for a in range(x.rank))
        shape_ = (*x.shape[:axis], part, *x.shape[axis + 1 :])
        parts.append(slice_(x, begin=begin, step=(1,) * x.rank, shape=shape_, name=name))
        offset = offset + part
    return parts


# --- repeating and padding ---------------------------------------------------------------------------------------------


@public
def tile(x: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`x` repeated as a block, multiples[a] times along axis a."""
    x = convert_to_tensor(x)
    counts = shape_tuple(multiples, "tile")
    if len(counts) != x.rank:
        raise ShapeError(f"{len(counts)} multiples for rank {x.rank}", rule="One number for each axis.")
    opened = reshape(x, [size for d in x.shape for size in (1, d)])
    spread = broadcast_to(opened, [size for m, d in zip(counts, x.shape, strict=True) for size in (m, d)])
    return reshape(spread, [m * d for m, d in zip(counts, x.shape, strict=True)], name=name)


@public
def pad(x: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0, name: str | None = None) -> Tensor:
    """`x` with paddings[a] = (before, after) more elements along axis a: a constant, or the tensor reflected.

    `mode` is "CONSTANT", "REFLECT" (without repeating the border element) or "SYMMETRIC" (repeating it).
    """
    x = convert_to_tensor(x)
    widths = [shape_tuple(pair, "pad") for pair in (paddings.tolist() if isinstance(paddings, np.ndarray) else paddings)]
    if len(widths) != x.rank or any(len(w) != 2 for w in widths):
        raise ShapeError(f"paddings {paddings} for rank {x.rank}", rule="One pair (before, after) for each axis.")
    if mode.upper() == "CONSTANT":
        value = literal(constant_values, x.dtype).numpy().item() if x.dtype.name != "bfloat16" else float(constant_values)
        shape_ = tuple(before + d + after for d, (before, after) in zip(x.shape, widths, strict=True))
        return pad_(x, begin=tuple(w[0] for w in widths), step=(1,) * x.rank, shape=shape_, value=value, name=name)
    if mode.upper() not in ("REFLECT", "SYMMETRIC"):
        raise ShapeError(f"mode {mode!r}", rule='It is "CONSTANT", "REFLECT" or "SYMMETRIC".')
    skipped = 1 if mode.upper() == "REFLECT" else 0
    for axis, (before, after) in enumerate(widths):
        x = _mirror(x, axis, before, after, skipped)
    return identity(x, name=name)


def _mirror(x: Tensor, axis: int, before: AnySize, after: AnySize, skipped: int) -> Tensor:
    size = x.shape[axis]

    def part(begin: AnySize, step: int, count: AnySize) -> Tensor:
        begins = tuple(begin if a == axis else 0 for a in range(x.rank))
        steps = tuple(step if a == axis else 1 for a in range(x.rank))
        return slice_(x, begin=begins, step=steps, shape=(*x.shape[:axis], count, *x.shape[axis + 1 :]))

    pieces = [x]
    if before != 0:
        pieces.insert(0, part(before - 1 + skipped, -1, before))
    if after != 0:
        pieces.append(part(size - 1 - skipped, -1, after))
    return concat(pieces, axis) if len(pieces) > 1 else x
