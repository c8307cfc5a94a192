"""Convolutions: three ops that are each other's gradients, and the functions made of them.

The three are one form, linear in an input x, a filter w and an output y: the sum of `x[o*s + k*d - low, c] w[k, c, c'] y[o, c']`.
`convolution` is its derivative by y, `convolution_input_gradient` that by x, `convolution_filter_gradient` that by w. So the
derivatives of each are the other two, to any order; and a transposed convolution is the second.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, require
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.declare import composition, op, public, require_equal
from graphflow.ops.linalg import pair
from graphflow.ops.logic import cast
from graphflow.ops.movement import ensure_shape, reshape, transpose
from graphflow.ops.shapes import shape_tuple
from graphflow.ops.windows import (
    channels_back,
    channels_last,
    check_floats,
    check_placing,
    is_channels_first,
    numbers_of_axes,
    place_windows,
    taps,
)
from graphflow.types import AnySize, TensorType, floordiv, format_shape

# --- the three ops ------------------------------------------------------------------------------------------------------


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """The channels as [groups, channels of a group]."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _ungrouped(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _convolution_reference(
    x: np.ndarray, w: np.ndarray, *, strides: Any, dilations: Any, low: Any, sizes: Any, groups: int
) -> np.ndarray:
    result = np.zeros((x.shape[0], *sizes, w.shape[-1]), x.dtype)
    for k, reads, writes in taps(w.shape[:-2], strides, dilations, low, x.shape[1:-1], sizes):
        part = np.einsum("...gc,cgd->...gd", _grouped(x[:, *reads], groups), _grouped(w[k], groups))
        result[:, *writes] += _ungrouped(part)
    return result


def _input_gradient_reference(
    y: np.ndarray, w: np.ndarray, *, strides: Any, dilations: Any, low: Any, sizes: Any, groups: int, channels: int
) -> np.ndarray:
    result = np.zeros((y.shape[0], *sizes, channels), y.dtype)
    for k, reads, writes in taps(w.shape[:-2], strides, dilations, low, sizes, y.shape[1:-1]):
        by_group = w[k].reshape(groups, w.shape[-2] // groups, w.shape[-1])
        part = np.einsum("...gd,gdc->...gc", _grouped(y[:, *writes], groups), by_group)
        result[:, *reads] += _ungrouped(part)
    return result


def _filter_gradient_reference(
    x: np.ndarray, y: np.ndarray, *, strides: Any, dilations: Any, low: Any, sizes: Any, groups: int, channels: int
) -> np.ndarray:
    result = np.zeros((*sizes, channels, y.shape[-1]), x.dtype)
    for k, reads, writes in taps(sizes, strides, dilations, low, x.shape[1:-1], y.shape[1:-1]):
        a, b = (_grouped(t.reshape(math.prod(t.shape[:-1]), t.shape[-1]), groups) for t in (x[:, *reads], y[:, *writes]))
        result[k] = _ungrouped(np.einsum("ngc,ngd->cgd", a, b))
    return result


def _check_dtypes(a: TensorType, b: TensorType) -> None:
    if a.dtype != b.dtype:
        raise DTypeError(
            f"dtypes differ, {a.dtype} and {b.dtype}", rule="Operands share one dtype; use gf.cast(x, dtype) on one of them."
        )
    assert a.dtype.name in ("float32", "float64") and a.rank == b.rank, f"convolution of {a} and {b}"


def _check_groups(channels: AnySize, own: AnySize, out: AnySize, groups: AnySize) -> None:
    """Filters for `own` channels and `out` outputs fit `channels` in `groups`."""
    require_equal(channels, own * groups, "channels of input and filters differ")
    if groups != 1 and not (isinstance(out, int) and isinstance(groups, int) and out % groups == 0):
        require("divisible", out, groups, f"{out} output channels do not divide into {groups} groups")


@op(access=Access.OPAQUE, reference=_convolution_reference, common=("x", "w"), cost=2, followed=True)
def convolution_(x, w, *, strides, dilations, low, sizes, groups):
    """Sum over the window at each position of x [batch, *spatial, in] times w [*window, in / groups, out]."""
    _check_dtypes(x, w)
    check_placing(x, strides, dilations, low, sizes)
    _check_groups(x.shape[-1], w.shape[-2], w.shape[-1], groups)
    return x.with_shape((x.shape[0], *sizes, w.shape[-1]))


@op(access=Access.OPAQUE, reference=_input_gradient_reference, common=("y", "w"), cost=2, followed=True)
def convolution_input_gradient(y, w, *, strides, dilations, low, sizes, groups, channels):
    """What `convolution` gives back to an input of spatial `sizes` for a cotangent y: a transposed convolution.

    Its filters are transposed too, [*window, out, in / groups].
    """
    _check_dtypes(y, w)
    check_placing(y, strides, dilations, low, sizes)
    require_equal(y.shape[-1], w.shape[-2], "channels of output and filters differ")
    _check_groups(channels, w.shape[-1], w.shape[-2], groups)
    return y.with_shape((y.shape[0], *sizes, channels))


@op(access=Access.OPAQUE, reference=_filter_gradient_reference, common=("x", "y"), cost=2, followed=True)
def convolution_filter_gradient(x, y, *, strides, dilations, low, sizes, groups, channels):
    """What `convolution` of an input x gives back to its filters, with a window of `sizes`, for a cotangent y."""
    _check_dtypes(x, y)
    check_placing(x, strides, dilations, low, sizes)
    require_equal(x.shape[0], y.shape[0], "batch sizes of input and output differ")
    _check_groups(x.shape[-1], channels, y.shape[-1], groups)
    return x.with_shape((*sizes, channels, y.shape[-1]))


def _transpose(w: Tensor) -> Tensor:
    """Filters with the channels of the input and those of the output exchanged."""
    return transpose(w, (*range(w.rank - 2), w.rank - 1, w.rank - 2))


def _to_output(x: Tensor, w: Tensor, y: Tensor, placing: dict[str, Any]) -> Tensor:
    return convolution_(x, w, sizes=y.shape[1:-1], **placing)


def _to_input(y: Tensor, w: Tensor, x: Tensor, placing: dict[str, Any]) -> Tensor:
    return convolution_input_gradient(y, _transpose(w), sizes=x.shape[1:-1], channels=x.shape[-1], **placing)


def _to_filter(x: Tensor, y: Tensor, w: Tensor, placing: dict[str, Any]) -> Tensor:
    return convolution_filter_gradient(x, y, sizes=w.shape[:-2], channels=w.shape[-2], **placing)


convolution_.defvjp(
    lambda g, out, x, w, sizes, **placing: _to_input(g, w, x, placing),
    lambda g, out, x, w, sizes, **placing: _to_filter(x, g, w, placing),
)
convolution_input_gradient.defvjp(
    lambda g, out, y, w, sizes, channels, **placing: _to_output(g, _transpose(w), y, placing),
    lambda g, out, y, w, sizes, channels, **placing: _transpose(_to_filter(g, y, _transpose(w), placing)),
)
convolution_filter_gradient.defvjp(
    lambda g, out, x, y, sizes, channels, **placing: _to_input(y, g, x, placing),
    lambda g, out, x, y, sizes, channels, **placing: _to_output(x, g, y, placing),
)


def is_depthwise(node: Node) -> bool:
    """Is each channel of the input of one of the three ops a group of its own?"""
    filters = {"convolution": -2, "convolution_input_gradient": -1}.get(node.op.name)
    own = node.attrs["channels"] if filters is None else node.inputs[1].shape[filters]
    return own == 1 and node.attrs["groups"] != 1


# --- public -------------------------------------------------------------------------------------------------------------


def _operands(input: Any, filters: Any, what: str = "filters") -> tuple[Tensor, Tensor]:
    x, w = pair(input, filters)
    check_floats(x, "input")
    if x.rank != w.rank:
        raise ShapeError(
            f"the {what} have rank {w.rank}, the input {x.rank}", operands={"input": x, what: w},
            rule="Filters are [*window, input channels / groups, output channels].",
        )  # fmt: skip
    if any(size == 0 for size in w.shape[:-2]):
        raise ShapeError(f"the window {format_shape(w.shape[:-2])} is empty", operands={what: w})
    return x, w


def _groups(x: Tensor, w: Tensor) -> AnySize:
    """How many groups the channels are in: as often as those of the filters fit into those of the input."""
    channels, own, out = x.shape[-1], w.shape[-2], w.shape[-1]
    if isinstance(channels, int) and isinstance(own, int) and (own == 0 or channels % own) and channels != own:
        raise ShapeError(
            f"{channels} input channels, and filters for {own}", operands={"input": x, "filters": w},
            rule="Filters are [*window, input channels / groups, output channels]; NCHW needs data_format.",
        )  # fmt: skip
    groups = 1 if channels == own else floordiv(channels, own)
    if isinstance(groups, int) and isinstance(out, int) and out % groups:
        raise ShapeError(f"{out} output channels are not divisible into {groups} groups", operands={"filters": w})
    return groups


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Operands in the dtype arithmetic is done in."""
    return tuple(cast(t, t.dtype.compute) for t in tensors)


def _convolve(x: Tensor, w: Tensor, strides: Any, padding: Any, data_format: Any, dilations: Any, spatial: int | None) -> Tensor:
    first, spatial = is_channels_first(data_format, x, spatial)
    inner = channels_last(x, first)
    steps = numbers_of_axes(strides, spatial, first, "strides")
    spread = numbers_of_axes(1 if dilations is None else dilations, spatial, first, "dilations")
    windows = place_windows(inner.shape[1:-1], w.shape[:-2], steps, spread, padding, first)
    wide_x, wide_w = _wide(inner, w)
    result = convolution_(wide_x, wide_w, sizes=windows.sizes, groups=_groups(inner, w), **windows.placing)
    return channels_back(cast(result, x.dtype), first)


@composition
def convolution(
    input: Any, filters: Any, strides: Any = 1, padding: Any = "VALID", data_format: str | None = None, dilations: Any = None
) -> Tensor:
    """Sum over a window at each position of `input`, weighed by `filters`, over one to three spatial axes.

    `input` is [batch, *spatial, channels], or [batch, channels, *spatial] with data_format "NCW", "NCHW" or "NCDHW"; `filters`
    are [*window, channels / groups, output channels]: with fewer channels than the input they work on groups of channels.
    `padding` is "SAME", "VALID" or pairs [before, after].
    """
    x, w = _operands(input, filters)
    return _convolve(x, w, strides, padding, data_format, dilations, None)


@composition
def conv1d(input: Any, filters: Any, stride: Any, padding: Any, data_format: str = "NWC", dilations: Any = None) -> Tensor:
    """Convolution of [batch, width, channels] with filters [width, channels / groups, output channels]; see `convolution`."""
    x, w = _operands(input, filters)
    return _convolve(x, w, stride, padding, data_format, dilations, 1)


@composition
def conv2d(input: Any, filters: Any, strides: Any, padding: Any, data_format: str = "NHWC", dilations: Any = None) -> Tensor:
    """Convolution of [batch, height, width, channels] with filters [height, width, channels / groups, output channels].

    See `convolution` for the arguments.
    """
    x, w = _operands(input, filters)
    return _convolve(x, w, strides, padding, data_format, dilations, 2)


@composition
def conv3d(input: Any, filters: Any, strides: Any, padding: Any, data_format: str = "NDHWC", dilations: Any = None) -> Tensor:
    """Convolution of [batch, depth, height, width, channels]; see `convolution`."""
    x, w = _operands(input, filters)
    return _convolve(x, w, strides, padding, data_format, dilations, 3)


@composition
def depthwise_conv2d(
    input: Any, filter: Any, strides: Any, padding: Any, data_format: str | None = None, dilations: Any = None
) -> Tensor:
    """Convolution of each channel by itself with filters [height, width, channels, multiplier], to channels * multiplier."""
    x, w = _operands(input, filter, "filter")
    first, _ = is_channels_first(data_format, x, 2)
    channels = x.shape[1 if first else -1]
    if not isinstance(channels, int) or w.shape[-2] != channels:
        raise ShapeError(
            f"{channels} input channels, and filters for {w.shape[-2]}", operands={"input": x, "filter": w},
            rule="Filters are [height, width, channels, multiplier], with the channels of the input, which must be known.",
        )  # fmt: skip
    grouped = reshape(w, (*w.shape[:-2], 1, w.shape[-2] * w.shape[-1]))
    return _convolve(x, grouped, strides, padding, data_format, dilations, 2)


@composition
def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
) -> Tensor:
    """`depthwise_conv2d`, then a 1 x 1 convolution that mixes the channels."""
    inner = depthwise_conv2d(input, depthwise_filter, strides, padding, data_format, dilations)
    x, w = _operands(inner, pointwise_filter, "pointwise_filter")
    return _convolve(x, w, 1, "VALID", data_format, None, 2)


def _transposed(
    input: Any, filters: Any, output_shape: Any, strides: Any, padding: Any, data_format: Any, dilations: Any, spatial: int
) -> Tensor:
    y, w = _operands(input, filters)
    first, _ = is_channels_first(data_format, y, spatial)
    shape = shape_tuple(output_shape, "output_shape")
    if len(shape) != spatial + 2:
        raise ShapeError(f"output_shape {format_shape(shape)} has {len(shape)} sizes for rank {spatial + 2}")
    inner = channels_last(y, first)
    sizes, channels = (shape[2:], shape[1]) if first else (shape[1:-1], shape[-1])
    steps = numbers_of_axes(strides, spatial, first, "strides")
    spread = numbers_of_axes(1 if dilations is None else dilations, spatial, first, "dilations")
    windows = place_windows(sizes, w.shape[:-2], steps, spread, padding, first)
    if channels != w.shape[-2]:
        raise ShapeError(
            f"output_shape has {channels} channels, the filters {w.shape[-2]}", operands={"filters": w},
            rule="Filters of a transposed convolution are [*window, output channels, input channels].",
        )  # fmt: skip
    forward = (shape[0], *windows.sizes, w.shape[-1])
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(inner.shape, forward, strict=True)):
        raise ShapeError(
            f"a convolution of {format_shape(shape)} is {format_shape(forward)}, not {format_shape(inner.shape)}",
            operands={"input": y, "filters": w}, rule="output_shape is that of a tensor whose convolution has the input's shape.",
        )  # fmt: skip
    wide_y, wide_w = _wide(ensure_shape(inner, forward), w)
    result = convolution_input_gradient(wide_y, _transpose(wide_w), sizes=sizes, channels=channels, groups=1, **windows.placing)
    return channels_back(cast(result, y.dtype), first)


@composition
def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NWC",
    dilations: Any = None,
) -> Tensor:
    """The transpose of `conv1d`: what that gives back to an operand of `output_shape`; filters are [width, output, input]."""
    return _transposed(input, filters, output_shape, strides, padding, data_format, dilations, 1)


@composition
def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
) -> Tensor:
    """The transpose of `conv2d`: what that gives back to an operand of `output_shape`; filters are [..., output, input]."""
    return _transposed(input, filters, output_shape, strides, padding, data_format, dilations, 2)


@composition
def conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NDHWC",
    dilations: Any = None,
) -> Tensor:
    """The transpose of `conv3d`: what that gives back to an operand of `output_shape`; filters are [..., output, input]."""
    return _transposed(input, filters, output_shape, strides, padding, data_format, dilations, 3)


@public
def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Tensor:
    """`value` plus a vector with one number for each channel; channels are the last axis, with data_format "NC..." the second."""
    x, b = pair(value, bias)
    if b.rank != 1 or x.rank < 2:
        raise ShapeError(f"value has rank {x.rank}, bias {b.rank}", rule="A bias is a vector, a value has batch and channels.")
    first = data_format is not None and data_format.startswith("NC")
    channels = x.shape[1 if first else -1]
    if isinstance(channels, int) and isinstance(b.shape[0], int) and channels != b.shape[0]:
        rule = 'Channels first need data_format="NCHW".'
        raise ShapeError(f"a bias of {b.shape[0]} numbers for {channels} channels", rule=rule)
    b = ensure_shape(b, [channels])
    return add(x, reshape(b, (b.shape[0], *(1,) * (x.rank - 2))) if first else b, name=name)
