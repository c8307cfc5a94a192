"""Which elements of feeds and variables an element was computed from, as far as one element comes from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphflow.ir.evaluate import numbers as size_numbers
from graphflow.ir.op import Access
from graphflow.ir.program import Program, bodies_of
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.numerics import watched
from graphflow.types import Dim

Element = tuple[Tensor, tuple[int, ...]]
Path = Sequence[tuple[Node, int]]
MOST = 8  # elements that are named


def origin_of(
    tensor: Tensor,
    place: tuple[int, ...],
    path: Path,
    operands: Mapping[Node, Sequence[np.ndarray]],
    sizes: Mapping[Dim, int],
) -> list[Element]:
    """The elements of placeholders and variables that one element depends on through elementwise ops and movements.

    What comes from a reduction, a product or an earlier step has none. `operands` are the values that nodes were computed of,
    and `sizes` what their symbols stand for.
    """
    found: dict[Element, None] = {}
    seen: set[Element] = set()
    todo: list[tuple[Tensor, tuple[int, ...], Path]] = [(tensor, place, path)]
    while todo and len(found) < MOST:
        tensor, place, path = todo.pop(0)
        if (tensor, place) in seen:
            continue
        seen.add((tensor, place))
        node = tensor.node
        if node.op.name in ("placeholder", "variable"):
            found[tensor, place] = None
        elif node.op.name == "parameter":
            todo += outside(tensor, place, path)
        elif node.op is watched:
            todo.append((node.inputs[0], place, path))
        elif node.op.access is Access.ELEMENTWISE:
            for operand in node.inputs:
                shape = operands[node][node.inputs.index(operand)].shape if node in operands else ()
                at = tuple(0 if size == 1 else k for k, size in zip(place[len(place) - len(shape) :], shape, strict=True))
                todo.append((operand, at, path))
        elif node.op.access is Access.MOVEMENT and node in operands:
            todo += [(operand, at, path) for operand, at in moved(node, place, operands[node], sizes)]
    return list(found)


def moved(node: Node, place: tuple[int, ...], values: Sequence[np.ndarray], sizes: Mapping[Dim, int]) -> list[Element]:
    """The element that a movement puts at `place`: found by moving numbers that count the elements in their stead."""
    first, numbers, starts = 1, [], []
    for value, operand in zip(values, node.inputs, strict=True):
        starts.append(first)
        if operand.dtype == node.type.dtype:
            numbers.append(np.arange(first, first + value.size, dtype=np.float64).reshape(value.shape))
            first += value.size
        else:
            numbers.append(value)
    if node.op.reference is None:
        return []
    try:
        result = node.op.reference(*numbers, **{name: size_numbers(value, sizes) for name, value in node.attributes})
        number = int(np.asarray(result)[place])
    except Exception:  # a reference that computes with its operand's dtype
        return []
    for operand, start, value in zip(node.inputs, starts, values, strict=True):
        if operand.dtype == node.type.dtype and start <= number < start + value.size:
            return [(operand, tuple(int(k) for k in np.unravel_index(number - start, value.shape)))]
    return []


def outside(parameter: Tensor, place: tuple[int, ...], path: Path) -> list[tuple[Tensor, tuple[int, ...], Path]]:
    """What an input of the body of a loop or a branch is outside of it: a row of a stack, or a captured value."""
    if not path:
        return []
    (node, number), before = path[-1], path[:-1]
    position = next((body.inputs.index(parameter) for body in bodies_of(node) if parameter in body.inputs), None)
    if position is None:
        return []
    if node.op.name == "branch":
        return [(node.inputs[1 + position], place, before)]
    body: Program = node.attrs["body"]
    carried, elements, counted = node.attrs["carried"], node.attrs["elements"], int(node.attrs["counted"])
    if parameter not in body.inputs:  # of the condition, which has no rows
        return [(node.inputs[counted + elements + position - 1], place, before)] if position > carried else []
    if position <= carried:
        return []
    at = (number, *place) if position <= carried + elements else place
    return [(node.inputs[counted + position - 1], at, before)]


def place_text(place: Sequence[int]) -> str:
    """`[3, 4]`; nothing for a scalar."""
    return f"[{', '.join(str(int(k)) for k in place)}]" if len(place) else ""
