"""The instrumented twin of a program: each value of floats is watched where it is computed, to find what made a NaN."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.errors import OptionError
from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.op import Access
from graphflow.ir.program import Program, map_tensors, rebuild, with_bodies
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.numerics import watched

_SELECTING = ("maximum", "minimum")  # reductions whose result is one of their operand's elements


def watch(program: Program, what: str) -> Program:
    """The program whose run fails at the first op that makes a "nan", or with "all" an infinity, of operands that are none.

    It comes after the passes, so that it watches what the program does without it.
    """
    if what not in ("nan", "all"):
        raise OptionError(f"option nan_check takes nan or all, not {what!r}")
    infinities = what == "all"

    def visit(node: Node, inputs: tuple[Tensor, ...]) -> Sequence[Tensor]:
        outputs = rebuild(with_bodies(node, lambda body: watch(body, what)), inputs)
        if not makes_floats(node):
            return outputs
        operands = [t for t in inputs if is_float(t)] if node.op.access is Access.ELEMENTWISE else []
        with derived_from(node):
            return [watched(t, *operands, infinities=infinities, name=t.name) if is_float(t) else t for t in outputs]

    with scratch():
        return program.with_results(map_tensors(program.results, visit))


def is_float(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating or tensor.dtype.is_complex


def makes_floats(node: Node) -> bool:
    """Does a node compute new numbers, rather than move or select others?"""
    if node.op.access is Access.REDUCTION:
        return node.op.combine not in _SELECTING
    return node.op.access in (Access.ELEMENTWISE, Access.OPAQUE) and not node.op.effect
