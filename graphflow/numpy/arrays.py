"""NumPy's functions that make and rearrange tensors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops import array as ops
from graphflow.ops import cumulative, grids, matrices, searching, sorting
from graphflow.ops.along import diff, repeat, roll, take_along_axis
from graphflow.ops.array import expand_dims, flip, ones_like, squeeze, stack, swapaxes, zeros_like
from graphflow.ops.grids import broadcast_arrays, meshgrid
from graphflow.ops.indexing import gather
from graphflow.ops.linalg import einsum, matmul
from graphflow.ops.linalg import tensordot as _tensordot
from graphflow.ops.logic import cast, identity
from graphflow.ops.logic import where as _where
from graphflow.ops.matrices import cross, kron, matrix_transpose, tril, triu, vecdot
from graphflow.ops.movement import broadcast_to
from graphflow.ops.movement import reshape as _reshape
from graphflow.ops.movement import transpose as _transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.ops.searching import count_nonzero, isin
from graphflow.ops.selection import nonzero
from graphflow.types import float32

__all__ = [
    "arange", "argsort", "array", "asarray", "astype", "atleast_1d", "atleast_2d", "broadcast_arrays", "broadcast_to",
    "concat", "concatenate", "copy", "count_nonzero", "cross", "cumprod", "cumsum", "diag", "diagonal", "diff", "dot",
    "einsum", "empty", "empty_like", "expand_dims", "eye", "flip", "fliplr", "flipud", "full", "full_like", "hstack",
    "identity", "inner", "isin", "kron", "linspace", "matmul", "matrix_transpose", "meshgrid", "moveaxis", "ndim", "nonzero",
    "ones", "ones_like", "outer", "pad", "permute_dims", "ravel", "repeat", "reshape", "roll", "searchsorted", "shape",
    "size", "sort", "split", "squeeze", "stack", "swapaxes", "take", "take_along_axis", "tensordot", "tile", "trace",
    "transpose", "tril", "triu", "unstack", "vecdot", "vstack", "where", "zeros", "zeros_like",
]  # fmt: skip


# --- made --------------------------------------------------------------------------------------------------------------


def asarray(a: Any, dtype: Any = None) -> Tensor:
    """`a` as a tensor: itself, a variable's value, or a constant; cast where its dtype is another."""
    return cast(convert_to_tensor(a), dtype) if dtype is not None and hasattr(a, "dtype") else convert_to_tensor(a, dtype)


array = asarray


def astype(x: Any, dtype: Any) -> Tensor:
    """The values of `x` converted to `dtype`."""
    return cast(x, dtype)


def copy(a: Any) -> Tensor:
    """The same values as a tensor of its own."""
    return identity(a)


def zeros(shape: Any, dtype: Any = float32) -> Tensor:
    """A tensor of `shape` with 0 everywhere."""
    return ops.zeros(shape, dtype)


def ones(shape: Any, dtype: Any = float32) -> Tensor:
    """A tensor of `shape` with 1 everywhere."""
    return ops.ones(shape, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """A tensor of `shape` with `fill_value`, which may broadcast, everywhere."""
    return broadcast_to(asarray(fill_value, dtype), (shape,) if isinstance(shape, int) else shape)


def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """`fill_value` everywhere, in the shape of `a`, and in its dtype unless `dtype` is given."""
    a = convert_to_tensor(a)
    return broadcast_to(asarray(fill_value, a.dtype if dtype is None else dtype), a.shape)


empty, empty_like = zeros, zeros_like


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float32) -> Tensor:
    """A matrix with ones on diagonal `k`."""
    return matrices.eye(N, M, dtype=dtype, k=k)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... up to but without `stop`; arange(n) counts from 0."""
    return ops.range_(start, stop, step, dtype)


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = float32, axis: int = 0) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`."""
    return cast(grids.linspace(start, stop, num, axis, endpoint), dtype)


def diag(v: Any, k: int = 0) -> Tensor:
    """Diagonal `k` of a matrix; a matrix with a vector on it."""
    v = convert_to_tensor(v)
    return matrices.diag(v, k) if v.rank == 1 else matrices.diag_part(v, k)


# --- shape -------------------------------------------------------------------------------------------------------------


def shape(a: Any) -> Any:
    """The sizes; an int where it is known, a symbol where a run decides."""
    return convert_to_tensor(a).shape


def ndim(a: Any) -> int:
    """The number of axes."""
    return convert_to_tensor(a).rank


def size(a: Any, axis: int | None = None) -> Any:
    """The number of elements, or the size of one axis."""
    a = convert_to_tensor(a)
    return a.size if axis is None else a.shape[axis]


def reshape(a: Any, /, *shape: Any) -> Tensor:
    """The same elements in row-major order under `shape`; one size may be -1 and follows from the others."""
    return _reshape(a, shape[0] if len(shape) == 1 else shape)


def ravel(a: Any) -> Tensor:
    """The elements as a vector, in row-major order."""
    return _reshape(a, (-1,))


def transpose(a: Any, *axes: Any) -> Tensor:
    """The axes in another order: axis i of the result is axis axes[i] of `a`; all reversed by default."""
    return _transpose(a, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)


permute_dims = transpose


def moveaxis(a: Any, source: Any, destination: Any) -> Tensor:
    """`a` with axes moved to other places, the others in order."""
    a = convert_to_tensor(a)
    pairs = [np.atleast_1d(axes).tolist() for axes in (source, destination)]
    kept = [k for k in range(a.rank) if k not in {s % a.rank for s in pairs[0]}]
    for to, at in sorted(zip((d % a.rank for d in pairs[1]), (s % a.rank for s in pairs[0]), strict=True)):
        kept.insert(to, at)
    return _transpose(a, kept)


def atleast_1d(*arys: Any) -> Any:
    """Tensors with one axis at least."""
    found = [x if x.rank else _reshape(x, (1,)) for x in map(convert_to_tensor, arys)]
    return found[0] if len(found) == 1 else tuple(found)


def atleast_2d(*arys: Any) -> Any:
    """Tensors with two axes at least; new ones come first."""
    found = [x if x.rank > 1 else _reshape(x, (1, -1)) for x in map(convert_to_tensor, arys)]
    return found[0] if len(found) == 1 else tuple(found)


# --- joined, cut, repeated ---------------------------------------------------------------------------------------------


def concatenate(arrays: Any, axis: int | None = 0) -> Tensor:
    """The tensors one after the other along `axis`; flattened first for None."""
    return ops.concat([ravel(x) for x in arrays], 0) if axis is None else ops.concat(list(arrays), axis)


concat = concatenate


def vstack(tup: Any) -> Tensor:
    """Rows, or tensors, one below the other."""
    return ops.concat([atleast_2d(x) for x in tup], 0)


def hstack(tup: Any) -> Tensor:
    """Tensors side by side: along the second axis, vectors along their only one."""
    parts = [atleast_1d(x) for x in tup]
    return ops.concat(parts, 0 if parts[0].rank == 1 else 1)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """The tensor cut along `axis` into equal parts, or at the given places."""
    if isinstance(indices_or_sections, int):
        return ops.split(ary, indices_or_sections, axis)
    places = [0, *indices_or_sections]
    return ops.split(ary, [b - a for a, b in pairwise(places)] + [-1], axis)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of `x` along `axis`, without it."""
    return tuple(ops.unstack(x, axis=axis))


def tile(A: Any, reps: Any) -> Tensor:
    """The tensor repeated as a block; axes are added in front where there are more `reps`."""
    a, counts = convert_to_tensor(A), list(np.atleast_1d(reps))
    a = _reshape(a, (*(1,) * (len(counts) - a.rank), *a.shape))
    return ops.tile(a, [1] * (a.rank - len(counts)) + counts)


def fliplr(m: Any) -> Tensor:
    """Each row reversed."""
    return flip(m, 1)


def flipud(m: Any) -> Tensor:
    """The rows in reverse order."""
    return flip(m, 0)


def pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Tensor:
    """`array` with more elements around it: a constant, or the tensor mirrored ("reflect", "symmetric")."""
    x = convert_to_tensor(array)
    return ops.pad(x, np.broadcast_to(np.asarray(pad_width), (x.rank, 2)).tolist(), mode, constant_values)


# --- chosen ------------------------------------------------------------------------------------------------------------


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, else y; with the condition alone, where it holds: `nonzero`."""
    return nonzero(condition) if x is None and y is None else _where(condition, x, y)


def take(a: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Slices along `axis` at `indices`; elements of the flattened tensor for None."""
    return gather(ravel(a), indices, 0) if axis is None else gather(a, indices, axis)


def sort(a: Any, axis: int | None = -1) -> Tensor:
    """The elements along `axis` in their order, or those of the flattened tensor for None; NaN counts as largest."""
    return sorting.sort(ravel(a), -1) if axis is None else sorting.sort(a, axis)


def argsort(a: Any, axis: int | None = -1) -> Tensor:
    """The positions at which the elements along `axis` are found in their order; equal ones stay in theirs."""
    return sorting.argsort(ravel(a), -1) if axis is None else sorting.argsort(a, axis)


def searchsorted(a: Any, v: Any, side: str = "left") -> Tensor:
    """Where in the sorted `a` each of `v` would stand: before equal elements, or behind them for side "right"."""
    return searching.searchsorted(a, v, side)


def cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The sums of the elements along `axis`, or of the flattened tensor, up to each one."""
    return _cumulative(cumulative.cumsum, a, axis, dtype)


def cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The products of the elements along `axis`, or of the flattened tensor, up to each one."""
    return _cumulative(cumulative.cumprod, a, axis, dtype)


def _cumulative(function: Any, a: Any, axis: int | None, dtype: Any) -> Tensor:
    x = convert_to_tensor(a) if dtype is None else cast(a, dtype)
    return function(ravel(x), 0) if axis is None else function(x, axis)


# --- products ----------------------------------------------------------------------------------------------------------


def dot(a: Any, b: Any) -> Tensor:
    """The sum of products over the last axis of `a` and the last but one of `b`; a product for scalars."""
    a, b = convert_to_tensor(a), convert_to_tensor(b)
    if not a.rank or not b.rank:
        return a * b
    return matmul(a, b) if a.rank <= 2 and b.rank <= 2 else _tensordot(a, b, [[-1], [max(b.rank - 2, 0)]])


def inner(a: Any, b: Any) -> Tensor:
    """The sum of products over the last axes of both."""
    a, b = convert_to_tensor(a), convert_to_tensor(b)
    return a * b if not a.rank or not b.rank else _tensordot(a, b, [[-1], [-1]])


def outer(a: Any, b: Any) -> Tensor:
    """The products of all elements of `a` with all of `b`."""
    return _reshape(a, (-1, 1)) * _reshape(b, (1, -1))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sums of diagonal `offset` of the matrices in two axes."""
    return reduce_sum(diagonal(a, offset, axis1, axis2), -1)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Diagonal `offset` of the matrices in two axes, as the last axis of the result."""
    return matrices.diagonal(a, offset, axis1, axis2)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """The sum of products over the last `axes` axes of `a` and the first of `b`, or over the axes in two lists."""
    return _tensordot(a, b, axes)
