"""Branches that cannot run, for sizes that do not fit in them: a run that takes one fails, others do not ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.program import Program, bodies_of, map_tensors, rebuild, with_bodies
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.source import refused

# Branches of nodes, with the node whose sizes do not fit, and why.
Refused = Mapping[tuple[Node, int], tuple[Node, str]]


def refusing(program: Program, places: Refused) -> Program:
    """The program in which the branches of `places` fail when they are taken."""

    def inside(node: Node) -> Node:
        numbers = iter(range(len(bodies_of(node))))

        def change(body: Program) -> Program:
            why = places.get((node, next(numbers)))
            return refusing(body, places) if why is None else failing(body, *why)

        return with_bodies(node, change) if bodies_of(node) else node

    def visit(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        return rebuild(inside(node), inputs)

    with scratch():
        return program.with_results(map_tensors(program.results, visit))


def failing(body: Program, node: Node, text: str) -> Program:
    """A program of the same types that fails at `node`."""
    with derived_from(node):
        outputs = [refused(dtype=t.dtype, shape=t.shape, text=text) for t in body.outputs]
    return Program(body.inputs, tuple(outputs), (), body.name)
