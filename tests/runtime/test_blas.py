"""Matrix products: our own, the private library's, and every tile a product is cut into."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.codegen.library_values import tile_shape
from graphflow.runtime import blas

SHAPES = [
    (1, 1, 1),
    (13, 16, 257),
    (6, 700, 16),
    (25, 9, 48),
    (3, 5, 7),
    (33, 784, 130),
    (300, 40, 520),
    (520, 300, 90),
    (0, 3, 2),
    (3, 0, 2),
    (2, 3, 0),
]


@pytest.fixture(params=["own", "blas"])
def gemm(request, monkeypatch):
    """All products by our own kernel, or all by the library."""
    if request.param == "blas" and blas.library() is None:
        pytest.skip("no library for this machine")
    monkeypatch.setattr(blas, "product_of", lambda *sizes: request.param)
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_products_equal_numpy(gemm, rng, dtype, transposed):
    ta, tb = transposed
    a = gf.placeholder(dtype, [None, None], name="a")
    b = gf.placeholder(dtype, [None, None], name="b")
    product = gf.matmul(a, b, transpose_a=ta, transpose_b=tb)
    with gf.Session() as sess:
        call = sess.make_callable([product, gf.nn.relu(product) + 1.0], [a, b])
        for m, k, n in SHAPES:
            left, right = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
            raw, followed = call(left.T.copy() if ta else left, right.T.copy() if tb else right)
            tolerance = 1e-4 if dtype == "float32" else 1e-11
            np.testing.assert_allclose(raw, left @ right, rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(followed, np.maximum(left @ right, 0) + 1, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size, window, channels, wide", [(20, 3, 5, 16), (9, 2, 4, 7), (40, 1, 8, 33), (15, 4, 3, 64)])
def test_a_convolution_is_a_product(rng, dtype, size, window, channels, wide):
    """Rows of A are pixels, two apart; the sum runs over the lines of a window and along each of them."""
    image = rng.standard_normal((window, size, channels)).astype(dtype)
    filters = rng.standard_normal((window, window, channels, wide)).astype(dtype)
    pixels = (size - window) // 2 + 1
    windows = np.stack([image[:, 2 * p : 2 * p + window] for p in range(pixels)]).reshape(pixels, -1)
    expected = windows @ filters.reshape(-1, wide)
    i, number = ctypes.c_int64, ctypes.c_float if dtype == "float32" else ctypes.c_double
    kinds = [i, i, i, i, number, i, i, i, i, i, i, i, number, i, i]
    address = blas.own_product("product", "f32" if dtype == "float32" else "f64")
    product = ctypes.CFUNCTYPE(None, *kinds)(address)
    for beta, before in ((0.0, np.nan), (2.0, 1.0)):
        out = np.full((pixels, wide), before, dtype)
        a, b, c = image.ctypes.data, filters.ctypes.data, out.ctypes.data
        along = window * channels
        product(pixels, wide, window, along, 3.0, a, 2 * channels, size * channels, 1, b, wide, 1, beta, c, wide)
        old = beta * before if beta else 0.0
        np.testing.assert_allclose(out, 3 * expected + old, rtol=1e-4, atol=1e-4)


def test_an_update_in_place_equals_numpy(gemm, rng):
    w = gf.Variable(rng.standard_normal((300, 520)).astype(np.float32), name="w")
    x, g = gf.placeholder(gf.float32, [None, 300], name="x"), gf.placeholder(gf.float32, [None, 520], name="g")
    step = gf.group(w.assign_sub(0.5 * gf.matmul(x, g, transpose_a=True)))
    with gf.Session() as sess:
        sess.run(w.initializer)
        before = sess.run(w)
        left, right = rng.standard_normal((40, 300)).astype(np.float32), rng.standard_normal((40, 520)).astype(np.float32)
        sess.run(step, {x: left, g: right})
        np.testing.assert_allclose(sess.run(w), before - 0.5 * left.T @ right, rtol=1e-4, atol=1e-4)


def test_the_library_is_ours_and_has_one_thread():
    loaded = blas.library()
    if loaded is None:
        pytest.skip("no library for this machine")
    loaded.scipy_openblas_get_num_threads.restype = ctypes.c_int
    assert loaded.scipy_openblas_get_num_threads() == 1


@given(st.integers(1, 100), st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_tiles_cover_the_result(batch, rows, columns, depth):
    tile_rows, tile_columns = tile_shape(batch, rows, columns, depth)
    assert 1 <= tile_rows <= rows and 1 <= tile_columns <= columns
    assert -(-rows // tile_rows) * -(-columns // tile_columns) <= 48


@pytest.mark.parametrize("sizes", [(3, 5, 8), (40, 6000, 8), (2, 3, 3), (70, 3, 32)], ids=str)
def test_what_follows_a_narrow_product_is_one_loop(sizes, rng):
    """Lines of a few numbers alone leave the processor waiting; a bias is read by column and keeps the lines apart."""
    rows, depth, columns = sizes
    x, w, r, b = (
        gf.placeholder(gf.float64, shape, name=name)
        for name, shape in (("x", [rows, depth]), ("w", [depth, columns]), ("r", [rows, columns]), ("b", [columns]))
    )
    product = gf.matmul(x, w)
    plain, biased = gf.tanh(product + r), gf.tanh(product + b)
    values = {t: rng.normal(size=shape) for t, shape in ((x, (rows, depth)), (w, sizes[1:]), (r, (rows, columns)), (b, columns))}
    with gf.Session() as sess:
        for fetch, added in ((plain, r), (biased, b)):
            feeds = {t: values[t] for t in (x, w, added)}
            np.testing.assert_allclose(sess.run(fetch, feeds), np.tanh(values[x] @ values[w] + values[added]), rtol=1e-9)
        (source,) = sess.executable(plain, [x, w, r]).sources
        assert source.text.count("for ") == 2  # tiles, elements
