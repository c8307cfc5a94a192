"""NaN, infinities, signed zeros, ties, empty tensors: where compositions could go wrong though their parts are right."""

import math

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.types import DTYPES

NAN, INF = math.nan, math.inf


def of(function, *values, dtype=gf.float64):
    operands = [gf.placeholder(dtype, np.shape(v)) for v in values]
    results = function(*operands)
    return evaluate(results if isinstance(results, list) else [results], dict(zip(operands, values, strict=True)))


def test_logsumexp_and_softmax_of_infinities():
    rows = [[-INF, -INF], [INF, 0], [-INF, 0], [NAN, 0], [1e300, -1e300]]
    np.testing.assert_array_equal(of(lambda x: gf.logsumexp(x, 1), rows)[0], [-INF, INF, 0, NAN, 1e300])
    np.testing.assert_array_equal(of(gf.nn.softmax, rows[2:])[0], [[0, 1], [NAN, NAN], [1, 0]])
    np.testing.assert_array_equal(of(gf.nn.log_softmax, rows[2:3])[0], [[-INF, 0]])
    assert of(lambda x: gf.logsumexp(x, 0), np.zeros((0, 2)))[0].tolist() == [-INF, -INF]


def test_gradients_of_losses_at_infinite_logits():
    labels = gf.constant([1, 0])
    logits = [[-INF, 0.0], [1000.0, 0.0]]

    def sparse(x):
        loss = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x)
        return [loss, *gf.gradients(loss, x)]

    loss, gradient = of(sparse, logits)
    np.testing.assert_array_equal(loss, [0, 0])
    np.testing.assert_allclose(gradient, np.zeros((2, 2)))

    def dense(x, y):
        loss = gf.nn.softmax_cross_entropy_with_logits(labels=y, logits=x)
        return [loss, *gf.gradients(loss, x)]

    loss, gradient = of(dense, logits, [[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(loss, [0, 0])
    np.testing.assert_allclose(gradient, np.zeros((2, 2)))
    loss, gradient = of(
        lambda x: [y := gf.nn.sigmoid_cross_entropy_with_logits(labels=[1.0, 0.0], logits=x), *gf.gradients(y, x)],
        [1000.0, -1000.0],
    )
    np.testing.assert_array_equal([loss, gradient], np.zeros((2, 2)))


def test_sigmoid_cross_entropy_is_smooth_at_zero():
    gradient, second = of(
        lambda x: [
            g := gf.gradients(gf.nn.sigmoid_cross_entropy_with_logits(labels=[1.0], logits=x), x)[0],
            gf.gradients(g, x)[0],
        ],
        [0.0],
    )
    np.testing.assert_allclose([gradient, second], [[-0.5], [0.25]])


def test_labels_of_a_short_dtype_count_further_than_it_reaches():
    logits = gf.placeholder(gf.float64, [2, 300])
    labels = gf.constant(np.array([3, 100], np.int8))
    loss = gf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    (loss,) = evaluate([loss], {logits: np.zeros((2, 300))})
    np.testing.assert_allclose(loss, np.log(300) * np.ones(2))
    assert evaluate([gf.reduce_sum(gf.one_hot(labels, 300), 1)])[0].tolist() == [1, 1]


def test_extremes_propagate_nan():
    assert math.isnan(of(gf.reduce_max, [1.0, NAN, 3.0])[0]) and math.isnan(of(gf.reduce_min, [1.0, NAN, 3.0])[0])
    assert np.isnan(of(gf.maximum, [NAN, 1.0], [1.0, NAN])[0]).all()
    assert of(gf.argmax, [1.0, NAN, INF, NAN])[0] == 1 and of(gf.argmin, [1.0, -INF, -INF])[0] == 1
    assert math.isnan(of(gf.nn.relu, NAN)[0]) and math.isnan(of(lambda x: gf.clip_by_value(x, 0.0, 1.0), NAN)[0])


def test_reductions_of_nothing():
    nothing = np.zeros((0, 2))
    found = of(
        lambda x: [f(x, 0) for f in (gf.reduce_sum, gf.reduce_prod, gf.reduce_max, gf.reduce_min, gf.reduce_mean)], nothing
    )
    np.testing.assert_array_equal(found, [[0, 0], [1, 1], [-INF, -INF], [INF, INF], [NAN, NAN]])
    (gradient,) = of(lambda x: gf.gradients(gf.reduce_mean(x), x), nothing)
    assert gradient.shape == (0, 2)


def test_integers_do_not_trap():
    least = -(2**31)
    found = of(lambda x, y: [x // y, x % y, gf.abs(x), -x, x**y], [7, -7, least, 3], [0, 0, -1, -2], dtype=gf.int32)
    np.testing.assert_array_equal(found[0], [0, 0, least, -2])
    np.testing.assert_array_equal(found[1], [0, 0, 0, -1])
    np.testing.assert_array_equal(found[4], [1, 1, 0, 0])
    assert found[2][2] == found[3][2] == least


def test_division_of_integers_is_float64():
    for dtype in DTYPES:
        x = gf.constant(np.ones(2), dtype) if not dtype.is_bool else gf.constant([True, True])
        quotient = x / x
        assert quotient.dtype == (dtype if dtype.is_differentiable else gf.float64)
        if dtype.is_integer:
            assert (x / 2).dtype == (x / 2.5).dtype == (1 / x).dtype == gf.float64
    assert (gf.constant([1.0], gf.float64) / [2.0]).dtype == gf.float64
    assert (gf.constant([1]) / [2, 3]).dtype == gf.float64
    assert (gf.divide(1, 2)).dtype == gf.float64 and gf.divide(1.0, 2).dtype == gf.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_means_and_products_of_short_floats_are_summed_in_float32(dtype):
    x = gf.constant(np.full(5000, 1.0), dtype)
    assert float(evaluate([gf.reduce_mean(x)])[0]) == 1
    a = gf.constant(np.full((1, 3000), 1.0), dtype)
    assert float(evaluate([gf.matmul(a, a, transpose_b=True)])[0][0, 0]) == float(
        np.float32(3000).astype(gf.as_dtype(dtype).numpy)
    )
