"""Pooling: maxima and sums over windows, their gradients, and the functions made of them.

A maximum is taken at its first place in the window, and that is where its cotangent goes. `max_pool_gradient` brings
cotangents there, `max_pool_select` reads another tensor there: each is the other's derivative. They find the place anew,
which costs less than keeping it. `sum_pool` and `sum_pool_gradient` are each other's derivatives too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import ShapeError
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import divide, maximum, minimum
from graphflow.ops.declare import composition, op, require_equal
from graphflow.ops.logic import cast
from graphflow.ops.movement import iota, reshape
from graphflow.ops.source import size_value
from graphflow.ops.windows import (
    Windows,
    channels_back,
    channels_last,
    check_floats,
    check_placing,
    is_channels_first,
    numbers_of_axes,
    place_windows,
    taps,
)
from graphflow.types import AnySize, TensorType, int64

# --- maxima -------------------------------------------------------------------------------------------------------------


def _first_maximum(
    x: np.ndarray, *, window: Any, strides: Any, dilations: Any, low: Any, sizes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """(the maximum of each window, the number of the tap that has it; -1 where a window is empty)."""
    best = np.full((x.shape[0], *sizes, x.shape[-1]), -np.inf, x.dtype)
    place = np.full(best.shape, -1)
    for number, (_, reads, writes) in enumerate(taps(window, strides, dilations, low, x.shape[1:-1], sizes)):
        value, old = x[:, *reads], best[:, *writes]
        takes = (place[:, *writes] < 0) | (value > old) | (np.isnan(value) & ~np.isnan(old))
        best[:, *writes] = np.where(takes, value, old)
        place[:, *writes] = np.where(takes, number, place[:, *writes])
    return best, place


def _select_reference(x: np.ndarray, t: np.ndarray, *, sizes: Any, **placing: Any) -> np.ndarray:
    _, place = _first_maximum(x, sizes=sizes, **placing)
    result = np.zeros(place.shape, x.dtype)
    for number, (_, reads, writes) in enumerate(taps(**placing, operand=x.shape[1:-1], result=sizes)):
        result[:, *writes] += np.where(place[:, *writes] == number, t[:, *reads], 0)
    return result


def _max_gradient_reference(x: np.ndarray, g: np.ndarray, **placing: Any) -> np.ndarray:
    sizes = g.shape[1:-1]
    _, place = _first_maximum(x, sizes=sizes, **placing)
    result = np.zeros_like(x)
    for number, (_, reads, writes) in enumerate(taps(**placing, operand=x.shape[1:-1], result=sizes)):
        result[:, *reads] += np.where(place[:, *writes] == number, g[:, *writes], 0)
    return result


def _check(x: TensorType, strides: Any, dilations: Any, low: Any, sizes: Any) -> None:
    assert x.dtype.name in ("float32", "float64"), f"pooling of {x}"
    check_placing(x, strides, dilations, low, sizes)


def _check_result(x: TensorType, g: TensorType) -> None:
    assert x.dtype == g.dtype and x.rank == g.rank
    require_equal(x.shape[0], g.shape[0], "batch sizes differ")
    require_equal(x.shape[-1], g.shape[-1], "channels differ")


@op(access=Access.OPAQUE, reference=lambda x, **placing: _first_maximum(x, **placing)[0], cost=4, linear=True, followed=True)
def max_pool_(x, *, window, strides, dilations, low, sizes):
    """Largest element of each channel in the window at each position, NaN if there is one; -inf of none."""
    _check(x, strides, dilations, low, sizes)
    return x.with_shape((x.shape[0], *sizes, x.shape[-1]))


@op(access=Access.OPAQUE, reference=_max_gradient_reference, cost=4, linear=True, followed=True)
def max_pool_gradient(x, g, *, window, strides, dilations, low):
    """Zeros of the shape of x, to which g is added at the first maximum of each window of x."""
    _check(x, strides, dilations, low, g.shape[1:-1])
    _check_result(x, g)
    return x


@op(access=Access.OPAQUE, reference=_select_reference, cost=4, linear=True, followed=True)
def max_pool_select(x, t, *, window, strides, dilations, low, sizes):
    """The element of t at the first maximum of each window of x; 0 where a window is empty."""
    _check(x, strides, dilations, low, sizes)
    for axis, (a, b) in enumerate(zip(x.shape, t.shape, strict=True)):
        require_equal(a, b, f"sizes along axis {axis} differ")
    return x.with_shape((x.shape[0], *sizes, x.shape[-1]))


max_pool_.defvjp(lambda g, out, x, sizes, **placing: max_pool_gradient(x, g, **placing))
max_pool_gradient.defvjp(None, lambda t, out, x, g, **placing: max_pool_select(x, t, sizes=g.shape[1:-1], **placing))
max_pool_select.defvjp(None, lambda g, out, x, t, sizes, **placing: max_pool_gradient(x, g, **placing))


# --- sums ---------------------------------------------------------------------------------------------------------------


def _sum_reference(x: np.ndarray, *, sizes: Any, **placing: Any) -> np.ndarray:
    result = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    for _, reads, writes in taps(**placing, operand=x.shape[1:-1], result=sizes):
        result[:, *writes] += x[:, *reads]
    return result


def _sum_gradient_reference(g: np.ndarray, *, sizes: Any, **placing: Any) -> np.ndarray:
    result = np.zeros((g.shape[0], *sizes, g.shape[-1]), g.dtype)
    for _, reads, writes in taps(**placing, operand=sizes, result=g.shape[1:-1]):
        result[:, *reads] += g[:, *writes]
    return result


@op(access=Access.OPAQUE, reference=_sum_reference, cost=4, linear=True, followed=True)
def sum_pool(x, *, window, strides, dilations, low, sizes):
    """Sum of each channel over the window at each position."""
    _check(x, strides, dilations, low, sizes)
    return x.with_shape((x.shape[0], *sizes, x.shape[-1]))


@op(access=Access.OPAQUE, reference=_sum_gradient_reference, cost=4, linear=True, followed=True)
def sum_pool_gradient(g, *, window, strides, dilations, low, sizes):
    """At each position of an operand of spatial `sizes`, the sum of g over the windows that it is in."""
    _check(g, strides, dilations, low, sizes)
    return g.with_shape((g.shape[0], *sizes, g.shape[-1]))


sum_pool.defvjp(lambda g, out, x, sizes, **placing: sum_pool_gradient(g, sizes=x.shape[1:-1], **placing))
sum_pool_gradient.defvjp(lambda t, out, g, sizes, **placing: sum_pool(t, sizes=g.shape[1:-1], **placing))


# --- public -------------------------------------------------------------------------------------------------------------


def _placed(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: Any, spatial: int | None
) -> tuple[Tensor, Windows, bool]:
    """(the input with channels last in the dtype arithmetic is done in, the windows, were its channels first?)."""
    x = convert_to_tensor(input)
    check_floats(x, "input")
    first, spatial = is_channels_first(data_format, x, spatial)
    inner = channels_last(x, first)
    window = numbers_of_axes(ksize, spatial, first, "ksize")
    steps = numbers_of_axes(strides, spatial, first, "strides")
    windows = place_windows(inner.shape[1:-1], window, steps, (1,) * spatial, padding, first)
    for axis, (k, s, p, m) in enumerate(zip(window, steps, windows.low, windows.sizes, strict=True)):
        n, last = inner.shape[1 + axis], (m - 1) * s - p
        if (isinstance(p, int) and p >= k) or (isinstance(n, int) and isinstance(last, int) and n and last >= n):
            raise ShapeError(
                f"padding {padding} along spatial axis {axis} holds a whole window of {k}", operands={"input": x},
                rule="A window that lies in the padding has no elements.",
            )  # fmt: skip
    return cast(inner, x.dtype.compute), windows, first


def _max(input: Any, ksize: Any, strides: Any, padding: Any, data_format: Any, spatial: int | None) -> Tensor:
    x, windows, first = _placed(input, ksize, strides, padding, data_format, spatial)
    result = max_pool_(x, window=windows.window, sizes=windows.sizes, **windows.placing)
    return channels_back(cast(result, convert_to_tensor(input).dtype), first)


def _average(input: Any, ksize: Any, strides: Any, padding: Any, data_format: Any, spatial: int | None) -> Tensor:
    x, windows, first = _placed(input, ksize, strides, padding, data_format, spatial)
    total = sum_pool(x, window=windows.window, sizes=windows.sizes, **windows.placing)
    result = divide(total, _count(x, windows))
    return channels_back(cast(result, convert_to_tensor(input).dtype), first)


def _count(x: Tensor, windows: Windows) -> Tensor:
    """How many elements of the input each window has: a product of numbers for each axis."""
    spatial = len(windows.window)
    count = cast(1, x.dtype)
    for axis, (k, s, p, m) in enumerate(zip(windows.window, windows.strides, windows.low, windows.sizes, strict=True)):
        start = iota(size=m, dtype=int64) * s - _number(p)
        inside = minimum(start + _number(k), _number(x.shape[1 + axis])) - maximum(start, 0)
        count = count * reshape(cast(inside, x.dtype), (m, *(1,) * (spatial - axis)))
    return count


def _number(size: AnySize) -> Any:
    return size if isinstance(size, int) else size_value(size=size)


@composition
def max_pool(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None = None) -> Tensor:
    """Largest element of each channel in a window of `ksize` at each position, over one to three spatial axes.

    `input` is [batch, *spatial, channels], or [batch, channels, *spatial] with data_format "NCW", "NCHW" or "NCDHW". Padding
    counts for nothing. The gradient goes to the first of equal elements.
    """
    return _max(input, ksize, strides, padding, data_format, None)


@composition
def max_pool1d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NWC") -> Tensor:
    """Largest element of each channel in a window, for [batch, width, channels]; see `max_pool`."""
    return _max(input, ksize, strides, padding, data_format, 1)


@composition
def max_pool2d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NHWC") -> Tensor:
    """Largest element of each channel in a window, for [batch, height, width, channels]; see `max_pool`."""
    return _max(input, ksize, strides, padding, data_format, 2)


@composition
def max_pool3d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NDHWC") -> Tensor:
    """Largest element of each channel in a window, for [batch, depth, height, width, channels]; see `max_pool`."""
    return _max(input, ksize, strides, padding, data_format, 3)


@composition
def avg_pool(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None = None) -> Tensor:
    """Mean of each channel over a window of `ksize` at each position; padding does not count. See `max_pool`."""
    return _average(input, ksize, strides, padding, data_format, None)


@composition
def avg_pool1d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NWC") -> Tensor:
    """Mean of each channel over a window, for [batch, width, channels]; see `avg_pool`."""
    return _average(input, ksize, strides, padding, data_format, 1)


@composition
def avg_pool2d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NHWC") -> Tensor:
    """Mean of each channel over a window, for [batch, height, width, channels]; see `avg_pool`."""
    return _average(input, ksize, strides, padding, data_format, 2)


@composition
def avg_pool3d(input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NDHWC") -> Tensor:
    """Mean of each channel over a window, for [batch, depth, height, width, channels]; see `avg_pool`."""
    return _average(input, ksize, strides, padding, data_format, 3)
