"""Train the digits network eagerly: ops run as they are called, a tape of what ran gives the gradients.

The same step runs twice: as Python that calls ops one by one, which can be stepped through in a debugger and may use any Python
control flow, and under `gf.function`, which traces it once and runs it as one native program.
"""

import time
from pathlib import Path

import numpy as np

import graphflow as gf

HERE = Path(__file__).resolve().parent


def load_digits(seed=0):
    """(training images, training labels, test images, test labels); a fifth of the scans is kept for testing."""
    data = np.load(HERE / "data" / "digits.npz")
    images = data["images"].reshape(len(data["images"]), -1).astype(np.float32) / 16  # pixels between 0 and 1
    labels = data["labels"].astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(order) // 5])
    return images[train], labels[train], images[test], labels[test]


class Network:
    """Two dense layers, as an object with variables."""

    def __init__(self, pixels=64, hidden=64):
        self.w1 = gf.Variable(gf.random.normal([pixels, hidden], stddev=(2 / pixels) ** 0.5, seed=1), name="w1")
        self.b1 = gf.Variable(gf.zeros([hidden]), name="b1")
        self.w2 = gf.Variable(gf.random.normal([hidden, 10], stddev=(2 / hidden) ** 0.5, seed=2), name="w2")
        self.b2 = gf.Variable(gf.zeros([10]), name="b2")
        self.variables = [self.w1, self.b1, self.w2, self.b2]

    def __call__(self, images):
        return gf.nn.relu(images @ self.w1 + self.b1) @ self.w2 + self.b2


def train(step, images, labels, epochs=15, batch=32):
    """Seconds per step of some epochs; the first step, which may trace and compile, is not counted."""
    rng = np.random.default_rng(1)
    step(gf.constant(images[:batch]), gf.constant(labels[:batch]))
    count, start = 0, time.perf_counter()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(images)), len(images) // batch):
            step(gf.constant(images[rows]), gf.constant(labels[rows]))
            count += 1
    return (time.perf_counter() - start) / count


def main():
    gf.enable_eager()
    images, labels, test_images, test_labels = load_digits()
    for name in ("ops one by one", "one program"):
        network = Network()
        optimizer = gf.train.AdamOptimizer(0.003)

        def step(images, labels, network=network, optimizer=optimizer):
            with gf.GradientTape() as tape:
                logits = network(images)
                loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
            optimizer.apply_gradients(zip(tape.gradient(loss, network.variables), network.variables, strict=True))
            return loss

        if name == "one program":
            step = gf.function(step)  # the batches have 32 or 33 images: it is traced once for both
        seconds = train(step, images, labels)
        logits = network(gf.constant(test_images)).numpy()
        print(f"{name}: test accuracy {np.mean(logits.argmax(axis=1) == test_labels):.3f}, {seconds * 1e6:.0f} us per step")


if __name__ == "__main__":
    main()
