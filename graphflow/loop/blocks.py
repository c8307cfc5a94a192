"""Blocks of rows: what is dear and computed once a row is computed for a block of rows at a time, in vectors.

A row of logistic regression is a sum, a sigmoid and a pass that uses it. Row by row the sigmoid is a chain of scalar
instructions, as long as the rest; for a block of rows it is a loop over their sums that vectorises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from graphflow.ir.scalar import Accumulator, Check, Expr, Select
from graphflow.loop.ir import Kernel, Stage, Store, children, structure_key, walk
from graphflow.loop.lower import cost_along, rewriter

ROWS = 32  # of a block: four vectors of eight, as loops of elementary functions run (codegen.direct)
DEAR = 8.0  # additions: half an exponential; cheaper work hides behind that of the row


def in_blocks(kernel: Kernel) -> Kernel:
    """The kernel with blocks of rows, if it has one axis of rows and dear work once a row."""
    rows = [a for a in kernel.rows if a.name != "unit"]
    sums = [r.accumulator.dtype for st in kernel.stages for r in st.reductions]
    if len(rows) != 1 or not kernel.reduced or not all(d.is_floating or d.is_integer for d in sums):
        return kernel
    over, row = {id(a) for a in kernel.reduced}, {id(rows[0])}
    found = _Found(sum(len(st.reductions) for st in kernel.stages))
    stages: list[Stage] = []
    for st in kernel.stages:
        values = dear_of_rows([r.value for r in st.reductions] + [s.value for s in st.stores], row, over)
        scalars = tuple([(a, v) for v in values if (a := found.new(v)) is not None])
        reductions = tuple([replace(r, value=found.replaced(r.value)) for r in st.reductions])
        stages.append(replace(st, reductions=reductions, stores=found.in_stores(st.stores), scalars=scalars))
    if not found.values and not any(is_dear(s.value, row) for s in kernel.finals):
        return kernel
    return replace(kernel, stages=tuple(stages), finals=found.in_stores(kernel.finals), block=ROWS)


class _Found:
    """The values that have an element for each row of a block, by their structure."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.values: dict[int, Accumulator] = {}
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.known: dict[int, int] = {}
        self.keep: list[Expr] = []

    def number(self, e: Expr) -> int:
        """Equal for equal values."""
        for part in walk([e]):
            if id(part) not in self.known:
                key = structure_key(part, tuple(self.known[id(c)] for c in children(part)))
                self.known[id(part)] = self.numbers.setdefault(key, len(self.numbers))
                self.keep.append(part)
        return self.known[id(e)]

    def new(self, value: Expr) -> Accumulator | None:
        """The place of a value that has none yet."""
        if self.number(value) in self.values:
            return None
        place = self.values[self.number(value)] = Accumulator(self.next, value.dtype)
        self.next += 1
        return place

    def replaced(self, root: Expr) -> Expr:
        """The same value, read from where it has been computed for the whole block."""
        self.number(root)
        return rewriter({id(e): self.values[self.known[id(e)]] for e in walk([root]) if self.known[id(e)] in self.values})(root)

    def in_stores(self, stores: Sequence[Store]) -> tuple[Store, ...]:
        return tuple([replace(s, value=self.replaced(s.value)) for s in stores])


def dear_of_rows(roots: Sequence[Expr], row: set[int], over: set[int]) -> list[Expr]:
    """The largest parts that are the same for a whole row, depend on its sums, and are dear."""
    inside: set[int] = set()  # what varies along the row
    for e in walk(list(roots)):
        if id(e) in over or any(id(part) in inside for part in children(e)):
            inside.add(id(e))
    found: dict[int, Expr] = {}
    for e in walk(list(roots)):
        parts = [p for p in (children(e) if id(e) in inside else ()) if id(p) not in inside]
        found.update({id(p): p for p in parts if p.dtype.is_floating and is_dear(p, row)})
    return list(found.values())


def is_dear(value: Expr, row: set[int]) -> bool:
    """Is the value of a row worth a loop of its own, and made of what a vector can hold?"""
    parts = walk([value])
    if any(isinstance(e, Select | Check) for e in parts) or not any(isinstance(e, Accumulator) for e in parts):
        return False
    return cost_along(value, row | {id(e) for e in parts if isinstance(e, Accumulator)}) >= DEAR
