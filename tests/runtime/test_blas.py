"""Matrix products: the private library, its replacement by NumPy, and every tile a product is cut into."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphflow as gf
from graphflow.codegen.library_values import tile_shape
from graphflow.runtime import blas

SHAPES = [(1, 1, 1), (3, 5, 7), (33, 784, 130), (300, 40, 520), (520, 300, 90), (0, 3, 2), (3, 0, 2), (2, 3, 0)]


@pytest.fixture(params=["library", "NumPy"])
def gemm(request, monkeypatch):
    """Products by the private library, or by NumPy as where the library has no wheel."""
    blas.gemm_address.cache_clear()
    if request.param == "NumPy":
        monkeypatch.setattr(blas, "library", lambda: None)
    elif blas.library() is None:
        pytest.skip("no library for this machine")
    yield request.param
    blas.gemm_address.cache_clear()


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


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_tiles_cover_the_result(rows, columns, depth):
    tile_rows, tile_columns = tile_shape(rows, columns, depth)
    assert 1 <= tile_rows <= rows and 1 <= tile_columns <= columns
    assert -(-rows // tile_rows) * -(-columns // tile_columns) <= 48
