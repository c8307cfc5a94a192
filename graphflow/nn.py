"""`gf.nn`: activations, softmax, losses, dropout."""

from graphflow.ops.arithmetic import relu
from graphflow.ops.attention import scaled_dot_product_attention
from graphflow.ops.elementary import sigmoid, softplus, tanh
from graphflow.ops.math import log_sigmoid
from graphflow.ops.nn import (
    dropout,
    elu,
    gelu,
    l2_loss,
    l2_normalize,
    leaky_relu,
    log_softmax,
    relu6,
    selu,
    sigmoid_cross_entropy_with_logits,
    silu,
    softmax,
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
)
from graphflow.ops.reductions import moments

swish = silu

__all__ = [
    "dropout", "elu", "gelu", "l2_loss", "l2_normalize", "leaky_relu", "log_sigmoid", "log_softmax", "moments", "relu", "relu6",
    "scaled_dot_product_attention", "selu", "sigmoid", "sigmoid_cross_entropy_with_logits", "silu", "softmax",
    "softmax_cross_entropy_with_logits", "softplus", "sparse_softmax_cross_entropy_with_logits", "swish", "tanh",
]  # fmt: skip
