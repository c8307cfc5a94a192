"""Mean cross-entropy from class numbers, in each framework: the loss of most workloads."""


def cross_entropy_graphflow(gf, logits, y):
    """Mean cross-entropy in graphflow."""
    return gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def cross_entropy_jax(jax, logits, y):
    """Mean cross-entropy in JAX."""
    return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def cross_entropy_torch(torch, logits, y):
    """Mean cross-entropy in PyTorch."""
    return torch.nn.functional.cross_entropy(logits, y)


def cross_entropy_tensorflow(tf, logits, y):
    """Mean cross-entropy in TensorFlow."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))


def cross_entropy_pytensor(pt, logits, y):
    """Mean cross-entropy in PyTensor."""
    return -pt.mean(pt.special.log_softmax(logits, axis=-1)[pt.arange(logits.shape[0]), y])
