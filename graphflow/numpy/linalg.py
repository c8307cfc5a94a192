"""`gf.numpy.linalg`: NumPy's names for what `gf.linalg` has."""

from __future__ import annotations

from typing import Any

from graphflow.ir.tensor import Tensor
from graphflow.numpy.arrays import ravel
from graphflow.ops import decompositions as ops
from graphflow.ops.decompositions import det, eigh, eigvalsh, inv, matrix_norm, matrix_power, pinv, slogdet, solve, svdvals
from graphflow.ops.linalg import matmul
from graphflow.ops.matrices import adjoint, cross, diagonal, matrix_transpose, outer, trace, vecdot, vector_norm

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "norm", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "trace", "vecdot", "vector_norm",
]  # fmt: skip


def cholesky(a: Any, upper: bool = False) -> Tensor:
    """The lower triangular L with a = L L^H, of a positive definite matrix; its adjoint where `upper`."""
    found = ops.cholesky(a)
    return adjoint(found) if upper else found


def qr(a: Any, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """(q, r) with a = q r: the columns of q orthonormal, r upper triangular; q is square for mode "complete"."""
    return ops.qr(a, full_matrices={"reduced": False, "complete": True}[mode])


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """(u, s, vh) with a = u diag(s) vh: singular values in descending order; s alone without `compute_uv`."""
    if not compute_uv:
        return svdvals(a)
    s, u, v = ops.svd(a, full_matrices)
    return u, s, adjoint(v)


def matrix_rank(A: Any, tol: Any = None, rtol: Any = None) -> Tensor:
    """How many singular values of each matrix are above `tol`, or above `rtol` times the largest."""
    return ops.matrix_rank(A, tol, rtol)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along `axis`, or of matrices where two axes are given; of all elements where neither is."""
    if axis is None and ord is None:
        return vector_norm(ravel(x)) if not keepdims else vector_norm(x, None, True)
    if isinstance(axis, int) or (axis is None and x.ndim == 1):
        return vector_norm(x, axis, keepdims, 2 if ord is None else ord)
    if axis is None or tuple(a % x.ndim for a in axis) == (x.ndim - 2, x.ndim - 1):
        return matrix_norm(x, "fro" if ord is None else ord, keepdims)
    raise NotImplementedError("norm: matrices stand in the last two axes; use moveaxis")
