"""Reading elements by position: Python's subscripts, `gather` and its gradient, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, IndexOutOfRangeError, ShapeError
from graphflow.ir import scalar as s
from graphflow.ir.eager import EagerTensor
from graphflow.ir.op import Access, Op, as_tensor_or_none, convert_to_tensor, literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import check_axis, check_size, composition, op, public, require_equal
from graphflow.ops.logic import cast, equal, greater_equal, less, logical_and, where, zero_of
from graphflow.ops.movement import broadcast_to, broadcast_to_, iota, pad_, reshape, reshape_, slice_, transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.ops.shapes import never_negative, shape_tuple, sizes_of
from graphflow.ops.source import size_value
from graphflow.types import AnySize, DType, Size, TensorType, as_dtype, floordiv, int32, int64, product, size_max, size_min

# --- gather and its gradient -------------------------------------------------------------------------------------------


def _check_range(indices: np.ndarray, size: int, what: str) -> None:
    outside = (indices < 0) | (indices >= size)
    if np.any(outside):
        raise IndexOutOfRangeError(f"{what}: index {indices[outside].flat[0]} is outside an axis of size {size}")


def _require_indices(indices: TensorType) -> None:
    if not indices.dtype.is_integer:
        raise DTypeError(f"indices are {indices.dtype}", rule="Indices are integers; use gf.cast(x, gf.int64).")


def _gather_reference(params: np.ndarray, indices: np.ndarray, *, axis: int, batch_dims: int) -> np.ndarray:
    _check_range(indices, params.shape[axis], "gather")
    if not batch_dims:
        return np.take(params, indices, axis)
    batch = params.shape[:batch_dims]
    rows = [np.take(params[b], indices[b], axis - batch_dims) for b in np.ndindex(*batch)]
    shape = (*params.shape[:axis], *indices.shape[batch_dims:], *params.shape[axis + 1 :])
    return np.reshape(np.stack(rows), shape) if rows else np.zeros(shape, params.dtype)


@op(access=Access.MOVEMENT, reference=_gather_reference, fails=True, repeats=True)
def gather_(params, indices, *, axis, batch_dims):
    """Slices of `params` along `axis` at `indices`; the first `batch_dims` axes of both are walked together."""
    _require_indices(indices)
    if not 0 <= batch_dims <= min(axis, indices.rank):
        raise ShapeError(f"batch_dims {batch_dims} is not between 0 and axis {axis} and rank {indices.rank} of the indices")
    for a in range(batch_dims):
        require_equal(params.shape[a], indices.shape[a], f"sizes of batch axis {a} differ")
    return params.with_shape((*params.shape[:axis], *indices.shape[batch_dims:], *params.shape[axis + 1 :]))


@gather_.element
def _(index, params, indices, *, axis, batch_dims):
    count = len(indices.shape) - batch_dims
    position = indices(*index[:batch_dims], *index[axis : axis + count])
    checked = s.Check(s.Call("cast", (position,), int64), params.shape[axis], None, axis)
    return params(*index[:axis], checked, *index[axis + count :])


def _gather_vjp(g: Tensor, out: Tensor, params: Tensor, indices: Tensor, axis: int, batch_dims: int) -> Tensor:
    """The cotangents added up at the places they were taken from."""
    batch = params.shape[:batch_dims]
    count = indices.rank - batch_dims
    size = params.shape[axis]
    middle = tuple(range(batch_dims, axis))
    taken = tuple(range(axis, axis + count))
    rest = tuple(range(axis + count, g.rank))
    updates = transpose(g, (*range(batch_dims), *taken, *middle, *rest))
    if batch_dims:
        rows = reshape(iota(size=product(batch), dtype=int64) * _number(size), (*batch, *(1,) * count))
        indices = cast(indices, int64) + rows
    total = scatter_add(indices, updates, size=product(batch) * size, drop=False)
    tail = total.shape[1:]
    total = reshape(total, (*batch, size, *tail))
    order = (*range(batch_dims), *range(batch_dims + 1, batch_dims + 1 + len(middle)), batch_dims)
    return transpose(total, (*order, *range(len(order), total.rank)))


gather_.defvjp(_gather_vjp, None)


def _number(size: AnySize) -> Any:
    return size if isinstance(size, int) else size_value(size=size)


def _scatter_reference(indices: np.ndarray, updates: np.ndarray, *, size: int, drop: bool) -> np.ndarray:
    base = np.zeros((size, *updates.shape[indices.ndim :]), updates.dtype)
    return _scatter_to_reference(base, indices, updates, drop=drop)


def _inside(base: np.ndarray, indices: np.ndarray, updates: np.ndarray, drop: bool, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The indices and updates of rows of `base`: those outside are dropped, or an error."""
    size = base.shape[0]
    if drop:
        inside = (indices >= 0) & (indices < size)
        indices, updates = indices[inside], updates[inside]
    _check_range(indices, size, what)
    return indices, updates


def _scatter_to_reference(base: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, drop: bool) -> np.ndarray:
    indices, updates = _inside(base, indices, updates, drop, "scatter_add")
    result = base.copy()
    np.add.at(result, indices, updates)
    return result


def _scatter_type(indices: TensorType, updates: TensorType, size: AnySize) -> TensorType:
    _require_indices(indices)
    if updates.rank < indices.rank:
        raise ShapeError(f"updates {updates} have fewer axes than indices {indices}")
    for a in range(indices.rank):
        require_equal(indices.shape[a], updates.shape[a], f"sizes of indices and updates differ along axis {a}")
    return updates.with_shape((size, *updates.shape[indices.rank :]))


def _scatter_to_type(base: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
    wanted = _scatter_type(indices, updates, base.shape[0])
    if wanted.dtype != base.dtype or wanted.rank != base.rank:
        raise ShapeError(f"updates {updates} do not fit rows of {base}")
    for a in range(1, base.rank):
        require_equal(base.shape[a], wanted.shape[a], f"sizes of base and result differ along axis {a}")
    return base


@op(access=Access.OPAQUE, reference=_scatter_reference, fails=True, linear=True)
def scatter_add(indices, updates, *, size, drop):
    """Zeros of `size` rows, to which each slice of `updates` is added at the row that `indices` says.

    With `drop` an index outside 0..size-1 counts for nothing; else it is an error of the run.
    """
    return _scatter_type(indices, updates, size)


@op(access=Access.OPAQUE, reference=_scatter_to_reference, fails=True, linear=True)
def scatter_add_to(base, indices, updates, *, drop):
    """`base`, to which each slice of `updates` is added at the row that `indices` says; see `scatter_add`."""
    return _scatter_to_type(base, indices, updates)


def _set_reference(base: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, drop: bool) -> np.ndarray:
    indices, updates = _inside(base, indices, updates, drop, "scatter_set")
    result = base.copy()
    rest = base.shape[1:]
    for row, update in zip(indices.reshape(-1), updates.reshape(-1, *rest), strict=True):
        result[row] = update
    return result


@op(access=Access.OPAQUE, reference=_set_reference, fails=True, linear=True)
def scatter_set(base, indices, updates, *, drop):
    """`base`, where each slice of `updates` takes the place of the row that `indices` says; of equal indices the last counts."""
    return _scatter_to_type(base, indices, updates)


def _taken(g: Tensor, indices: Tensor, drop: bool) -> Tensor:
    """The rows of `g` at the indices; with `drop`, zeros for those outside."""
    if drop:
        wide, size = cast(indices, int64), g.shape[0]
        inside = logical_and(greater_equal(wide, 0), less(wide, _number(size)))
        indices = where(inside, wide, _number(size))
        g = pad_(g, begin=(0,) * g.rank, step=(1,) * g.rank, shape=(size + 1, *g.shape[1:]), value=0)
    return gather_(g, indices, axis=0, batch_dims=0)


scatter_add.defvjp(None, lambda g, out, indices, updates, size, drop: _taken(g, indices, drop))
scatter_add_to.defvjp(lambda g, out, *_, drop: g, None, lambda g, out, base, indices, updates, drop: _taken(g, indices, drop))


def _set_base_vjp(g: Tensor, out: Tensor, base: Tensor, indices: Tensor, updates: Tensor, drop: bool) -> Tensor:
    return scatter_set(g, indices, broadcast_to_(zero_of(g), shape=updates.shape), drop=drop)


def _set_updates_vjp(g: Tensor, out: Tensor, base: Tensor, indices: Tensor, updates: Tensor, drop: bool) -> Tensor:
    """The rows of `g`, but for updates that a later one with the same index replaced."""
    count = product(indices.shape)
    taken = _taken(g, indices, drop)
    if count == 1:
        return taken
    numbers = reshape(iota(size=count, dtype=int64), indices.shape)
    owner = scatter_set(broadcast_to_(literal(-1, int64), shape=(base.shape[0],)), indices, numbers, drop=drop)
    kept = equal(_taken(owner, indices, drop), numbers)
    return where(reshape(kept, (*indices.shape, *(1,) * (g.rank - 1))), taken, zero_of(taken))


scatter_set.defvjp(_set_base_vjp, None, _set_updates_vjp)


def _check_index_reference(indices: np.ndarray, *, size: int, axis: int) -> np.ndarray:
    _check_range(indices, size, "check_index")
    return indices


@op(access=Access.MOVEMENT, reference=_check_index_reference, fails=True, differentiable=False)
def check_index(indices, *, size, axis):
    """The indices, after a check that each is in an axis of `size`."""
    _require_indices(indices)
    return indices


@check_index.element
def _(index, indices, *, size, axis, out_type):
    checked = s.Check(s.Call("cast", (indices(*index),), int64), size, None, axis)
    return s.Call("cast", (checked,), out_type.dtype)


@public
def gather(params: Any, indices: Any, axis: int | None = None, batch_dims: int = 0, name: str | None = None) -> Tensor:
    """Slices of `params` along `axis` (by default the first after the batch axes) at `indices`.

    The shape is params.shape[:axis] + indices.shape[batch_dims:] + params.shape[axis+1:]. An index outside 0..size-1 is an
    IndexOutOfRangeError of the run.
    """
    params, indices = convert_to_tensor(params), index_tensor(indices)
    batch_dims = check_axis(batch_dims, indices.rank + 1, "batch_dims") if batch_dims else 0
    axis = check_axis(batch_dims if axis is None else axis, params.rank)
    return gather_(params, indices, axis=axis, batch_dims=batch_dims, name=name)


@public
def tensor_scatter_nd_add(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with `updates` added at `indices`, whose last axis counts axes of `tensor` from the first.

    indices [..., k] and updates [..., *tensor.shape[k:]]. Updates at equal indices add up; an index outside is an
    IndexOutOfRangeError of the run.
    """
    return _scattered(scatter_add_to, tensor, indices, updates, name)


@public
def tensor_scatter_nd_update(tensor: Any, indices: Any, updates: Any, name: str | None = None) -> Tensor:
    """`tensor` with `updates` in the places that `indices` says, whose last axis counts axes of `tensor` from the first.

    indices [..., k] and updates [..., *tensor.shape[k:]]. Of updates at equal indices the last counts; an index outside is an
    IndexOutOfRangeError of the run.
    """
    return _scattered(scatter_set, tensor, indices, updates, name)


def _scattered(kind: Op, tensor: Any, indices: Any, updates: Any, name: str | None) -> Tensor:
    tensor, indices = convert_to_tensor(tensor), index_tensor(indices)
    updates = convert_to_tensor(updates, tensor.dtype)
    depth = indices.shape[-1] if indices.rank else 0
    if not isinstance(depth, int) or not 1 <= depth <= tensor.rank:
        raise ShapeError(
            f"the last axis of indices has size {depth}, the tensor rank {tensor.rank}",
            rule="It has an index for each of the first axes of the tensor, one at least.",
        )
    parts = [reshape_(slice_axis(indices, k), shape=indices.shape[:-1]) for k in range(depth)]
    if depth == 1:
        return kind(tensor, parts[0], updates, drop=False, name=name)
    rows: Tensor = literal(0, int64)
    for k, part in enumerate(parts):
        rows = rows * _number(tensor.shape[k]) + cast(check_index(part, size=tensor.shape[k], axis=k), int64)
    flat = reshape(tensor, (product(tensor.shape[:depth]), *tensor.shape[depth:]))
    return reshape(kind(flat, rows, updates, drop=False, name=name), tensor.shape)


def slice_axis(x: Tensor, k: int) -> Tensor:
    """Position `k` of the last axis, which stays as an axis of size 1."""
    return slice_(x, begin=(*(0,) * (x.rank - 1), k), step=(1,) * x.rank, shape=(*x.shape[:-1], 1))


def index_tensor(indices: Any) -> Tensor:
    """Indices as a tensor of integers; an empty list counts as one."""
    if isinstance(indices, list | tuple) and not indices:
        indices = np.zeros(0, np.int64)
    tensor = convert_to_tensor(indices)
    if not tensor.dtype.is_integer:
        raise DTypeError(f"indices are {tensor.dtype}", rule="Indices are integers; use gf.cast(x, gf.int64).")
    return tensor


def countable(indices: Tensor) -> Tensor:
    """Indices in a dtype that can count the positions of any axis they are compared with."""
    return cast(indices, int32) if indices.dtype.bits < 32 else indices


@composition
def take_along_last(x: Any, indices: Any) -> Tensor:
    """One element of each row of `x`: out[...] = x[..., indices[...]]; an index outside the row is an error of the run."""
    x, indices = convert_to_tensor(x), countable(index_tensor(indices))
    size = x.shape[-1]
    checked = check_index(indices, size=size, axis=x.rank - 1)
    chosen = equal(iota(size=size, dtype=indices.dtype), reshape(checked, (*indices.shape, 1)))
    return reduce_sum(where(chosen, x, zero_of(x)), -1)


@composition
def one_hot(indices: Any, depth: Any, on_value: Any = None, off_value: Any = None, axis: int = -1, dtype: Any = None) -> Tensor:
    """`on_value` (1) at the index along a new axis of size `depth`, `off_value` (0) elsewhere and for indices outside it."""
    indices = countable(index_tensor(indices))
    depth = check_size(sizes_of(depth, "one_hot") if isinstance(depth, Tensor) else depth, "depth")
    wanted = _value_dtype(on_value, off_value, dtype)
    axis = check_axis(axis, indices.rank + 1)
    columns = reshape(iota(size=depth, dtype=indices.dtype), (depth, *(1,) * (indices.rank - axis)))
    rows = reshape(indices, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    on = convert_to_tensor(1 if on_value is None else on_value, wanted)
    off = convert_to_tensor(0 if off_value is None else off_value, wanted)
    return where(equal(columns, rows), on, off)


def _value_dtype(on: Any, off: Any, dtype: Any) -> DType:
    if dtype is not None:
        return as_dtype(dtype)
    for value in (on, off):
        if value is not None:
            return convert_to_tensor(value).dtype
    return as_dtype("float32")


# --- subscripts --------------------------------------------------------------------------------------------------------


@dataclass
class Subscript:
    """What x[key] does: a strided slice, then a shape with axes removed and added, then at most one gather."""

    begin: list[AnySize] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    counts: list[AnySize] = field(default_factory=list)  # of the slice
    shape: list[AnySize] = field(default_factory=list)  # after axes are removed and added
    gathers: list[tuple[int, Tensor]] = field(default_factory=list)  # axis of `shape`, indices

    def take(self, begin: AnySize, step: int, count: AnySize) -> None:
        self.begin.append(begin)
        self.step.append(step)
        self.counts.append(count)


@public
def getitem(x: Any, key: Any, name: str | None = None) -> Tensor:
    """x[key] with Python's subscripts: numbers, slices with any step, `...`, None for a new axis, and one tensor of indices.

    Masks, and several tensors of indices, are NumPy's where their values are known and the sizes of `x` too.
    """
    x = convert_to_tensor(x)
    if not is_basic(key):
        places = positions_of(x, key)
        if places is not None:
            return gather_(reshape(x, (-1,)), literal(places, int64), axis=0, batch_dims=0)
    plan = subscript(x, list(key) if isinstance(key, tuple) else [key])
    result = x
    if any(b != 0 or k != 1 for b, k in zip(plan.begin, plan.step, strict=True)) or tuple(plan.counts) != x.shape:
        result = slice_(x, begin=tuple(plan.begin), step=tuple(plan.step), shape=tuple(plan.counts))
    if tuple(plan.shape) != result.shape:
        result = reshape_(result, shape=tuple(plan.shape))
    if len(plan.gathers) > 1:
        raise DTypeError("several tensors of indices", rule="One axis can be indexed by a tensor; see gf.gather for more.")
    for axis, indices in plan.gathers:
        result = gather_(result, indices, axis=axis, batch_dims=0)
    return result


def is_basic(key: Any) -> bool:
    """Does a subscript name no more than numbers, slices and one tensor of indices?"""
    kind = type(key)
    if kind is int or kind is slice or key is None or key is Ellipsis:
        return True
    if kind is tuple:
        return all(map(is_basic, key))
    return False


def positions_of(x: Tensor, key: Any, always: bool = False) -> np.ndarray | None:
    """Where the elements of x[key] are in the flattened `x`, where its sizes and the key are known.

    None where they are not, or, unless it is asked for `always`, where a slice and at most one gather do as well.
    """
    parts = [known_index(part) for part in (key if isinstance(key, tuple) else (key,))]
    arrays = [part for part in parts if isinstance(part, np.ndarray | list | bool | np.bool_)]
    mask = any(isinstance(part, bool | np.bool_) or np.asarray(part).dtype == bool for part in arrays)
    if any(isinstance(part, Tensor | Size) for part in parts) or not x.type.is_static or not (always or mask or len(arrays) > 1):
        return None
    numbers = np.arange(product(x.shape), dtype=np.int64).reshape(x.shape)  # type: ignore[arg-type]
    try:
        return np.asarray(numbers[tuple(parts)])
    except IndexError as error:
        raise IndexOutOfRangeError(str(error), operands={"x": x}) from None


def set_elements(x: Any, key: Any, update: Any) -> Tensor:
    """`x` with `update`, which broadcasts, at x[key], where the sizes of `x` and the key are known."""
    x, update = convert_to_tensor(x), convert_to_tensor(update, None if hasattr(update, "dtype") else x.dtype)
    places = positions_of(x, key, always=True)
    if places is None:
        raise ShapeError("assignment to elements that only a run knows", operands={"x": x}, rule="Use gf.where with a mask.")
    while update.rank > places.ndim and update.shape[0] == 1:
        update = reshape(update, update.shape[1:])
    flat = reshape(broadcast_to(update, places.shape), (-1,))
    return reshape(tensor_scatter_nd_update(reshape(x, (-1,)), places.reshape(-1, 1), flat), x.shape)


def known_index(part: Any) -> Any:
    """An entry of a subscript as NumPy takes it; a tensor that only a run computes stays one."""
    if isinstance(part, slice):
        return slice(*(known_index(bound) for bound in (part.start, part.stop, part.step)))
    if part is None or part is Ellipsis or isinstance(part, int | np.integer | np.ndarray | Size):
        return part
    tensor = as_tensor_or_none(part)
    if tensor is None:
        return part
    return tensor.numpy() if _is_known(tensor) else tensor


def subscript(x: Tensor, key: list[Any]) -> Subscript:
    """The plan of x[key]."""
    used = sum(1 for item in key if item is not None and item is not Ellipsis)
    dots = sum(1 for item in key if item is Ellipsis)
    if dots > 1:
        raise ShapeError("`...` stands twice", rule="One `...` stands for all axes that are not named.")
    if used > x.rank:
        raise ShapeError(f"{used} indices for rank {x.rank}")
    if not dots:
        key = [*key, Ellipsis]
    plan = Subscript()
    axis = 0
    for item in key:
        if item is None:
            plan.shape.append(1)
        elif item is Ellipsis:
            for _ in range(x.rank - used):
                plan.take(0, 1, x.shape[axis])
                plan.shape.append(x.shape[axis])
                axis += 1
        else:
            _index_axis(plan, item, x.shape[axis])
            axis += 1
    return plan


def _index_axis(plan: Subscript, item: Any, size: AnySize) -> None:
    """Add one entry of a subscript, along an axis of `size`, to the plan."""
    if isinstance(item, slice):
        begin, step, count = slice_bounds(item, size)
        plan.take(begin, step, count)
        plan.shape.append(count)
        return
    position = _position(item)
    if isinstance(position, Tensor):
        plan.take(0, 1, size)
        plan.gathers.append((len(plan.shape), wrapped(position, size)))
        plan.shape.append(size)
        return
    begin = position + size if isinstance(position, int) and position < 0 else position
    plan.take(begin, 1, 1)


def _position(item: Any) -> int | Size | Tensor:
    """An entry of a subscript: a number, a symbolic size, or a tensor of indices."""
    if isinstance(item, bool | np.bool_ | str | float | complex):
        raise DTypeError(f"{item!r} is no index", rule="Indices are whole numbers, slices, `...`, None and integer tensors.")
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, Size):
        return item
    tensor = as_tensor_or_none(item)
    if tensor is None:
        tensor = index_tensor(item)
    if tensor.dtype.is_bool:
        raise DTypeError(
            "a mask is no index in a graph",
            rule="The number of elements a mask selects is a run's matter; use gf.where(mask, x, 0).",
        )
    if not tensor.dtype.is_integer:
        raise DTypeError(f"indices are {tensor.dtype}", rule="Indices are integers; use gf.cast(x, gf.int64).")
    if tensor.op.name == "size_value":
        return tensor.attrs["size"]
    return int(tensor.numpy()) if _is_known(tensor) and not tensor.rank else tensor


def _is_known(tensor: Tensor) -> bool:
    return isinstance(tensor, EagerTensor) or tensor.op.name == "constant"


def wrapped(indices: Tensor, size: AnySize) -> Tensor:
    """Known indices counted from the front; what a run computes must be so already."""
    if not _is_known(indices) or not (indices.numpy() < 0).any():
        return indices
    wide = cast(indices, int64)
    return where(less(wide, 0), wide + _number(size), wide)


def slice_bounds(item: slice, size: AnySize) -> tuple[AnySize, int, AnySize]:
    """(begin, step, count) of a slice along an axis of `size`, clamped as Python does.

    >>> slice_bounds(slice(-3, None), 10)
    (7, 1, 3)
    """
    step = 1 if item.step is None else _bound(item.step, "step")
    if not isinstance(step, int) or step == 0:
        raise ShapeError(f"slice step {item.step!r}", rule="A step is a whole number other than 0.")
    start = None if item.start is None else _bound(item.start, "start")
    stop = None if item.stop is None else _bound(item.stop, "stop")
    if step > 0:
        begin = 0 if start is None else _clamped(start, size, 0, size)
        end = size if stop is None else _clamped(stop, size, 0, size)
        length = end - begin
    else:
        begin = size - 1 if start is None else _clamped(start, size, -1, size - 1)
        end = -1 if stop is None else _clamped(stop, size, -1, size - 1)
        length = begin - end
    if abs(step) > 1:
        length = floordiv(length + (abs(step) - 1), abs(step))
    count = length if never_negative(length) else size_max(0, length)
    return begin, step, count


def _bound(value: Any, what: str) -> AnySize:
    position = _position(value)
    if isinstance(position, Tensor):
        raise DTypeError(
            f"slice {what} {position.name} is not known before a run",
            rule="Bounds are numbers and sizes of tensors (x.shape[0]); gather with indices that a run computes.",
        )
    return position


def _clamped(bound: AnySize, size: AnySize, low: AnySize, high: AnySize) -> AnySize:
    """A slice bound, counted from the front and kept between `low` and `high`."""
    if isinstance(bound, int) and bound < 0:
        return size_max(low, size + bound)
    if isinstance(bound, Size) and isinstance(size, Size):
        rest = size - bound
        if isinstance(rest, int) and rest >= 0 and low == 0:
            return size_max(low, bound) if rest else bound
    return size_min(bound, high) if isinstance(bound, int) else size_max(low, size_min(bound, high))


@public
def slice_of(x: Any, begin: Sequence[Any], size: Sequence[Any], name: str | None = None) -> Tensor:
    """The block of `x` that begins at `begin` and has shape `size`; -1 in `size` means all that is left."""
    x = convert_to_tensor(x)
    start = shape_tuple(begin, "slice")
    counts = shape_tuple(size, "slice", allow_unknown=True)
    if not len(start) == len(counts) == x.rank:
        raise ShapeError(f"begin and size have {len(start)} and {len(counts)} entries for rank {x.rank}")
    shape = tuple(n - b if isinstance(c, int) and c == -1 else c for n, b, c in zip(x.shape, start, counts, strict=True))
    return slice_(x, begin=start, step=(1,) * x.rank, shape=shape, name=name)
