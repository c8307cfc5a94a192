"""Common-subexpression elimination: equal nodes of a program become one."""

from __future__ import annotations

from graphflow.ir.program import Program
from graphflow.passes.rewrite import MAX_REWRITES, Fired, rewrite


def cse(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with one node for each op, operands and attributes; the order of a commutative op's operands is ignored.

    Placeholders, variables and the run counter stay what they are. Random bits are merged where seed, path and shape are the
    same: they are the same numbers. Constants are compared by their bits.
    """
    return rewrite(program, (), limit=limit, merge=True, fired=fired)
