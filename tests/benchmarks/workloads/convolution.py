"""Convolutions: LeNet, and a block of convolution, batch norm and relu. All update by SGD.

The data are NHWC with kernels HWIO, as TensorFlow, graphflow and JAX take them; PyTorch is given NCHW with OIHW.
"""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Workload, labels, normal, ones, zeros
from tests.benchmarks.workloads import losses

NHWC = ("NHWC", "HWIO", "NHWC")


def convolve_jax(jax, x, kernel, padding):
    """A convolution in JAX, in the layout its compiler likes best on processors."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=NHWC)


@dataclass(frozen=True)
class LeNet(Workload):
    """One training step: two of convolution, relu and pooling, then two dense layers."""

    batch: int
    parameters = ("k1", "k2", "w1", "b1", "w2", "b2")
    learning_rate = 1e-2
    tolerance = 1e-3

    def data(self, random):
        return {
            "x": normal(random, self.batch, 28, 28, 1),
            "y": labels(random, self.batch, 10),
            "k1": normal(random, 5, 5, 1, 16, scale=0.1),
            "k2": normal(random, 5, 5, 16, 32, scale=0.05),
            "w1": normal(random, 512, 128, scale=0.05),
            "b1": zeros(128),
            "w2": normal(random, 128, 10, scale=0.05),
            "b2": zeros(10),
        }

    def channels_first(self, name, array):
        if name == "x":
            array = array.transpose(0, 3, 1, 2)
        elif name.startswith("k"):
            array = array.transpose(3, 2, 0, 1)
        elif name == "w1":  # its rows are the flattened pixels
            array = array.reshape(4, 4, 32, 128).transpose(2, 0, 1, 3).reshape(512, 128)
        return np.ascontiguousarray(array)

    def channels_last(self, name, array):
        if name.startswith("k"):
            return array.transpose(2, 3, 1, 0)
        if name == "w1":
            return array.reshape(32, 4, 4, 128).transpose(1, 2, 0, 3).reshape(512, 128)
        return array

    def flops(self):
        first, second = 24 * 24 * 16 * 25, 8 * 8 * 32 * 25 * 16
        return 2.0 * self.batch * (2 * first + 3 * second + 3 * (512 * 128 + 128 * 10))

    def graphflow(self, gf, p):
        h = gf.nn.relu(gf.nn.conv2d(p["x"], p["k1"], strides=1, padding="VALID"))
        h = gf.nn.max_pool2d(h, ksize=2, strides=2, padding="VALID")
        h = gf.nn.relu(gf.nn.conv2d(h, p["k2"], strides=1, padding="VALID"))
        h = gf.nn.max_pool2d(h, ksize=2, strides=2, padding="VALID")
        h = gf.nn.relu(gf.matmul(gf.reshape(h, [self.batch, 512]), p["w1"]) + p["b1"])
        return losses.cross_entropy_graphflow(gf, gf.matmul(h, p["w2"]) + p["b2"], p["y"])

    def jax(self, jax, p):
        def pool(h):
            return jax.lax.reduce_window(h, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

        h = pool(jax.nn.relu(convolve_jax(jax, p["x"], p["k1"], "VALID")))
        h = pool(jax.nn.relu(convolve_jax(jax, h, p["k2"], "VALID"))).reshape(self.batch, 512)
        h = jax.nn.relu(h @ p["w1"] + p["b1"])
        return losses.cross_entropy_jax(jax, h @ p["w2"] + p["b2"], p["y"])

    def torch(self, torch, p):
        f = torch.nn.functional
        h = f.max_pool2d(f.relu(f.conv2d(p["x"], p["k1"])), 2)
        h = f.max_pool2d(f.relu(f.conv2d(h, p["k2"])), 2).flatten(1)
        h = f.relu(torch.addmm(p["b1"], h, p["w1"]))
        return losses.cross_entropy_torch(torch, torch.addmm(p["b2"], h, p["w2"]), p["y"])

    def tensorflow(self, tf, p):
        h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(p["x"], p["k1"], 1, "VALID")), 2, 2, "VALID")
        h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(h, p["k2"], 1, "VALID")), 2, 2, "VALID")
        h = tf.nn.relu(tf.matmul(tf.reshape(h, (self.batch, 512)), p["w1"]) + p["b1"])
        return losses.cross_entropy_tensorflow(tf, tf.matmul(h, p["w2"]) + p["b2"], p["y"])


@dataclass(frozen=True)
class ConvolutionBlock(Workload):
    """One training step of a 3x3 convolution from 16 to 32 channels, batch norm by the batch's moments, relu."""

    parameters = ("kernel", "scale", "offset")
    learning_rate = 1e-2
    tolerance = 1e-3
    epsilon = 1e-5

    def data(self, random):
        return {
            "x": normal(random, 16, 32, 32, 16),
            "kernel": normal(random, 3, 3, 16, 32, scale=0.1),
            "scale": ones(32),
            "offset": zeros(32),
        }

    def channels_first(self, name, array):
        order = {"x": (0, 3, 1, 2), "kernel": (3, 2, 0, 1)}.get(name)
        return array if order is None else np.ascontiguousarray(array.transpose(order))

    def channels_last(self, name, array):
        return array.transpose(2, 3, 1, 0) if name == "kernel" else array

    def flops(self):
        return 2.0 * 16 * 32 * 32 * 32 * 9 * 16 * 2

    def graphflow(self, gf, p):
        h = gf.nn.conv2d(p["x"], p["kernel"], strides=1, padding="SAME")
        mean, variance = gf.nn.moments(h, [0, 1, 2])
        h = gf.nn.relu((h - mean) * (gf.rsqrt(variance + self.epsilon) * p["scale"]) + p["offset"])
        return gf.reduce_mean(gf.square(h - 1))

    def jax(self, jax, p):
        h = convolve_jax(jax, p["x"], p["kernel"], "SAME")
        mean, variance = h.mean((0, 1, 2)), h.var((0, 1, 2))
        h = jax.nn.relu((h - mean) * (jax.lax.rsqrt(variance + self.epsilon) * p["scale"]) + p["offset"])
        return jax.numpy.mean(jax.numpy.square(h - 1))

    def torch(self, torch, p):
        f = torch.nn.functional
        h = f.conv2d(p["x"], p["kernel"], padding="same")
        h = f.relu(f.batch_norm(h, None, None, p["scale"], p["offset"], training=True, eps=self.epsilon))
        return (h - 1).square().mean()

    def tensorflow(self, tf, p):
        h = tf.nn.conv2d(p["x"], p["kernel"], 1, "SAME")
        h, _, _ = tf.compat.v1.nn.fused_batch_norm(h, p["scale"], p["offset"], epsilon=self.epsilon)
        return tf.reduce_mean(tf.square(tf.nn.relu(h) - 1))


WORKLOADS = (
    LeNet("lenet", "training step: two of convolution and pooling, two dense layers, batch 32", batch=32),
    ConvolutionBlock("conv_block", "training step: 3x3 convolution, batch norm and relu, [16, 32, 32, 16]"),
)
