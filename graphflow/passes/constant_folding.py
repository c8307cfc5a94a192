"""Constant folding: what is computed from constants alone is computed once, by the NumPy references of the ops."""

from __future__ import annotations

from graphflow.ir.evaluate import apply_reference
from graphflow.ir.op import Access
from graphflow.ir.program import Program, attribute_dims
from graphflow.ir.tensor import Literal, Node, Tensor
from graphflow.ops.movement import broadcast_to_, iota
from graphflow.ops.source import constant
from graphflow.passes.rewrite import MAX_REWRITES, Fired, rewrite, rule
from graphflow.types import static_size

MAX_FOLDED_BYTES = 65_536  # a constant larger than this, and than its operands, is worth less than the memory it takes

# Kept as they are: a kernel reads the one element that is repeated, or knows the position, and loads no array.
KEPT = (broadcast_to_, iota)


@rule()
def fold(t: Tensor) -> Tensor | None:
    """f(c1, c2, ...) -> the constant it is"""
    node = t.node
    if not is_foldable(node):
        return None
    try:
        results = apply_reference(node, [operand.attrs["value"].array for operand in node.inputs], {})
    except Exception:  # a constant index out of range, a singular matrix: it is the run that raises, with the user's line
        return None
    attributes = (("value", Literal(results[t.index])),)
    return Node(constant, (), attributes, (t.type,), node.name, node.location, node.number).output


def is_foldable(node: Node) -> bool:
    """Are all operands constants, and the result one small array that no run and no symbolic size has a part in?"""
    if node.op.access in (Access.SOURCE, Access.CONTROL) or node.op.reference is None or node.op in KEPT:
        return False  # a loop may take long, or never end: that is for a run to find out
    if node.op.effect:
        return False
    bytes_read = 0
    for operand in node.inputs:
        if operand.op is not constant:
            return False
        bytes_read += operand.attrs["value"].array.nbytes
    if any(attribute_dims(value) for _, value in node.attributes):
        return False
    bytes_made = 0
    for type_ in node.types:
        size = static_size(type_.shape)
        if size is None:
            return False
        bytes_made += size * type_.dtype.itemsize
    return bytes_made <= max(MAX_FOLDED_BYTES, bytes_read)


RULES = (fold,)


def constant_folding(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with constants for what depends on constants alone, up to a size; a run-time error stays one of the run."""
    return rewrite(program, RULES, limit=limit, fired=fired)
