"""A transformer block with layer norm first, updated by SGD."""

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Workload, normal, ones
from tests.benchmarks.workloads import rows


@dataclass(frozen=True)
class Attention(Workload):
    """One training step of a pre-norm transformer block: attention of four heads, then two dense layers with gelu."""

    batch: int = 8
    length: int = 64
    width: int = 128
    heads: int = 4
    parameters = ("wq", "wk", "wv", "wo", "w1", "w2", "g1", "g2")
    learning_rate = 1e-2
    tolerance = 1e-3

    def data(self, random):
        d = self.width
        return {
            "x": normal(random, self.batch, self.length, d),
            "wq": normal(random, d, d, scale=0.08),
            "wk": normal(random, d, d, scale=0.08),
            "wv": normal(random, d, d, scale=0.08),
            "wo": normal(random, d, d, scale=0.08),
            "w1": normal(random, d, 4 * d, scale=0.08),
            "w2": normal(random, 4 * d, d, scale=0.05),
            "g1": ones(d),
            "g2": ones(d),
        }

    def flops(self):
        rows_, d = self.batch * self.length, self.width
        return 3 * 2.0 * (rows_ * (4 * d * d + 2 * d * 4 * d) + 2 * rows_ * self.length * d)

    @property
    def scale(self):
        """What the scores are multiplied by."""
        return float(1 / np.sqrt(self.width // self.heads))

    def graphflow(self, gf, p):
        b, t, d, heads = self.batch, self.length, self.width, self.heads

        def split(z):
            return gf.transpose(gf.reshape(z, [b, t, heads, d // heads]), [0, 2, 1, 3])

        x = p["x"]
        h = rows.layer_norm_graphflow(gf, x, p["g1"])
        q, k, v = (split(gf.matmul(h, p[name])) for name in ("wq", "wk", "wv"))
        a = gf.nn.softmax(gf.matmul(q, k, transpose_b=True) * self.scale)
        x = x + gf.matmul(gf.reshape(gf.transpose(gf.matmul(a, v), [0, 2, 1, 3]), [b, t, d]), p["wo"])
        h = rows.layer_norm_graphflow(gf, x, p["g2"])
        x = x + gf.matmul(gf.nn.gelu(gf.matmul(h, p["w1"]), approximate=True), p["w2"])
        return gf.reduce_mean(x * x)

    def jax(self, jax, p):
        b, t, d, heads = self.batch, self.length, self.width, self.heads

        def split(z):
            return z.reshape(b, t, heads, d // heads).transpose(0, 2, 1, 3)

        x = p["x"]
        h = rows.layer_norm_jax(jax, x, p["g1"])
        q, k, v = (split(h @ p[name]) for name in ("wq", "wk", "wv"))
        a = jax.nn.softmax(q @ k.swapaxes(-1, -2) * self.scale, -1)
        x = x + (a @ v).transpose(0, 2, 1, 3).reshape(b, t, d) @ p["wo"]
        h = rows.layer_norm_jax(jax, x, p["g2"])
        x = x + jax.nn.gelu(h @ p["w1"], approximate=True) @ p["w2"]
        return jax.numpy.mean(x * x)

    def torch(self, torch, p):
        b, t, d, heads = self.batch, self.length, self.width, self.heads
        f = torch.nn.functional

        def split(z):
            return z.view(b, t, heads, d // heads).transpose(1, 2)

        x = p["x"]
        h = f.layer_norm(x, (d,), p["g1"], eps=rows.EPSILON)
        a = f.scaled_dot_product_attention(*(split(h @ p[name]) for name in ("wq", "wk", "wv")))
        x = x + a.transpose(1, 2).reshape(b, t, d) @ p["wo"]
        h = f.layer_norm(x, (d,), p["g2"], eps=rows.EPSILON)
        x = x + f.gelu(h @ p["w1"], approximate="tanh") @ p["w2"]
        return (x * x).mean()

    def tensorflow(self, tf, p):
        b, t, d, heads = self.batch, self.length, self.width, self.heads

        def split(z):
            return tf.transpose(tf.reshape(z, (b, t, heads, d // heads)), (0, 2, 1, 3))

        x = p["x"]
        h = rows.layer_norm_tensorflow(tf, x, p["g1"])
        q, k, v = (split(h @ p[name]) for name in ("wq", "wk", "wv"))
        a = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * self.scale)
        x = x + tf.reshape(tf.transpose(a @ v, (0, 2, 1, 3)), (b, t, d)) @ p["wo"]
        h = rows.layer_norm_tensorflow(tf, x, p["g2"])
        x = x + tf.nn.gelu(h @ p["w1"], approximate=True) @ p["w2"]
        return tf.reduce_mean(x * x)

    def pytensor(self, pt, p):
        b, t, d, heads = self.batch, self.length, self.width, self.heads

        def split(z):
            return z.reshape((b, t, heads, d // heads)).transpose(0, 2, 1, 3)

        x = p["x"]
        h = rows.layer_norm_pytensor(pt, x, p["g1"])
        q, k, v = (split(h @ p[name]) for name in ("wq", "wk", "wv"))
        a = pt.special.softmax(q @ k.transpose(0, 1, 3, 2) * np.float32(self.scale), axis=-1)
        x = x + (a @ v).transpose(0, 2, 1, 3).reshape((b, t, d)) @ p["wo"]
        h = rows.layer_norm_pytensor(pt, x, p["g2"]) @ p["w1"]
        h = 0.5 * h * (1 + pt.tanh(np.float32(np.sqrt(2 / np.pi)) * (h + np.float32(0.044715) * h**3)))
        x = x + h @ p["w2"]
        return pt.mean(x * x)


WORKLOADS = (Attention("attn", "training step of one pre-norm transformer block, [8, 64, 128], four heads"),)
