"""Train a small convolutional network, with batch normalisation, to read handwritten digits.

    python examples/convolutions.py

Two blocks of convolution, normalisation, activation and pooling turn an image of 8 x 8 pixels into 2 x 2 pixels of 32 numbers; a
dense layer makes ten scores of them. Images are [batch, height, width, channels]; data_format="NCHW" takes the channels first.
"""

from pathlib import Path

import numpy as np

import graphflow as gf

DATA = Path(__file__).resolve().parent / "data" / "digits.npz"
EPOCHS, BATCH = 12, 32


def load(seed=0):
    """(training images, training labels, test images, test labels); a fifth of the scans is kept for testing."""
    data = np.load(DATA)
    images, labels = data["images"].reshape(-1, 8, 8, 1).astype(np.float32) / 16, data["labels"].astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(images))
    test, train = np.split(order, [len(order) // 5])
    return images[train], labels[train], images[test], labels[test]


def block(x, channels, seed):
    """Convolution 3 x 3, batch normalisation, relu, and the largest of each 2 x 2 pixels."""
    inputs = x.shape[-1]
    filters = gf.Variable(gf.random.normal([3, 3, inputs, channels], stddev=(2 / (9 * inputs)) ** 0.5, seed=seed), name="filters")
    scale, offset = gf.Variable(gf.ones([channels]), name="scale"), gf.Variable(gf.zeros([channels]), name="offset")
    h = gf.nn.conv2d(x, filters, strides=1, padding="SAME")
    mean, variance = gf.nn.moments(h, axes=[0, 1, 2])
    h = gf.nn.relu(gf.nn.batch_normalization(h, mean, variance, offset, scale))
    return gf.nn.max_pool2d(h, ksize=2, strides=2, padding="VALID")


def main():
    images, labels, test_images, test_labels = load()
    x = gf.placeholder(gf.float32, [None, 8, 8, 1], name="x")
    y = gf.placeholder(gf.int32, [None], name="y")
    h = block(block(x, 16, seed=1), 32, seed=2)
    w = gf.Variable(gf.random.normal([128, 10], stddev=0.1, seed=3), name="w")
    logits = gf.matmul(gf.reshape(h, [-1, 128]), w)
    loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    right = gf.equal(gf.cast(gf.argmax(logits, axis=1), gf.int32), y)
    accuracy = gf.reduce_mean(gf.cast(right, gf.float32))
    train = gf.train.AdamOptimizer(0.002).minimize(loss)

    order = np.random.default_rng(1)
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        step = session.make_callable([train, loss], feed_list=[x, y])
        for epoch in range(EPOCHS):
            shuffled = order.permutation(len(images))
            losses = [step(images[batch], labels[batch])[1] for batch in np.split(shuffled, range(BATCH, len(shuffled), BATCH))]
            print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}")
        reached = session.run(accuracy, feed_dict={x: test_images, y: test_labels})
    print(f"test accuracy: {reached:.4f}")


if __name__ == "__main__":
    main()
