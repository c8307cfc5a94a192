"""Conditions on positions: the innermost loop is split where they change, and each part computes what it would without."""

import itertools

import numpy as np
import pytest

import graphflow as gf


def compiled(fetch, feeds):
    with gf.Session() as sess:
        return sess.run(fetch, feeds), [s.text for s in sess.executable(fetch, list(feeds)).sources]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("paddings", list(itertools.product([(0, 0), (2, 1), (0, 3)], repeat=2)), ids=str)
def test_a_padded_computation_is_one_kernel_of_segments(rng, symbolic, paddings):
    shape = (3, 5)
    x = gf.placeholder(gf.float64, [None, None] if symbolic else shape, name="x")
    values = rng.normal(size=shape)
    found, texts = compiled(gf.pad(gf.exp(x) * 2.0, list(map(list, paddings))) + 1.0, {x: values})
    np.testing.assert_allclose(found, np.pad(np.exp(values) * 2, paddings) + 1, rtol=1e-12)
    assert len(texts) == 1


def test_columns_beside_each_other_are_copied_without_a_branch(rng):
    x, y, z = (gf.placeholder(gf.float32, [None, n], name=name) for name, n in (("x", 3), ("y", 4), ("z", 2)))
    values = [rng.normal(size=(7, n)).astype(np.float32) for n in (3, 4, 2)]
    found, (text,) = compiled(gf.concat([x, y, z], 1) * 2.0, dict(zip((x, y, z), values, strict=True)))
    np.testing.assert_array_equal(found, np.concatenate(values, 1) * 2)
    assert "if" not in text and all(f"range({bounds})" in text for bounds in ("3", "3, 7", "7, 9"))


@pytest.mark.parametrize("sizes", [(0, 0), (0, 4), (6, 0), (5000, 70)])
def test_vectors_one_after_the_other(rng, sizes):
    """The innermost loop is the one that threads share."""
    x, y = (gf.placeholder(gf.float64, [None], name=name) for name in "xy")
    values = [rng.normal(size=n) for n in sizes]
    found, (text,) = compiled(gf.concat([x, y * 2.0], 0), dict(zip((x, y), values, strict=True)))
    np.testing.assert_array_equal(found, np.concatenate([values[0], values[1] * 2]))
    assert "if" not in text


def test_backwards_and_with_strides(rng):
    x = gf.placeholder(gf.float64, [4, 9], name="x")
    values = rng.normal(size=(4, 9))
    picked = [x[:, ::-1][:, 2:], x[1:, 7:2:-1], x[:, 1::2]]
    gradients = gf.gradients([gf.reduce_sum(p * p) for p in picked], [x])[0]
    expected = np.zeros_like(values)
    for key in ((slice(None), slice(6, None, -1)), (slice(1, None), slice(7, 2, -1)), (slice(None), slice(1, None, 2))):
        expected[key] += 2 * values[key]
    found, _ = compiled(gradients, {x: values})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_variable_is_overwritten_segment_by_segment(rng):
    start = rng.normal(size=(5, 8))
    w = gf.Variable(start, name="w")
    g = gf.placeholder(gf.float64, [5, 6], name="g")
    step = gf.group(w.assign_sub(gf.pad(g, [[0, 0], [1, 1]])))
    change = rng.normal(size=(5, 6))
    with gf.Session() as sess:
        sess.run(gf.global_variables_initializer())
        sess.run(step, {g: change})
        np.testing.assert_allclose(sess.run(w), start - np.pad(change, ((0, 0), (1, 1))), rtol=1e-12)
        (kernel,) = sess.executable(step, [g]).kernels
        assert len(kernel.stages) == 3 and [role.name for role in kernel.roles].count("INOUT") == 1


@pytest.mark.parametrize("width", [40, 64, 70])
def test_sums_over_rows_of_parts_beside_each_other(rng, width):
    """The gradient of a bias whose columns go different ways, as those of the gates of a recurrent cell; tiles cut segments."""
    rows = 30
    x, y = (gf.placeholder(gf.float64, [rows, width], name=name) for name in "xy")
    values = [rng.normal(size=(rows, width)) for _ in "xy"]
    whole = gf.pad(x * y, [[0, 0], [0, width]]) + gf.pad(y, [[0, 0], [width, 0]])
    found, texts = compiled([whole, gf.reduce_sum(whole, axis=0)], dict(zip((x, y), values, strict=True)))
    expected = np.concatenate([values[0] * values[1], values[1]], 1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[1], expected.sum(0), rtol=1e-12)
    assert len(texts) == 1 and "if" not in texts[0]
