"""Grids of numbers: `linspace`, `meshgrid`; tensors broadcast against one another."""

from __future__ import annotations

from typing import Any

from graphflow.errors import DTypeError
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.along import number_of
from graphflow.ops.arithmetic import floats
from graphflow.ops.array import expand_dims
from graphflow.ops.declare import check_axis, check_size, composition
from graphflow.ops.linalg import pair
from graphflow.ops.logic import cast, equal, where
from graphflow.ops.math import divide
from graphflow.ops.movement import broadcast_to, iota, reshape
from graphflow.types import Size, broadcast_shapes, int64, size_max


@composition
def linspace(start: Any, stop: Any, num: Any = 50, axis: int = 0, endpoint: bool = True) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, along a new axis; `stop` is the last one if `endpoint`."""
    low, high = pair(*floats(start, stop))
    count = check_size(num, "num")
    axis = check_axis(axis, max(low.rank, high.rank) + 1)
    shape = broadcast_shapes(low.shape, high.shape)
    low, high = (expand_dims(broadcast_to(x, shape), axis) for x in (low, high))
    numbers = reshape(iota(size=count, dtype=int64), (count, *(1,) * (low.rank - axis - 1)))
    gaps = size_max(count - 1 if endpoint else count, 1)
    step = divide(high - low, cast(number_of(gaps), low.dtype) if isinstance(gaps, Size) else gaps)
    found = low + cast(numbers, low.dtype) * step
    if not endpoint or count == 1:
        return found
    return where(equal(numbers, number_of(gaps)), high, found)


@composition
def meshgrid(*xs: Any, indexing: str = "xy") -> list[Tensor]:
    """For each vector its elements along an axis of its own, all of one shape; for "xy" the first two axes change places."""
    if indexing not in ("xy", "ij"):
        raise DTypeError(f"indexing {indexing!r}", rule='It is "xy" or "ij".')
    vectors = [reshape(convert_to_tensor(x), (-1,)) for x in xs]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    shape = [vectors[k].shape[0] for k in order]
    spread = []
    for k, vector in enumerate(vectors):
        own = reshape(vector, [size if which == k else 1 for which, size in zip(order, shape, strict=True)])
        spread.append(broadcast_to(own, shape))
    return spread


@composition
def broadcast_arrays(*xs: Any) -> list[Tensor]:
    """All of `xs` broadcast to their common shape."""
    tensors = [convert_to_tensor(x) for x in xs]
    shape = broadcast_shapes(*(x.shape for x in tensors))
    return [broadcast_to(x, shape) for x in tensors]
