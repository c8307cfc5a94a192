"""Linear algebra of matrices in the last two axes: factors, solutions, determinants, and what is made of them.

Systems of few unknowns have kernels; what is larger, or harder, LAPACK computes behind the NumPy references. Where a factor is
determined up to a phase only (the vectors of complex `eigh` and `svd`), gradients are those of results that do not depend on it.
Where factors are not unique (eigenvalues or singular values are equal), what divides by their difference is left out: what
depends on the whole subspace has its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, GradientError, ShapeError
from graphflow.ir.op import Access
from graphflow.ir.tensor import Tensor
from graphflow.ops.along import number_of
from graphflow.ops.array import concat, expand_dims, zeros_like
from graphflow.ops.declare import broadcast_type_shapes, composition, op, require_equal
from graphflow.ops.linalg import matmul, pair
from graphflow.ops.logic import cast, equal, greater, identity, where
from graphflow.ops.math import absolute, conj, imag, log, real
from graphflow.ops.matrices import adjoint, diag, diag_part, eye, matrix_of, swapped, tril, triu
from graphflow.ops.movement import reshape, slice_
from graphflow.ops.reductions import norm, reduce_max, reduce_min, reduce_sum
from graphflow.types import AnySize, TensorType, float32, float64, int64, size_max, size_min


def _matrix(a: TensorType) -> TensorType:
    if not a.dtype.is_differentiable:
        raise DTypeError(f"no linear algebra of {a.dtype}", rule="It takes floats or complex numbers; use gf.cast(x, dtype).")
    if a.rank < 2:
        raise ShapeError(f"no matrix: its rank is {a.rank}", rule="The last two axes are rows and columns.")
    return a


def _square(a: TensorType) -> TensorType:
    require_equal(_matrix(a).shape[-1], a.shape[-2], "the matrix is not square")
    return a


def _same(a: TensorType, b: TensorType) -> None:
    if a.dtype != b.dtype:
        raise DTypeError(f"dtypes differ, {a.dtype} and {b.dtype}", rule="Use gf.cast(x, dtype) on one of them.")


def _hermitian(x: Tensor) -> Tensor:
    """The Hermitian part."""
    return (x + adjoint(x)) * 0.5


LARGEST = 64  # rows of matrices that our own kernels take; larger ones are LAPACK's


def is_large(types: Sequence[TensorType]) -> bool:
    """Is it LAPACK's, called through NumPy: complex, of sizes that only a run knows, or large?"""
    rows = types[0].shape[-1]
    return types[0].dtype not in (float32, float64) or not isinstance(rows, int) or rows > LARGEST


# --- triangular systems, Cholesky -----------------------------------------------------------------------------------------


def _triangular_reference(a: np.ndarray, b: np.ndarray, *, lower: bool, adjoint: bool) -> np.ndarray:
    triangle = np.tril(a) if lower else np.triu(a)
    return np.linalg.solve(np.conj(np.swapaxes(triangle, -1, -2)) if adjoint else triangle, b)


@op(access=Access.OPAQUE, reference=_triangular_reference, common=("a", "b"), host=is_large, fails=True, cost=2)
def triangular_solve_(a, b, *, lower, adjoint):
    """x with a x = b, or a^H x = b for `adjoint`, for the `lower` or the upper triangle of a; the other one is not read."""
    _same(_square(a), b)
    require_equal(a.shape[-1], _matrix(b).shape[-2], "rows of the matrix and of the right side differ")
    return b.with_shape((*broadcast_type_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


def _triangular_vjp_a(g: Tensor, out: Tensor, a: Tensor, b: Tensor, lower: bool, adjoint: bool) -> Tensor:
    of_b = triangular_solve_(a, g, lower=lower, adjoint=not adjoint)
    found = -(matmul(out, _h(of_b)) if adjoint else matmul(of_b, _h(out)))
    return tril(found) if lower else triu(found)


def _h(x: Tensor) -> Tensor:
    return conj(swapped(x))


triangular_solve_.defvjp(
    _triangular_vjp_a,
    lambda g, out, a, b, lower, adjoint: triangular_solve_(a, g, lower=lower, adjoint=not adjoint),
)


@op(access=Access.OPAQUE, reference=np.linalg.cholesky, host=is_large, fails=True, cost=10)
def cholesky(a):
    """The lower triangular L with a = L L^H, of a positive definite matrix, whose lower triangle alone is read.

    Its gradient is that of a Hermitian matrix. One that is not positive definite is a DecompositionError of the run.
    """
    return _square(a)


def _cholesky_vjp(g: Tensor, out: Tensor, a: Tensor) -> Tensor:
    """The Hermitian part of L^-H P L^-1, for P the lower triangle of L^H g with half the diagonal. Murray, arXiv:1602.07527."""
    product = matmul(_h(out), tril(g))
    half = tril(product, -1) + 0.5 * (tril(product) - tril(product, -1))
    left = triangular_solve_(out, half, lower=True, adjoint=True)
    return _hermitian(_h(triangular_solve_(out, _h(left), lower=True, adjoint=True)))


cholesky.defvjp(_cholesky_vjp)

# --- systems, inverses, determinants --------------------------------------------------------------------------------------


@op(access=Access.OPAQUE, reference=np.linalg.solve, common=("a", "b"), host=is_large, fails=True, cost=10)
def solve_(a, b):
    """x with a x = b, for matrices b."""
    _same(_square(a), b)
    require_equal(a.shape[-1], _matrix(b).shape[-2], "rows of the matrix and of the right side differ")
    return b.with_shape((*broadcast_type_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


solve_.defvjp(
    lambda g, out, a, b: -matmul(solve_(_h(a), g), _h(out)),
    lambda g, out, a, b: solve_(_h(a), g),
)


@op(access=Access.OPAQUE, reference=np.linalg.inv, host=is_large, fails=True, cost=10)
def inv(a):
    """The inverse of each matrix; a singular one is a DecompositionError of the run. To solve, use gf.linalg.solve."""
    return _square(a)


inv.defvjp(lambda g, out, a: -matmul(_h(out), matmul(g, _h(out))))


def _adjugate_reference(a: np.ndarray) -> np.ndarray:
    """det(U V^H) V diag(products of the other singular values) U^H, which needs no inverse."""
    u, s, vh = np.linalg.svd(a)
    n = s.shape[-1]
    others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :]).prod(-1).astype(a.dtype)
    v, uh = np.conj(np.swapaxes(vh, -1, -2)), np.conj(np.swapaxes(u, -1, -2))
    phase = np.linalg.det(u) * np.linalg.det(vh)
    return (phase[..., None, None] * ((v * others[..., None, :]) @ uh)).astype(a.dtype)


@op(access=Access.OPAQUE, reference=_adjugate_reference, host=True, cost=20)
def adjugate(a):
    """The matrix of the cofactors, transposed: det(a) times the inverse, of singular matrices too."""
    return _square(a)


@op(access=Access.OPAQUE, reference=np.linalg.det, host=True, cost=10)
def det(a):
    """The determinant of each matrix."""
    return _square(a).with_shape(a.shape[:-2])


det.defvjp(lambda g, out, a: g[..., None, None] * _h(adjugate(a)))


def _adjugate_vjp(g: Tensor, out: Tensor, a: Tensor) -> Tensor:
    """The derivative of det(a) inv(a); of a singular matrix, an error of the run."""
    inverse = inv(a)
    along = reduce_sum(conj(g) * out, (-2, -1))  # the share of the determinant: its logarithm's derivative is the inverse
    return conj(along)[..., None, None] * _h(inverse) - matmul(_h(inverse), matmul(g, _h(out)))


adjugate.defvjp(_adjugate_vjp)


@op(access=Access.OPAQUE, reference=lambda a: tuple(np.linalg.slogdet(a)), host=True, cost=10)
def slogdet(a):
    """(sign, logarithm of the absolute value) of the determinant of each matrix; (0, -inf) of a singular one."""
    found = _square(a).with_shape(a.shape[:-2])
    return found, found.with_dtype(a.dtype.real)


@slogdet.defvjp_all
def _slogdet_vjp(gs, outs, a):  # type: ignore[no-untyped-def]
    of_sign, of_log = gs
    weight = zeros_like(outs[0]) if of_log is None else cast(of_log, a.dtype)
    if of_sign is not None and a.dtype.is_complex:
        weight = weight + 1j * cast(imag(conj(outs[0]) * of_sign), a.dtype)
    return [weight[..., None, None] * _h(inv(a))]


# --- orthogonal factors ---------------------------------------------------------------------------------------------------


def _qr_reference(a: np.ndarray, *, complete: bool) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.linalg.qr(a, "complete" if complete else "reduced"))  # type: ignore[return-value]


@op(access=Access.OPAQUE, reference=_qr_reference, host=True, cost=20)
def qr_(a, *, complete):
    """(q, r) with a = q r, the columns of q orthonormal and r upper triangular; q is square where `complete`."""
    rows, columns = _matrix(a).shape[-2:]
    inner = rows if complete else size_min(rows, columns)
    return a.with_shape((*a.shape[:-2], rows, inner)), a.with_shape((*a.shape[:-2], inner, columns))


@qr_.defvjp_all
def _qr_vjp(gs, outs, a, *, complete):  # type: ignore[no-untyped-def]
    """With M = q^H gq - gr r^H: (gq + q (skew part of the lower triangle of M - M)) r^-H. Walter and Lehmann, arXiv:1009.6112.

    Of a wide matrix that holds for its first columns; the others are q times those of r.
    """
    rows, columns = a.shape[-2:]
    if not (isinstance(rows, int) and isinstance(columns, int)) and rows != columns:
        raise ShapeError("qr: the sizes are not known", operands={"a": a}, rule="Its gradient depends on which one is larger.")
    if complete and rows > columns:
        raise GradientError("qr: no gradient with full_matrices", operands={"a": a}, rule="The columns that fill up q are any.")
    (q, r), (of_q, of_r) = outs, (zeros_like(x) if g is None else g for g, x in zip(gs, outs, strict=True))
    beyond = None
    if rows < columns:
        r, of_r, of_rest = _columns(r, 0, rows), _columns(of_r, 0, rows), _columns(of_r, rows, columns - rows)
        of_q = of_q + matmul(_columns(a, rows, columns - rows), _h(of_rest))
        beyond = matmul(q, of_rest)
    of_r = triu(of_r)
    m = matmul(_h(q), of_q) - matmul(of_r, _h(r))
    skew = tril(m - _h(m), -1)
    if a.dtype.is_complex:
        skew = skew + diag(cast(imag(diag_part(m)), a.dtype) * 1j)
    found = of_q + matmul(q, skew - m)
    found = _h(triangular_solve_(r, _h(found), lower=False, adjoint=False))
    return [found if beyond is None else concat([found, beyond], -1)]


def _columns(x: Tensor, begin: AnySize, count: AnySize) -> Tensor:
    return slice_(x, begin=(*(0,) * (x.rank - 1), begin), step=(1,) * x.rank, shape=(*x.shape[:-1], count))


def _inverse_gaps(x: Tensor, squares: bool = False) -> Tensor:
    """1 / (x[j] - x[i]) at [i, j], or that of their squares; 0 where they are equal."""
    columns, rows = expand_dims(x, -2), expand_dims(x, -1)
    gap = (columns - rows) * (columns + rows) if squares else columns - rows
    same = equal(gap, 0)
    return where(same, 0, 1 / where(same, 1, gap))


@op(access=Access.OPAQUE, reference=lambda a: tuple(np.linalg.eigh(a)), host=True, cost=50)
def eigh(a):
    """(eigenvalues in ascending order, eigenvectors as columns) of Hermitian matrices, whose lower triangles alone are read.

    Its gradient is that of a Hermitian matrix.
    """
    return _square(a).with_shape(a.shape[:-1]).with_dtype(a.dtype.real), a


@eigh.defvjp_all
def _eigh_vjp(gs, outs, a):  # type: ignore[no-untyped-def]
    """v (diag(gw) + (v^H gv) / (w[j] - w[i])) v^H, its Hermitian part."""
    (w, v), (of_w, of_v) = outs, gs
    inner = zeros_like(a) if of_w is None else diag(cast(of_w, a.dtype))
    if of_v is not None:
        inner = inner + cast(_inverse_gaps(w), a.dtype) * matmul(_h(v), of_v)
    return [_hermitian(matmul(v, matmul(inner, _h(v))))]


def _svd_reference(a: np.ndarray, *, full: bool) -> tuple[np.ndarray, ...]:
    return tuple(np.linalg.svd(a, full_matrices=full))


@op(access=Access.OPAQUE, reference=_svd_reference, host=True, cost=100)
def svd_(a, *, full):
    """(u, s, vh) with a = u diag(s) vh: singular values in descending order between orthonormal columns and rows."""
    rows, columns = _matrix(a).shape[-2:]
    count = size_min(rows, columns)
    batch = a.shape[:-2]
    left, right = (rows, columns) if full else (count, count)
    return (
        a.with_shape((*batch, rows, left)),
        a.with_shape((*batch, count)).with_dtype(a.dtype.real),
        a.with_shape((*batch, right, columns)),
    )


@svd_.defvjp_all
def _svd_vjp(gs, outs, a, *, full):  # type: ignore[no-untyped-def]
    """Townsend, "Differentiating the singular value decomposition"; for complex numbers Wan and Zhang, arXiv:1909.02659."""
    (u, s, vh), (of_u, of_s, of_vh) = outs, gs
    if full and a.shape[-1] != a.shape[-2]:
        if of_u is not None or of_vh is not None:
            raise GradientError("svd: no gradient with full_matrices", operands={"a": a}, rule="What fills up u and v is any.")
        return _svd_vjp((None, of_s, None), svd_(a, full=False), a, full=False)
    uh = _h(u)
    values = expand_dims(cast(s, a.dtype), -2)
    gaps = cast(_inverse_gaps(s, squares=True), a.dtype)
    zero = equal(values, 0)
    inverse = where(zero, 0, 1 / where(zero, 1, values))
    inner = zeros_like(matmul(uh, u)) if of_s is None else diag(cast(of_s, a.dtype))
    total = None
    if of_u is not None:
        turned = matmul(uh, of_u)
        inner = inner + gaps * (turned - _h(turned)) * values
        if a.dtype.is_complex:
            inner = inner + diag(1j * cast(imag(diag_part(turned)), a.dtype)) * inverse
        total = matmul((of_u - matmul(u, turned)) * inverse, vh)
    if of_vh is not None:
        of_v = _h(of_vh)
        turned = matmul(vh, of_v)
        inner = inner + swapped(values) * (gaps * (turned - _h(turned)))
        beside = matmul(u, swapped(inverse) * (_h(of_v) - matmul(_h(turned), vh)))
        total = beside if total is None else total + beside
    found = matmul(u, matmul(inner, vh))
    return [found if total is None else found + total]


# --- pseudo-inverse, exponential ------------------------------------------------------------------------------------------


def _cutoff(rows: int, columns: int, dtype: np.dtype[Any]) -> float:
    """Singular values below that part of the largest count as 0."""
    return max(rows, columns) * float(np.finfo(dtype).eps)


def _pinv_reference(a: np.ndarray, *, rtol: float | None) -> np.ndarray:
    return np.linalg.pinv(a, rtol=_cutoff(a.shape[-2], a.shape[-1], a.dtype) if rtol is None else rtol)


@op(access=Access.OPAQUE, reference=_pinv_reference, host=True, cost=100)
def pinv_(a, *, rtol):
    """The pseudo-inverse of each matrix; singular values below `rtol` times the largest count as 0."""
    rows, columns = _matrix(a).shape[-2:]
    return a.with_shape((*a.shape[:-2], columns, rows))


def _pinv_vjp(g: Tensor, out: Tensor, a: Tensor, rtol: float | None) -> Tensor:
    """Golub and Pereyra, "The differentiation of pseudo-inverses", 1973: where the rank stays what it is."""
    p, ph = out, _h(out)
    outside = matmul(_h(g), matmul(p, ph))
    inside = matmul(matmul(ph, p), _h(g))
    return outside - matmul(a, matmul(p, outside)) + inside - matmul(matmul(inside, p), a) - matmul(ph, matmul(g, ph))


pinv_.defvjp(_pinv_vjp)

_PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800,
         33522128640, 1323241920, 40840800, 960960, 16380, 182, 1)  # fmt: skip
_PADE_NORM = 5.371920351148152  # up to here the approximant is exact in float64


def _expm_reference(a: np.ndarray) -> np.ndarray:
    """Higham, "The scaling and squaring method for the matrix exponential revisited", 2005: the approximant of degree 13."""
    n = a.shape[-1]
    result = np.empty_like(a)
    unit = np.eye(n, dtype=a.dtype)
    for place in np.ndindex(a.shape[:-2]):
        size = np.abs(a[place]).sum(0).max(initial=0)
        if not np.isfinite(size):
            result[place] = np.nan
            continue
        halvings = max(0, math.ceil(math.log2(size / _PADE_NORM))) if size else 0
        x = a[place] * a.dtype.type(0.5**halvings)
        x2 = x @ x
        x4 = x2 @ x2
        x6 = x2 @ x4
        b = [a.dtype.type(c / _PADE[0]) for c in _PADE]
        odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * unit)
        even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + unit
        found = np.linalg.solve(even - odd, even + odd)
        for _ in range(halvings):
            found = found @ found
        result[place] = found
    return result


@op(access=Access.OPAQUE, reference=_expm_reference, host=True, cost=100)
def expm(a):
    """The exponential of each matrix, the sum of a^k / k!."""
    return _square(a)


def _expm_vjp(g: Tensor, out: Tensor, a: Tensor) -> Tensor:
    """The upper right block of the exponential of [[a^H, g], [0, a^H]]."""
    turned, n = _h(a), a.shape[-1]
    block = concat([concat([turned, g], -1), concat([zeros_like(a), turned], -1)], -2)
    wide = expm(block)
    return slice_(wide, begin=(*(0,) * (a.rank - 2), 0, n), step=(1,) * a.rank, shape=a.shape)


expm.defvjp(_expm_vjp)

# --- public ---------------------------------------------------------------------------------------------------------------


@composition
def triangular_solve(matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False) -> Tensor:
    """x with matrix x = rhs, or with the adjoint of the matrix, of which the `lower` or the upper triangle is read."""
    matrix, rhs = pair(matrix, rhs)
    return _of_columns(lambda b: triangular_solve_(matrix, b, lower=bool(lower), adjoint=bool(adjoint)), rhs)


@composition
def solve(matrix: Any, rhs: Any, adjoint: bool = False) -> Tensor:
    """x with matrix x = rhs, or with the adjoint of the matrix; `rhs` is a vector or has matrices in its last two axes.

    A singular matrix is a DecompositionError of the run.
    """
    matrix, rhs = pair(matrix, rhs)
    return _of_columns(lambda b: solve_(_h(matrix_of(matrix)) if adjoint else matrix, b), rhs)


def _of_columns(function: Any, rhs: Tensor) -> Tensor:
    """`function` of a right side, of which a vector is one column."""
    if rhs.rank != 1:
        return function(rhs)
    found = function(reshape(rhs, (rhs.shape[0], 1)))
    return reshape(found, found.shape[:-1])


@composition
def cholesky_solve(chol: Any, rhs: Any) -> Tensor:
    """x with a x = rhs, given the Cholesky factor `chol` of a."""
    chol, rhs = pair(chol, rhs)

    def solved(b: Tensor) -> Tensor:
        half = triangular_solve_(chol, b, lower=True, adjoint=False)
        return triangular_solve_(chol, half, lower=True, adjoint=True)

    return _of_columns(solved, rhs)


@composition
def logdet(matrix: Any) -> Tensor:
    """The logarithm of the determinant of each Hermitian positive definite matrix, by its Cholesky factor."""
    factor = real(diag_part(cholesky(matrix_of(matrix))))
    return 2.0 * reduce_sum(log(factor), -1)


@composition
def qr(a: Any, full_matrices: bool = False) -> tuple[Tensor, Tensor]:
    """(q, r) with a = q r: the columns of q orthonormal, r upper triangular; with `full_matrices` q is square."""
    return qr_(a, complete=bool(full_matrices))


@composition
def svd(a: Any, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """(s, u, v) with a = u diag(s) v^H, in TensorFlow's order: the singular values descend; s alone without `compute_uv`."""
    u, s, vh = svd_(a, full=bool(full_matrices and compute_uv))
    return (s, u, _h(vh)) if compute_uv else s


@composition
def svdvals(a: Any) -> Tensor:
    """The singular values of each matrix, in descending order."""
    return svd_(a, full=False)[1]


@composition
def eigvalsh(a: Any) -> Tensor:
    """The eigenvalues of each Hermitian matrix, in ascending order; the lower triangle alone is read."""
    return eigh(a)[0]


@composition
def pinv(a: Any, rtol: float | None = None) -> Tensor:
    """The pseudo-inverse of each matrix. Singular values below `rtol` (the larger size times eps) times the largest are 0."""
    return pinv_(a, rtol=None if rtol is None else float(rtol))


@composition
def lstsq(matrix: Any, rhs: Any) -> Tensor:
    """x for which |matrix x - rhs| is least, and of those the shortest."""
    matrix, rhs = pair(matrix, rhs)
    inverse = pinv_(matrix, rtol=None)
    return _of_columns(lambda b: matmul(inverse, b), rhs)


@composition
def matrix_rank(a: Any, tol: Any = None, rtol: float | None = None) -> Tensor:
    """How many singular values of each matrix are above `tol`, or above `rtol` (the larger size times eps) times the largest."""
    a = matrix_of(a)
    s = svdvals(a)
    if tol is None:
        if rtol is None:
            size = size_max(*a.shape[-2:])
            eps = float(np.finfo(s.dtype.compute.numpy).eps)
            cutoff = cast(number_of(size), s.dtype) * eps if not isinstance(size, int) else size * eps
        else:
            cutoff = rtol
        tol = reduce_max(s, -1, keepdims=True) * cutoff if s.shape[-1] != 0 else 0.0
    return reduce_sum(cast(greater(s, tol), int64), -1)


@composition
def matrix_power(a: Any, n: int) -> Tensor:
    """The product of `n` factors `a`; of their inverses for negative n, the identity for 0."""
    a = matrix_of(a)
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise DTypeError(f"the power is {n!r}", rule="It is a whole number.")
    count = abs(n.__index__())
    power = inv(a) if n < 0 else a
    if not count:
        return eye(a.shape[-1], batch_shape=a.shape[:-2], dtype=a.dtype)
    result = None
    while count:
        if count % 2:
            result = power if result is None else matmul(result, power)
        count //= 2
        if count:
            power = matmul(power, power)
    assert result is not None
    return identity(result)


@composition
def matrix_norm(x: Any, ord: Any = "fro", keepdims: bool = False) -> Tensor:
    """A norm of each matrix: "fro" of its elements, "nuc" the sum of its singular values, 2 and -2 the largest and the smallest;
    1 and -1 the largest and smallest sum of a column's |x|, inf and -inf of a row's."""
    x = matrix_of(x)
    axes = (x.rank - 2, x.rank - 1)
    if ord == "fro":
        return norm(x, axes, keepdims)
    if ord in ("nuc", 2, -2):
        reduce = {"nuc": reduce_sum, 2: reduce_max, -2: reduce_min}[ord]
        found = reduce(svdvals(x), -1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = reduce_sum(absolute(x), axes[0] if abs(ord) == 1 else axes[1])
        found = (reduce_max if ord > 0 else reduce_min)(sums, -1)
    else:
        raise DTypeError(f"ord {ord!r}", rule='It is "fro", "nuc", 1, 2, inf, or -1, -2, -inf.')
    return reshape(found, (*found.shape, 1, 1)) if keepdims else found
