"""A bag of words: embedding, mean over the words, softmax; updated by SGD."""

from dataclasses import dataclass

from tests.benchmarks.workload import Workload, labels, normal, zeros
from tests.benchmarks.workloads import losses


@dataclass(frozen=True)
class BagOfWords(Workload):
    """One training step: 128 texts of 20 words out of 10,000, embedded in 64 numbers, and 10 classes."""

    parameters = ("table", "w", "b")
    learning_rate = 1e-1

    def data(self, random):
        return {
            "words": random.integers(0, 10_000, (128, 20)).astype("int32"),
            "y": labels(random, 128, 10),
            "table": normal(random, 10_000, 64),
            "w": normal(random, 64, 10, scale=0.1),
            "b": zeros(10),
        }

    def flops(self):
        return 2.0 * 128 * 64 * 10 * 3

    def bytes(self):
        touched = 128 * 20 * 64 * 4  # an update need not touch the rows of other words
        return 128 * 20 * 4 + 2 * touched + 2 * 64 * 10 * 4

    def graphflow(self, gf, p):
        mean = gf.reduce_mean(gf.gather(p["table"], p["words"]), axis=1)
        return losses.cross_entropy_graphflow(gf, gf.matmul(mean, p["w"]) + p["b"], p["y"])

    def jax(self, jax, p):
        mean = p["table"][p["words"]].mean(1)
        return losses.cross_entropy_jax(jax, mean @ p["w"] + p["b"], p["y"])

    def torch(self, torch, p):
        # The manual's way to pool; sparse gradients are for eager mode.
        sparse = not torch.compiler.is_compiling()
        mean = torch.nn.functional.embedding_bag(p["words"], p["table"], mode="mean", sparse=sparse)
        return losses.cross_entropy_torch(torch, torch.addmm(p["b"], mean, p["w"]), p["y"])

    def tensorflow(self, tf, p):
        mean = tf.reduce_mean(tf.nn.embedding_lookup(p["table"], p["words"]), axis=1)
        return losses.cross_entropy_tensorflow(tf, tf.matmul(mean, p["w"]) + p["b"], p["y"])

    def pytensor(self, pt, p):
        mean = pt.mean(p["table"][p["words"]], axis=1)
        return losses.cross_entropy_pytensor(pt, mean @ p["w"] + p["b"], p["y"])


WORKLOADS = (BagOfWords("embedding", "training step: embedding of 128 x 20 words out of 10,000, mean, softmax"),)
