"""Canonical forms of reductions and matrix products: one where two stood, none where nothing is combined."""

from __future__ import annotations

from graphflow.ir.op import Access
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import multiply, negative
from graphflow.ops.indexing import scatter_add
from graphflow.ops.linalg import matmul_
from graphflow.ops.logic import equal, where
from graphflow.ops.movement import broadcast_to_, iota, reshape_, transpose_
from graphflow.ops.reductions import reduce_all_, reduce_any_, reduce_max_, reduce_min_, reduce_prod_, reduce_sum_
from graphflow.passes.constants import is_uniform, scalar_like
from graphflow.passes.rewrite import rule

PRIMITIVES = (reduce_sum_, reduce_prod_, reduce_max_, reduce_min_, reduce_any_, reduce_all_)


def reshaped(x: Tensor, t: Tensor) -> Tensor:
    """`x` under the shape of `t`."""
    return x if x.shape == t.shape else reshape_(x, shape=t.shape)


@rule(*PRIMITIVES)
def reduction_of_nothing(t: Tensor) -> Tensor | None:
    """sum(x) over axes of size 1, or over none -> x, reshaped, and so for every reduction"""
    (x,) = t.inputs
    return reshaped(x, t) if all(x.shape[axis] == 1 for axis in t.attrs["axis"]) else None


@rule(*PRIMITIVES)
def reduction_of_reduction(t: Tensor) -> Tensor | None:
    """sum(sum(x, axes a), axes b) -> sum(x, axes a and b), and so for every reduction"""
    (inner,) = t.inputs
    if inner.op is not t.op:
        return None
    x, first = inner.inputs[0], inner.attrs["axis"]
    kept = [axis for axis in range(x.rank) if inner.attrs["keepdims"] or axis not in first]
    axes = tuple(sorted({*first, *(kept[axis] for axis in t.attrs["axis"])}))
    if t.op is reduce_sum_ and len(axes) == x.rank and row_axes(x) == first:
        return None  # `sum_of_rows` wants it so
    merged = t.op(x, axis=axes, keepdims=t.attrs["keepdims"] and inner.attrs["keepdims"])
    return reshaped(merged, t)


ROW_SEARCH = 40  # nodes that are looked through for the reduction of a row


def row_axes(x: Tensor) -> tuple[int, ...] | None:
    """The last axes, if `x` is made, element by element, of reductions over them of what has its shape: a layer norm."""
    stack, seen = [x], {x}
    while stack and len(seen) <= ROW_SEARCH:
        tensor = stack.pop()
        if tensor.op in PRIMITIVES:
            axes = tensor.attrs["axis"]
            if tensor.inputs[0].shape == x.shape and 0 < len(axes) < x.rank and axes == tuple(range(x.rank - len(axes), x.rank)):
                return axes
        elif tensor.op.access is Access.ELEMENTWISE or tensor.op in (broadcast_to_, reshape_):
            stack += [operand for operand in tensor.inputs if operand not in seen]
            seen.update(tensor.inputs)
    return None


@rule(reduce_sum_)
def sum_of_rows(t: Tensor) -> Tensor | None:
    """sum(x) over all axes -> sum(sum(x, -1)), where x is made of reductions of its rows: each row is summed at hand"""
    (x,) = t.inputs
    if x.rank < 2 or len(t.attrs["axis"]) != x.rank:
        return None
    axes = row_axes(x)
    if axes is None:
        return None
    rows = reduce_sum_(x, axis=axes, keepdims=False)
    return reshaped(reduce_sum_(rows, axis=tuple(range(rows.rank)), keepdims=False), t)


@rule(*PRIMITIVES)
def reduction_of_broadcast(t: Tensor) -> Tensor | None:
    """sum(broadcast_to(x)) over n repetitions of x -> n * sum(x); without n for max, min, any, all"""
    (repeated,) = t.inputs
    if repeated.op is not broadcast_to_ or t.op is reduce_prod_:
        return None
    (x,) = repeated.inputs
    sizes = (1,) * (repeated.rank - x.rank) + x.shape
    count = 1
    shape = list(repeated.shape)
    for axis in t.attrs["axis"]:
        size = repeated.shape[axis]
        if sizes[axis] == 1 and isinstance(size, int) and size > 1:  # of none, a sum is 0 and infinity is not summed
            count *= size
            shape[axis] = 1
    if tuple(shape) == repeated.shape:
        return None
    if t.op is reduce_sum_:
        if t.dtype.is_floating and count > float(t.dtype.max):
            return None
        x = multiply(x, scalar_like(count, t))
    once = x if x.shape == tuple(shape) else broadcast_to_(x, shape=tuple(shape))
    return t.op(once, axis=t.attrs["axis"], keepdims=t.attrs["keepdims"])


@rule(*PRIMITIVES)
def reduction_of_transpose(t: Tensor) -> Tensor | None:
    """sum(transpose(x)) -> sum(x) over the axes they were, if those that stay keep their order"""
    (moved,) = t.inputs
    if moved.op is not transpose_:
        return None
    perm, axes = moved.attrs["perm"], t.attrs["axis"]
    kept = [p for axis, p in enumerate(perm) if axis not in axes]
    if kept != sorted(kept):
        return None
    return reshaped(t.op(moved.inputs[0], axis=tuple(sorted(perm[axis] for axis in axes)), keepdims=False), t)


@rule(*PRIMITIVES)
def reduction_of_reshape(t: Tensor) -> Tensor | None:
    """sum(reshape(x)) over all axes -> sum(x) over all axes"""
    (x,) = t.inputs
    if x.op is not reshape_ or len(t.attrs["axis"]) != x.rank:
        return None
    x = x.inputs[0]
    return reshaped(t.op(x, axis=tuple(range(x.rank)), keepdims=False), t)


@rule(reduce_sum_)
def sum_of_negative(t: Tensor) -> Tensor | None:
    """sum(-x) -> -sum(x)"""
    (x,) = t.inputs
    return negative(reduce_sum_(x.inputs[0], **t.attrs)) if x.op is negative else None


@rule(matmul_)
def matmul_of_transpose(t: Tensor) -> Tensor | None:
    """matmul(transpose(a), b) -> matmul(a, b, transpose_a), where transpose swaps the last two axes, and so for b"""
    (a, b), flags = t.inputs, dict(t.attrs)
    if swaps_last_axes(a):
        a, flags["transpose_a"] = a.inputs[0], not flags["transpose_a"]
    if swaps_last_axes(b):
        b, flags["transpose_b"] = b.inputs[0], not flags["transpose_b"]
    return None if (a, b) == t.inputs else matmul_(a, b, **flags)


@rule(matmul_)
def matmul_of_vectors(t: Tensor) -> Tensor | None:
    """matmul(a, b) -> sum(a * b) along the depth, where there is one row or one column; a * b, where the depth is 1"""
    (a, b), rows, columns = t.inputs, *t.shape[-2:]
    down_a, down_b = bool(t.attrs["transpose_a"]), not t.attrs["transpose_b"]  # does the depth run down the matrix?
    depth = a.shape[-2 if down_a else -1]
    if depth != b.shape[-2 if down_b else -1]:
        return None
    if depth == 1:
        return multiply(reshape_(a, shape=(*a.shape[:-2], rows, 1)), reshape_(b, shape=(*b.shape[:-2], 1, columns)))
    if rows != 1 and columns != 1:
        return None
    matrix, vector, down = (a, b, down_a) if columns == 1 else (b, a, down_b)
    vector = reshape_(vector, shape=(*vector.shape[:-2], depth, 1) if down else (*vector.shape[:-2], 1, depth))
    product = multiply(matrix, vector)
    return reshaped(reduce_sum_(product, axis=(product.rank - (2 if down else 1),), keepdims=False), t)


def one_hot_indices(x: Tensor) -> Tensor | None:
    """The indices of which `x`, a matrix, is the one-hot form: 1 at [n, indices[n]], 0 elsewhere."""
    if x.op is not where or x.rank != 2 or not (is_uniform(x.inputs[1], 1) and is_uniform(x.inputs[2], 0)):
        return None
    condition = x.inputs[0]
    if condition.op is not equal or condition.shape != x.shape:
        return None
    for columns, rows in (condition.inputs, condition.inputs[::-1]):
        if columns.op is reshape_ and columns.shape == (1, x.shape[1]):
            (columns,) = columns.inputs
        if columns.op is iota and columns.shape == x.shape[1:] and rows.shape == (x.shape[0], 1):
            return reshape_(rows, shape=(x.shape[0],))
    return None


@rule(matmul_)
def matmul_of_one_hot(t: Tensor) -> Tensor | None:
    """matmul(one_hot(i), x, transpose_a) -> rows of x added up by i; what one_hot does not select is not multiplied by 0"""
    a, b = t.inputs
    indices = one_hot_indices(a) if t.attrs["transpose_a"] else None
    if indices is None or b.rank != 2:
        return None
    b = transpose_(b, perm=(1, 0)) if t.attrs["transpose_b"] else b
    return scatter_add(indices, b, size=t.shape[0], drop=True)


@rule(reduce_sum_)
def sum_of_one_hot(t: Tensor) -> Tensor | None:
    """sum(one_hot(i), 0) -> how often each index occurs"""
    (x,) = t.inputs
    indices = one_hot_indices(x) if t.attrs["axis"] == (0,) else None
    if indices is None:
        return None
    ones = broadcast_to_(scalar_like(1, t), shape=indices.shape)
    return reshaped(scatter_add(indices, ones, size=x.shape[1], drop=True), t)


def swaps_last_axes(x: Tensor) -> bool:
    """Is x a transpose of the last two axes only?"""
    if x.op is not transpose_:
        return False
    return x.attrs["perm"] == (*range(x.rank - 2), x.rank - 1, x.rank - 2)


RULES = (
    reduction_of_nothing,
    reduction_of_reduction,
    reduction_of_broadcast,
    reduction_of_transpose,
    reduction_of_reshape,
    sum_of_negative,
    sum_of_rows,
    matmul_of_transpose,
    matmul_of_vectors,
    matmul_of_one_hot,
    sum_of_one_hot,
)
