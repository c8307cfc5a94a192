"""Matrix products by address: our own (`runtime.product`), and for large ones a private, single-threaded OpenBLAS.

A private copy of the library leaves the user's NumPy alone and brings no threads of its own: tiles run on our threads. Where the
package has no wheel, all products are ours.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.codegen import cache as kernels
from graphflow.codegen.library_values import product_of
from graphflow.types import AnySize


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
        return "none"
    loaded.scipy_openblas_get_corename.restype = ctypes.c_char_p
    return f"OpenBLAS, kernels for {loaded.scipy_openblas_get_corename().decode()}"


def function_address(name: str, *sizes: int) -> int:
    """The address of what kernels call `gemm_f32` or `gemm_f64`, for a product of these sizes; or of `listed_f32`, ..."""
    entry, suffix = name.split("_")
    if entry == "gemm" and product_of(*sizes) == "blas" and library() is not None:
        return library_gemm(suffix)
    return own_product(entry, suffix)


@cache
def library_gemm(suffix: str) -> int:
    """The address of the library's `cblas_sgemm` (f32) or `cblas_dgemm` (f64)."""
    loaded: Any = library()
    function = loaded.scipy_cblas_sgemm if suffix == "f32" else loaded.scipy_cblas_dgemm
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def own_product(entry: str, suffix: str) -> int:
    """The address of a function of `runtime.product` or `runtime.listed_product`, compiled for a dtype and this machine."""
    return kernels.load(product_source(entry, suffix), f"the matrix product {entry}_{suffix}", compiler="direct")


def begin(name: str, *sizes: AnySize) -> None:
    """Let what `function_address` will load be compiled, while the caller goes on; unless it may be the library's."""
    entry, suffix = name.split("_")
    known = [size for size in sizes if isinstance(size, int)]
    if entry != "gemm" or (len(known) == len(sizes) and product_of(*known) == "own"):
        _begin_own(entry, suffix)


@cache  # once in a process
def _begin_own(entry: str, suffix: str) -> None:
    kernels.begin(product_source(entry, suffix), f"the matrix product {entry}_{suffix}", compiler="direct")


DEPTH = 256  # of a panel of B: with the rows of A beside it, it stays in the first cache


def product_source(entry: str, suffix: str) -> str:
    """The text of the module with the function `entry`, up to it, for a dtype and the registers of this machine."""
    dtype = np.dtype(np.float32 if suffix == "f32" else np.float64)
    shape = import_module("graphflow.codegen.blocks").block_shape(dtype)  # LLVM takes 100 ms to import
    text = (Path(__file__).parent / ("listed_product.py" if entry == "listed" else "product.py")).read_text()
    functions = {part[4 : part.index("(")]: part.strip() for part in re.split(r"^(?=def )", text, flags=re.M)[1:]}
    names = list(functions)
    text = "\n\n\n".join(functions[name] for name in names[: names.index(entry) + 1]) + "\n"
    choice = [f"if height == {rows}:\n            block_SUFFIX({rows}, BLOCK)" for rows in range(shape.rows, 0, -1)]
    panels = {"WHOLE": (shape.vectors, 0), "NARROW": (shape.vectors, "wide"), "SINGLE": (1, "wide")}
    listed = {
        name: "\n                el".join(
            f"if height == {rows}:\n                    listed_block_SUFFIX({rows}, {vectors}, {wide}, LISTED)"
            for rows in range(shape.rows, 0, -1)
        )
        for name, (vectors, wide) in panels.items()
    }
    block = "a, a_row, a_outer, a_inner, b, b_step, outer, inner, 0, alpha, beta, old, old_row, c, c_row"
    meanings = {
        "HEIGHTS": "\n        el".join(choice),
        **listed,
        "LISTED": "a, at_a, a_outer, a_inner, b, b_outer, b_step, outer, inner, accumulate, to, at_c",
        "BLOCK": block,
        "NUMBER": str(dtype),
        "SUFFIX": suffix,
        "SIZE": dtype.itemsize,
        "ROWS": shape.rows,
        "WIDTH": shape.width,
        "VECTORS": shape.vectors,
        "LANES": shape.lanes,
        "DEPTH": DEPTH,
        "PANEL": DEPTH * shape.width,
        "EDGE": shape.rows * shape.width,
    }
    for word, meaning in meanings.items():
        text = re.sub(rf"(?<![A-Z]){word}(?![A-Z])", str(meaning), text)
    return text.replace(f"def {entry}(", "def kernel(")
