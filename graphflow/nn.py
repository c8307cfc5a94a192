"""`gf.nn`: activations, softmax, losses, convolutions, pooling, normalisation, dropout."""

from graphflow.ops.arithmetic import relu
from graphflow.ops.attention import scaled_dot_product_attention
from graphflow.ops.convolution import (
    bias_add,
    conv1d,
    conv1d_transpose,
    conv2d,
    conv2d_transpose,
    conv3d,
    conv3d_transpose,
    convolution,
    depthwise_conv2d,
    separable_conv2d,
)
from graphflow.ops.elementary import sigmoid, softplus, tanh
from graphflow.ops.math import log_sigmoid
from graphflow.ops.nn import (
    batch_normalization,
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
from graphflow.ops.pooling import (
    avg_pool,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from graphflow.ops.reductions import moments

swish = silu

__all__ = [
    "avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_normalization", "bias_add", "conv1d", "conv1d_transpose",
    "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "convolution", "depthwise_conv2d", "dropout", "elu", "gelu",
    "l2_loss", "l2_normalize", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool", "max_pool1d", "max_pool2d", "max_pool3d",
    "moments", "relu", "relu6", "scaled_dot_product_attention", "selu", "separable_conv2d", "sigmoid",
    "sigmoid_cross_entropy_with_logits", "silu", "softmax",
    "softmax_cross_entropy_with_logits", "softplus", "sparse_softmax_cross_entropy_with_logits", "swish", "tanh",
]  # fmt: skip
