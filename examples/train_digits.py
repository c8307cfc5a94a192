"""Train a small network to read handwritten digits.

    python examples/train_digits.py                    # 1,797 scans that come with graphflow
    python examples/train_digits.py --mnist FOLDER     # the MNIST files, if you have them

The program has the four parts that every graphflow program has: build a graph, differentiate it (the optimizer does that),
open a session, run it in a loop. Everything is compiled to native code at the first run. Start it twice: the second time
nothing is compiled, the kernels come from the cache on disk.
"""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import graphflow as gf

HERE = Path(__file__).resolve().parent


# --- data ---------------------------------------------------------------------------------------------------------------


def load_digits(seed=0):
    """(training images, training labels, test images, test labels); a fifth of the scans is kept for testing."""
    data = np.load(HERE / "data" / "digits.npz")
    images = data["images"].reshape(len(data["images"]), -1).astype(np.float32) / 16  # pixels between 0 and 1
    labels = data["labels"].astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(order) // 5])
    return images[train], labels[train], images[test], labels[test]


def load_mnist(folder):
    """The same four arrays from the MNIST files in `folder`, compressed or not."""
    images = [read_idx(folder, f"{part}-images-idx3-ubyte") for part in ("train", "t10k")]
    labels = [read_idx(folder, f"{part}-labels-idx1-ubyte").astype(np.int32) for part in ("train", "t10k")]
    images = [x.reshape(len(x), -1).astype(np.float32) / 255 for x in images]
    return images[0], labels[0], images[1], labels[1]


def read_idx(folder, name):
    """The array in a file of the IDX format: two zero bytes, a code for the type, the rank, the sizes, the values."""
    spellings = [name, name + ".gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz"]
    path = next((folder / s for s in spellings if (folder / s).exists()), None)
    if path is None:
        raise SystemExit(f"{folder} has no file {name} or {name}.gz")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:3] != b"\0\0\x08":  # 8: unsigned bytes
        raise SystemExit(f"{path} is no IDX file of bytes")
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if len(values) != np.prod(shape):
        raise SystemExit(f"{path} is cut off: {len(values)} values for sizes {shape.tolist()}")
    return values.reshape(shape)


# --- the network ----------------------------------------------------------------------------------------------------------


def build(pixels, hidden, learning_rate):
    """The graph. Nothing is computed here: every line adds nodes that a session runs later."""
    x = gf.placeholder(gf.float32, [None, pixels], name="x")  # None: any number of images, without compiling again
    y = gf.placeholder(gf.int32, [None], name="y")

    w1 = gf.Variable(gf.random.normal([pixels, hidden], stddev=(2 / pixels) ** 0.5, seed=1), name="w1")
    b1 = gf.Variable(gf.zeros([hidden]), name="b1")
    w2 = gf.Variable(gf.random.normal([hidden, 10], stddev=(2 / hidden) ** 0.5, seed=2), name="w2")
    b2 = gf.Variable(gf.zeros([10]), name="b2")

    logits = gf.matmul(gf.nn.relu(gf.matmul(x, w1) + b1), w2) + b2
    loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    right = gf.equal(gf.cast(gf.argmax(logits, axis=1), gf.int32), y)
    accuracy = gf.reduce_mean(gf.cast(right, gf.float32))
    train = gf.train.AdamOptimizer(learning_rate).minimize(loss)
    return x, y, loss, accuracy, train


# --- training -------------------------------------------------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Train a small network to read handwritten digits.")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="folder with the MNIST files (idx, or idx.gz)")
    parser.add_argument("--epochs", type=int, help="how often to go through all training images (default 40, MNIST 5)")
    parser.add_argument("--batch", type=int, default=32, help="images in one step (default 32)")
    parser.add_argument("--hidden", type=int, default=128, help="width of the hidden layer (default 128)")
    parser.add_argument("--picture", type=Path, default=HERE / "digits_graph.svg", help="where the graph's picture goes")
    chosen = parser.parse_args(arguments)

    images, labels, test_images, test_labels = load_mnist(chosen.mnist) if chosen.mnist else load_digits()
    epochs = chosen.epochs or (5 if chosen.mnist else 40)
    x, y, loss, accuracy, train = build(images.shape[1], chosen.hidden, learning_rate=0.002)
    order = np.random.default_rng(1)

    with gf.Session() as session:
        # What runs for the first time is compiled, or loaded from the cache.
        start = time.perf_counter()
        session.run(gf.global_variables_initializer())
        step = session.make_callable([train, loss], feed_list=[x, y])  # the fast way to run the same thing many times
        step(images[: chosen.batch], labels[: chosen.batch])
        compile_seconds = time.perf_counter() - start

        seconds, steps = 0.0, 0
        with tqdm(range(epochs), unit="epoch") as progress:
            for _ in progress:
                shuffled = order.permutation(len(images))
                losses = []
                for first in range(0, len(shuffled), chosen.batch):
                    batch = shuffled[first : first + chosen.batch]  # the last one is smaller: that is fine
                    batch_images, batch_labels = images[batch], labels[batch]
                    start = time.perf_counter()
                    _, value = step(batch_images, batch_labels)
                    seconds += time.perf_counter() - start
                    losses.append(value)
                steps += len(losses)
                progress.set_postfix(loss=f"{np.mean(losses):.4f}")

        reached = session.run(accuracy, feed_dict={x: test_images, y: test_labels})

    stats = gf.cache.stats()
    print(f"test accuracy: {reached:.4f}")
    print(f"time per step: {seconds / steps * 1e6:.0f} us ({steps} steps of {chosen.batch} images)")
    print(f"compile time: {compile_seconds:.2f} s (until the first step was done)")
    print(f"kernels: {stats.compiled} compiled, {stats.loaded} from the cache")
    print(f"picture: {gf.viz.save([train, loss], chosen.picture)}")
    return float(reached)


if __name__ == "__main__":
    main()
