"""`graphflow.array_api.linalg`: the standard's extension for linear algebra, of matrices in the last two axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from graphflow.array_api.array import Array, eagerly, promoted, set_matmul, tensor_of, value
from graphflow.array_api.functions import _sum_dtype
from graphflow.numpy import arrays as names
from graphflow.numpy import reductions
from graphflow.ops import linalg as ops
from graphflow.ops.array import swapaxes
from graphflow.ops.logic import cast
from graphflow.ops.math import conj, multiply


class QR(NamedTuple):
    """What `qr` gives."""

    Q: Array
    R: Array


class Eigen(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Array
    eigenvectors: Array


class SVD(NamedTuple):
    """What `svd` gives."""

    U: Array
    S: Array
    Vh: Array


class SignedLog(NamedTuple):
    """What `slogdet` gives."""

    sign: Array
    logabsdet: Array


@eagerly
def matmul(x1: Any, x2: Any, /) -> Any:
    """The product of matrices; of a vector with a matrix, or of two vectors."""
    a, b = promoted(x1, x2)
    if not a.rank or not b.rank:
        raise ValueError("matmul of an array without axes")
    if a.dtype.is_bool:
        raise TypeError("matmul of bools")
    return ops.matmul(a, b)


set_matmul(matmul)


@eagerly
def matrix_transpose(x: Any, /) -> Any:
    """Each matrix transposed."""
    return swapaxes(tensor_of(x), -1, -2)


@eagerly
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """The sum of products over the last `axes` axes of `x1` and the first of `x2`, or over the axes in two lists."""
    a, b = promoted(x1, x2)
    if isinstance(axes, int):
        axes = [list(range(a.rank - axes, a.rank)), list(range(axes))]
    return ops.tensordot(a, b, [list(part) for part in axes])


@eagerly
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of conj(x1) * x2 along `axis`, counted from the end."""
    a, b = promoted(x1, x2)
    if axis >= 0:
        raise ValueError("vecdot: axis counts from the end, -1 is the last one")
    return reductions.sum(multiply(conj(a), b), axis)


@eagerly
def outer(x1: Any, x2: Any, /) -> Any:
    """The products of the elements of two vectors."""
    return names.outer(*promoted(x1, x2))


@eagerly
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of diagonal `offset` of each matrix."""
    found = diagonal(x, offset=offset).tensor
    return reductions.sum(cast(found, _sum_dtype(found.dtype) if dtype is None else dtype), -1)


def _given(*operands: Any) -> list[np.ndarray]:
    return [t.numpy() for t in promoted(*operands)]


def diagonal(x: Any, /, *, offset: int = 0) -> Array:
    """Diagonal `offset` of each matrix."""
    return value(np.diagonal(tensor_of(x).numpy(), offset, -2, -1))


def cholesky(x: Any, /, *, upper: bool = False) -> Array:
    """The lower triangular L with x = L L^H, of a positive definite matrix; its adjoint where `upper`."""
    found = np.linalg.cholesky(tensor_of(x).numpy())
    return value(np.conj(np.swapaxes(found, -1, -2)) if upper else found)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """The cross product of the vectors of three elements along `axis`."""
    a, b = _given(x1, x2)
    return value(np.cross(a, b, axis=axis))


def det(x: Any, /) -> Array:
    """The determinant of each matrix."""
    return value(np.linalg.det(tensor_of(x).numpy()))


def slogdet(x: Any, /) -> SignedLog:
    """(sign, logarithm of the absolute value) of the determinant of each matrix."""
    return SignedLog(*map(value, np.linalg.slogdet(tensor_of(x).numpy())))


def eigh(x: Any, /) -> Eigen:
    """(eigenvalues in ascending order, eigenvectors as columns) of Hermitian matrices."""
    return Eigen(*map(value, np.linalg.eigh(tensor_of(x).numpy())))


def eigvalsh(x: Any, /) -> Array:
    """The eigenvalues of Hermitian matrices, in ascending order."""
    return value(np.linalg.eigvalsh(tensor_of(x).numpy()))


def inv(x: Any, /) -> Array:
    """The inverse of each matrix."""
    return value(np.linalg.inv(tensor_of(x).numpy()))


def pinv(x: Any, /, *, rtol: Any = None) -> Array:
    """The pseudo-inverse of each matrix; singular values below `rtol` times the largest count as 0."""
    array = tensor_of(x).numpy()
    rcond = _rtol(array) if rtol is None else rtol if isinstance(rtol, float | int) else tensor_of(rtol).numpy()
    return value(np.linalg.pinv(array, rcond))


def _rtol(array: np.ndarray) -> float:
    return max(array.shape[-2:]) * float(np.finfo(array.dtype).eps)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """A norm of each matrix: "fro", "nuc", 1, 2, inf, or one of those negated."""
    return value(np.linalg.norm(tensor_of(x).numpy(), ord, (-2, -1), keepdims))


def matrix_power(x: Any, n: int, /) -> Array:
    """The product of `n` factors x; of inverses for negative n."""
    return value(np.linalg.matrix_power(tensor_of(x).numpy(), n))


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Array:
    """How many singular values of each matrix are above `rtol` times the largest."""
    array = tensor_of(x).numpy()
    singular = np.linalg.svd(array, compute_uv=False)
    part = _rtol(array) if rtol is None else rtol if isinstance(rtol, float | int) else tensor_of(rtol).numpy()[..., None]
    return value(np.count_nonzero(singular > singular.max(-1, keepdims=True, initial=0) * part, axis=-1).astype(np.int64))


def qr(x: Any, /, *, mode: str = "reduced") -> QR:
    """(Q, R) with x = Q R: the columns of Q orthonormal, R upper triangular; Q is square for mode "complete"."""
    return QR(*map(value, np.linalg.qr(tensor_of(x).numpy(), mode)))  # type: ignore[call-overload]


def solve(x1: Any, x2: Any, /) -> Array:
    """x with x1 x = x2; a vector x2 is one right side."""
    a, b = _given(x1, x2)
    return value(np.linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else np.linalg.solve(a, b))


def svd(x: Any, /, *, full_matrices: bool = True) -> SVD:
    """(U, S, Vh) with x = U diag(S) Vh: singular values in descending order."""
    return SVD(*map(value, np.linalg.svd(tensor_of(x).numpy(), full_matrices)))


def svdvals(x: Any, /) -> Array:
    """The singular values of each matrix, in descending order."""
    return value(np.linalg.svd(tensor_of(x).numpy(), compute_uv=False))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """The length of the elements along `axis`: (sum |x|**ord)**(1/ord)."""
    array = tensor_of(x).numpy()
    axes = tuple(range(array.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    moved = np.moveaxis(array, axes, range(len(axes)))
    found = np.linalg.norm(moved.reshape(-1, *moved.shape[len(axes) :]), ord, 0) if array.size or axes else np.abs(array)
    found = (
        found.reshape([1 if k in {a % array.ndim for a in axes} else d for k, d in enumerate(array.shape)]) if keepdims else found
    )
    return value(found.astype(tensor_of(x).dtype.real.numpy))


__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip
