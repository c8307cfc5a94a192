"""Matrix products: the `matmul` primitive, and `matmul`, `tensordot` and `einsum` for operands of any rank and dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, as_tensor_or_none, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import broadcast_type_shapes, check_axis, check_size, op, public, require_equal
from graphflow.ops.logic import cast, equal, identity, where, zero_of
from graphflow.ops.movement import ensure_shape, iota, reshape, transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.types import AnySize, Shape, int64, product


def _matmul_reference(a: np.ndarray, b: np.ndarray, *, transpose_a: bool, transpose_b: bool) -> np.ndarray:
    return np.matmul(np.swapaxes(a, -1, -2) if transpose_a else a, np.swapaxes(b, -1, -2) if transpose_b else b)


def _matrix(shape: Shape, transposed: bool) -> Shape:
    return (shape[-1], shape[-2]) if transposed else shape[-2:]


@op(access=Access.OPAQUE, reference=_matmul_reference, common=("a", "b"), cost=2, followed=True)
def matmul_(a, b, *, transpose_a, transpose_b):
    """Product of the matrices in the last two axes; leading axes are batches and broadcast."""
    if a.dtype != b.dtype:
        raise DTypeError(
            f"dtypes differ, {a.dtype} and {b.dtype}", rule="Operands share one dtype; use gf.cast(x, dtype) on one of them."
        )
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


# --- contractions of labelled axes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """A tensor with a label for each axis."""

    tensor: Tensor
    labels: tuple[Any, ...]

    def ordered(self, labels: Sequence[Any]) -> Labelled:
        """With the axes in the order of `labels`, which are the same ones."""
        order = [self.labels.index(label) for label in labels]
        tensor = self.tensor if order == sorted(order) else transpose(self.tensor, order)
        return Labelled(tensor, tuple(labels))

    def summed_to(self, labels: Sequence[Any]) -> Labelled:
        """Summed over the axes whose label is not among `labels`."""
        gone = tuple(a for a, label in enumerate(self.labels) if label not in labels)
        if not gone:
            return self
        return Labelled(reduce_sum(self.tensor, gone), tuple(label for label in self.labels if label in labels))

    def size(self, labels: Sequence[Any]) -> AnySize:
        return product([self.tensor.shape[self.labels.index(label)] for label in labels])

    def shape(self, labels: Sequence[Any]) -> Shape:
        return tuple(self.tensor.shape[self.labels.index(label)] for label in labels)


def contract(a: Labelled, b: Labelled, kept: Sequence[Any]) -> Labelled:
    """The product of two tensors, summed over the labels that are not `kept`."""
    a = a.summed_to([*kept, *b.labels])
    b = b.summed_to([*kept, *a.labels])
    batch = [label for label in a.labels if label in b.labels and label in kept]
    inner = [label for label in a.labels if label in b.labels and label not in kept]
    left = [label for label in a.labels if label not in b.labels]
    right = [label for label in b.labels if label not in a.labels]
    if not inner or (batch and not (left and right)) or not (left or right):
        return _multiply_and_sum(a, b, [*batch, *left, *right, *inner]).summed_to(kept)
    flat_a, transpose_a = _as_matrices(a, batch, left, inner)
    flat_b, transpose_b = _as_matrices(b, batch, right, inner)
    result = matmul(flat_a, flat_b, transpose_a=transpose_a, transpose_b=not transpose_b)
    return Labelled(reshape(result, (*result.shape[:-2], *a.shape(left), *b.shape(right))), (*batch, *left, *right))


def _multiply_and_sum(a: Labelled, b: Labelled, labels: Sequence[Any]) -> Labelled:
    spread = []
    for x in (a, b):
        own = x.ordered([label for label in labels if label in x.labels])
        spread.append(reshape(own.tensor, [own.size([label]) if label in own.labels else 1 for label in labels]))
    return Labelled(spread[0] * spread[1], tuple(labels))


def _as_matrices(x: Labelled, batch: list[Any], outer: list[Any], inner: list[Any]) -> tuple[Tensor, bool]:
    """`x` as [batch, outer, inner], or as [batch, inner, outer] and True where its axes stand so already."""
    swapped = list(x.labels) == [*batch, *inner, *outer]
    first, second = (inner, outer) if swapped else (outer, inner)
    ordered = x.ordered([*batch, *first, *second])
    return reshape(ordered.tensor, (*ordered.shape(batch), ordered.size(first), ordered.size(second))), swapped


@public
def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Tensor:
    """Sum of products over axes of `a` and `b`: the last n and the first n, or those listed in axes = (of a, of b)."""
    a, b = pair(a, b)
    if isinstance(axes, int):
        check_size(axes, "number of axes")
        if axes > min(a.rank, b.rank):
            raise ShapeError(f"{axes} axes of ranks {a.rank} and {b.rank}", operands={"a": a, "b": b})
        of_a, of_b = list(range(a.rank - axes, a.rank)), list(range(axes))
    else:
        of_a, of_b = ([x] if isinstance(x, int) else list(x) for x in axes)
        of_a, of_b = [check_axis(x, a.rank) for x in of_a], [check_axis(x, b.rank) for x in of_b]
    if len(of_a) != len(of_b):
        raise ShapeError(f"{len(of_a)} axes of a and {len(of_b)} of b", rule="Axes are summed in pairs.")
    labels_a = [f"a{k}" for k in range(a.rank)]
    labels_b = [labels_a[of_a[of_b.index(k)]] if k in of_b else f"b{k}" for k in range(b.rank)]
    kept = [label for label in labels_a if label not in labels_b] + [label for label in labels_b if label not in labels_a]
    left, right = _unified([Labelled(a, tuple(labels_a)), Labelled(b, tuple(labels_b))])
    return identity(contract(left, right, kept).ordered(kept).tensor, name=name)


@public
def einsum(equation: str, *operands: Any, name: str | None = None) -> Tensor:
    """Sum of products after Einstein's notation: einsum("ij,jk->ik", a, b) is the matrix product.

    `...` stands for leading axes that broadcast; a letter twice in one operand takes the diagonal; without `->` the result has
    the letters that occur once, in alphabetical order.
    """
    tensors = [convert_to_tensor(x) for x in operands]
    labels, out = parse_einsum(equation, [t.rank for t in tensors])
    parts = _unified([diagonals(Labelled(t, own)) for t, own in zip(tensors, labels, strict=True)])
    result = parts[0]
    for k in range(1, len(parts)):
        needed = {label for part in parts[k + 1 :] for label in part.labels} | set(out)
        kept = [label for label in dict.fromkeys([*result.labels, *parts[k].labels]) if label in needed]
        result = contract(result, parts[k], kept)
    return identity(result.summed_to(out).ordered(out).tensor, name=name)


def parse_einsum(equation: str, ranks: Sequence[int]) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """The labels of the axes of each operand and of the result; the axes of `...` are numbered from the right."""
    if not isinstance(equation, str):
        raise DTypeError(f"the equation is {equation!r}", rule='An equation is a text: "ij,jk->ik".')
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ShapeError(f"{equation!r} has {len(terms)} terms for {len(ranks)} operands")
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    labels = [_labels_of(term, width, equation) for term, width in zip(terms, widths, strict=True)]
    widest = max((w for w, term in zip(widths, terms, strict=True) if "..." in term), default=0)
    if arrow:
        out = _labels_of(right, widest if "..." in right else 0, equation)
    else:
        letters = left.replace("...", "").replace(",", "")
        once = sorted(c for c in set(letters) if letters.count(c) == 1)
        out = (*range(widest - 1, -1, -1), *once)
    if len(set(out)) != len(out):
        raise ShapeError(f"{equation!r} names an axis of the result twice")
    unknown = [label for label in out if all(label not in own for own in labels)]
    if unknown:
        raise ShapeError(
            f"{equation!r} has {unknown[0]!r} in the result only", rule="Each letter of the result stands in an operand."
        )
    return labels, out


def _labels_of(term: str, width: int, equation: str) -> tuple[Any, ...]:
    before, dots, after = term.partition("...")
    if not all(c.isalpha() for c in before + after):
        raise ShapeError(f"{equation!r} is no equation: {term!r}", rule='Letters, ",", "..." and "->": "...ij,jk->...ik".')
    if width < 0 or (width and not dots):
        raise ShapeError(
            f"{equation!r}: {term!r} does not fit the rank of its operand", rule="One letter for each axis, or `...`."
        )
    return (*before, *range(width - 1, -1, -1), *after)


def diagonals(x: Labelled) -> Labelled:
    """With each label once: where it stood twice, the elements whose indices agree."""
    for label in dict.fromkeys(x.labels):
        while x.labels.count(label) > 1:
            first = x.labels.index(label)
            second = x.labels.index(label, first + 1)
            x = _diagonal(x, first, second)
    return x


def _diagonal(x: Labelled, first: int, second: int) -> Labelled:
    tensor, rank = x.tensor, x.tensor.rank
    size = tensor.shape[first]
    tensor = ensure_shape(tensor, [size if axis == second else None for axis in range(rank)])
    rows = reshape(iota(size=size, dtype=int64), [size if axis == first else 1 for axis in range(rank)])
    columns = reshape(iota(size=size, dtype=int64), [size if axis == second else 1 for axis in range(rank)])
    kept = reduce_sum(where(equal(rows, columns), tensor, zero_of(tensor)), second)
    return Labelled(kept, (*x.labels[:second], *x.labels[second + 1 :]))


def _unified(parts: list[Labelled]) -> list[Labelled]:
    """The operands with one size for each label; sizes that only a run knows are checked by it. `...` may broadcast."""
    sizes: dict[Any, AnySize] = {}
    for part in parts:
        for label, size in zip(part.labels, part.tensor.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == size or isinstance(label, int):
                continue
            if isinstance(known, int) and isinstance(size, int):
                raise ShapeError(f"axis {label!r} has sizes {known} and {size}", rule="One letter is one size.")
            sizes[label] = size if isinstance(size, int) else known
    found = []
    for part in parts:
        shape = [None if isinstance(label, int) else sizes[label] for label in part.labels]
        found.append(Labelled(ensure_shape(part.tensor, shape), part.labels))
    return found
