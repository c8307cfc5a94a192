"""Two methods of statistics: a step of k-means, and the log-likelihood of a Gaussian mixture with its gradient."""

import math
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.workload import Step, Workload, normal, zeros


@dataclass(frozen=True)
class KMeans(Workload):
    """Each point goes to its nearest centre; each centre moves to the mean of its points."""

    points: int = 20_000
    width: int = 16
    clusters: int = 32
    state = ("centres",)

    def data(self, random):
        places = normal(random, self.clusters, self.width, scale=4.0)
        of_points = random.integers(0, self.clusters, self.points)
        return {
            "x": places[of_points] + normal(random, self.points, self.width, scale=0.3),
            "centres": places + normal(random, self.clusters, self.width, scale=0.3),
        }

    def flops(self):
        return 2.0 * self.points * self.width * self.clusters

    def graphflow(self, gf, p):
        x, centres = p["x"], p["centres"]
        distances = gf.reduce_sum(centres * centres, axis=1) - 2 * gf.matmul(x, centres, transpose_b=True)
        nearest = gf.one_hot(gf.argmin(distances, axis=1), self.clusters)
        sums = gf.matmul(nearest, x, transpose_a=True)
        counts = gf.reduce_sum(nearest, axis=0)
        total = gf.reduce_sum(x * x) + gf.reduce_sum(gf.reduce_min(distances, axis=1))
        return Step({"total": total}, {"centres": sums / gf.expand_dims(gf.maximum(counts, 1), 1)})

    def jax(self, jax, p):
        np_, x, centres = jax.numpy, p["x"], p["centres"]
        distances = np_.sum(centres * centres, 1) - 2 * x @ centres.T
        nearest = np_.argmin(distances, 1)
        sums = jax.ops.segment_sum(x, nearest, self.clusters)
        counts = jax.ops.segment_sum(np_.ones(self.points), nearest, self.clusters)
        total = np_.sum(x * x) + np_.sum(np_.min(distances, 1))
        return Step({"total": total}, {"centres": sums / np_.maximum(counts, 1)[:, None]})

    def torch(self, torch, p):
        x, centres = p["x"], p["centres"]
        distances = torch.addmm((centres * centres).sum(1), x, centres.t(), alpha=-2)
        smallest, nearest = distances.min(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        counts = torch.bincount(nearest, minlength=self.clusters).clamp(min=1)
        return Step({"total": (x * x).sum() + smallest.sum()}, {"centres": sums / counts[:, None]})

    def tensorflow(self, tf, p):
        x, centres = p["x"], p["centres"]
        distances = tf.reduce_sum(centres * centres, 1) - 2 * tf.matmul(x, centres, transpose_b=True)
        nearest = tf.argmin(distances, 1)
        sums = tf.math.unsorted_segment_sum(x, nearest, self.clusters)
        counts = tf.math.bincount(tf.cast(nearest, tf.int32), minlength=self.clusters, dtype=tf.float32)
        total = tf.reduce_sum(x * x) + tf.reduce_sum(tf.reduce_min(distances, 1))
        return Step({"total": total}, {"centres": sums / tf.maximum(counts, 1)[:, None]})

    def pytensor(self, pt, p):
        x, centres = p["x"], p["centres"]
        distances = pt.sum(centres * centres, axis=1) - 2 * (x @ centres.T)
        nearest = pt.argmin(distances, axis=1)
        sums = pt.zeros_like(centres)[nearest].inc(x)
        counts = pt.zeros(self.clusters, dtype="float32")[nearest].inc(np.float32(1))
        total = pt.sum(x * x) + pt.sum(pt.min(distances, axis=1))
        return Step({"total": total}, {"centres": sums / pt.maximum(counts, np.float32(1))[:, None]})


@dataclass(frozen=True)
class Mixture(Workload):
    """The mean negative log-likelihood of points under a mixture of Gaussians, and its gradients."""

    points: int = 10_000
    width: int = 8
    components: int = 16
    parameters = ("means", "log_scales", "logits")

    def data(self, random):
        return {
            "x": normal(random, self.points, self.width, scale=1.5),
            "means": normal(random, self.components, self.width),
            "log_scales": normal(random, self.components, self.width, scale=0.2),
            "logits": zeros(self.components),
        }

    @property
    def constant(self):
        """The part of a Gaussian's logarithm that depends on nothing."""
        return 0.5 * self.width * math.log(2 * math.pi)

    def graphflow(self, gf, p):
        z = (gf.expand_dims(p["x"], 1) - p["means"]) * gf.exp(-p["log_scales"])
        each = -0.5 * gf.reduce_sum(z * z, axis=2) - gf.reduce_sum(p["log_scales"], axis=1) - self.constant
        return -gf.reduce_mean(gf.logsumexp(gf.nn.log_softmax(p["logits"]) + each, axis=1))

    def jax(self, jax, p):
        z = (p["x"][:, None] - p["means"]) * jax.numpy.exp(-p["log_scales"])
        each = -0.5 * jax.numpy.sum(z * z, 2) - jax.numpy.sum(p["log_scales"], 1) - self.constant
        return -jax.numpy.mean(jax.nn.logsumexp(jax.nn.log_softmax(p["logits"]) + each, axis=1))

    def torch(self, torch, p):
        z = (p["x"][:, None] - p["means"]) * torch.exp(-p["log_scales"])
        each = -0.5 * (z * z).sum(2) - p["log_scales"].sum(1) - self.constant
        return -torch.logsumexp(torch.log_softmax(p["logits"], 0) + each, 1).mean()

    def tensorflow(self, tf, p):
        z = (p["x"][:, None] - p["means"]) * tf.exp(-p["log_scales"])
        each = -0.5 * tf.reduce_sum(z * z, 2) - tf.reduce_sum(p["log_scales"], 1) - self.constant
        return -tf.reduce_mean(tf.reduce_logsumexp(tf.nn.log_softmax(p["logits"]) + each, 1))

    def pytensor(self, pt, p):
        z = (p["x"][:, None] - p["means"]) * pt.exp(-p["log_scales"])
        each = np.float32(-0.5) * pt.sum(z * z, axis=2) - pt.sum(p["log_scales"], axis=1) - np.float32(self.constant)
        return -pt.mean(pt.logsumexp(pt.special.log_softmax(p["logits"]) + each, axis=1))


WORKLOADS = (
    KMeans("kmeans", "step of k-means: 20,000 points of 16 numbers, 32 centres"),
    Mixture("mixture", "log-likelihood of a mixture of 16 Gaussians for 10,000 points of 8 numbers, with gradients"),
)
