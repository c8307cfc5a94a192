"""The standard's functions of whole arrays: statistics, searching, sorting, sets, indexing, manipulation, truth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphflow.array_api import dtypes
from graphflow.array_api.array import Array, eagerly, promoted, tensor_of, value
from graphflow.ir.eager import EagerTensor
from graphflow.numpy import arrays as names
from graphflow.numpy import reductions
from graphflow.ops import along, cumulative, searching, sorting
from graphflow.ops import array as ops
from graphflow.ops.indexing import gather
from graphflow.ops.logic import cast, not_equal
from graphflow.ops.logic import where as choose
from graphflow.ops.movement import broadcast_to as spread
from graphflow.types import DType, as_dtype, uint32, uint64

# --- dtypes ------------------------------------------------------------------------------------------------------------


@eagerly
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The values of `x` converted to `dtype`: floats to integers towards zero, complex numbers only to complex ones."""
    tensor, wanted = tensor_of(x), as_dtype(dtype)
    if tensor.dtype.is_complex and not wanted.is_complex and not wanted.is_bool:
        raise TypeError(f"{tensor.dtype} has no order in {wanted}: take real(x) or abs(x)")
    if wanted.is_bool and not tensor.dtype.is_bool:
        return not_equal(tensor, 0)
    return cast(tensor, wanted)


# --- statistics --------------------------------------------------------------------------------------------------------


def summed(x: Any, dtype: Any) -> Any:
    """The operand of a sum or a product in the dtype of the result."""
    return cast(x, _sum_dtype(x.dtype) if dtype is None else dtype)


def _sum_dtype(dtype: DType) -> DType:
    """That of sums: integers are at least as wide as the default one."""
    if dtype.kind == "int":
        return dtype if dtype.bits > dtypes.DEFAULT_INT.bits else dtypes.DEFAULT_INT
    if dtype.kind == "uint":
        return uint64 if dtype.bits == 64 else uint32
    return dtype


@eagerly
def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum of the elements along `axis`."""
    return reductions.sum(summed(tensor_of(x), dtype), axis, keepdims=keepdims)


@eagerly
def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product of the elements along `axis`."""
    return reductions.prod(summed(tensor_of(x), dtype), axis, keepdims=keepdims)


@eagerly
def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element along `axis`, NaN if there is one."""
    return reductions.max(tensor_of(x), axis, keepdims)


@eagerly
def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element along `axis`, NaN if there is one."""
    return reductions.min(tensor_of(x), axis, keepdims)


@eagerly
def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of the elements along `axis`."""
    return reductions.mean(tensor_of(x), axis, keepdims=keepdims)


@eagerly
def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The sum of squared distances from the mean along `axis`, divided by the count less `correction`."""
    return reductions.var(tensor_of(x), axis, correction=correction, keepdims=keepdims)


@eagerly
def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The square root of the variance along `axis`."""
    return reductions.std(tensor_of(x), axis, correction=correction, keepdims=keepdims)


@eagerly
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The sums of the elements along `axis` up to each one; before them 0, where `include_initial`."""
    return _cumulative(cumulative.cumsum, 0, summed(tensor_of(x), dtype), axis, include_initial)


@eagerly
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    """The products of the elements along `axis` up to each one; before them 1, where `include_initial`."""
    return _cumulative(cumulative.cumprod, 1, summed(tensor_of(x), dtype), axis, include_initial)


def _cumulative(function: Any, neutral: int, x: Any, axis: int | None, include_initial: bool) -> Any:
    axis = _only_axis(x, axis)
    found = function(x, axis)
    if not include_initial:
        return found
    shape = [1 if k == axis % x.rank else d for k, d in enumerate(x.shape)]
    return names.concatenate([names.full(shape, neutral, x.dtype), found], axis)


def _only_axis(x: EagerTensor, axis: int | None) -> int:
    if axis is None and x.rank != 1:
        raise ValueError(f"the axis must be given where there are {x.rank}")
    return axis or 0


# --- searching and sorting ---------------------------------------------------------------------------------------------


@eagerly
def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """First position of the largest element along `axis`, or in the flattened array."""
    return _position(reductions.argmax, tensor_of(x), axis, keepdims)


@eagerly
def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """First position of the smallest element along `axis`, or in the flattened array."""
    return _position(reductions.argmin, tensor_of(x), axis, keepdims)


def _position(function: Any, x: EagerTensor, axis: int | None, keepdims: bool) -> Any:
    found = function(x, axis)
    return (
        names.reshape(found, [1 if axis is None or k == axis % x.rank else d for k, d in enumerate(x.shape)])
        if keepdims
        else found
    )


@eagerly
def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements along `axis` are not 0."""
    return searching.count_nonzero(tensor_of(x), axis, keepdims)


@eagerly
def nonzero(x: Any, /) -> Any:
    """Where the elements are not 0: for each axis its indices."""
    tensor = tensor_of(x)
    if not tensor.rank:
        raise ValueError("nonzero of an array without axes")
    return names.nonzero(tensor)


@eagerly
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where in the sorted vector `x1` each of `x2` would stand: before equal elements, or behind them for side "right"."""
    sequence, wanted = promoted(x1, x2)
    return searching.searchsorted(sequence if sorter is None else gather(sequence, tensor_of(sorter), 0), wanted, side)


@eagerly
def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """x1 where the condition holds, else x2."""
    return choose(tensor_of(condition), *promoted(x1, x2))


@eagerly
def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The positions at which the elements along `axis` are found in their order, or against it; equal ones stay in theirs."""
    return sorting.argsort(tensor_of(x), axis, _direction(descending))


@eagerly
def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements along `axis` in their order, or against it."""
    return sorting.sort(tensor_of(x), axis, _direction(descending))


def _direction(descending: bool) -> str:
    return "DESCENDING" if descending else "ASCENDING"


# --- sets --------------------------------------------------------------------------------------------------------------


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Array
    inverse_indices: Array


def unique_all(x: Any, /) -> UniqueAll:
    """(the different elements, where each is first, which of them each element is, how often each occurs); NaNs differ."""
    tensor = tensor_of(x)
    found = np.unique(tensor.numpy(), return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    inverse = found[2].reshape(tensor.shape)
    return UniqueAll(value(found[0], tensor.dtype), *(value(i.astype(np.int64)) for i in (found[1], inverse, found[3])))


def unique_counts(x: Any, /) -> UniqueCounts:
    """(the different elements, how often each occurs); NaNs differ."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any, /) -> UniqueInverse:
    """(the different elements, which of them each element is); NaNs differ."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Any, /) -> Array:
    """The different elements; NaNs differ."""
    return unique_all(x).values


# --- indexing ----------------------------------------------------------------------------------------------------------


@eagerly
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """Slices along `axis` at `indices`."""
    tensor = tensor_of(x)
    axis = _only_axis(tensor, axis)
    return gather(tensor, _from_front(indices, tensor.array.shape[axis]), axis)


@eagerly
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """Along `axis` the elements that `indices` says, for each row those of its own."""
    tensor = tensor_of(x)
    return along.take_along_axis(tensor, _from_front(indices, tensor.array.shape[axis]), axis)


def _from_front(indices: Any, size: int) -> EagerTensor:
    """Indices that count from the front."""
    tensor = tensor_of(indices)
    places = tensor.numpy()
    return value(np.where(places < 0, places + size, places)).tensor if places.size and places.min() < 0 else tensor


# --- manipulation ------------------------------------------------------------------------------------------------------


def broadcast_arrays(*arrays: Any) -> list[Array]:
    """All of them broadcast to their common shape."""
    return list(_broadcast_arrays(*arrays))


_broadcast_arrays = eagerly(lambda *arrays: names.broadcast_arrays(*map(tensor_of, arrays)))


@eagerly
def broadcast_to(x: Any, /, shape: Any) -> Any:
    """The elements of `x` repeated along new axes in front and along axes of size 1."""
    return spread(tensor_of(x), tuple(shape))


@eagerly
def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """The arrays one after the other along `axis`; flattened first for None."""
    return names.concatenate(promoted(*arrays), axis)


@eagerly
def expand_dims(x: Any, /, axis: int = 0) -> Any:
    """`x` with a new axis of size 1 at `axis`."""
    tensor = tensor_of(x)
    if not -tensor.rank - 1 <= axis <= tensor.rank:
        raise IndexError(f"axis {axis} is outside a result of rank {tensor.rank + 1}")
    return ops.expand_dims(tensor, axis)


@eagerly
def flip(x: Any, /, *, axis: Any = None) -> Any:
    """`x` with the order of the elements along `axis` reversed."""
    return ops.flip(tensor_of(x), axis)


@eagerly
def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """`x` with axes moved to other places, the others in order."""
    return names.moveaxis(tensor_of(x), source, destination)


@eagerly
def permute_dims(x: Any, /, axes: Any) -> Any:
    """The axes in another order: axis i of the result is axis axes[i] of `x`."""
    return names.transpose(tensor_of(x), tuple(axes))


@eagerly
def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element along `axis` repeated, all alike or each as often as `repeats` says; of the flattened array for None."""
    tensor = tensor_of(x)
    return along.repeat(tensor, repeats if isinstance(repeats, int) else tensor_of(repeats).numpy(), axis)


@eagerly
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The same elements in row-major order under `shape`; one size may be -1 and follows from the others."""
    tensor = tensor_of(x)
    if copy is False and not np.shares_memory(tensor.array.reshape(shape), tensor.array) and tensor.array.size:
        raise ValueError(f"no view of shape {shape} without a copy")
    return names.reshape(tensor, tuple(shape) if not isinstance(shape, int) else (shape,))


@eagerly
def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """The elements moved `shift` places along `axis`, those that fall out at the end put in at the beginning."""
    return along.roll(tensor_of(x), shift, axis)


@eagerly
def squeeze(x: Any, /, axis: Any) -> Any:
    """`x` without the axes of size 1 that `axis` names."""
    return ops.squeeze(tensor_of(x), axis)


@eagerly
def stack(arrays: Any, /, *, axis: int = 0) -> Any:
    """The arrays, all of one shape, side by side along a new `axis`."""
    return ops.stack(promoted(*arrays), axis)


@eagerly
def tile(x: Any, repetitions: Any, /) -> Any:
    """The array repeated as a block."""
    return names.tile(tensor_of(x), tuple(repetitions))


@eagerly
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """The slices of `x` along `axis`, without it."""
    return names.unstack(tensor_of(x), axis=axis)


# --- truth, differences ------------------------------------------------------------------------------------------------


@eagerly
def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Is no element along `axis` 0?"""
    return reductions.all(tensor_of(x), axis, keepdims)


@eagerly
def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Is an element along `axis` not 0?"""
    return reductions.any(tensor_of(x), axis, keepdims)


@eagerly
def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along `axis`, `n` times over; `prepend` and `append` are put before and behind first."""
    parts = promoted(*(part for part in (prepend, x, append) if part is not None))
    return along.diff(names.concatenate(parts, axis) if len(parts) > 1 else parts[0], n, axis)


__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "astype", "broadcast_arrays", "broadcast_to", "concat", "count_nonzero",
    "cumulative_prod", "cumulative_sum", "diff", "expand_dims", "flip", "max", "mean", "min", "moveaxis", "nonzero",
    "permute_dims", "prod", "repeat", "reshape", "roll", "searchsorted", "sort", "squeeze", "stack", "std", "sum", "take",
    "take_along_axis", "tile", "unique_all", "unique_counts", "unique_inverse", "unique_values", "unstack", "var", "where",
]  # fmt: skip
