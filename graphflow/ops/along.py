"""Elements taken along one axis, each row by indices of its own: `take_along_axis`, `roll`, `diff`, `repeat` with counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import concat
from graphflow.ops.cumulative import cumsum
from graphflow.ops.declare import check_axis, check_size, composition
from graphflow.ops.indexing import check_index, gather, index_tensor, scatter_add, wrapped
from graphflow.ops.logic import cast, logical_xor
from graphflow.ops.math import minimum, mod, subtract
from graphflow.ops.movement import broadcast_to, iota, reshape, slice_
from graphflow.ops.searching import searchsorted
from graphflow.ops.source import size_value
from graphflow.types import AnySize, Shape, Size, broadcast_shapes, int64, product


def number_of(size: AnySize) -> Any:
    """A size as an operand: a Python number, or a tensor where only a run knows it."""
    return size if isinstance(size, int) else size_value(size=size)


def positions(indices: Tensor, shape: Shape, axis: int) -> Tensor:
    """Where the elements at `indices` along `axis` are in the flattened tensor of `shape`, which may have other sizes there."""
    wide = cast(indices, int64)
    found = wide * number_of(product(shape[axis + 1 :]))
    for a, size in enumerate(indices.shape):
        if a != axis and size != 1:
            own = reshape(iota(size=size, dtype=int64), [size if k == a else 1 for k in range(indices.rank)])
            found = found + own * number_of(product(shape[a + 1 :]))
    return found


@composition
def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """x[..., indices[..., k, ...], ...]: along `axis` the elements that `indices` says, for each row those of its own.

    Sizes along other axes broadcast. An index outside 0..size-1 is an IndexOutOfRangeError of the run; constant ones may count
    from the end.
    """
    x, indices = convert_to_tensor(x), index_tensor(indices)
    if x.rank != indices.rank:
        raise ShapeError(f"ranks differ, {x.rank} and {indices.rank}", operands={"x": x, "indices": indices})
    axis = check_axis(axis, x.rank)
    size = x.shape[axis]
    indices = wrapped(indices, size)
    others = broadcast_shapes(*((*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (x, indices)))
    x = broadcast_to(x, (*others[:axis], size, *others[axis + 1 :]))
    indices = broadcast_to(indices, (*others[:axis], indices.shape[axis], *others[axis + 1 :]))
    checked = check_index(indices, size=size, axis=axis)
    if x.rank == 1:
        return gather(x, checked)
    return gather(reshape(x, (-1,)), positions(checked, x.shape, axis))


def put_along(values: Tensor, indices: Tensor, shape: Shape, axis: int) -> Tensor:
    """Zeros of `shape` with `values` added at `indices` along `axis`: how cotangents of elements that were taken flow back."""
    if len(shape) == 1:
        return scatter_add(indices, values, size=shape[0], drop=False)
    flat = scatter_add(positions(indices, shape, axis), values, size=product(shape), drop=False)
    return reshape(flat, shape)


def part(x: Tensor, axis: int, begin: AnySize, count: AnySize, step: int = 1) -> Tensor:
    """`count` elements of `x` along `axis`, from `begin` on."""
    begins = tuple(begin if a == axis else 0 for a in range(x.rank))
    steps = tuple(step if a == axis else 1 for a in range(x.rank))
    return slice_(x, begin=begins, step=steps, shape=(*x.shape[:axis], count, *x.shape[axis + 1 :]))


@composition
def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """The elements moved `shift` places along `axis`, those that fall out at the end put in at the beginning.

    `shift` and `axis` may be lists; without `axis` the flattened tensor is rolled.
    """
    x = convert_to_tensor(x)
    if axis is None:
        return reshape(_rolled(reshape(x, (-1,)), _whole(shift), 0), x.shape)
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    shifts = list(shift) if isinstance(shift, list | tuple) else [shift] * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"{len(shifts)} shifts for {len(axes)} axes")
    for number, a in zip(shifts, axes, strict=True):
        x = _rolled(x, _whole(number), check_axis(a, x.rank))
    return x


def _whole(shift: Any) -> int:
    if isinstance(shift, bool) or not hasattr(shift, "__index__"):
        raise DTypeError(f"shift {shift!r} is no whole number")
    return shift.__index__()


def _rolled(x: Tensor, shift: int, axis: int) -> Tensor:
    size = x.shape[axis]
    if isinstance(size, int):
        begin = (-shift) % size if size else 0
        if not begin:
            return x
        return concat([part(x, axis, begin, size - begin), part(x, axis, 0, begin)], axis)
    places = mod(subtract(iota(size=size, dtype=int64), shift), size_value(size=size))
    return gather(x, places, axis=axis)


@composition
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """The differences of neighbours along `axis`, `n` times over; `prepend` and `append` are put before and behind first."""
    x = convert_to_tensor(x)
    axis = check_axis(axis, x.rank)
    parts = [None if t is None else convert_to_tensor(t, x.dtype) for t in (prepend, append)]
    if any(t is not None for t in parts):
        x = concat([t for t in (parts[0], x, parts[1]) if t is not None], axis)
    for _ in range(check_size(n, "n")):  # type: ignore[arg-type]
        size = x.shape[axis]
        if size == 0:
            break
        later, earlier = part(x, axis, 1, size - 1), part(x, axis, 0, size - 1)
        x = logical_xor(later, earlier) if x.dtype.is_bool else later - earlier
    return x


@composition
def repeat(x: Any, repeats: Any, axis: int | None = None, total_repeat_length: Any = None) -> Tensor:
    """Each element along `axis` repeated `repeats` times; the elements of the flattened tensor where there is no axis.

    `repeats` may have a number for each element. Where only a run knows them, `total_repeat_length` says how many elements the
    result has: what is beyond them is left out, and the last element fills up what is missing.
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = check_axis(axis, x.rank)
    if isinstance(repeats, int | Size):
        return _all_repeated(x, repeats, axis)
    counts = index_tensor(repeats)
    known = counts.numpy() if isinstance(counts, EagerTensor) else None
    if counts.rank > 1 or (known is not None and (known < 0).any()):
        raise ShapeError(f"repeats {counts.type}", rule="One number of repeats, or one for each element; none is negative.")
    size = x.shape[axis]
    if known is not None and total_repeat_length is None:
        if known.size == 1:
            return _all_repeated(x, int(known.flat[0]), axis)
        if not isinstance(size, int) or known.shape != (size,):
            raise ShapeError(f"{known.size} numbers of repeats for {size} elements", operands={"x": x})
        return gather(x, np.repeat(np.arange(size), known), axis=axis)
    if total_repeat_length is None:
        raise ShapeError(
            "the size of the result depends on values", operands={"repeats": counts}, rule="Give total_repeat_length."
        )
    ends = cumsum(broadcast_to(cast(counts, int64), (size,)))
    total = check_size(total_repeat_length, "total_repeat_length")
    places = searchsorted(ends, iota(size=total, dtype=int64), side="right")
    return gather(x, minimum(places, number_of(size) - 1), axis=axis)


def _all_repeated(x: Tensor, count: AnySize, axis: int) -> Tensor:
    opened = reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
    spread = broadcast_to(opened, (*x.shape[: axis + 1], check_size(count, "repeats"), *x.shape[axis + 1 :]))
    return reshape(spread, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))
