"""Canonical forms of movement: transposes, reshapes, broadcasts and slices that do nothing, or that one can do for two."""

from __future__ import annotations

import numpy as np

from graphflow.errors import ShapeError
from graphflow.ir.op import Access, constant_node
from graphflow.ir.tensor import Tensor
from graphflow.ops.movement import broadcast_to_, ensure_shape_, pad_, reshape_, slice_, transpose_, unbroadcast
from graphflow.passes.constants import array_of, uniform
from graphflow.passes.rewrite import rule

# --- transposes -----------------------------------------------------------------------------------------------------------


@rule(transpose_)
def transpose_in_place(t: Tensor) -> Tensor | None:
    """transpose(x, [0, 1, ...]) -> x"""
    perm = t.attrs["perm"]
    return t.inputs[0] if perm == tuple(range(len(perm))) else None


@rule(transpose_)
def transpose_of_transpose(t: Tensor) -> Tensor | None:
    """transpose(transpose(x, p), q) -> transpose(x, p∘q)"""
    (inner,) = t.inputs
    if inner.op is not transpose_:
        return None
    p, q = inner.attrs["perm"], t.attrs["perm"]
    return transpose_(inner.inputs[0], perm=tuple(p[axis] for axis in q))


# --- reshapes -------------------------------------------------------------------------------------------------------------


@rule(reshape_)
def reshape_to_same(t: Tensor) -> Tensor | None:
    """reshape(x, shape of x) -> x"""
    (x,) = t.inputs
    return x if x.type == t.type else None


@rule(reshape_)
def reshape_of_reshape(t: Tensor) -> Tensor | None:
    """reshape(reshape(x, a), b) -> reshape(x, b)"""
    (inner,) = t.inputs
    if inner.op is not reshape_:
        return None
    try:
        return reshape_(inner.inputs[0], shape=t.shape)
    except ShapeError:
        return None  # sizes whose equality only the shape in between shows


# --- broadcasts -----------------------------------------------------------------------------------------------------------


@rule(broadcast_to_)
def broadcast_to_same(t: Tensor) -> Tensor | None:
    """broadcast_to(x, shape of x) -> x"""
    (x,) = t.inputs
    return x if x.type == t.type else None


@rule(broadcast_to_)
def broadcast_of_broadcast(t: Tensor) -> Tensor | None:
    """broadcast_to(broadcast_to(x, a), b) -> broadcast_to(x, b)"""
    (inner,) = t.inputs
    return broadcast_to_(inner.inputs[0], shape=t.shape) if inner.op is broadcast_to_ else None


@rule(Access.ELEMENTWISE)
def broadcast_is_implied(t: Tensor) -> Tensor | None:
    """f(x, broadcast_to(y, shape of x)) -> f(x, y), and f(x, reshape(y, [1, n])) -> f(x, y) for y of shape [n]"""
    if len(t.inputs) < 2:
        return None
    for index, operand in enumerate(t.inputs):
        if operand.op is not broadcast_to_ and not adds_leading_ones(operand):
            continue
        operands = (*t.inputs[:index], operand.inputs[0], *t.inputs[index + 1 :])
        replacement = t.op(*operands, **t.attrs)
        if replacement.type == t.type:
            return replacement
    return None


def adds_leading_ones(x: Tensor) -> bool:
    """Is x a reshape that puts axes of size 1 in front, as broadcasting does by itself?"""
    if x.op is not reshape_:
        return False
    added = x.rank - x.inputs[0].rank
    return added > 0 and x.shape == (1,) * added + x.inputs[0].shape


@rule(Access.ELEMENTWISE)
def broadcast_comes_last(t: Tensor) -> Tensor | None:
    """f(broadcast_to(x, shape)) -> broadcast_to(f(x), shape), for every elementwise op of one operand"""
    if len(t.inputs) != 1 or t.inputs[0].op is not broadcast_to_:
        return None
    return broadcast_to_(t.op(t.inputs[0].inputs[0], **t.attrs), shape=t.shape)


@rule(Access.ELEMENTWISE)
def uniform_operand_is_scalar(t: Tensor) -> Tensor | None:
    """f(x, [c, c, c]) -> f(x, c), where x alone has the shape of the result"""
    if len(t.inputs) < 2:
        return None
    for index, operand in enumerate(t.inputs):
        array = array_of(operand)
        if array is None or array.ndim == 0 or uniform(operand) is None or not _same_bits(array):
            continue
        scalar = constant_node(array.reshape(-1)[0].reshape(()), operand.dtype)
        replacement = t.op(*t.inputs[:index], scalar, *t.inputs[index + 1 :], **t.attrs)
        if replacement.type == t.type:
            return replacement
    return None


def _same_bits(array: np.ndarray) -> bool:
    return array.tobytes() == array.reshape(-1)[:1].tobytes() * array.size


@rule(reshape_, transpose_, slice_)
def movement_of_repeated_number(t: Tensor) -> Tensor | None:
    """reshape(broadcast_to(x, a), b) -> broadcast_to(x, b) for x of one element, and so for transpose and slice"""
    (repeated,) = t.inputs
    if repeated.op is not broadcast_to_ or repeated.inputs[0].type.size != 1:
        return None
    (x,) = repeated.inputs
    return broadcast_to_(reshape_(x, shape=()) if x.rank else x, shape=t.shape)


@rule(unbroadcast)
def unbroadcast_of_known_size(t: Tensor) -> Tensor | None:
    """unbroadcast(x, total) -> x, where the size of x is that of the result"""
    x, _ = t.inputs
    return x if x.type == t.type else None


# --- slices ---------------------------------------------------------------------------------------------------------------


@rule(slice_)
def slice_of_everything(t: Tensor) -> Tensor | None:
    """x[:, ..., :] -> x"""
    (x,) = t.inputs
    return x if x.type == t.type and _starts_at_zero(t) else None


@rule(slice_)
def slice_of_slice(t: Tensor) -> Tensor | None:
    """x[b1::s1][b2::s2] -> x[b1 + s1 b2::s1 s2]"""
    (inner,) = t.inputs
    if inner.op is not slice_:
        return None
    first, second = inner.attrs, t.attrs
    begin = tuple(b1 + b2 * s1 for b1, s1, b2 in zip(first["begin"], first["step"], second["begin"], strict=True))
    step = tuple(s1 * s2 for s1, s2 in zip(first["step"], second["step"], strict=True))
    return slice_(inner.inputs[0], begin=begin, step=step, shape=t.shape)


@rule(pad_)
def pad_of_nothing(t: Tensor) -> Tensor | None:
    """pad(x, nothing) -> x"""
    (x,) = t.inputs
    return x if x.type == t.type and _starts_at_zero(t) else None


@rule(ensure_shape_)
def ensure_known_shape(t: Tensor) -> Tensor | None:
    """ensure_shape(x, shape of x) -> x"""
    (x,) = t.inputs
    return x if x.type == t.type else None


def _starts_at_zero(t: Tensor) -> bool:
    return all(b == 0 for b in t.attrs["begin"]) and all(s == 1 for s in t.attrs["step"])


RULES = (
    transpose_in_place,
    transpose_of_transpose,
    reshape_to_same,
    reshape_of_reshape,
    broadcast_to_same,
    broadcast_of_broadcast,
    broadcast_is_implied,
    broadcast_comes_last,
    uniform_operand_is_scalar,
    movement_of_repeated_number,
    unbroadcast_of_known_size,
    slice_of_everything,
    slice_of_slice,
    pad_of_nothing,
    ensure_known_shape,
)
