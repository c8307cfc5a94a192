"""Computations repeated with other tensors in the places of some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphflow.ir.op import literal
from graphflow.ir.order import dependencies_first
from graphflow.ir.program import rebuild
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.movement import broadcast_to
from graphflow.types import TensorType


def zeros(type_: TensorType) -> Tensor:
    return broadcast_to(literal(0, type_.dtype), type_.shape)


def substituted(outputs: Sequence[Tensor], renamed: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """`outputs` with other tensors in the places of some."""
    known: dict[Tensor, Tensor] = dict(renamed)
    for node in reversed_order(outputs, set(renamed)):
        if all(t in known for t in node.outputs):
            continue
        new = rebuild(node, tuple(known[t] for t in node.inputs))
        for old, fresh in zip(node.outputs, new, strict=True):
            known.setdefault(old, fresh)
    return [known[t] for t in outputs]


def reversed_order(outputs: Sequence[Tensor], stop: set[Tensor]) -> list[Node]:
    """The nodes below `outputs` that are needed when the tensors in `stop` are given, operands first."""
    roots = [t.node for t in outputs if t not in stop]
    return dependencies_first(roots, lambda node: [t.node for t in node.inputs if t not in stop])
