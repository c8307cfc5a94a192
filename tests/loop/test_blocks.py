"""Blocks of rows: what is computed once a row is computed for many rows at a time, with the values it has row by row."""

import numpy as np
import pytest

import graphflow as gf


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 200])
def test_any_number_of_rows(rng, rows):
    x, y = gf.placeholder(gf.float64, [None, 6], name="x"), gf.placeholder(gf.float64, [None], name="y")
    w = gf.placeholder(gf.float64, [6], name="w")
    logits = gf.tensordot(x, w, 1)
    losses = gf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
    fetches = [losses, *gf.gradients(losses, [w, x])]
    feeds = {x: rng.normal(size=(rows, 6)), y: rng.uniform(size=rows), w: rng.normal(size=6)}
    with gf.Session() as sess:
        found = sess.run(fetches, feeds)
        assert any(kernel.block for kernel in sess.executable(fetches, list(feeds)).kernels)
    z = feeds[x] @ feeds[w]
    slope = 1 / (1 + np.exp(-z)) - feeds[y]
    np.testing.assert_allclose(found[0], np.log1p(np.exp(z)) - feeds[y] * z, rtol=1e-9)
    np.testing.assert_allclose(found[1], feeds[x].T @ slope, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[2], slope[:, None] * feeds[w], rtol=1e-9, atol=1e-12)


def test_cheap_work_of_a_row_stays_with_it():
    x = gf.placeholder(gf.float32, [None, 40], name="x")
    with gf.Session() as sess:
        (kernel,) = sess.executable(x - gf.reduce_max(x, axis=1, keepdims=True) * 2.0).kernels
    assert not kernel.block


def test_a_result_written_over_its_operand(rng):
    start = rng.normal(size=(70, 5))
    w = gf.Variable(start, name="w")
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        sess.run(gf.group(w.assign(w * gf.exp(gf.sin(gf.reduce_sum(w, axis=1, keepdims=True))))))
        np.testing.assert_allclose(sess.run(w), start * np.exp(np.sin(start.sum(1, keepdims=True))), rtol=1e-12)
