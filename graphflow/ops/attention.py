"""Attention: softmax(Q K^T) V and its gradient without the matrix of all scores in memory.

`attention` and `attention_gradient` are library ops that go over blocks of scores. The algorithm is that of Dao et al.,
"FlashAttention: fast and memory-efficient exact attention with IO-awareness", NeurIPS 2022.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import zeros_like
from graphflow.ops.declare import composition, op, require_equal
from graphflow.ops.linalg import matmul, pair
from graphflow.ops.logic import cast, less_equal, where
from graphflow.ops.movement import broadcast_to, iota, reshape
from graphflow.ops.nn import softmax
from graphflow.ops.reductions import reduce_sum
from graphflow.types import TensorType, broadcast_shapes, int64

# --- references -----------------------------------------------------------------------------------------------------------


def _weights(q: np.ndarray, k: np.ndarray, scale: float, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """(softmax of the scores, logarithm of the sum of their exponentials)."""
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(scale)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    top = scores.max(-1, keepdims=True, initial=-np.inf)
    base = np.where(top > -np.inf, top, 0)
    weights = np.exp(scores - base)
    total = weights.sum(-1, keepdims=True)
    return (weights / total).astype(q.dtype), (base + np.log(total))[..., 0].astype(q.dtype)


def _attention_reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, *, scale: float, causal: bool) -> tuple[np.ndarray, ...]:
    weights, total = _weights(q, k, scale, causal)
    return np.matmul(weights, v), total


def _gradient_reference(q, k, v, out, total, g, *, scale, causal):  # type: ignore[no-untyped-def]
    weights, _ = _weights(q, k, scale, causal)
    of_weights = np.matmul(g, np.swapaxes(v, -1, -2))
    of_scores = weights * (of_weights - (g * out).sum(-1, keepdims=True)) * q.dtype.type(scale)
    of_k = np.matmul(np.swapaxes(of_scores, -1, -2), q)
    return np.matmul(of_scores, k), of_k, np.matmul(np.swapaxes(weights, -1, -2), g)


# --- ops ------------------------------------------------------------------------------------------------------------------


@op(access=Access.OPAQUE, reference=_attention_reference, common=("q", "k", "v"), cost=2)
def attention(q, k, v, *, scale, causal):
    """softmax(scale * q k^T) v over the last two axes, and the logarithm of the sum each row of scores is divided by.

    q [..., queries, width], k [..., keys, width], v [..., keys, depth]. `causal`: a query attends to no later key.
    """
    _check(q, k, v)
    rows = q.shape[:-1]
    return q.with_shape((*rows, v.shape[-1])), q.with_shape(rows)


@op(access=Access.OPAQUE, reference=_gradient_reference, common=("q", "k", "v", "out", "total", "g"), cost=5)
def attention_gradient(q, k, v, out, total, g, *, scale, causal):
    """The cotangents of q, k and v, given the results of `attention` and the cotangent of the first."""
    _check(q, k, v)
    return q, k, v


def _check(q: TensorType, k: TensorType, v: TensorType) -> None:
    if len({q.dtype, k.dtype, v.dtype}) > 1:
        raise DTypeError(f"dtypes differ, {q.dtype}, {k.dtype} and {v.dtype}", rule="Queries, keys and values share one dtype.")
    assert q.dtype.name in ("float32", "float64") and q.rank == k.rank == v.rank >= 2
    require_equal(q.shape[-1], k.shape[-1], "widths of queries and keys differ")
    require_equal(k.shape[-2], v.shape[-2], "numbers of keys and of values differ")
    for a, b, c in zip(q.shape[:-2], k.shape[:-2], v.shape[:-2], strict=True):
        require_equal(a, b, "batches of queries and keys differ")
        require_equal(a, c, "batches of queries and values differ")


@attention.defvjp_all
def _attention_vjp(gs, outs, q, k, v, *, scale, causal):  # type: ignore[no-untyped-def]
    g, of_total = gs
    g = zeros_like(outs[0]) if g is None else g
    found = attention_gradient(q, k, v, *outs, g, scale=scale, causal=causal)
    if of_total is None:
        return found
    spread = weights_of(q, k, scale, causal) * of_total[..., None] * scale
    return found[0] + matmul(spread, k), found[1] + matmul(spread, q, transpose_a=True), found[2]


@attention_gradient.defvjp_all
def _attention_gradient_vjp(gs, outs, q, k, v, out, total, g, *, scale, causal):  # type: ignore[no-untyped-def]
    """The chain rule through the formulas of `_gradient_reference`, as ops; `out` and `total` count as functions of q, k, v."""
    of_q, of_k, of_v = (zeros_like(x) if g_of is None else g_of for g_of, x in zip(gs, (q, k, v), strict=True))
    weights = weights_of(q, k, scale, causal)
    of_weights = matmul(g, v, transpose_b=True)
    centred = of_weights - reduce_sum(weights * of_weights, -1, keepdims=True)
    scores = weights * centred * scale
    x = matmul(of_q, k, transpose_b=True) + matmul(q, of_k, transpose_b=True)  # cotangent of the cotangents of the scores
    total_x = reduce_sum(weights * x, -1, keepdims=True)
    of_of_weights = weights * (x - total_x) * scale
    of_p = (x * centred - total_x * of_weights) * scale + matmul(g, of_v, transpose_b=True)
    of_scores = weights * (of_p - reduce_sum(weights * of_p, -1, keepdims=True)) * scale
    return (
        matmul(scores, of_k) + matmul(of_scores, k),
        matmul(scores, of_q, transpose_a=True) + matmul(of_scores, q, transpose_a=True),
        matmul(of_of_weights, g, transpose_a=True),
        None,
        None,
        matmul(weights, of_v) + matmul(of_of_weights, v),
    )


def weights_of(q: Tensor, k: Tensor, scale: float, causal: bool) -> Tensor:
    """softmax(scale * q k^T), as ops."""
    scores = matmul(q, k, transpose_b=True) * scale
    return softmax(where(visible(scores), scores, -math.inf) if causal else scores)


def visible(scores: Tensor) -> Tensor:
    """Which keys a query may attend to: those no later than itself."""
    queries, keys = scores.shape[-2:]
    of_query = reshape(iota(size=queries, dtype=int64), (queries, 1))
    return less_equal(iota(size=keys, dtype=int64), of_query)


# --- the public function --------------------------------------------------------------------------------------------------


@composition
def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(scale * query key^T) value over the last two axes; leading axes (batch, heads) broadcast.

    query [..., queries, width], key [..., keys, width], value [..., keys, depth] give [..., queries, depth]. `scale` is
    1 / sqrt(width) unless given. `is_causal`: query i attends to keys 0..i. `mask` broadcasts to [..., queries, keys]: where it
    is bool, False keeps a query from a key; where it is of floats, it is added to the scores. Without a mask the scores are never
    in memory as a whole. Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """
    query, key = pair(query, key)
    query, value = pair(query, value)
    if not query.dtype.is_floating:
        raise DTypeError(f"no attention of {query.dtype}", rule="It takes floats; use gf.cast(x, dtype).")
    if min(query.rank, key.rank, value.rank) < 2:
        raise ShapeError(
            "attention of a vector", operands={"query": query, "key": key, "value": value}, rule="The last two axes count."
        )
    if scale is None:
        if not isinstance(query.shape[-1], int):
            raise ShapeError("the width is not known", operands={"query": query}, rule="Give `scale`.")
        scale = 1 / math.sqrt(max(query.shape[-1], 1))
    if mask is not None:
        return _masked(query, key, value, mask, is_causal, scale)
    batch = broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    spread = [x if x.shape[:-2] == batch else broadcast_to(x, (*batch, *x.shape[-2:])) for x in (query, key, value)]
    wide = [cast(x, x.dtype.compute) for x in spread]
    return cast(attention(*wide, scale=float(scale), causal=bool(is_causal))[0], query.dtype)


def _masked(query: Tensor, key: Tensor, value: Tensor, mask: Any, is_causal: bool, scale: float) -> Tensor:
    scores = matmul(query, key, transpose_b=True) * scale
    mask = convert_to_tensor(mask)
    scores = where(mask, scores, -math.inf) if mask.dtype.is_bool else scores + mask
    return matmul(softmax(where(visible(scores), scores, -math.inf) if is_causal else scores), value)
