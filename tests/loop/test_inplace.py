"""Outputs written over inputs: never before the last kernel that reads the input has run."""

import numpy as np

import graphflow as gf
from graphflow.ir.evaluate import evaluate


def test_a_buffer_filled_by_several_kernels_is_not_written_over_what_the_later_ones_read(rng):
    """Batch norm and its gradient: one group, whose kernels hand a value on in the buffer of their result."""
    x, w = gf.placeholder(gf.float64, [16384, 2]), gf.placeholder(gf.float64, [2, 32])
    h = x @ w
    mean, variance = gf.nn.moments(h, [0])
    y = gf.nn.relu((h - mean) * gf.rsqrt(variance + 1e-5) + 0.3)
    gradients = gf.gradients(gf.reduce_mean(gf.square(y - 1)), [x, w])
    feeds = {x: rng.normal(size=(16384, 2)), w: rng.normal(size=(2, 32))}
    with gf.Session() as sess:
        for actual, expected in zip(sess.run(gradients, feeds), evaluate(gradients, feeds), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
