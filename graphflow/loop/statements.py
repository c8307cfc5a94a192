"""Kernels as trees of statements over scalar expressions: loops with registers, choices, sums, stores.

What `loop.sequential` lowers loops and branches on small values to, and `codegen.sequential` writes as source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from graphflow.ir.scalar import Accumulator, Axis, Const, Expr
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Buffer, Offset, Store


@dataclass(frozen=True, eq=False)
class Fill:
    """Stores for all positions of some axes; of no axes, one of each."""

    axes: tuple[Axis, ...]
    stores: tuple[Store, ...]


@dataclass(frozen=True, eq=False)
class Update:
    """An element of a carried value in memory becomes `value`, or what it is plus `value`, for all positions of some axes."""

    axes: tuple[Axis, ...]
    buffer: Buffer
    offset: Offset
    value: Expr
    adds: bool


@dataclass(frozen=True, eq=False)
class Clear:
    """Zeros from element `first` to before element `last` of a part of a buffer that begins at `offset`."""

    buffer: Buffer
    offset: Offset
    first: Expr
    last: Expr


@dataclass(eq=False)
class Sum:
    """Reductions over the same axes in one pass: (result, what combines, identity, value)."""

    axes: tuple[Axis, ...]
    terms: list[tuple[Accumulator, str, Const, Expr]]


@dataclass(frozen=True, eq=False)
class Choice:
    """One of two blocks; each gives the results their values."""

    condition: Expr
    then: Block
    otherwise: Block
    results: tuple[Accumulator, ...]


@dataclass(frozen=True, eq=False)
class Carried:
    """A register of a loop: what it is before the loop, in a step, for the next step, and after the loop."""

    initial: Expr
    now: Accumulator
    following: Expr
    final: Accumulator


@dataclass(frozen=True, eq=False)
class Repeat:
    """A loop: `count` steps, or as long as `test` holds, `count` steps at most if there is a count."""

    step: Axis
    count: Expr | None
    test: tuple[Block, Expr] | None
    body: Block
    carried: tuple[Carried, ...]
    late: tuple[Update, ...]  # changes of what the step reads: after everything else
    trips: Accumulator | None  # the number of steps made
    inside: Accumulator  # what reads memory that the loop changes has one of these as an operand: it is not read anywhere
    after: Accumulator  # else but in a step, or after the loop
    node: Node


Statement = Fill | Clear | Sum | Choice | Repeat


@dataclass(eq=False)
class Block:
    """Statements in order, and the values its results have at its end."""

    statements: list[Statement] = field(default_factory=list)
    results: list[Expr] = field(default_factory=list)


class TooLarge(Exception):
    """What does not become one kernel."""


class InRegisters(Exception):
    """A sum over values in registers, which no loop can count through."""


def statements(block: Block) -> list[Statement]:
    """All statements of a block, those inside others behind them."""
    found: list[Statement] = []
    for statement in block.statements:
        found.append(statement)
        match statement:
            case Choice(_, then, otherwise):
                found += statements(then) + statements(otherwise)
            case Repeat(_, _, test, body):
                found += [] if test is None else statements(test[0])
                found += statements(body)
    return found


def expressions(block: Block) -> list[Expr]:
    """All expressions of a block."""
    found: list[Expr] = list(block.results)
    for statement in block.statements:
        match statement:
            case Fill(_, stores):
                found += [e for s in stores for e in (s.value, s.offset)]
            case Clear(_, offset, first, last):
                found += [offset, first, last]
            case Sum(_, terms):
                found += [value for _, _, _, value in terms]
            case Choice(condition, then, otherwise):
                found += [condition, *expressions(then), *expressions(otherwise)]
            case Repeat(_, count, test, body, carried, late):
                found += [] if count is None else [count]
                found += [] if test is None else [test[1], *expressions(test[0])]
                found += expressions(body)
                found += [e for c in carried for e in (c.initial, c.following)]
                found += [e for u in late for e in (u.value, u.offset)]
    return found


def stores_of(block: Block) -> list[Store]:
    """All stores of a block."""
    found: list[Store] = []
    for statement in block.statements:
        match statement:
            case Fill(_, stores):
                found += stores
            case Clear(buffer, offset, first, _):
                found.append(Store(buffer, offset, first))
            case Choice(_, then, otherwise):
                found += stores_of(then) + stores_of(otherwise)
            case Repeat(_, _, test, body, _, late):
                found += [] if test is None else stores_of(test[0])
                found += stores_of(body) + [Store(u.buffer, u.offset, u.value) for u in late]
    return found


def mapped(block: Block, value: Callable[[Expr], Expr], store: Callable[[Store], Store]) -> Block:
    """The block with other expressions and stores in the places of its own."""

    def filled(fill: Fill) -> Fill:
        return Fill(fill.axes, tuple(store(s) for s in fill.stores))

    found: list[Statement] = []
    for statement in block.statements:
        match statement:
            case Fill():
                found.append(filled(statement))
            case Clear(buffer, offset, first, last):
                moved = store(Store(buffer, offset, first))
                found.append(Clear(moved.buffer, moved.offset, moved.value, value(last)))
            case Sum(axes, terms):
                found.append(Sum(axes, [(t, c, i, value(v)) for t, c, i, v in terms]))
            case Choice(condition, then, otherwise, results):
                parts = (mapped(then, value, store), mapped(otherwise, value, store))
                found.append(Choice(value(condition), *parts, results))
            case Repeat():
                test = statement.test
                found.append(
                    replace(
                        statement,
                        count=None if statement.count is None else value(statement.count),
                        test=None if test is None else (mapped(test[0], value, store), value(test[1])),
                        body=mapped(statement.body, value, store),
                        carried=tuple(
                            replace(c, initial=value(c.initial), following=value(c.following)) for c in statement.carried
                        ),
                        late=tuple(
                            replace(u, buffer=s.buffer, offset=s.offset, value=s.value)
                            for u in statement.late
                            for s in [store(Store(u.buffer, u.offset, u.value))]
                        ),
                    )
                )
    return Block(found, [value(e) for e in block.results])


def blocks_of(statement: Statement) -> list[Block]:
    """The blocks that a statement runs."""
    match statement:
        case Choice(_, then, otherwise):
            return [then, otherwise]
        case Repeat(_, _, test, body):
            return [body] if test is None else [test[0], body]
        case _:
            return []


def targets(statement: Statement) -> list[Expr]:
    """The names that a statement gives values to."""
    match statement:
        case Sum(_, terms):
            return [t for t, _, _, _ in terms]
        case Choice(_, _, _, results):
            return list(results)
        case Repeat():
            trips = [] if statement.trips is None else [statement.trips]
            return [*(c.final for c in statement.carried), *trips, statement.after]
        case _:
            return []
