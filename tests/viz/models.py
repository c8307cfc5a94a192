"""The models that pictures and ledgers are tested on: (fetches, shapes of the feeds)."""

import numpy as np

import graphflow as gf


def mlp():
    """A training step of a network for digits, with Adam."""
    x = gf.placeholder(gf.float32, [None, 64], name="x")
    y = gf.placeholder(gf.int32, [None], name="y")
    with gf.name_scope("hidden"):
        w = gf.Variable(np.full([64, 32], 0.01, np.float32), name="w")
        b = gf.Variable(np.zeros([32], np.float32), name="b")
        h = gf.tanh(gf.matmul(x, w) + b)
    with gf.name_scope("out"):
        v = gf.Variable(np.full([32, 10], 0.01, np.float32), name="w")
        logits = gf.matmul(h, v) + 0.0
    with gf.name_scope("loss"):
        loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    train = gf.train.AdamOptimizer(0.1).minimize(loss)
    return [train, loss], {x: (32, 64), y: (32,)}


def convolution():
    """A small convolutional network and its gradients."""
    x = gf.placeholder(gf.float32, [None, 8, 8, 1], name="x")
    with gf.name_scope("conv"):
        k = gf.Variable(np.full([3, 3, 1, 4], 0.1, np.float32), name="filters")
        h = gf.nn.relu(gf.nn.conv2d(x, k, strides=1, padding="SAME"))
    with gf.name_scope("pool"):
        h = gf.nn.max_pool2d(h, 2, 2, "VALID")
    with gf.name_scope("dense"):
        w = gf.Variable(np.full([64, 3], 0.1, np.float32), name="w")
        z = gf.matmul(gf.reshape(h, [-1, 64]), w)
    loss = gf.reduce_mean(gf.square(z))
    return [loss, *gf.gradients(loss, [k, w])], {x: (5, 8, 8, 1)}


def scan():
    """A recurrent cell over a sequence, and its gradient."""
    w = gf.Variable(np.full([4, 4], 0.1, np.float32), name="w")
    sequence = gf.placeholder(gf.float32, [None, 4], name="sequence")

    def step(state, row):
        new = gf.tanh(gf.reduce_sum(state * w, axis=1) + row)
        return new, new

    states, _ = gf.scan(step, sequence, initializer=gf.zeros([4]))
    loss = gf.reduce_sum(states)
    return [loss, *gf.gradients(loss, [w])], {sequence: (7, 4)}


def chain(steps=150):
    """A recurrent network without a loop, and its gradient: eleven nodes a step, in no scope."""
    x = gf.placeholder(gf.float32, [None, 8], name="x")
    w = gf.Variable(np.full([8, 8], 0.1, np.float32), name="w")
    h = x
    for _ in range(steps):
        h = gf.tanh(gf.matmul(h, w) * 0.5 + x)
    loss = gf.reduce_sum(h)
    return [loss, *gf.gradients(loss, [w])], {x: (16, 8)}
