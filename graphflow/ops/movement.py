"""Ops that move elements and compute nothing: reshape, transpose, broadcast, slice, pad, concat, and numbers made of positions.

Sizes may be symbols everywhere. A shape attribute holds the sizes of the result; what only a run can check of them is noted
as a constraint by the type rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir import scalar as s
from graphflow.ir.op import Access, convert_to_tensor, require
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_index, check_axis, op, require_equal
from graphflow.ops.logic import equal, where, zero_of
from graphflow.ops.recipe import remembered
from graphflow.ops.shapes import never_negative, resolve_shape, shape_tuple
from graphflow.ops.source import size_value
from graphflow.types import AnySize, Shape, TensorType, bool_, format_shape, int64, product


def index_and(*conditions: s.Expr) -> s.Expr:
    """All of the conditions hold."""
    result = conditions[0]
    for condition in conditions[1:]:
        result = s.Call("logical_and", (result, condition), bool_)
    return result


def index_equal(a: s.Index, b: s.Index) -> s.Expr:
    return s.Call("equal", (s.as_index(a), s.as_index(b)), bool_)


# --- reshape -----------------------------------------------------------------------------------------------------------


@op(access=Access.MOVEMENT, reference=lambda x, *, shape: np.reshape(x, shape))
def reshape_(x, *, shape):
    """The same elements in row-major order under another shape."""
    before, after = x.size, product(shape)
    if before != after:
        if isinstance(before, int) and isinstance(after, int):
            raise ShapeError(
                f"{before} elements do not fill shape {format_shape(shape)} of {after}",
                rule="Both shapes have the same number of elements; -1 stands for one size that follows from the others.",
            )
        require("equal", before, after, f"reshape of {x} to {format_shape(shape)}: numbers of elements differ")
    return x.with_shape(shape)


reshape_.defvjp(lambda g, out, x, shape: reshape_(g, shape=x.shape))


@reshape_.element
def _(index, x, *, shape):
    read: list[s.Expr] = []
    for sources, targets in matching_groups(x.shape, shape):
        position = s.ravel([index[t] for t in targets], [shape[t] for t in targets])
        read.extend(s.unravel(position, [x.shape[a] for a in sources]))
    return x(*read)


def matching_groups(before: Shape, after: Shape) -> list[tuple[range, range]]:
    """Smallest runs of axes with equal products of sizes: (4, 6, n) and (4, 2, 3, n) match as 4|4, 6|2*3, n|n."""
    groups: list[tuple[range, range]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        i0, j0 = i, j
        found = None
        # The nearest pair of ends at which the products agree.
        for total in range(1, len(before) - i + len(after) - j + 1):
            for di in range(total + 1):
                dj = total - di
                if i + di <= len(before) and j + dj <= len(after) and product(before[i : i + di]) == product(after[j : j + dj]):
                    found = (di, dj)
                    break
            if found:
                break
        i, j = (i + found[0], j + found[1]) if found else (len(before), len(after))
        groups.append((range(i0, i), range(j0, j)))
    return groups


@remembered
def reshape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """The same elements in row-major order under `shape`; one size may be -1 and follows from the others."""
    x = convert_to_tensor(x)
    return reshape_(x, shape=resolve_shape(x.type, shape_tuple(shape, "reshape", allow_unknown=True)), name=name)


# --- transpose ---------------------------------------------------------------------------------------------------------


@op(access=Access.MOVEMENT, reference=lambda x, *, perm: np.transpose(x, perm))
def transpose_(x, *, perm):
    """The axes in another order: axis i of the result is axis perm[i] of the operand."""
    if sorted(perm) != list(range(x.rank)):
        raise ShapeError(f"perm {list(perm)} is no order of the axes of rank {x.rank}", rule="Each axis stands once in perm.")
    return x.with_shape(tuple(x.shape[p] for p in perm))


transpose_.defvjp(lambda g, out, x, perm: transpose_(g, perm=inverse(perm)))


@transpose_.element
def _(index, x, *, perm):
    return x(*(index[i] for i in inverse(perm)))


def inverse(perm: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `perm`."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


@remembered
def transpose(x: Any, perm: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """The axes in another order: axis i of the result is axis perm[i] of `x`; all reversed by default."""
    x = convert_to_tensor(x)
    order = tuple(range(x.rank))[::-1] if perm is None else tuple(perm)
    if len(order) == x.rank:
        order = tuple(check_axis(int(p), x.rank, "perm") for p in order)
    return transpose_(x, perm=order, name=name)


# --- broadcast ---------------------------------------------------------------------------------------------------------


@op(access=Access.MOVEMENT, reference=lambda x, *, shape: np.broadcast_to(x, shape), repeats=True)
def broadcast_to_(x, *, shape):
    """The elements repeated along new axes in front and along axes of size 1."""
    if len(shape) < x.rank:
        raise ShapeError(
            f"shape {format_shape(shape)} has fewer axes than {x}", rule="Broadcasting adds axes in front, it removes none."
        )
    for size, out in zip(x.shape, shape[len(shape) - x.rank :], strict=True):
        if size == out or size == 1:
            continue
        if isinstance(size, int) and isinstance(out, int):
            raise ShapeError(
                f"{x} does not broadcast to {format_shape(shape)}", rule="Aligned from the right, sizes are equal, or 1."
            )
        require("broadcast", size, out, f"{x} must broadcast to {format_shape(shape)}")
    return x.with_shape(shape)


broadcast_to_.defvjp(lambda g, out, x, shape: g)  # backward sums over the axes that were stretched


@broadcast_to_.element
def _(index, x, *, shape):
    return x(*broadcast_index(index, x.shape, shape))


@remembered
def broadcast_to(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """The elements of `x` repeated along new axes in front and along axes of size 1."""
    x = convert_to_tensor(x)
    shape = shape_tuple(shape, "broadcast_to")
    return x if shape == x.shape else broadcast_to_(x, shape=shape, name=name)


@op(access=Access.MOVEMENT, reference=lambda x, *, shape: x)
def ensure_shape_(x, *, shape):
    """The operand, whose sizes a run checks to be those of `shape`."""
    if len(shape) != x.rank:
        raise ShapeError(f"{x} does not have the rank of {format_shape(shape)}")
    return x.with_shape(
        tuple(
            require_equal(b, a, f"{x} is not of shape {format_shape(shape)}: sizes") for a, b in zip(x.shape, shape, strict=True)
        )
    )


ensure_shape_.defvjp(lambda g, out, x, shape: ensure_shape(g, x.shape))


@ensure_shape_.element
def _(index, x, *, shape):
    return x(*index)


@remembered
def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """`x`, with sizes known to be those of `shape`; a run checks those that are not known. None leaves a size as it is."""
    x = convert_to_tensor(x)
    given = list(shape) if isinstance(shape, list | tuple) else list(shape_tuple(shape, "ensure_shape"))
    if len(given) == x.rank:
        given = [own if size is None else size for own, size in zip(x.shape, given, strict=True)]
    wanted = shape_tuple(given, "ensure_shape")
    return x if wanted == x.shape else ensure_shape_(x, shape=wanted, name=name)


@op(
    access=Access.MOVEMENT,
    reference=lambda x, total, *, axis, size: x if x.shape[axis] == size else total,
)
def unbroadcast(x, total, *, axis, size):
    """`x` where its size along `axis` is `size`, else `total`, its sum along that axis: what undoes broadcasting.

    `size` is 1 or the size of `x`; only a run knows which.
    """
    return x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :]))


def _same_size(x: Tensor, axis: int, size: AnySize) -> Any:
    return equal(size_value(size=x.shape[axis]), size_value(size=size))


unbroadcast.defvjp(
    lambda g, out, x, total, axis, size: where(_same_size(x, axis, size), broadcast_to(g, x.shape), zero_of(g)),
    lambda g, out, x, total, axis, size: where(_same_size(x, axis, size), zero_of(g), g),
)


@unbroadcast.element
def _(index, x, total, *, axis, size):
    first = (*index[:axis], s.as_index(0), *index[axis + 1 :])
    return s.Select(index_equal(s.as_index(x.shape[axis]), s.as_index(size)), x(*index), total(*first))


# --- slice and pad -----------------------------------------------------------------------------------------------------


def _slice_reference(x: np.ndarray, *, begin: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return x[tuple([_python_slice(b, k, n) for b, k, n in zip(begin, step, shape, strict=True)])]


def _python_slice(begin: int, step: int, count: int) -> slice:
    end = begin + step * count
    return slice(begin, end if end >= 0 else None, step) if count else slice(0, 0)


@op(access=Access.MOVEMENT, reference=_slice_reference)
def slice_(x, *, begin, step, shape):
    """Elements begin, begin + step, ... along each axis, as many as `shape` says."""
    if not len(begin) == len(step) == len(shape) == x.rank:
        raise ShapeError(f"begin, step and shape have {len(begin)}, {len(step)} and {len(shape)} entries for rank {x.rank}")
    for axis, (size, start, stride, count) in enumerate(zip(x.shape, begin, step, shape, strict=True)):
        if not isinstance(count, int) or count == 0:
            continue  # a symbolic count is clamped by whoever made it
        last = start + (count - 1) * stride
        low, high = (start, last) if stride > 0 else (last, start)
        _require_inside(low, high, size, axis)
    return x.with_shape(shape)


def _require_inside(low: AnySize, high: AnySize, size: AnySize, axis: int) -> None:
    """0 <= low and high < size: now where they are known, in a run where not."""
    text = f"index {low if low == high else f'{low} to {high}'} is outside axis {axis} of size {size}"
    rule = "Indices count from 0, or from -1 backwards."
    room = size - high - 1
    if (isinstance(low, int) and low < 0) or (isinstance(room, int) and room < 0):
        raise ShapeError(text, rule=rule)
    if not never_negative(low):
        require("within", 0, low, text)
    if not never_negative(room):
        require("within", high + 1, size, text)


slice_.defvjp(lambda g, out, x, begin, step, shape: pad_(g, begin=begin, step=step, shape=x.shape, value=0))


@slice_.element
def _(index, x, *, begin, step, shape):
    return x(*(s.index_add(s.index_mul(i, k), b) for i, b, k in zip(index, begin, step, strict=True)))


def _pad_reference(
    x: np.ndarray, *, begin: tuple[int, ...], step: tuple[int, ...], shape: tuple[int, ...], value: Any
) -> np.ndarray:
    result = np.full(shape, value, x.dtype)
    positions, kept = [], []
    for b, k, n, size in zip(begin, step, x.shape, shape, strict=True):
        where_to = b + k * np.arange(n)
        inside = (where_to >= 0) & (where_to < size)
        positions.append(where_to[inside])
        kept.append(np.flatnonzero(inside))
    if positions:
        result[np.ix_(*positions)] = x[np.ix_(*kept)]
    else:
        result[...] = x
    return result


@op(access=Access.MOVEMENT, reference=_pad_reference)
def pad_(x, *, begin, step, shape, value):
    """`value` everywhere, but element i of the operand at begin + i * step along each axis; what falls outside is left out."""
    if not len(begin) == len(step) == len(shape) == x.rank:
        raise ShapeError(f"begin, step and shape have {len(begin)}, {len(step)} and {len(shape)} entries for rank {x.rank}")
    return x.with_shape(shape)


def _pad_vjp(g: Tensor, out: Tensor, x: Tensor, begin: Shape, step: tuple[int, ...], shape: Shape, value: Any) -> Tensor:
    return slice_(g, begin=begin, step=step, shape=x.shape)


pad_.defvjp(_pad_vjp)


@pad_.element
def _(index, x, *, begin, step, shape, value):
    conditions: list[s.Expr] = []
    read: list[s.Expr] = []
    for i, size, out_size, b, k in zip(index, x.shape, shape, begin, step, strict=True):
        if b == 0 and k == 1 and size == out_size:
            read.append(i)
            continue
        offset = i - b if k > 0 else s.as_index(b) - i
        position = offset
        conditions.append(offset >= 0)
        if abs(k) != 1:
            conditions.append(index_equal(s.Call("index_mod", (offset, s.as_index(abs(k))), int64), 0))
            position = s.Call("index_div", (offset, s.as_index(abs(k))), int64)
        conditions.append(position < size)
        read.append(position)
    if not conditions:
        return x(*read)
    return s.Select(index_and(*conditions), x(*read), s.Const(value, x.type.dtype))


# --- concat ------------------------------------------------------------------------------------------------------------


CHAIN = 16  # operands that a concatenation tries one after the other


@op(access=Access.MOVEMENT, reference=lambda *xs, axis: np.concatenate(xs, axis), common=("xs",))
def concat_(*xs, axis):
    """The operands one after the other along `axis`."""
    first = xs[0]
    shape = list(first.shape)
    for x in xs[1:]:
        if x.dtype != first.dtype:
            raise DTypeError(
                f"dtypes differ, {first.dtype} and {x.dtype}", rule="Operands share one dtype; use gf.cast(x, dtype)."
            )
        if x.rank != first.rank:
            raise ShapeError(f"ranks differ, {first.rank} and {x.rank}", rule="All operands have the same rank.")
        for a in range(first.rank):
            if a == axis:
                shape[a] = shape[a] + x.shape[a]
            else:
                shape[a] = require_equal(shape[a], x.shape[a], f"sizes along axis {a} differ")
    return first.with_shape(tuple(shape))


@concat_.defvjp_all
def _concat_vjp(g, out, *xs, axis):
    parts = []
    offset: AnySize = 0
    for x in xs:
        begin = tuple(offset if a == axis else 0 for a in range(x.rank))
        parts.append(slice_(g, begin=begin, step=(1,) * x.rank, shape=x.shape))
        offset = offset + x.shape[axis]
    return parts


@concat_.element
def _(index, *xs, axis):
    offsets: list[AnySize] = [0]
    for x in xs[:-1]:
        offsets.append(offsets[-1] + x.shape[axis])
    position = index[axis]

    def read(k: int) -> s.Expr:
        return xs[k](*index[:axis], position - offsets[k], *index[axis + 1 :])

    def choose(first: int, last: int) -> s.Expr:
        """The element of one of the operands from `first` on, before `last`; a tree of choices where they are many."""
        if last - first == 1:
            return read(first)
        middle = first + 1 if last - first <= CHAIN else (first + last) // 2
        return s.Select(position < offsets[middle], choose(first, middle), choose(middle, last))

    known = s.constant_index(position)
    if known is not None and all(isinstance(offset, int) for offset in offsets):
        k = max(k for k, offset in enumerate(offsets) if k == 0 or offset <= known)  # type: ignore[operator]
        return read(k)
    return choose(0, len(xs))


# --- numbers made of positions -----------------------------------------------------------------------------------------


@op(access=Access.MOVEMENT, reference=lambda *, size, dtype: np.arange(size).astype(dtype.compute.numpy), differentiable=False)
def iota(*, size, dtype):
    """0, 1, ..., size - 1."""
    return TensorType((size,), dtype)


@iota.element
def _(index, *, size, dtype):
    return s.Call("cast", (index[0],), dtype)
