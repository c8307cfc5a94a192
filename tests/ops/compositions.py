"""Samples of the public functions made of ops, with NumPy's answer to each."""

# ruff: noqa: E501 - a table, one sample a line
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import graphflow as gf
from graphflow.ops.declare import COMPOSITIONS as PUBLIC

Array = np.ndarray


def f(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + 17 * len(shape) + sum(shape)).uniform(-2, 2, shape)


def i(*values: Any, dtype: str = "int32") -> Array:
    return np.array(values, dtype)


Row = tuple[str, tuple[Array, ...], Callable[..., Any], Callable[..., Any] | None]
_STEEP = np.array([[1000.0, -1000.0, 0.0], [-np.inf, 0.0, 1.0]])


def _softmax(x: Array, axis: int = -1) -> Array:
    weights = np.exp(x - x.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x)


def _scattered(x: Array, at: Array, y: Array, add: bool = False) -> Array:
    result = x.copy()
    for place, value in zip(at, y, strict=True):
        result[tuple(place)] = result[tuple(place)] + value if add else value
    return result


def _one_hot(x: Array, depth: int) -> Array:
    return (np.asarray(x)[..., None] == np.arange(depth)).astype("float32")


def row(
    function: Callable[..., Any], operands: tuple[Array, ...], expected: Callable[..., Any] | None, *args: Any, **settings: Any
) -> Any:
    """(name, operands, build, expected) of one call: the operands, then what is constant."""
    shown = ", ".join(
        [*(f"{x.dtype}{list(x.shape)}" for x in operands), *map(str, args), *(f"{k}={v}" for k, v in settings.items())]
    )
    return shown, operands, lambda *xs: function(*xs, *args, **settings), expected


def _axes(function: Callable[..., Any], reference: Callable[..., Any], *arrays: Array) -> list[Any]:
    rows = []
    for x in arrays:
        for axis in (None, *range(-1, x.ndim)):
            for keepdims in (False, True):

                def expected(a, axis=axis, keepdims=keepdims):
                    return reference(a, axis=axis, keepdims=keepdims)

                rows.append(row(function, (x,), expected, axis=axis, keepdims=keepdims))
    return rows


def _logsumexp(x: Array, axis: Any, keepdims: bool) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _keys() -> list[Any]:
    keys: list[Any] = [
        0, -1, slice(1, 3), slice(None, None, 2), slice(None, None, -1), slice(-3, None), slice(10, 20), slice(-100, 2),
        slice(4, 0, -2), slice(None, -2), slice(3, 1), slice(-2, -100, -1), Ellipsis, None, (0, 1), (Ellipsis, 1),
        (slice(1, None), None, -1), (Ellipsis, None), (slice(None), slice(2, 0, -1)), (None, 2, None, slice(0, 2)),
    ]  # fmt: skip
    return keys


def _einsums() -> list[Any]:
    shapes = {"i": 3, "j": 4, "k": 2, "l": 5, "b": 2}
    equations = [
        "ij,jk->ik", "ij,jk", "ij->ji", "ij->", "ij->i", "ii->i", "ii->", "ii", "iij->j", "ij,ij->ij", "ij,ij->", "i,i->", "i,j->ij",
        "bij,bjk->bik", "bij,bj->bi", "ij,jk,kl->il", "ijk,jil->kl", "bij,bkj->bik", "ij,j->i", "j,ij->i", "i,ij,j->", "ji,kj->ik",
        "...ij,jk->...ik", "...i,...i->...", "i...->...", "bi...,bj...->bij...", "ijk->kij", "ij,kl->jlik", "...", "i,i,i->i", "jb,jk->bk",
    ]  # fmt: skip
    rows = []
    for equation in equations:
        terms = equation.split("->")[0].split(",")
        operands = []
        for k, term in enumerate(terms):
            dots = (2, 3) if "..." in term else ()
            before, _, after = term.partition("...")
            operands.append(f(*(shapes[c] for c in before), *dots, *(shapes[c] for c in after), seed=k))
        rows.append(
            (equation, tuple(operands), lambda *xs, e=equation: gf.einsum(e, *xs), lambda *xs, e=equation: np.einsum(e, *xs))
        )
    return rows


def _attentions() -> list[Any]:
    def expected(q, k, v, mask=None, is_causal=False, scale=None):
        scores = q @ np.swapaxes(k, -1, -2) * (scale or q.shape[-1] ** -0.5)
        if is_causal:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
        if mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        return _softmax(scores) @ v

    three = f(2, 3, 4), f(2, 5, 4, seed=1), f(2, 5, 2, seed=2)
    spread = f(3, 2), f(2, 1, 4, 2, seed=1), f(2, 4, 3, seed=2)
    kept = np.tri(3, 5, 1, dtype=bool)
    function = gf.nn.scaled_dot_product_attention
    return [
        row(function, three, expected),
        row(function, three, lambda *x: expected(*x, scale=0.3), scale=0.3),
        row(function, three, lambda *x: expected(*x, is_causal=True), is_causal=True),
        row(function, spread, expected),
        row(function, (*three, f(5)), expected),
        row(function, three, lambda *x: expected(*x, mask=kept, is_causal=True), mask=kept, is_causal=True),
        row(function, (f(3, 2).astype("float16"), f(4, 2).astype("float16"), f(4, 2).astype("float16")), expected),
    ]


def _matmuls() -> list[Any]:
    rows = []
    shapes = [((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 5)),
              ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((0, 4), (4, 2))]  # fmt: skip
    for a, b in shapes:
        rows.append(row(gf.matmul, (f(*a), f(*b)), np.matmul))
    rows.append(row(gf.matmul, (f(2, 4, 3), f(4, 2)), lambda a, b: np.swapaxes(a, 1, 2) @ b, transpose_a=True))
    rows.append(row(gf.matmul, (f(2, 3, 4), f(2, 4)), lambda a, b: a @ b.T, transpose_b=True))
    rows.append(row(gf.matmul, (i([1, 2], [3, 4]), i([5, 6], [7, 8])), np.matmul))
    rows.append(row(gf.matmul, (f(2, 3) + 1j * f(2, 3, seed=1), f(3, 2) - 2j), np.matmul))
    rows.append(row(gf.matmul, (f(2, 3).astype("float16"), f(3, 2).astype("float16")), np.matmul))
    return rows


def _spread(function: Callable[..., Any], reference: Callable[..., Any], *arrays: Array) -> list[Any]:
    return [row(function, (x,), reference) for x in arrays]


_X = f(3, 4)
_CUBE = f(2, 3, 4)
_LOGITS = f(4, 3)
_LABELS = i(0, 2, 1, 1)
_POSITIVE = np.abs(f(2, 3, seed=3)) + 0.1

TABLE: dict[str, list[Any]] = {
    "square": _spread(gf.square, np.square, _X, i(1, -2)),
    "reciprocal": _spread(gf.reciprocal, np.reciprocal, _POSITIVE),
    "squared_difference": [row(gf.squared_difference, (_X, f(4)), lambda x, y: (x - y) ** 2)],
    "clip_by_value": [row(gf.clip_by_value, (_X * 2,), lambda x: np.clip(x, -1.0, 0.5), -1.0, 0.5)],
    "is_nan": _spread(gf.is_nan, np.isnan, np.array([np.nan, np.inf, 1.0])),
    "is_inf": _spread(gf.is_inf, np.isinf, np.array([np.nan, np.inf, -np.inf, 1.0])),
    "is_finite": _spread(gf.is_finite, np.isfinite, np.array([np.nan, np.inf, -np.inf, 1.0])),
    "log_sigmoid": _spread(gf.log_sigmoid, lambda x: -np.logaddexp(0, -x), _X, np.array([-1000.0, 1000.0])),
    "xlogy": [row(gf.xlogy, (_X, np.abs(_X) + 0.1), lambda x, y: x * np.log(y)),
              row(gf.xlogy, (np.float32([0.0, 2.0]), np.float32([0.0, 3.0])), lambda x, y: np.float32([0, 2 * np.log(3)]))],
    "reduce_sum": _axes(gf.reduce_sum, np.sum, _X, _CUBE),
    "reduce_prod": _axes(gf.reduce_prod, np.prod, _X),
    "reduce_max": _axes(gf.reduce_max, np.max, _X),
    "reduce_min": _axes(gf.reduce_min, np.min, _X),
    "reduce_any": _axes(gf.reduce_any, np.any, _X > 1),
    "reduce_all": _axes(gf.reduce_all, np.all, _X > -1),
    "reduce_mean": _axes(gf.reduce_mean, np.mean, _X, _CUBE, (_X * 5).astype("int32"), f(2, 2) + 1j),
    "reduce_variance": _axes(gf.reduce_variance, np.var, _X),
    "reduce_std": _axes(gf.reduce_std, np.std, _X),
    "moments": [row(gf.moments, (_X,), lambda x: (x.mean(0), x.var(0)), axes=0)],
    "norm": _axes(gf.norm, lambda x, axis, keepdims: np.sqrt((abs(x) ** 2).sum(axis=axis, keepdims=keepdims)), _X, f(3) + 1j),
    "logsumexp": _axes(gf.logsumexp, _logsumexp, _X, np.array([[-np.inf, -np.inf], [0.0, -np.inf]])),
    "argmax": [row(gf.argmax, (x,), lambda x, a=a: x.argmax(a), axis=a) for x in (_X, i([3, 1], [3, 7]), np.array([[1, np.nan]])) for a in (0, 1, -1)],
    "argmin": [row(gf.argmin, (x,), lambda x, a=a: x.argmin(a), axis=a) for x in (_X, i([3, 1], [3, 1])) for a in (0, 1)],
    "fill": [("number", (), lambda: gf.fill([2, 3], 7), lambda: np.full((2, 3), 7, "int32")),
             row(lambda v: gf.fill([2], v), (f(),), lambda v: np.full(2, v))],
    "zeros": [("float", (), lambda: gf.zeros([2, 3]), lambda: np.zeros((2, 3), "float32")),
              ("bool", (), lambda: gf.zeros([2], gf.bool), lambda: np.zeros(2, bool))],
    "ones": [("int", (), lambda: gf.ones([2], gf.int64), lambda: np.ones(2, "int64")), ("rank 0", (), lambda: gf.ones([]), lambda: np.float32(1))],
    "zeros_like": _spread(gf.zeros_like, np.zeros_like, _X, i(1, 2)),
    "ones_like": _spread(gf.ones_like, np.ones_like, _X, i(1, 2)),
    "range": [(str(a), (), lambda a=a: gf.range(*a), lambda a=a: np.arange(*a).astype("int32" if all(isinstance(v, int) for v in a) else "float32"))
              for a in ((5,), (2, 9, 3), (5, 0, -2), (3, 3), (0.0, 1.0, 0.25), (9, 2))],
    "shape": _spread(gf.shape, lambda x: np.array(x.shape, "int32"), _X, f()),
    "size": _spread(gf.size, lambda x: np.int32(x.size), _X, f()),
    "rank": _spread(gf.rank, lambda x: np.int32(x.ndim), _X, f()),
    "expand_dims": [row(gf.expand_dims, (_X,), lambda x, a=a: np.expand_dims(x, a), axis=a) for a in (0, 1, -1)],
    "squeeze": [row(gf.squeeze, (f(1, 3, 1),), lambda x: x[0, :, 0], axis=[0, 2]), row(gf.squeeze, (f(1, 3, 1),), lambda x: x[..., 0], axis=-1)],
    "moveaxis": [row(gf.moveaxis, (_CUBE,), lambda x, s=s, d=d: np.moveaxis(x, s, d), s, d) for s, d in ((0, 2), (2, 0), (-1, 1))],
    "swapaxes": [row(gf.swapaxes, (_CUBE,), lambda x: np.swapaxes(x, 0, 2), 0, -1)],
    "flip": [row(gf.flip, (_X,), lambda x, a=a: np.flip(x, a), axis=a) for a in (None, 0, -1)],
    "concat": [row(lambda a, b: gf.concat([a, b], 1), (f(2, 3), f(2, 1)), lambda a, b: np.concatenate([a, b], 1)),
               row(lambda a: gf.concat([a, [1.0, 2.0], a], 0), (f(3),), lambda a: np.concatenate([a, [1, 2], a]))],
    "stack": [row(lambda a, b, k=k: gf.stack([a, b], k), (f(2, 3), f(2, 3, seed=1)), lambda a, b, k=k: np.stack([a, b], k)) for k in (0, 1, 2, -1)]
    + [row(lambda a: gf.stack([a, 2.0]), (f(),), lambda a: np.stack([a, 2.0]))],
    "unstack": [row(gf.unstack, (f(2, 3),), lambda x: tuple(x)), row(gf.unstack, (f(2, 3),), lambda x: tuple(x.T), axis=1)],
    "split": [row(gf.split, (f(4, 6),), lambda x: tuple(np.split(x, 3, 1)), 3, 1),
              row(gf.split, (f(4, 6),), lambda x: (x[:1], x[1:3], x[3:]), [1, -1, 1])],
    "tile": [row(gf.tile, (f(2, 3),), lambda x: np.tile(x, (2, 1)), [2, 1]), row(gf.tile, (f(2, 3),), lambda x: np.tile(x, (0, 2)), [0, 2])],
    "pad": [row(gf.pad, (f(2, 3),), lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=5), [[1, 2], [0, 1]], constant_values=5),
            row(gf.pad, (f(3, 4),), lambda x: np.pad(x, ((1, 2), (2, 0)), mode="reflect"), [[1, 2], [2, 0]], "REFLECT"),
            row(gf.pad, (f(3, 4),), lambda x: np.pad(x, ((1, 2), (2, 0)), mode="symmetric"), [[1, 2], [2, 0]], "SYMMETRIC")],
    "getitem": [row(lambda x, k=k: x[k], (f(5, 4),), lambda x, k=k: x[k]) for k in _keys()]
    + [row(lambda x: x[[0, -1, 2]], (f(4, 3),), lambda x: x[[0, -1, 2]]),
       row(lambda x, n: x[1:, n], (f(4, 3), i(2, 0)), lambda x, n: x[1:, n]),
       row(lambda x, n: x[n], (f(4, 3), np.int64(3).reshape(())), lambda x, n: x[n])],
    "slice_of": [row(lambda x: gf.ops.indexing.slice_of(x, [1, 0], [2, -1]), (f(4, 3),), lambda x: x[1:3])],
    "gather": [row(gf.gather, (f(4, 3), i(3, 0)), lambda x, n: x[n]), row(gf.gather, (f(4, 3), i([2, 0])), lambda x, n: x[:, n], axis=1),
               row(gf.gather, (f(2, 4), i([3], [0])), lambda x, n: np.take_along_axis(x, n, 1), batch_dims=1)],
    "take_along_last": [row(gf.ops.indexing.take_along_last, (_LOGITS, _LABELS), lambda x, n: x[np.arange(4), n])],
    "one_hot": [row(gf.one_hot, (i(0, 2, -1, 5),), lambda x: _one_hot(x, 3), 3),
                row(gf.one_hot, (i([0], [1]),), lambda x: np.moveaxis(_one_hot(x, 2), -1, 0) * 4 + 1, 2, 5.0, 1.0, 0)],
    "tensor_scatter_nd_add": [
        row(gf.tensor_scatter_nd_add, (f(4, 3), i([1], [3], [1]), f(3, 3)), lambda x, at, y: _scattered(x, at, y, add=True)),
        row(gf.tensor_scatter_nd_add, (f(4, 3), i([1, 2], [3, 0]), f(2)), lambda x, at, y: _scattered(x, at, y, add=True)),
    ],
    "tensor_scatter_nd_update": [
        row(gf.tensor_scatter_nd_update, (f(4, 3), i([1], [3], [1]), f(3, 3)), _scattered),
        row(gf.tensor_scatter_nd_update, (f(4, 3), i([1, 2], [3, 0]), f(2)), _scattered),
    ],
    "matmul": _matmuls(),
    "tensordot": [row(gf.tensordot, (_CUBE, f(4, 5)), lambda a, b: np.tensordot(a, b, 1), 1),
                  row(gf.tensordot, (_CUBE, f(3, 2)), lambda a, b: np.tensordot(a, b, [[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
                  row(gf.tensordot, (f(3), f(2)), lambda a, b: np.tensordot(a, b, 0), 0),
                  row(gf.tensordot, (_X, _X), lambda a, b: np.tensordot(a, b, 2), 2)],
    "einsum": _einsums(),
    "leaky_relu": _spread(gf.nn.leaky_relu, lambda x: np.where(x > 0, x, 0.2 * x), _X),
    "relu6": _spread(gf.nn.relu6, lambda x: np.clip(x, 0, 6), _X * 5),
    "elu": _spread(gf.nn.elu, lambda x: np.where(x > 0, x, np.expm1(x)), _X),
    "selu": _spread(gf.nn.selu, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), _X),
    "silu": _spread(gf.nn.silu, lambda x: x / (1 + np.exp(-x)), _X),
    "gelu": _spread(gf.nn.gelu, lambda x: x * (1 + _erf(x / np.sqrt(2))) / 2, _X)
    + [row(gf.nn.gelu, (_X,), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), approximate=True)],
    "softmax": [row(gf.nn.softmax, (x,), lambda x, a=a: _softmax(x, a), axis=a) for x in (_X, _CUBE, _STEEP) for a in (0, -1)],
    "log_softmax": [row(gf.nn.log_softmax, (x,), lambda x, a=a: np.log(_softmax(x, a)), axis=a) for x in (_X, _CUBE) for a in (0, -1)],
    "scaled_dot_product_attention": _attentions(),
    "softmax_cross_entropy_with_logits": [
        row(gf.nn.softmax_cross_entropy_with_logits, (_softmax(f(4, 3, seed=5)), _LOGITS), lambda y, x: -(y * np.log(_softmax(x))).sum(-1)),
        row(gf.nn.softmax_cross_entropy_with_logits, (np.array([[0.0, 1.0]]), np.array([[-np.inf, 0.0]])), lambda y, x: np.zeros(1)),
    ],
    "sparse_softmax_cross_entropy_with_logits": [
        row(gf.nn.sparse_softmax_cross_entropy_with_logits, (_LABELS, _LOGITS), lambda n, x: -np.log(_softmax(x))[np.arange(4), n]),
        row(gf.nn.sparse_softmax_cross_entropy_with_logits, (i(0, dtype="int64"), np.array([[1000.0, 0.0]])), lambda n, x: np.zeros(1)),
    ],
    "sigmoid_cross_entropy_with_logits": [
        row(gf.nn.sigmoid_cross_entropy_with_logits, (_softmax(f(4, 3)), _LOGITS), lambda y, x: np.logaddexp(0, x) - x * y),
    ],
    "l2_loss": _spread(gf.nn.l2_loss, lambda x: (x * x).sum() / 2, _X),
    "l2_normalize": [row(gf.nn.l2_normalize, (_X,), lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), axis=1)],
    "dropout": [row(gf.nn.dropout, (np.ones((3, 2)),), None, 0.5, seed=3), row(gf.nn.dropout, (_X,), lambda x: x, 0.0)],
}  # fmt: skip

# Not differentiable, or not smooth at the sample: the gradient is checked elsewhere.
FLAT = frozenset(
    [
        "is_nan",
        "is_inf",
        "is_finite",
        "reduce_any",
        "reduce_all",
        "argmax",
        "argmin",
        "fill",
        "zeros",
        "ones",
        "zeros_like",
        "ones_like",
        "range",
        "shape",
        "size",
        "rank",
        "one_hot",
    ]
)

assert PUBLIC.keys() >= TABLE.keys(), TABLE.keys() - PUBLIC.keys()
