"""Dense layers: a perceptron at two batch sizes, four small ones side by side, logistic regression. All update by SGD."""

from dataclasses import dataclass

from tests.benchmarks.workload import Workload, labels, normal, zeros
from tests.benchmarks.workloads import losses


@dataclass(frozen=True)
class Perceptron(Workload):
    """One training step of 784-512-10 with relu and cross-entropy."""

    batch: int
    parameters = ("w1", "b1", "w2", "b2")
    learning_rate = 1e-2
    tolerance = 1e-3  # a relu near 0 is a thirty-second of a gradient

    def data(self, random):
        return {
            "x": normal(random, self.batch, 784),
            "y": labels(random, self.batch, 10),
            "w1": normal(random, 784, 512, scale=0.05),
            "b1": zeros(512),
            "w2": normal(random, 512, 10, scale=0.05),
            "b2": zeros(10),
        }

    def flops(self):
        return 2.0 * self.batch * (2 * 784 * 512 + 3 * 512 * 10)  # nobody asks for the gradient of the images

    def graphflow(self, gf, p):
        hidden = gf.nn.relu(gf.matmul(p["x"], p["w1"]) + p["b1"])
        return losses.cross_entropy_graphflow(gf, gf.matmul(hidden, p["w2"]) + p["b2"], p["y"])

    def jax(self, jax, p):
        hidden = jax.nn.relu(p["x"] @ p["w1"] + p["b1"])
        return losses.cross_entropy_jax(jax, hidden @ p["w2"] + p["b2"], p["y"])

    def torch(self, torch, p):
        hidden = torch.relu(torch.addmm(p["b1"], p["x"], p["w1"]))
        return losses.cross_entropy_torch(torch, torch.addmm(p["b2"], hidden, p["w2"]), p["y"])

    def tensorflow(self, tf, p):
        hidden = tf.nn.relu(tf.matmul(p["x"], p["w1"]) + p["b1"])
        return losses.cross_entropy_tensorflow(tf, tf.matmul(hidden, p["w2"]) + p["b2"], p["y"])

    def pytensor(self, pt, p):
        hidden = pt.maximum(p["x"] @ p["w1"] + p["b1"], 0)
        return losses.cross_entropy_pytensor(pt, hidden @ p["w2"] + p["b2"], p["y"])


@dataclass(frozen=True)
class BatchedPerceptron(Workload):
    """One training step of four networks at once, each 100-100-100 on 100 rows of its own."""

    parameters = ("w1", "b1", "w2", "b2")
    learning_rate = 1e-2

    def data(self, random):
        return {
            "x": normal(random, 4, 100, 100),
            "y": normal(random, 4, 100, 100),
            "w1": normal(random, 4, 100, 100, scale=0.1),
            "b1": zeros(4, 1, 100),
            "w2": normal(random, 4, 100, 100, scale=0.1),
            "b2": zeros(4, 1, 100),
        }

    def flops(self):
        return 2.0 * 4 * 100**3 * (2 + 3)

    def graphflow(self, gf, p):
        hidden = gf.nn.relu(gf.matmul(p["x"], p["w1"]) + p["b1"])
        return gf.reduce_mean(gf.square(gf.matmul(hidden, p["w2"]) + p["b2"] - p["y"]))

    def jax(self, jax, p):
        hidden = jax.nn.relu(p["x"] @ p["w1"] + p["b1"])
        return jax.numpy.mean(jax.numpy.square(hidden @ p["w2"] + p["b2"] - p["y"]))

    def torch(self, torch, p):
        hidden = torch.relu(torch.baddbmm(p["b1"], p["x"], p["w1"]))
        return torch.nn.functional.mse_loss(torch.baddbmm(p["b2"], hidden, p["w2"]), p["y"])

    def tensorflow(self, tf, p):
        hidden = tf.nn.relu(tf.matmul(p["x"], p["w1"]) + p["b1"])
        return tf.reduce_mean(tf.square(tf.matmul(hidden, p["w2"]) + p["b2"] - p["y"]))

    def pytensor(self, pt, p):
        hidden = pt.maximum(p["x"] @ p["w1"] + p["b1"], 0)
        return pt.mean((hidden @ p["w2"] + p["b2"] - p["y"]) ** 2)


@dataclass(frozen=True)
class LogisticRegression(Workload):
    """One training step of logistic regression on 2,048 rows of 256 numbers, with an L2 penalty."""

    parameters = ("w", "b")
    learning_rate = 1e-1
    penalty = 1e-3

    def data(self, random):
        return {
            "x": normal(random, 2048, 256),
            "y": random.integers(0, 2, 2048).astype("float32"),
            "w": normal(random, 256, scale=0.1),
            "b": zeros(),
        }

    def flops(self):
        return 2.0 * 2048 * 256 * 2

    def graphflow(self, gf, p):
        logits = gf.tensordot(p["x"], p["w"], 1) + p["b"]
        losses_of_rows = gf.nn.sigmoid_cross_entropy_with_logits(labels=p["y"], logits=logits)
        return gf.reduce_mean(losses_of_rows) + self.penalty * gf.nn.l2_loss(p["w"])

    def jax(self, jax, p):
        logits = p["x"] @ p["w"] + p["b"]
        losses_of_rows = jax.nn.softplus(logits) - p["y"] * logits
        return jax.numpy.mean(losses_of_rows) + self.penalty * 0.5 * jax.numpy.sum(p["w"] ** 2)

    def torch(self, torch, p):
        logits = torch.mv(p["x"], p["w"]) + p["b"]
        mean = torch.nn.functional.binary_cross_entropy_with_logits(logits, p["y"])
        return mean + self.penalty * 0.5 * p["w"].square().sum()

    def tensorflow(self, tf, p):
        logits = tf.linalg.matvec(p["x"], p["w"]) + p["b"]
        losses_of_rows = tf.nn.sigmoid_cross_entropy_with_logits(labels=p["y"], logits=logits)
        return tf.reduce_mean(losses_of_rows) + self.penalty * tf.nn.l2_loss(p["w"])

    def pytensor(self, pt, p):
        logits = p["x"] @ p["w"] + p["b"]
        return pt.mean(pt.softplus(logits) - p["y"] * logits) + self.penalty * 0.5 * pt.sum(p["w"] ** 2)


WORKLOADS = (
    Perceptron("mlp32", "training step of 784-512-10, batch 32", batch=32),
    Perceptron("mlp512", "training step of 784-512-10, batch 512", batch=512),
    BatchedPerceptron("mlp4x100", "training step of four networks at once, each 100-100-100 on 100 rows"),
    LogisticRegression("logistic", "training step of logistic regression with L2, [2048, 256]"),
)
