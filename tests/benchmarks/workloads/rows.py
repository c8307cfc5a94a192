"""Row kernels: cross-entropy over many classes, and layer norm, with gradients."""

from dataclasses import dataclass

from tests.benchmarks.workload import Workload, labels, normal, ones, zeros
from tests.benchmarks.workloads import losses


@dataclass(frozen=True)
class CrossEntropy(Workload):
    """Mean cross-entropy of a softmax, and its gradient."""

    rows: int
    classes: int
    parameters = ("x",)

    def data(self, random):
        return {"x": normal(random, self.rows, self.classes), "y": labels(random, self.rows, self.classes)}

    def graphflow(self, gf, p):
        return losses.cross_entropy_graphflow(gf, p["x"], p["y"])

    def jax(self, jax, p):
        return losses.cross_entropy_jax(jax, p["x"], p["y"])

    def torch(self, torch, p):
        return losses.cross_entropy_torch(torch, p["x"], p["y"])

    def tensorflow(self, tf, p):
        return losses.cross_entropy_tensorflow(tf, p["x"], p["y"])

    def pytensor(self, pt, p):
        return losses.cross_entropy_pytensor(pt, p["x"], p["y"])


EPSILON = 1e-5


def layer_norm_graphflow(gf, x, scale):
    """Rows of mean 0 and variance 1, scaled, in graphflow."""
    mean, variance = gf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * gf.rsqrt(variance + EPSILON) * scale


def layer_norm_jax(jax, x, scale):
    """Rows of mean 0 and variance 1, scaled, in JAX."""
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON) * scale


def layer_norm_tensorflow(tf, x, scale):
    """Rows of mean 0 and variance 1, scaled, in TensorFlow."""
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + EPSILON) * scale


def layer_norm_pytensor(pt, x, scale):
    """Rows of mean 0 and variance 1, scaled, in PyTensor."""
    centred = x - pt.mean(x, axis=-1, keepdims=True)
    return centred / pt.sqrt(pt.mean(centred * centred, axis=-1, keepdims=True) + EPSILON) * scale


@dataclass(frozen=True)
class LayerNorm(Workload):
    """Layer norm, a weighted sum of it, and the gradients by its input, scale and offset."""

    rows: int
    width: int
    parameters = ("x", "scale", "offset")
    tolerance = 1e-3  # the gradient of the scale sums 2,048 terms of either sign

    def data(self, random):
        return {
            "x": normal(random, self.rows, self.width),
            "scale": ones(self.width),
            "offset": zeros(self.width),
            "r": normal(random, self.rows, self.width),
        }

    def graphflow(self, gf, p):
        return gf.reduce_sum((layer_norm_graphflow(gf, p["x"], p["scale"]) + p["offset"]) * p["r"])

    def jax(self, jax, p):
        return jax.numpy.sum((layer_norm_jax(jax, p["x"], p["scale"]) + p["offset"]) * p["r"])

    def torch(self, torch, p):
        normed = torch.nn.functional.layer_norm(p["x"], (self.width,), p["scale"], p["offset"], EPSILON)
        return (normed * p["r"]).sum()

    def tensorflow(self, tf, p):
        return tf.reduce_sum((layer_norm_tensorflow(tf, p["x"], p["scale"]) + p["offset"]) * p["r"])

    def pytensor(self, pt, p):
        return pt.sum((layer_norm_pytensor(pt, p["x"], p["scale"]) + p["offset"]) * p["r"])


WORKLOADS = (
    CrossEntropy("softmax", "cross-entropy of [1024, 1000] with its gradient", rows=1024, classes=1000),
    LayerNorm("layernorm", "layer norm of [2048, 768] with its gradients", rows=2048, width=768),
)
