"""`graphflow.array_api.linalg`: the standard's extension for linear algebra, of matrices in the last two axes."""

from __future__ import annotations

from typing import Any, NamedTuple

from graphflow.array_api.array import Array, eagerly, promoted, set_matmul, tensor_of
from graphflow.array_api.functions import summed
from graphflow.numpy import arrays as names
from graphflow.numpy import linalg as ops
from graphflow.numpy import reductions
from graphflow.ops import linalg as products
from graphflow.ops import matrices
from graphflow.types import DType


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
    return products.matmul(a, b)


set_matmul(matmul)


@eagerly
def matrix_transpose(x: Any, /) -> Any:
    """Each matrix transposed."""
    return names.matrix_transpose(tensor_of(x))


@eagerly
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """The sum of products over the last `axes` axes of `x1` and the first of `x2`, or over the axes in two lists."""
    a, b = promoted(x1, x2)
    if isinstance(axes, int):
        axes = [list(range(a.rank - axes, a.rank)), list(range(axes))]
    return products.tensordot(a, b, [list(part) for part in axes])


@eagerly
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The sum of conj(x1) * x2 along `axis`, counted from the end."""
    a, b = promoted(x1, x2)
    if axis >= 0:
        raise ValueError("vecdot: axis counts from the end, -1 is the last one")
    return names.vecdot(a, b, axis)


@eagerly
def outer(x1: Any, x2: Any, /) -> Any:
    """The products of the elements of two vectors."""
    return names.outer(*promoted(x1, x2))


@eagerly
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of diagonal `offset` of each matrix."""
    return reductions.sum(summed(matrices.diagonal(tensor_of(x), offset), dtype), -1)


@eagerly
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Diagonal `offset` of each matrix."""
    return matrices.diagonal(tensor_of(x), offset)


@eagerly
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of the vectors of three elements along `axis`."""
    return matrices.cross(*promoted(x1, x2), axis)


# --- decompositions ----------------------------------------------------------------------------------------------------


@eagerly
def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with x = L L^H, of a positive definite matrix; its adjoint where `upper`."""
    return ops.cholesky(tensor_of(x), upper)


@eagerly
def det(x: Any, /) -> Any:
    """The determinant of each matrix."""
    return ops.det(tensor_of(x))


@eagerly
def slogdet(x: Any, /) -> Any:
    """(sign, logarithm of the absolute value) of the determinant of each matrix."""
    return SignedLog(*ops.slogdet(tensor_of(x)))


@eagerly
def eigh(x: Any, /) -> Any:
    """(eigenvalues in ascending order, eigenvectors as columns) of Hermitian matrices."""
    return Eigen(*ops.eigh(tensor_of(x)))


@eagerly
def eigvalsh(x: Any, /) -> Any:
    """The eigenvalues of Hermitian matrices, in ascending order."""
    return ops.eigvalsh(tensor_of(x))


@eagerly
def inv(x: Any, /) -> Any:
    """The inverse of each matrix."""
    return ops.inv(tensor_of(x))


@eagerly
def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    """The pseudo-inverse of each matrix; singular values below `rtol` times the largest count as 0."""
    if rtol is None or isinstance(rtol, int | float):
        return ops.pinv(tensor_of(x), rtol)
    u, s, vh = ops.svd(tensor_of(x), False)
    limit = _columns(rtol, s.dtype) * reductions.max(s, -1, keepdims=True)
    parts = names.astype(names.where(s > limit, 1 / s, 0), u.dtype)
    return matrices.adjoint(vh) @ (names.expand_dims(parts, -1) * matrices.adjoint(u))


@eagerly
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """A norm of each matrix: "fro", "nuc", 1, 2, inf, or one of those negated."""
    return ops.matrix_norm(tensor_of(x), ord, keepdims)


@eagerly
def matrix_power(x: Any, n: int, /) -> Any:
    """The product of `n` factors x; of inverses for negative n."""
    return ops.matrix_power(tensor_of(x), n)


@eagerly
def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    """How many singular values of each matrix are above `rtol` times the largest."""
    tensor = tensor_of(x)
    number = rtol is None or isinstance(rtol, int | float)
    return ops.matrix_rank(tensor, None, rtol if number else _columns(rtol, tensor.dtype.real))


def _columns(rtol: Any, dtype: DType) -> Any:
    """A number for each matrix beside its singular values."""
    return names.expand_dims(names.astype(tensor_of(rtol), dtype), -1)


@eagerly
def qr(x: Any, /, *, mode: str = "reduced") -> Any:
    """(Q, R) with x = Q R: the columns of Q orthonormal, R upper triangular; Q is square for mode "complete"."""
    q, r = ops.qr(tensor_of(x), mode)
    return QR(q, r)  # type: ignore[arg-type]  # arrays where it comes out


@eagerly
def solve(x1: Any, x2: Any, /) -> Any:
    """x with x1 x = x2; a vector x2 is one right side."""
    return ops.solve(*promoted(x1, x2))


@eagerly
def svd(x: Any, /, *, full_matrices: bool = True) -> Any:
    """(U, S, Vh) with x = U diag(S) Vh: singular values in descending order."""
    return SVD(*ops.svd(tensor_of(x), full_matrices))


@eagerly
def svdvals(x: Any, /) -> Any:
    """The singular values of each matrix, in descending order."""
    return ops.svdvals(tensor_of(x))


@eagerly
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The length of the elements along `axis`: (sum |x|**ord)**(1/ord)."""
    return matrices.vector_norm(tensor_of(x), axis, keepdims, ord)


__all__ = [
    "cholesky", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip
