"""Matrices in the last two axes: their diagonals and triangles, traces, products of vectors, norms."""

from __future__ import annotations

import math
from typing import Any

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.along import number_of, part
from graphflow.ops.array import concat
from graphflow.ops.declare import axis_tuple, check_axis, check_size, composition, require_equal
from graphflow.ops.indexing import gather
from graphflow.ops.linalg import pair
from graphflow.ops.logic import cast, equal, greater_equal, less_equal, not_equal, where, zero_of
from graphflow.ops.math import absolute, conj, power
from graphflow.ops.movement import broadcast_to, iota, pad_, reshape, transpose
from graphflow.ops.reductions import norm, reduce_max, reduce_min, reduce_sum
from graphflow.types import AnySize, as_dtype, float32, int64, size_max, size_min


def require_matrix(x: Tensor) -> Tensor:
    if x.rank < 2:
        raise ShapeError(f"no matrix: its rank is {x.rank}", operands={"x": x}, rule="The last two axes are rows and columns.")
    return x


def matrix_of(x: Any) -> Tensor:
    """`x` as a tensor with rows and columns."""
    return require_matrix(convert_to_tensor(x))


def swapped(x: Tensor) -> Tensor:
    """Each matrix transposed."""
    return transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


@composition
def matrix_transpose(x: Any) -> Tensor:
    """Each matrix transposed."""
    return swapped(matrix_of(x))


@composition
def adjoint(x: Any) -> Tensor:
    """Each matrix transposed, and conjugated where it is complex."""
    return conj(swapped(matrix_of(x)))


# --- diagonals and triangles ----------------------------------------------------------------------------------------------


def offsets(rows: AnySize, columns: AnySize) -> Tensor:
    """Column minus row of each element of a matrix: 0 on the diagonal, positive above it."""
    return iota(size=columns, dtype=int64) - reshape(iota(size=rows, dtype=int64), (rows, 1))


@composition
def eye(num_rows: Any, num_columns: Any = None, batch_shape: Any = (), dtype: Any = float32, k: int = 0) -> Tensor:
    """Ones on diagonal `k` (0 is the main one, positive ones are above it), zeros elsewhere; one for each of `batch_shape`."""
    rows = check_size(num_rows)
    columns = rows if num_columns is None else check_size(num_columns)
    wanted = as_dtype(dtype)
    found = cast(equal(offsets(rows, columns), k), wanted)
    return broadcast_to(found, (*batch_shape, rows, columns)) if batch_shape else found


@composition
def tril(x: Any, k: int = 0) -> Tensor:
    """Each matrix with zeros above diagonal `k`."""
    x = matrix_of(x)
    return where(less_equal(offsets(*x.shape[-2:]), k), x, zero_of(x))


@composition
def triu(x: Any, k: int = 0) -> Tensor:
    """Each matrix with zeros below diagonal `k`."""
    x = matrix_of(x)
    return where(greater_equal(offsets(*x.shape[-2:]), k), x, zero_of(x))


@composition
def band_part(x: Any, num_lower: int, num_upper: int) -> Tensor:
    """Each matrix with zeros outside of `num_lower` diagonals below the main one and `num_upper` above it; negative means all."""
    x = matrix_of(x)
    places = offsets(*x.shape[-2:])
    if num_lower >= 0:
        x = where(greater_equal(places, -num_lower), x, zero_of(x))
    return where(less_equal(places, num_upper), x, zero_of(x)) if num_upper >= 0 else x


@composition
def diag_part(x: Any, k: int = 0) -> Tensor:
    """Diagonal `k` of each matrix: 0 is the main one, positive ones are above it."""
    x = matrix_of(x)
    rows, columns = x.shape[-2:]
    flat = reshape(x, (*x.shape[:-2], rows * columns))
    count = size_min(rows, columns - k) if k >= 0 else size_min(rows + k, columns)
    count = size_max(0, count)
    if isinstance(columns, int) and isinstance(count, int):
        return part(flat, flat.rank - 1, (k if k >= 0 else -k * columns) if count else 0, count, columns + 1)
    step = columns + 1
    first = k if k >= 0 else -k * columns
    places = iota(size=count, dtype=int64) * number_of(step) + number_of(first)
    return gather(flat, places, axis=flat.rank - 1)


@composition
def diagonal(x: Any, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Tensor:
    """Diagonal `offset` of the matrices in two axes, as the last axis of the result."""
    x = matrix_of(x)
    first, second = check_axis(axis1, x.rank, "axis1"), check_axis(axis2, x.rank, "axis2")
    if first == second:
        raise ShapeError(f"axis {axis1} and axis {axis2} are one", operands={"x": x})
    others = [a for a in range(x.rank) if a not in (first, second)]
    return diag_part(transpose(x, (*others, first, second)), offset)


@composition
def diag(diagonal: Any, k: int = 0) -> Tensor:
    """Square matrices with each row of `diagonal` on diagonal `k`, and zeros elsewhere."""
    x = convert_to_tensor(diagonal)
    if not x.rank:
        raise ShapeError("a scalar is no diagonal", operands={"diagonal": x}, rule="The last axis is the diagonal.")
    size = x.shape[-1] + abs(k)
    wider = (*x.shape[:-1], size)
    x = pad_(x, begin=(0,) * x.rank, step=(1,) * x.rank, shape=wider, value=False if x.dtype.is_bool else 0) if k else x
    x = reshape(x, (*wider, 1) if k >= 0 else (*wider[:-1], 1, size))
    return where(equal(offsets(size, size), k), x, zero_of(x))


@composition
def trace(x: Any, offset: int = 0) -> Tensor:
    """The sum of diagonal `offset` of each matrix."""
    return reduce_sum(diag_part(x, offset), -1)


# --- products -------------------------------------------------------------------------------------------------------------


@composition
def outer(a: Any, b: Any) -> Tensor:
    """The products of the elements of two vectors: row i, column j is a[i] * b[j]."""
    a, b = pair(a, b)
    if a.rank != 1 or b.rank != 1:
        raise ShapeError(f"ranks are {a.rank} and {b.rank}", rule="Both are vectors; gf.einsum has others.")
    return reshape(a, (a.shape[0], 1)) * b


def _axis_of_both(a: Tensor, b: Tensor, axis: int) -> int:
    """`axis` counted from the end, in two tensors of which the one of lower rank broadcasts."""
    rank = min(a.rank, b.rank) if axis < 0 else max(a.rank, b.rank)
    place = check_axis(axis, rank) - rank
    if -place > min(a.rank, b.rank):
        raise ShapeError(f"there is no axis {axis} in both", operands={"a": a, "b": b})
    return place


@composition
def vecdot(a: Any, b: Any, axis: int = -1) -> Tensor:
    """The sum of conj(a) * b along `axis`; other axes broadcast."""
    a, b = pair(a, b)
    place = _axis_of_both(a, b, axis)
    require_equal(a.shape[place], b.shape[place], f"sizes along axis {axis} differ")
    return reduce_sum(conj(a) * b, place)


@composition
def cross(a: Any, b: Any, axis: int = -1) -> Tensor:
    """The cross product of the vectors of three elements along `axis`; other axes broadcast."""
    a, b = pair(a, b)
    place = _axis_of_both(a, b, axis)
    for x in (a, b):
        if x.shape[place] != 3:
            raise ShapeError(f"axis {axis} has size {x.shape[place]}", operands={"a": a, "b": b}, rule="Vectors have 3 elements.")
    x, y = ([part(t, t.rank + place, k, 1) for k in range(3)] for t in (a, b))
    parts = [x[(k + 1) % 3] * y[(k + 2) % 3] - x[(k + 2) % 3] * y[(k + 1) % 3] for k in range(3)]
    return concat(parts, parts[0].rank + place)


@composition
def kron(a: Any, b: Any) -> Tensor:
    """The Kronecker product: each element of `a` times all of `b`."""
    a, b = pair(a, b)
    rank = max(a.rank, b.rank)
    a, b = (reshape(x, (*(1,) * (rank - x.rank), *x.shape)) for x in (a, b))
    left = reshape(a, [d for size in a.shape for d in (size, 1)])
    right = reshape(b, [d for size in b.shape for d in (1, size)])
    return reshape(left * right, [m * n for m, n in zip(a.shape, b.shape, strict=True)])


# --- norms ----------------------------------------------------------------------------------------------------------------


@composition
def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """The length of the elements along `axis`: (sum |x|**ord)**(1/ord); `ord` inf and -inf are the largest and the smallest |x|,
    0 counts what is not 0. The gradient of the Euclidean length, `ord` 2, is 0 at 0."""
    x = convert_to_tensor(x)
    if not x.dtype.is_differentiable:
        raise DTypeError(f"no norm of {x.dtype}", operands={"x": x}, rule="It takes floats or complex numbers; use gf.cast.")
    axes = axis_tuple(axis, x.rank)
    if ord == 2:
        return norm(x, axes, keepdims)
    if ord == 0:
        return reduce_sum(cast(not_equal(x, 0), x.dtype.real), axes, keepdims)
    length = absolute(x)
    if ord == math.inf:
        return reduce_max(length, axes, keepdims)
    if ord == -math.inf:
        return reduce_min(length, axes, keepdims)
    if ord == 1:
        return reduce_sum(length, axes, keepdims)
    return power(reduce_sum(power(length, float(ord)), axes, keepdims), 1 / ord)
