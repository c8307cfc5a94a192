"""Arguments that are shapes: lists of numbers and symbols, arrays, and tensors made of sizes; and what is known of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import check_size
from graphflow.types import AnySize, Dim, Shape, Size, TensorType, floordiv, format_shape, product


def resolve_shape(type_: TensorType, shape: tuple[Any, ...]) -> Shape:
    """The shape with -1 replaced by the size that follows from the number of elements."""
    unknown = [axis for axis, size in enumerate(shape) if isinstance(size, int) and size == -1]
    if not unknown:
        return shape
    if len(unknown) > 1:
        raise ShapeError(f"reshape: {format_shape(shape)} leaves several sizes open", rule="At most one size may be -1.")
    rest = product(tuple(size for axis, size in enumerate(shape) if axis != unknown[0]))
    total = type_.size
    if isinstance(total, int) and isinstance(rest, int) and (total % rest if rest else True):
        raise ShapeError(
            f"reshape: {total} elements of {type_} do not divide into {format_shape(shape)}",
            rule="The size that -1 stands for must be a whole number.",
        )
    return tuple(floordiv(total, rest) if axis == unknown[0] else size for axis, size in enumerate(shape))


def shape_tuple(shape: Any, what: str, allow_unknown: bool = False) -> tuple[Any, ...]:
    """A shape argument as a tuple of sizes: a list of numbers and symbols, an array, or a tensor whose sizes are known."""
    if isinstance(shape, Tensor):
        shape = sizes_of(shape, what)
    if isinstance(shape, int | np.integer | Size):
        shape = (shape,)
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise DTypeError(
            f"{what}: shape {shape!r} is no list of sizes", rule="Write [32, 64], with sizes of other tensors from x.shape."
        )
    sizes: list[Any] = []
    for size in shape:
        if isinstance(size, Tensor):
            size = sizes_of(size, what)
        if size is None:
            raise DTypeError(f"{what}: None is no size", rule="Take the size from a tensor: [x.shape[0], 64].")
        if allow_unknown and not isinstance(size, bool) and isinstance(size, int | np.integer) and size == -1:
            sizes.append(-1)
        else:
            sizes.append(check_size(size, "size"))
    return tuple(sizes)


def sizes_of(tensor: Tensor, what: str) -> Any:
    """The sizes that a tensor made of them stands for: a constant, `gf.shape(x)`, or one of its elements."""
    match tensor.op.name:
        case "constant":
            return tensor.numpy().tolist()
        case "size_value":
            return tensor.attrs["size"]
        case "concat":
            return [size for part in tensor.inputs for size in sizes_of(part, what)]
        case "reshape" if tensor.type.size == 1:
            inner = sizes_of(tensor.inputs[0], what)
            while isinstance(inner, list):
                (inner,) = inner
            for _ in tensor.shape:
                inner = [inner]
            return inner
        case "reshape" | "cast" | "identity":
            return sizes_of(tensor.inputs[0], what)
        case "slice" if tensor.rank == 1:
            begin, count, step = tensor.attrs["begin"][0], tensor.shape[0], tensor.attrs["step"][0]
            if isinstance(begin, int) and isinstance(count, int):
                return [sizes_of(tensor.inputs[0], what)[begin + k * step] for k in range(count)]
    raise DTypeError(
        f"{what}: the sizes in {tensor.name} are not known before a run",
        operands={"shape": tensor},
        rule="Shapes are made of numbers and of sizes of tensors: x.shape[0], not values that a run computes.",
    )


def never_negative(size: AnySize) -> bool:
    """Is the size at least 0 whatever its symbols are?"""
    if isinstance(size, int):
        return size >= 0
    return all(factor > 0 and all(_atom_never_negative(atom) for atom in monomial) for monomial, factor in size.terms)


def _atom_never_negative(atom: Any) -> bool:
    if isinstance(atom, Dim) or atom.name == "nonunit":
        return True
    return (any if atom.name == "max" else all)(never_negative(argument) for argument in atom.args)
