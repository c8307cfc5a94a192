"""Kernels of rows in several stages: a dear value that two stages need is computed once and waits where the result will be."""

import numpy as np

import graphflow as gf


def softmax_of(values):
    e = np.exp(values - values.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_softmax_computes_each_exponential_once():
    x = gf.placeholder(gf.float32, [None, None], name="x")
    with gf.Session() as session:
        text = session.explain(gf.nn.softmax(x))
    assert text.count("exp_f32(") == 1


def test_what_waits_in_a_result_is_not_read_after_that_is_written(rng):
    """The gradient needs the exponentials after the softmax itself has taken their place."""
    x = gf.placeholder(gf.float64, [None, 7], name="x")
    y = gf.nn.softmax(gf.tanh(x))
    (dx,) = gf.gradients(gf.reduce_sum(y * y * y), [x])
    values = rng.normal(size=(5, 7))
    with gf.Session() as session:
        found, gradient = session.run([y, dx], {x: values})
    p = softmax_of(np.tanh(values))
    dp = 3 * p * p
    expected = p * (dp - (dp * p).sum(1, keepdims=True)) * (1 - np.tanh(values) ** 2)
    np.testing.assert_allclose(found, p, rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_softmax_may_overwrite_its_operand(rng):
    """Its operand dies in its kernel: the exponentials are written over what they were made of."""
    x = gf.placeholder(gf.float32, [None, 24], name="x")
    w = gf.placeholder(gf.float32, [24, 40], name="w")
    y = gf.matmul(gf.nn.softmax(gf.matmul(x, w)), w, transpose_b=True)
    a, b = rng.normal(size=(6, 24)).astype(np.float32), rng.normal(size=(24, 40)).astype(np.float32)
    with gf.Session() as session:
        text = session.explain(y)
        found = session.run(y, {x: a, w: b})
    assert "in and out" in text
    np.testing.assert_allclose(found, softmax_of(a @ b) @ b.T, rtol=1e-4, atol=1e-5)
