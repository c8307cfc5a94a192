"""Sorting along an axis, the largest elements, cumulative extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, convert_to_tensor, require
from graphflow.ir.tensor import Tensor
from graphflow.ops.along import put_along, take_along_axis
from graphflow.ops.cumulative import cumulative_extreme
from graphflow.ops.declare import check_axis, check_size, composition, op
from graphflow.ops.logic import cast, equal, logical_and, logical_or, not_equal, stop_gradient, where
from graphflow.ops.movement import iota, reshape
from graphflow.types import AnySize, TensorType, as_dtype, int32, int64

FEW, MANY = 32, 128  # elements that are kept in order while a row goes by; so many only of rows of four times as many


def kept_in_order(count: AnySize, size: AnySize) -> bool:
    """Are the first `count` of `size` elements so few that each new one is put in its place among them?"""
    if not isinstance(count, int) or count > MANY:
        return False
    return count <= FEW or not isinstance(size, int) or 4 * count <= size


def _is_unusual(types: Sequence[TensorType]) -> bool:
    """No kernel compares bools or 16-bit floats."""
    return types[0].dtype.is_bool or types[0].dtype.compute != types[0].dtype


def _sort_reference(x: np.ndarray, *, axis: int, descending: bool, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(np.flip(x, axis) if descending else x, axis, kind="stable")
    if descending:  # from the end, so that equal elements keep their order
        order = x.shape[axis] - 1 - np.flip(order, axis)
    order = np.take(order, range(count), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


@op(access=Access.OPAQUE, reference=_sort_reference, host=_is_unusual, cost=30)
def sort_(x, *, axis, descending, count):
    """(the first `count` elements along `axis` in order, where each was); equal ones stay in theirs, NaN is the largest."""
    if x.dtype.is_complex:
        raise DTypeError(f"no order of {x.dtype}", rule="It takes real numbers.")
    require_within(count, x.shape[axis], f"the first {count} of {x.shape[axis]} elements")
    found = x.with_shape((*x.shape[:axis], count, *x.shape[axis + 1 :]))
    return found, found.with_dtype(int64)


def require_within(count: AnySize, size: AnySize, what: str) -> None:
    if isinstance(count, int) and isinstance(size, int):
        if count > size:
            raise ShapeError(f"{what}: there are fewer")
    elif count != size:
        require("within", count, size, what)


@sort_.defvjp_all
def _sort_vjp(gs, outs, x, *, axis, descending, count):  # type: ignore[no-untyped-def]
    return [None if gs[0] is None else put_along(gs[0], outs[1], x.shape, axis)]


def _sorted(x: Any, axis: int, direction: str) -> tuple[Tensor, Tensor]:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise DTypeError(f"direction {direction!r}", rule='It is "ASCENDING" or "DESCENDING".')
    x = convert_to_tensor(x)
    if not x.rank:
        raise ShapeError("a scalar has no axis", operands={"x": x})
    axis = check_axis(axis, x.rank)
    return sort_(x, axis=axis, descending=direction == "DESCENDING", count=x.shape[axis])


@composition
def sort(x: Any, axis: int = -1, direction: str = "ASCENDING") -> Tensor:
    """The elements along `axis` in their order, or against it for direction "DESCENDING"; NaN counts as largest."""
    return _sorted(x, axis, direction)[0]


@composition
def argsort(x: Any, axis: int = -1, direction: str = "ASCENDING", stable: bool = True) -> Tensor:
    """The positions, as int64, at which the elements along `axis` are found in their order; equal ones always stay in theirs."""
    return _sorted(x, axis, direction)[1]


@composition
def top_k(x: Any, k: Any = 1, sorted: bool = True, index_type: Any = int32) -> tuple[Tensor, Tensor]:
    """(the `k` largest elements of each row, their positions), largest first; of equal ones the first. NaN counts as largest."""
    x = convert_to_tensor(x)
    if not x.rank:
        raise ShapeError("a scalar has no rows", operands={"x": x})
    values, order = sort_(x, axis=x.rank - 1, descending=True, count=check_size(k, "k"))
    return values, cast(order, as_dtype(index_type))


def _cumulative_extreme(x: Any, axis: int, combine: str) -> Tensor:
    """The elements at which the extremes were last reached, so that gradients flow to those."""
    x = convert_to_tensor(x)
    axis = check_axis(axis, x.rank)
    extreme = cumulative_extreme(x, axis=axis, combine=combine)
    reached = equal(x, extreme)
    if x.dtype.is_floating:
        reached = logical_or(reached, logical_and(not_equal(x, x), not_equal(extreme, extreme)))
    numbers = reshape(iota(size=x.shape[axis], dtype=int64), [d if a == axis else 1 for a, d in enumerate(x.shape)])
    last = cumulative_extreme(where(reached, numbers, 0), axis=axis, combine="maximum")
    return take_along_axis(x, stop_gradient(last), axis)


@composition
def cummax(x: Any, axis: int = 0) -> Tensor:
    """The largest of the elements along `axis` up to each one; NaN from the first NaN on."""
    return _cumulative_extreme(x, axis, "maximum")


@composition
def cummin(x: Any, axis: int = 0) -> Tensor:
    """The smallest of the elements along `axis` up to each one; NaN from the first NaN on."""
    return _cumulative_extreme(x, axis, "minimum")
