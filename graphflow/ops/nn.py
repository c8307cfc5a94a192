"""Neural-network functions: activations, softmax and its losses, normalisation, dropout; all of them compositions."""

from __future__ import annotations

import math
from typing import Any

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.graph import name_scope
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import maximum, minimum, relu
from graphflow.ops.declare import check_axis, composition
from graphflow.ops.elementary import erf, exp, expm1, log, rsqrt, sigmoid, softplus, tanh
from graphflow.ops.indexing import index_tensor, take_along_last
from graphflow.ops.linalg import pair
from graphflow.ops.logic import cast, equal, greater, greater_equal, identity, where
from graphflow.ops.movement import ensure_shape
from graphflow.ops.random import bernoulli_mask
from graphflow.ops.reductions import finite_maximum, reduce_sum

# --- activations -------------------------------------------------------------------------------------------------------


@composition
def leaky_relu(features: Any, alpha: float = 0.2) -> Tensor:
    """Elementwise x where x > 0, else alpha * x. Maas, Hannun, Ng, "Rectifier nonlinearities ...", ICML 2013."""
    x = convert_to_tensor(features)
    return where(greater(x, 0), x, x * alpha)


@composition
def relu6(features: Any) -> Tensor:
    """Elementwise min(max(x, 0), 6)."""
    return minimum(relu(features), 6)


@composition
def elu(features: Any) -> Tensor:
    """Elementwise x where x > 0, else exp(x) - 1."""
    x = convert_to_tensor(features)
    return where(greater(x, 0), x, expm1(x))


_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


@composition
def selu(features: Any) -> Tensor:
    """Elementwise scaled elu with fixed point mean 0, variance 1. Klambauer et al., "Self-normalizing neural networks", 2017."""
    x = convert_to_tensor(features)
    return where(greater(x, 0), x, _SELU_ALPHA * expm1(x)) * _SELU_SCALE


@composition
def silu(features: Any) -> Tensor:
    """Elementwise x * sigmoid(x), also known as swish."""
    x = convert_to_tensor(features)
    return x * sigmoid(x)


@composition
def gelu(features: Any, approximate: bool = False) -> Tensor:
    """Elementwise x * P(normal <= x); `approximate` takes tanh for erf. Hendrycks, Gimpel, arXiv:1606.08415."""
    x = convert_to_tensor(features)
    if approximate:
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


# --- softmax and its losses --------------------------------------------------------------------------------------------


def _floats(x: Any, what: str) -> Tensor:
    tensor = convert_to_tensor(x)
    if not tensor.dtype.is_floating:
        raise DTypeError(
            f"{what} are {tensor.dtype}", operands={what: tensor}, rule="They are floats; use gf.cast(x, gf.float32)."
        )
    if not tensor.rank:
        raise ShapeError(f"{what} are a scalar", operands={what: tensor}, rule="There must be an axis of classes.")
    return tensor


@composition
def softmax(logits: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""
    x = _floats(logits, "logits")
    axis = check_axis(axis, x.rank)
    weights = exp(x - finite_maximum(x, (axis,)))
    return weights / reduce_sum(weights, axis, keepdims=True)


@composition
def log_softmax(logits: Any, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along `axis`, without overflow."""
    x = _floats(logits, "logits")
    axis = check_axis(axis, x.rank)
    shifted = x - finite_maximum(x, (axis,))
    return shifted - log(reduce_sum(exp(shifted), axis, keepdims=True))


@composition
def softmax_cross_entropy_with_logits(labels: Any, logits: Any, axis: int = -1) -> Tensor:
    """-sum(labels * log_softmax(logits)) along `axis`; `labels` are probabilities. Gradients flow to both."""
    labels, logits = pair(labels, logits)
    logits = _floats(logits, "logits")
    if labels.rank != logits.rank:
        raise ShapeError(
            f"labels have rank {labels.rank}, logits {logits.rank}", operands={"labels": labels, "logits": logits},
            rule="Both have one probability for each class; for class numbers use sparse_softmax_cross_entropy_with_logits.",
        )  # fmt: skip
    labels = ensure_shape(labels, logits.shape)
    axis = check_axis(axis, logits.rank)
    shifted = logits - finite_maximum(logits, (axis,))
    total = log(reduce_sum(exp(shifted), axis, keepdims=True))
    # A label of 0 counts for nothing, also against a logit of -inf.
    return reduce_sum(where(equal(labels, 0), 0, labels * (total - shifted)), axis)


@composition
def sparse_softmax_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """-log_softmax(logits)[..., label]: `labels` are class numbers, one for each row of `logits`.

    A label outside 0..classes-1 is an IndexOutOfRangeError of the run.
    """
    logits, labels = _floats(logits, "logits"), index_tensor(labels)
    if labels.rank != logits.rank - 1:
        raise ShapeError(
            f"labels have rank {labels.rank}, logits {logits.rank}", operands={"labels": labels, "logits": logits},
            rule="Labels have the shape of the logits without the last axis.",
        )  # fmt: skip
    labels = ensure_shape(labels, logits.shape[:-1])
    shifted = logits - finite_maximum(logits, (logits.rank - 1,))
    return log(reduce_sum(exp(shifted), -1)) - take_along_last(shifted, labels)


@composition
def sigmoid_cross_entropy_with_logits(labels: Any, logits: Any) -> Tensor:
    """-labels * log(sigmoid(x)) - (1 - labels) * log(1 - sigmoid(x)), elementwise and without overflow."""
    labels, x = pair(labels, logits)
    # Not relu(x) and |x|: their derivatives at 0 would not belong to the same side.
    positive = greater_equal(x, 0)
    return where(positive, x, 0) - x * labels + softplus(where(positive, -x, x))


@composition
def l2_loss(t: Any) -> Tensor:
    """Half the sum of the squares of all elements."""
    x = convert_to_tensor(t)
    return reduce_sum(x * x) * 0.5


@composition
def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Tensor:
    """`x` divided by its Euclidean length along `axis`; lengths below sqrt(epsilon) count as that."""
    x = convert_to_tensor(x)
    return x * rsqrt(maximum(reduce_sum(x * x, axis, keepdims=True), epsilon))


@composition
def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any = None, scale: Any = None, variance_epsilon: float = 1e-3
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset; None leaves scale or offset out. The operands broadcast.

    With the batch's own moments: `mean, variance = gf.nn.moments(x, [0, 1, 2])`. Ioffe, Szegedy, arXiv:1502.03167.
    """
    x, mean = pair(x, mean)
    factor = rsqrt(pair(x, variance)[1] + variance_epsilon)
    if scale is not None:
        factor = factor * pair(x, scale)[1]
    result = (x - mean) * factor
    return result if offset is None else result + pair(x, offset)[1]


@composition
def dropout(x: Any, rate: Any, seed: int | None = None) -> Tensor:
    """`x` with each element 0 with probability `rate`, the others divided by 1 - rate, so that the mean stays.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """
    x = convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise DTypeError(f"no dropout of {x.dtype}", rule="It takes floats; use gf.cast(x, dtype).")
    if isinstance(rate, int | float):
        if not 0 <= rate < 1:
            raise ShapeError(f"rate {rate}", rule="A rate is at least 0 and below 1.")
        if rate == 0:
            return identity(x)
    with name_scope("mask") as path:
        kept = bernoulli_mask(x.shape, rate, seed, path)
    scale = 1 / (1 - rate) if isinstance(rate, int | float) else cast(1 / (1 - rate), x.dtype)
    return where(kept, x * scale, 0)
