"""Canonicalization: one form for each meaning. The rules stand beside each other by subject, in the order they are tried."""

from __future__ import annotations

from graphflow.ir.program import Program
from graphflow.passes import canonicalize_arithmetic, canonicalize_logic, canonicalize_movement, canonicalize_reductions
from graphflow.passes.rewrite import MAX_REWRITES, Fired, rewrite

RULES = (
    *canonicalize_arithmetic.RULES,  # first: constants go right, so that every other rule has one orientation
    *canonicalize_logic.RULES,
    *canonicalize_movement.RULES,
    *canonicalize_reductions.RULES,
)


def canonicalize(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with algebraic identities in their canonical form; no value changes by more than rounding."""
    return rewrite(program, RULES, limit=limit, fired=fired)
