"""Products that are added in one instruction: in the steps of loops, `a * b + c` with one rounding.

Which ones is decided here and not by LLVM, whose choice depends on what else is in a kernel: a step rounds alike wherever its
loop is, alone or in a lane. What no step changes is rounded after each op: a lane may compute it where a single run does not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from graphflow.ir.scalar import Call, Expr
from graphflow.loop.ir import Store, children, replace_children, walk
from graphflow.loop.statements import Block, Choice, Repeat, expressions, mapped, targets


def contracted(loop: Repeat) -> Repeat:
    """The loop with products that are read once, as terms of sums, in the instructions of these sums."""
    found = _Contraction(loop)
    (statement,) = mapped(Block([loop]), found.value, found.store).statements
    assert isinstance(statement, Repeat)
    return replace(statement, count=loop.count)


def given(loop: Repeat) -> set[int]:
    """What a loop reads of its elements and of what it captures."""
    return {id(e) for e in (*loop.rows, *loop.captured)}


def changing(loop: Repeat) -> set[int]:
    """The expressions of a loop that depend on its steps."""
    found = _registers(Block([loop])) | {id(e) for e in loop.rows}
    elsewhere = given(loop)
    for e in own(loop):
        if id(e) not in elsewhere and any(id(p) in found for p in children(e)):
            found.add(id(e))
    return found


def own(loop: Repeat) -> list[Expr]:
    """The expressions of a loop, operands first, without what its rows and captured values are made of."""
    elsewhere = given(loop)
    found: dict[int, Expr] = {}
    stack = [(e, False) for e in reversed(expressions(Block([replace(loop, count=None)])))]
    while stack:
        e, known = stack.pop()
        if id(e) in found:
            continue
        if known or id(e) in elsewhere:
            found[id(e)] = e
        else:
            stack += [(e, True), *((p, False) for p in children(e))]
    return list(found.values())


def _registers(block: Block) -> set[int]:
    """What the steps of the loops of a block change: their numbers, registers, and what statements in them give values to."""
    found: set[int] = set()
    for statement in block.statements:
        match statement:
            case Repeat():
                found |= {id(statement.step), id(statement.inside), *(id(c.now) for c in statement.carried)}
                for inner in (statement.body, *([] if statement.test is None else [statement.test[0]])):
                    found |= _registers(inner) | {id(t) for s in inner.statements for t in targets(s)}
            case Choice(_, then, otherwise, _):
                for inner in (then, otherwise):
                    found |= _registers(inner) | {id(t) for s in inner.statements for t in targets(s)}
    return found


class _Contraction:
    """The expressions of a loop, with what is known of them."""

    def __init__(self, loop: Repeat) -> None:
        self.changing = changing(loop)
        self.given = given(loop)
        self.own = self.changing - self.given
        self.uses = Counter(id(e) for e in expressions(Block([loop])))
        for e in own(loop):
            self.uses.update(id(p) for p in children(e))
        self.known: dict[int, Expr] = {}

    def value(self, root: Expr) -> Expr:
        for e in walk([root]):
            if id(e) not in self.known:
                self.known[id(e)] = self.one(e)
        return self.known[id(root)]

    def store(self, store: Store) -> Store:
        return Store(store.buffer, store.offset, self.value(store.value))

    def one(self, e: Expr) -> Expr:
        """An expression whose operands are known."""
        if id(e) in self.given:
            return e
        parts = children(e)
        new = tuple(self.known[id(p)] for p in parts)
        if isinstance(e, Call) and id(e) in self.changing and e.dtype.name in ("float32", "float64"):
            (left, right), minus = (parts, e.fn == "subtract") if e.fn in ("add", "subtract") else ((None, None), False)
            negated = lambda x: Call("negative", (x,), e.dtype) if minus else x  # noqa: E731
            if self.is_term(right):
                a, b = children(new[1])
                return Call("multiply_add", (negated(a), b, new[0]), e.dtype)
            if self.is_term(left):
                return Call("multiply_add", (*children(new[0]), negated(new[1])), e.dtype)
        return e if all(a is b for a, b in zip(parts, new, strict=True)) else replace_children(e, new)

    def is_term(self, e: Expr | None) -> bool:
        """Is it a product of this step that is read once?"""
        return isinstance(e, Call) and e.fn == "multiply" and self.uses[id(e)] == 1 and id(e) in self.own
