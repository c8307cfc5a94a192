"""Samples of convolutions and pooling, with answers by padding and sliding a view."""

# ruff: noqa: E501 - tables, one sample a line
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphflow as gf

Array = np.ndarray


def f(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + 17 * len(shape) + sum(shape)).uniform(-2, 2, shape)


# --- NumPy's answers ---------------------------------------------------------------------------------------------------


def pads(padding: Any, sizes: Any, window: Any, strides: Any, dilations: Any) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis."""
    if not isinstance(padding, str):
        return list(padding)
    if padding == "VALID":
        return [(0, 0)] * len(sizes)
    totals = [
        max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in zip(sizes, window, strides, dilations, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in totals]


def views(x: Array, window: Any, strides: Any, padding: Any, dilations: Any, fill: float) -> Array:
    """[batch, *positions, channels, *window] of [batch, *spatial, channels]."""
    spatial = range(1, x.ndim - 1)
    borders = pads(padding, x.shape[1:-1], window, strides, dilations)
    x = np.pad(x, [(0, 0), *borders, (0, 0)], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilations, strict=True)]
    slid = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(spatial))
    return slid[:, *(slice(None, None, s) for s in strides), :, *(slice(None, None, d) for d in dilations)]


def convolve(x: Array, w: Array, strides: Any, padding: Any, dilations: Any) -> Array:
    """A convolution with channels last, in groups as many as the channels say."""
    count = x.shape[-1] // w.shape[-2]
    slid = views(x, w.shape[:-2], strides, padding, dilations, 0.0)
    n = x.ndim - 2
    parts = []
    for g in range(count):
        a = slid[(..., slice(g * w.shape[-2], (g + 1) * w.shape[-2]), *[slice(None)] * n)]
        b = w[..., g * w.shape[-1] // count : (g + 1) * w.shape[-1] // count]
        parts.append(np.tensordot(a, b, [[n + 1, *range(n + 2, 2 * n + 2)], [n, *range(n)]]))
    return np.concatenate(parts, -1)


def _first(x: Array) -> Array:
    return np.moveaxis(x, -1, 1)


def _last(x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


def pooled(x: Array, how: str, window: Any, strides: Any, padding: Any) -> Array:
    slid = views(x, window, strides, padding, (1,) * len(window), np.nan)
    axes = tuple(range(x.ndim, slid.ndim))
    return np.nanmax(slid, axes) if how == "max" else np.nanmean(slid, axes)


# --- samples of the ops ------------------------------------------------------------------------------------------------

# name: input, window, output channels, groups, strides, dilations, low, sizes
_PLACES: dict[str, tuple[Any, ...]] = {
    "1-D": ((2, 7, 3), (3,), 4, 1, (1,), (1,), (0,), (5,)),
    "1-D, padded, by 2": ((2, 8, 2), (3,), 3, 1, (2,), (1,), (1,), (4,)),
    "2-D": ((2, 5, 6, 3), (3, 2), 4, 1, (1, 1), (1, 1), (0, 0), (3, 5)),
    "2-D, padded": ((1, 4, 5, 2), (3, 3), 3, 1, (1, 1), (1, 1), (1, 1), (4, 5)),
    "2-D, by 2 and 3, dilated": ((2, 9, 8, 2), (2, 3), 3, 1, (2, 3), (2, 1), (1, 2), (4, 3)),
    "2-D, windows in the padding": ((1, 2, 3, 2), (2, 2), 2, 1, (1, 2), (3, 1), (4, 2), (8, 4)),
    "2-D, one by one": ((2, 3, 3, 5), (1, 1), 2, 1, (1, 1), (1, 1), (0, 0), (3, 3)),
    "2-D, one by one, by 2": ((2, 3, 5, 3), (1, 1), 2, 1, (2, 2), (1, 1), (0, 0), (2, 3)),
    "groups": ((2, 4, 5, 4), (2, 2), 6, 2, (1, 2), (1, 1), (0, 1), (3, 3)),
    "depthwise": ((2, 5, 4, 3), (3, 3), 3, 3, (1, 1), (1, 1), (1, 1), (5, 4)),
    "depthwise, by 2, multiplied": ((1, 5, 6, 3), (3, 2), 6, 3, (2, 2), (1, 2), (1, 0), (3, 2)),
    "3-D": ((2, 4, 3, 5, 2), (2, 2, 3), 3, 1, (1, 2, 1), (2, 1, 1), (0, 1, 1), (2, 2, 5)),
    "many channels": ((1, 5, 9, 19), (3, 3), 27, 1, (1, 1), (1, 1), (1, 1), (5, 9)),
    "no batch": ((0, 4, 4, 2), (2, 2), 3, 1, (1, 1), (1, 1), (0, 0), (3, 3)),
    "no positions": ((2, 2, 4, 2), (3, 2), 3, 1, (1, 1), (1, 1), (0, 0), (0, 3)),
}  # fmt: skip


def convolution_samples(sample: Callable[..., Any], op: str) -> list[Any]:
    """One sample for each place in the table; `convolution` reads x and w, its gradients the output and one of them."""
    found = []
    for name, (shape, window, out, groups, strides, dilations, low, sizes) in _PLACES.items():
        x, w, y = f(*shape), f(*window, shape[-1] // groups, out), f(shape[0], *sizes, out)
        settings = {"strides": strides, "dilations": dilations, "low": low, "groups": groups}
        operands, result = {
            "convolution": ((x, w), {"sizes": sizes}),
            "convolution_input_gradient": ((y, np.swapaxes(w, -1, -2)), {"sizes": shape[1:-1], "channels": shape[-1]}),
            "convolution_filter_gradient": ((x, y), {"sizes": window, "channels": shape[-1] // groups}),
        }[op]
        found.append(sample(name, operands, {**settings, **result}, gradient=True))
        if name == "2-D, padded":
            single = tuple(a.astype("float32") for a in operands)
            found.append(sample(f"{name}, float32", single, {**settings, **result}))
    return found


# name: input, window, strides, dilations, low, sizes
_POOLS: dict[str, tuple[Any, ...]] = {
    "1-D": ((2, 6, 3), (2,), (2,), (1,), (0,), (3,)),
    "2-D": ((2, 4, 6, 3), (2, 2), (2, 2), (1, 1), (0, 0), (2, 3)),
    "overlapping, padded": ((2, 5, 4, 2), (3, 3), (2, 1), (1, 1), (1, 1), (3, 4)),
    "gaps and a rest": ((1, 7, 8, 2), (2, 1), (3, 3), (1, 1), (0, 0), (2, 3)),
    "dilated": ((1, 6, 5, 2), (2, 2), (1, 2), (2, 3), (1, 0), (5, 1)),
    "large window": ((1, 9, 9, 2), (7, 6), (2, 3), (1, 1), (3, 1), (4, 2)),
    "windows in the padding": ((1, 3, 2, 2), (2, 2), (2, 2), (1, 1), (2, 0), (3, 1)),
    "3-D": ((1, 3, 4, 5, 2), (2, 2, 3), (1, 2, 2), (1, 1, 1), (0, 0, 1), (2, 2, 3)),
    "many channels": ((1, 4, 4, 37), (2, 2), (2, 2), (1, 1), (0, 0), (2, 2)),
    "no batch": ((0, 4, 4, 2), (2, 2), (2, 2), (1, 1), (0, 0), (2, 2)),
}  # fmt: skip


def pool_samples(sample: Callable[..., Any], op: str) -> list[Any]:
    """One sample for each place in the table."""
    found = []
    for name, (shape, window, strides, dilations, low, sizes) in _POOLS.items():
        x, t, g = f(*shape), f(*shape, seed=1), f(shape[0], *sizes, shape[-1])
        settings = {"window": window, "strides": strides, "dilations": dilations, "low": low}
        operands, more = {
            "max_pool": ((x,), {"sizes": sizes}),
            "max_pool_gradient": ((x, g), {}),
            "max_pool_select": ((x, t), {"sizes": sizes}),
            "sum_pool": ((x,), {"sizes": sizes}),
            "sum_pool_gradient": ((g,), {"sizes": shape[1:-1]}),
        }[op]
        finite = not (op == "max_pool" and name == "windows in the padding")  # -inf there
        found.append(sample(name, operands, {**settings, **more}, gradient=finite))
        if name == "2-D":
            found.append(sample("float32", tuple(a.astype("float32") for a in operands), {**settings, **more}))
            ties = tuple(np.round(a / 2) for a in operands)
            found.append(sample("ties", ties, {**settings, **more}))
            special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
            filled = tuple(special[np.random.default_rng(3).integers(0, 6, a.shape)] for a in operands[:1])
            found.append(sample("special", (*filled, *operands[1:]), {**settings, **more}))
    return found


CONVOLUTIONS = ("convolution", "convolution_input_gradient", "convolution_filter_gradient")
POOLS = ("max_pool", "max_pool_gradient", "max_pool_select", "sum_pool", "sum_pool_gradient")


def structural(sample: Callable[..., Any]) -> dict[str, list[Any]]:
    """The samples of the primitive ops, made by `sample`."""
    return {op: convolution_samples(sample, op) for op in CONVOLUTIONS} | {op: pool_samples(sample, op) for op in POOLS}


# --- samples of the public functions -------------------------------------------------------------------------------------


def _row(
    title: str,
    function: Callable[..., Any],
    operands: tuple[Array, ...],
    expected: Callable[..., Any],
    *args: Any,
    **settings: Any,
) -> Any:
    shown = ", ".join([title, *map(str, args), *(f"{k}={v}" for k, v in settings.items())])
    return shown, operands, lambda *xs: function(*xs, *args, **settings), expected


def _conv(
    function: Callable[..., Any], x: Array, w: Array, strides: Any, padding: Any, dilations: Any = None, first: str | None = None
) -> Any:
    n = x.ndim - 2
    steps, spread = ((value,) * n if isinstance(value, int) else tuple(value) for value in (strides, dilations or 1))

    def expected(x: Array, w: Array) -> Array:
        result = convolve(_last(x) if first else x, w, steps, padding, spread)
        return _first(result) if first else result

    settings = {"data_format": first} if first else {}
    if dilations:
        settings["dilations"] = dilations
    return _row(f"{list(x.shape)} {list(w.shape)}", function, (x, w), expected, strides, padding, **settings)


def _depthwise(x: Array, w: Array, strides: Any, padding: Any) -> Array:
    return convolve(x, w.reshape(*w.shape[:2], 1, -1), strides, padding, (1, 1))


def _transposed(function: Callable[..., Any], x: Array, w: Array, shape: Any, strides: Any, padding: str, **settings: Any) -> Any:
    """The transpose by its definition: sum(y * conv(x)) == sum(x * transposed(y)), for x all unit vectors."""
    n = len(shape) - 2
    steps = (strides,) * n if isinstance(strides, int) else tuple(strides)
    first = "NC" in settings.get("data_format", "")

    def expected(y: Array, w: Array) -> Array:
        y = _last(y) if first else y
        inner = (*shape[:1], *shape[2:], shape[1]) if first else tuple(shape)
        result = np.zeros(inner)
        for place in np.ndindex(*inner):
            unit = np.zeros(inner)
            unit[place] = 1.0
            result[place] = (y * convolve(unit, w, steps, padding, (1,) * n)).sum()
        return _first(result) if first else result

    return _row(f"{list(x.shape)} {list(w.shape)}", function, (x, w), expected, shape, strides, padding, **settings)


def _pool(
    function: Callable[..., Any], how: str, x: Array, ksize: Any, strides: Any, padding: Any, first: str | None = None
) -> Any:
    n = x.ndim - 2
    window, steps = (
        (value,) * n if isinstance(value, int) else tuple(value)[-1 - n : -1] if len(value) > n else tuple(value)
        for value in (ksize, strides)
    )

    def expected(x: Array) -> Array:
        result = pooled(_last(x) if first else x, how, window, steps, padding)
        return _first(result) if first else result

    settings = {"data_format": first} if first else {}
    return _row(f"{list(x.shape)}", function, (x,), expected, ksize, strides, padding, **settings)


_NN = gf.nn
_IMAGE = f(2, 5, 6, 4)

TABLE: dict[str, list[Any]] = {
    "convolution": [
        _conv(_NN.convolution, f(2, 6, 3), f(3, 3, 2), 1, "VALID"),
        _conv(_NN.convolution, _IMAGE, f(2, 3, 2, 6), [1, 2], [(1, 0), (2, 1)]),
        _conv(_NN.convolution, f(1, 3, 4, 3, 2), f(2, 2, 2, 2, 3), 1, "SAME"),
    ],
    "conv1d": [
        _conv(_NN.conv1d, f(2, 7, 3), f(4, 3, 2), 2, "SAME"),
        _conv(_NN.conv1d, f(2, 3, 7), f(2, 3, 2), 1, "VALID", 3, "NCW"),
    ],
    "conv2d": [
        *(_conv(_NN.conv2d, _IMAGE, f(3, 2, 4, 5), s, p) for s in (1, [2, 3]) for p in ("SAME", "VALID")),
        _conv(_NN.conv2d, _IMAGE, f(2, 2, 4, 3), 1, "SAME", [2, 1]),
        _conv(_NN.conv2d, f(2, 4, 5, 6), f(3, 3, 2, 4), 2, "SAME", None, "NCHW"),
    ],
    "conv3d": [
        _conv(_NN.conv3d, f(1, 4, 3, 5, 2), f(2, 3, 2, 2, 3), [1, 2, 1], "SAME"),
        _conv(_NN.conv3d, f(1, 2, 4, 3, 5), f(2, 2, 2, 2, 3), 1, "VALID", None, "NCDHW"),
    ],
    "depthwise_conv2d": [
        _row("one", _NN.depthwise_conv2d, (_IMAGE, f(3, 3, 4, 1)), lambda x, w: _depthwise(x, w, (1, 1), "SAME"), 1, "SAME"),
        _row("two", _NN.depthwise_conv2d, (_IMAGE, f(2, 3, 4, 2)), lambda x, w: _depthwise(x, w, (2, 2), "VALID"), [1, 2, 2, 1], "VALID"),
    ],
    "separable_conv2d": [
        _row("", _NN.separable_conv2d, (_IMAGE, f(3, 3, 4, 2), f(1, 1, 8, 3)), lambda x, w, p: _depthwise(x, w, (1, 1), "SAME") @ p[0, 0], 1, "SAME"),
    ],
    "conv1d_transpose": [_transposed(_NN.conv1d_transpose, f(2, 3, 2), f(3, 4, 2), [2, 6, 4], 2, "SAME")],
    "conv2d_transpose": [
        _transposed(_NN.conv2d_transpose, f(1, 2, 3, 2), f(3, 2, 3, 2), [1, 4, 6, 3], 2, "SAME"),
        _transposed(_NN.conv2d_transpose, f(1, 2, 3, 2), f(3, 2, 3, 2), [1, 5, 4, 3], [2, 1], "VALID"),
        _transposed(_NN.conv2d_transpose, f(1, 2, 2, 3), f(2, 2, 3, 2), [1, 3, 3, 4], 1, "VALID", data_format="NCHW"),
    ],
    "conv3d_transpose": [_transposed(_NN.conv3d_transpose, f(1, 3, 1, 2, 2), f(2, 1, 2, 1, 2), [1, 3, 2, 4, 1], [1, 2, 2], "SAME")],
    "max_pool": [_pool(_NN.max_pool, "max", _IMAGE, [1, 2, 2, 1], [1, 2, 1, 1], [(0, 0), (0, 1), (1, 0), (0, 0)][1:3])],
    "max_pool1d": [_pool(_NN.max_pool1d, "max", f(2, 7, 3), 3, 2, "SAME")],
    "max_pool2d": [
        *(_pool(_NN.max_pool2d, "max", _IMAGE, k, s, p) for k, s in ((2, 2), ((3, 2), (1, 2))) for p in ("SAME", "VALID")),
        _pool(_NN.max_pool2d, "max", f(2, 4, 5, 6), 2, 2, "SAME", "NCHW"),
    ],
    "max_pool3d": [_pool(_NN.max_pool3d, "max", f(1, 4, 3, 5, 2), 2, 2, "SAME")],
    "avg_pool": [_pool(_NN.avg_pool, "avg", f(2, 6, 3), 2, 2, "VALID")],
    "avg_pool1d": [_pool(_NN.avg_pool1d, "avg", f(2, 3, 7), 3, 2, "SAME", "NCW")],
    "avg_pool2d": [_pool(_NN.avg_pool2d, "avg", _IMAGE, k, s, p) for k, s in ((2, 2), ((3, 2), (1, 2))) for p in ("SAME", "VALID")],
    "avg_pool3d": [_pool(_NN.avg_pool3d, "avg", f(1, 4, 3, 5, 2), 2, 1, "SAME")],
    "bias_add": [
        _row("last", _NN.bias_add, (_IMAGE, f(4)), lambda x, b: x + b),
        _row("first", _NN.bias_add, (_IMAGE, f(5)), lambda x, b: x + b[:, None, None], "NCHW"),
    ],
    "batch_normalization": [
        _row("all", _NN.batch_normalization, (_IMAGE, f(4), np.abs(f(4)), f(4, seed=1), f(4, seed=2)),
             lambda x, m, v, o, s: (x - m) / np.sqrt(v + 1e-3) * s + o),
        _row("plain", _NN.batch_normalization, (_IMAGE, f(4), np.abs(f(4))), lambda x, m, v: (x - m) / np.sqrt(v + 0.1), variance_epsilon=0.1),
    ],
}  # fmt: skip
