"""Matrix products by address: a private, single-threaded OpenBLAS; NumPy's where the package has no wheel.

Our own copy leaves the user's NumPy alone and brings no threads of its own: tiles run on our threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from graphflow.types import DType

_lock = threading.Lock()
_keep: list[object] = []


def _library_path() -> Path | None:
    spec = find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "lib"
    names = {"darwin": "libscipy_openblas.dylib", "win32": "libscipy_openblas.dll"}
    path = folder / names.get(sys.platform, "libscipy_openblas.so")
    return path if path.exists() else None


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The private OpenBLAS, set to one thread; None where there is none."""
    path = _library_path()
    if path is None:
        return None
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when the library starts: it then makes no threads at all
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.scipy_openblas_set_num_threads(1)
        return loaded
    except (OSError, AttributeError):
        return None
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def description() -> str:
    """Which library multiplies matrices."""
    loaded = library()
    if loaded is None:
        return "NumPy"
    loaded.scipy_openblas_get_corename.restype = ctypes.c_char_p
    return f"OpenBLAS, kernels for {loaded.scipy_openblas_get_corename().decode()}"


@cache
def gemm_address(suffix: str) -> int:
    """The address of `cblas_sgemm` (f32) or `cblas_dgemm` (f64)."""
    with _lock:
        loaded = library()
        if loaded is None:
            return _numpy_gemm(suffix)
        function = loaded.scipy_cblas_sgemm if suffix == "f32" else loaded.scipy_cblas_dgemm
        return ctypes.cast(function, ctypes.c_void_p).value or 0


def _numpy_gemm(suffix: str) -> int:
    """The address of a row-major gemm that calls NumPy."""
    number = ctypes.c_float if suffix == "f32" else ctypes.c_double
    dtype = np.dtype(np.float32 if suffix == "f32" else np.float64)
    pointer = ctypes.POINTER(number)
    i = ctypes.c_int

    def matrix(start: object, rows: int, columns: int, leading: int) -> np.ndarray:
        flat = np.ctypeslib.as_array(start, shape=(max(0, (rows - 1) * leading + columns),))  # type: ignore[arg-type]
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (leading * dtype.itemsize, dtype.itemsize))

    @ctypes.CFUNCTYPE(None, i, i, i, i, i, i, number, pointer, i, pointer, i, number, pointer, i)
    def gemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
        if m <= 0 or n <= 0:
            return
        result = matrix(c, m, n, ldc)
        if k <= 0:
            result[...] = beta * result if beta else 0
            return
        left = matrix(a, k, m, lda).T if ta == 112 else matrix(a, m, k, lda)
        right = matrix(b, n, k, ldb).T if tb == 112 else matrix(b, k, n, ldb)
        product = dtype.type(alpha) * np.matmul(left, right)
        result[...] = product if beta == 0 else product + dtype.type(beta) * result

    _keep.append(gemm)
    return ctypes.cast(gemm, ctypes.c_void_p).value or 0


def library_values() -> dict[str, int]:
    """What kernels ask for by name."""
    return {"gemm_f32": gemm_address("f32"), "gemm_f64": gemm_address("f64")}


def supports(dtype: DType) -> bool:
    return dtype.name in ("float32", "float64")
