"""Matrix products: the `matmul` primitive, and `matmul`, `tensordot` and `einsum` for operands of any rank and dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, as_tensor_or_none, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_type_shapes, op, public, require_equal
from graphflow.ops.logic import cast
from graphflow.ops.movement import reshape, transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.types import Shape, product


def _matmul_reference(a: np.ndarray, b: np.ndarray, *, transpose_a: bool, transpose_b: bool) -> np.ndarray:
    return np.matmul(np.swapaxes(a, -1, -2) if transpose_a else a, np.swapaxes(b, -1, -2) if transpose_b else b)


def _matrix(shape: Shape, transposed: bool) -> Shape:
    return (shape[-1], shape[-2]) if transposed else shape[-2:]


@op(access=Access.OPAQUE, reference=_matmul_reference, common=("a", "b"), cost=2)
def matmul_(a, b, *, transpose_a, transpose_b):
    """Product of the matrices in the last two axes; leading axes are batches and broadcast."""
    if a.dtype != b.dtype:
        raise DTypeError(f"dtypes differ, {a.dtype} and {b.dtype}", rule="Operands share one dtype; use gf.cast(x, dtype) on one of them.")
    assert a.dtype.name in ("float32", "float64"), f"matmul of {a.dtype}"
    assert a.rank == b.rank >= 2, f"matmul of ranks {a.rank} and {b.rank}"
    rows, inner = _matrix(a.shape, transpose_a)
    inner_b, columns = _matrix(b.shape, transpose_b)
    _inner(a, b, inner, inner_b, transpose_a, transpose_b)
    return a.with_shape((*broadcast_type_shapes(a.shape[:-2], b.shape[:-2]), rows, columns))


def _inner(a: Any, b: Any, inner: Any, inner_b: Any, transpose_a: bool, transpose_b: bool) -> None:
    if inner != inner_b and isinstance(inner, int) and isinstance(inner_b, int):
        left, right = ("a.shape[-2]" if transpose_a else "a.shape[-1]"), ("b.shape[-1]" if transpose_b else "b.shape[-2]")
        raise ShapeError(f"inner dimensions differ, {inner} and {inner_b}", rule=f"A matrix product needs {left} == {right}.")
    require_equal(inner, inner_b, "inner dimensions differ")


def _vjp_a(g: Tensor, out: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    if transpose_a:
        return matmul_(b, g, transpose_a=transpose_b, transpose_b=True)
    return matmul_(g, b, transpose_a=False, transpose_b=not transpose_b)


def _vjp_b(g: Tensor, out: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    if transpose_b:
        return matmul_(g, a, transpose_a=True, transpose_b=transpose_a)
    return matmul_(a, g, transpose_a=not transpose_a, transpose_b=False)


matmul_.defvjp(_vjp_a, _vjp_b)


def pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Two operands as tensors of one dtype: a Python number or list adopts that of the other."""
    left, right = as_tensor_or_none(a), as_tensor_or_none(b)
    if left is None:
        left = convert_to_tensor(a, right.dtype if right is not None else None)
    if right is None:
        right = convert_to_tensor(b, left.dtype)
    if left.dtype != right.dtype:
        raise DTypeError(
            f"dtypes differ, {left.dtype} and {right.dtype}",
            rule="Operands share one dtype; use gf.cast(x, dtype) on one of them.",
        )
    return left, right


@public
def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, name: str | None = None) -> Tensor:
    """Product of the matrices in the last two axes of `a` and `b`, either of them transposed on request.

    [..., m, k] times [..., k, n] gives [..., m, n]; leading axes broadcast. A vector counts as a row in `a` and as a column
    in `b`, and its axis is absent from the result.
    """
    a, b = pair(a, b)
    if not a.rank or not b.rank:
        raise ShapeError("a scalar is no matrix", operands={"a": a, "b": b}, rule="Use a * b to scale.")
    if a.rank == 1 or b.rank == 1:
        return _vector_product(a, b, transpose_a, transpose_b, name)
    if a.dtype.name not in ("float32", "float64"):
        return _product_of_other_dtypes(a, b, transpose_a, transpose_b, name)
    if a.rank > 2 and b.rank == 2 and not transpose_a:
        _inner(a, b, a.shape[-1], b.shape[-1 if transpose_b else -2], transpose_a, transpose_b)
        rows = product(a.shape[:-1])
        flat = matmul_(reshape(a, (rows, a.shape[-1])), b, transpose_a=False, transpose_b=bool(transpose_b))
        return reshape(flat, (*a.shape[:-1], flat.shape[-1]), name=name)
    rank = max(a.rank, b.rank)
    a, b = (reshape(x, (*(1,) * (rank - x.rank), *x.shape)) if x.rank < rank else x for x in (a, b))
    return matmul_(a, b, transpose_a=bool(transpose_a), transpose_b=bool(transpose_b), name=name)


def _vector_product(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, name: str | None) -> Tensor:
    if (a.rank == 1 and transpose_a) or (b.rank == 1 and transpose_b):
        raise ShapeError("a vector cannot be transposed", operands={"a": a, "b": b}, rule="Give it a second axis: x[None, :].")
    left = a[None, :] if a.rank == 1 else a
    right = b[:, None] if b.rank == 1 else b
    result = matmul(left, right, transpose_a, transpose_b)
    shape = list(result.shape)
    if b.rank == 1:
        del shape[-1]
    if a.rank == 1:
        del shape[-1 if b.rank == 1 else -2]
    return reshape(result, shape, name=name)


def _product_of_other_dtypes(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, name: str | None) -> Tensor:
    if a.dtype.is_floating:
        wide = (cast(x, x.dtype.compute) for x in (a, b))
        return cast(matmul(*wide, transpose_a, transpose_b), a.dtype, name=name)
    if a.dtype.is_bool:
        raise DTypeError("no matmul of bool", operands={"a": a, "b": b}, rule="Use gf.cast(x, gf.float32).")
    a, b = _swap(a) if transpose_a else a, _swap(b) if transpose_b else b
    _inner(a, b, a.shape[-1], b.shape[-2], False, False)
    return reduce_sum(a[..., :, :, None] * b[..., None, :, :], -2, name=name)


def _swap(x: Tensor) -> Tensor:
    return transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


