"""Lanes of a map side by side: the text of one lane, compiled so that a vector has a number of each.

A kernel's text says what a lane does, step by step. Here a local is *uniform*, one number for all lanes, or *varying*, a vector.
Lanes that go different ways wait for one another: a loop runs as long as one of them does, and both parts of a branch run if
lanes take both. A mask says which lanes take part; the others keep their values, touch no memory and report nothing. A lane
computes what it would compute alone, by the same operations.

The last vector may have fewer lanes than it has room for: the last lane is there several times then, and writes the same again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.codegen import direct
from graphflow.codegen.assembly import I1, I64, Value, constant, constants, split, suffix, vector
from graphflow.codegen.blocks import block_shape
from graphflow.codegen.direct import INT64, BufferValue, TextFunction, Unsupported, storage_type
from graphflow.codegen.divergence import Divergence, asks_memory, is_cheap, is_exit, names, occurrences, summands
from graphflow.codegen.emit import SIDE_BY_SIDE
from graphflow.codegen.tracing import Traced, boolean, f32, f64, select


@dataclass(frozen=True)
class LaneIndex:
    """Where each lane reads or writes: at `across`, a vector, plus `along`, which is the same for all.

    `own` if a lane that does not take part may read there: the place depends on the number of the lane alone.
    """

    across: Value
    along: Value | None
    own: bool


@dataclass(frozen=True)
class Masked:
    """Statements that some lanes take part in: where their mask is kept, and the names that are used nowhere else."""

    slot: Value
    local: frozenset[str]
    loop: bool  # can lanes leave here?


class LaneFunction(TextFunction):
    """A function whose loop over `begin` to `end` takes as many lanes at a time as a vector has room for."""

    def __init__(self, owner: Any, function: Any, definition: ast.FunctionDef) -> None:
        number = number_of(definition)
        self.width = block_shape(number).lanes
        self.mask_type = vector(f"i{8 * number.itemsize}", self.width)  # a mask is kept as wide as the numbers that it chooses
        (lanes,) = (s for s in definition.body if isinstance(s, ast.For))
        self.lanes_body = lanes.body
        self.names = Divergence(definition, lanes)
        self.masked: Masked | None = None
        self.nowhere: Value | None = None
        self.stacks: set[str] = set()
        super().__init__(owner, function, definition)

    # --- masks -------------------------------------------------------------------------------------------------------------

    def mask(self) -> Value:
        """The lanes that take part."""
        assert self.masked is not None
        return self.kept(self.masked.slot)

    def kept(self, slot: Value) -> Value:
        return self.builder.compare("icmp slt", self.builder.load(self.mask_type, slot), constant(self.mask_type, 0))

    def taking_part(self, condition: Value) -> Value:
        """The lanes that take part, of those for which a condition holds."""
        nobody = constant(condition.type, False)
        return condition if self.masked is None else self.builder.select(self.mask(), condition, nobody)

    def keep(self, mask: Value) -> Value:
        """Where a mask is kept."""
        slot = self.entry.alloca(self.mask_type)
        self.keep_mask(mask, slot)
        return slot

    def keep_mask(self, mask: Value, slot: Value) -> None:
        self.builder.store(self.builder.cast("sext", mask, self.mask_type), slot)

    @contextmanager
    def under(self, slot: Value, statements: Sequence[ast.stmt], loop: bool = False) -> Iterator[None]:
        """Within, only the lanes of the mask in `slot` take part."""
        inside = occurrences(statements)
        outer = self.masked
        self.masked = Masked(slot, frozenset(n for n, count in inside.items() if count == self.names.uses[n]), loop)
        yield
        self.masked = outer

    # --- control -----------------------------------------------------------------------------------------------------------

    def count(self, name: str, bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> None:
        if body is self.lanes_body:
            self.side_by_side(name, bounds, body)
        elif self.names.varies(*bounds) or self.names.leaves(body):
            self.diverging(name, bounds, body)
        else:
            super().count(name, bounds, body)

    def side_by_side(self, name: str, bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> None:
        """The loop over the lanes."""
        begin, end = (self.int64(self.expression(b)) for b in bounds)
        number = split(self.mask_type)[0]
        some = self.builder.cast("sext", (begin < end).value, number)
        self.everyone = self.builder.splat(some, self.width)
        first = self.entry.alloca(I64)
        self.builder.store(begin.value, first)
        numbers = Traced(self.builder, constants(I64, range(self.width)), INT64)

        def step() -> None:
            lanes = self.wide(Traced(self.builder, self.builder.load(I64, first), INT64)) + numbers
            last = self.wide(end - 1)
            self.assign(name, select(lanes < last, lanes, last))
            self.block(body)
            now = self.builder.load(I64, first)
            self.builder.store(self.builder.binary("add", now, constant(I64, self.width), ("nsw",)), first)

        self.loop(lambda: self.builder.compare("icmp slt", self.builder.load(I64, first), end.value), step)

    def diverging(self, name: str, bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> None:
        """A loop that runs until the last lane is done."""
        *starts, stop = (self.int64(self.expression(b)) for b in bounds)
        start = starts[0] if starts else self.constant(0, INT64)
        if split(start.value.type)[1]:
            self.beginning_apart(name, start, stop, body)
            return
        slot = self.entry.alloca(self.mask_type)
        self.builder.store(self.everyone if self.masked is None else self.builder.load(self.mask_type, self.masked.slot), slot)

        def more(step: Traced) -> Value:
            step, last = self.alike(step, stop)
            condition = (step < last).value
            return condition if not split(condition.type)[1] else self.stay(condition)

        with self.under(slot, body, loop=True):
            self.counted(name, start, more, lambda step: self.block(body))

    def beginning_apart(self, name: str, start: Traced, stop: Traced, body: Sequence[ast.stmt]) -> None:
        """A loop that lanes begin at different steps, and end together."""
        if split(stop.value.type)[1] or self.names.leaves(body):
            raise Unsupported("lanes that begin and end a loop apart")
        first, last = (self.extreme_of(start, kind) for kind in ("min", "max"))
        some = select(last < stop, last, stop)
        self.counted(name, first, lambda step: (step < some).value, lambda step: self.part(self.begun(start, step), body))
        self.counted(name, last, lambda step: (step < stop).value, lambda step: self.block(body))

    def begun(self, start: Traced, step: Traced) -> Value:
        return self.taking_part((start <= self.wide(step)).value)

    def extreme_of(self, value: Traced, kind: str) -> Traced:
        """The least or the greatest number of the lanes that take part."""
        none = constant(value.value.type, (1 << 63) - 1 if kind == "min" else -(1 << 63))
        taken = value.value if self.masked is None else self.builder.select(self.mask(), value.value, none)
        name = f"llvm.vector.reduce.s{kind}.{suffix(taken.type)}"
        return Traced(self.builder, self.builder.intrinsic(name, I64, [taken]), INT64)

    def counted(self, name: str, start: Traced, more: Callable[[Traced], Value], body: Callable[[Traced], None]) -> None:
        """A loop whose steps all lanes count together."""
        counter = self.entry.alloca(I64)
        self.builder.store(start.value, counter)

        def now() -> Traced:
            return Traced(self.builder, self.builder.load(I64, counter), INT64)

        def step() -> None:
            self.assign(name, now())
            body(now())
            self.builder.store(self.builder.binary("add", now().value, constant(I64, 1), ("nsw",)), counter)

        self.loop(lambda: more(now()), step)

    def stay(self, condition: Value) -> Value:
        """Lanes for which a condition does not hold leave the loop: is one left in it?"""
        assert self.masked is not None
        zeros, before = constant(self.mask_type, 0), self.builder.load(self.mask_type, self.masked.slot)
        frozen = self.builder.value(condition.type, f"freeze {condition}")
        left = self.builder.select(frozen, before, zeros)
        self.builder.store(left, self.masked.slot)
        number = split(self.mask_type)[0]
        bits = self.builder.intrinsic(f"llvm.vector.reduce.or.{suffix(left.type)}", number, [left])
        return self.builder.compare("icmp ne", bits, constant(number, 0))

    def statement(self, node: ast.stmt) -> None:
        """A statement; of what lanes stay in a loop for, first that which is the same for all."""
        match node:
            case ast.If(ast.BoolOp(ast.And(), tests), body, orelse) if is_exit(body, orelse) and not any(map(asks_memory, tests)):
                alike = [t for t in tests if not self.names.varies(t)]
                varying = [t for t in tests if self.names.varies(t)]
                for part in (alike, varying):
                    if part:
                        test = part[0] if len(part) == 1 else ast.BoolOp(ast.And(), part)
                        super().statement(ast.If(test, body, orelse))
            case _:
                super().statement(node)

    def branch(self, condition: Value, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> None:
        if not split(condition.type)[1]:
            super().branch(condition, body, orelse)
            return
        if is_exit(body, orelse):
            if self.masked is None or not self.masked.loop:
                raise Unsupported("lanes that leave a loop from within a branch")
            go_on = self.function.new_block("go_on")
            self.builder.cbranch(self.stay(condition), go_on, self.ends[-1])
            self.builder.position_at_end(go_on)
            return
        parts = [(self.taking_part(condition), body), (self.taking_part(self.builder.not_(condition)), orelse)]
        for mask, statements in parts:
            if not all(isinstance(s, ast.Pass) for s in statements):
                self.part(mask, statements)

    def part(self, mask: Value, statements: Sequence[ast.stmt]) -> None:
        """Statements for the lanes of a mask; skipped where there is none and they are many."""
        with self.under(self.keep(mask), statements):
            if is_cheap(statements):
                self.block(statements)
            else:
                self.if_any(mask, lambda: self.block(statements))

    def if_any(self, mask: Value, body: Callable[[], None]) -> None:
        """The body, if a lane takes part."""
        inside, end = self.function.new_block("some"), self.function.new_block("none")
        self.builder.cbranch(self.builder.any(mask), inside, end)
        self.builder.position_at_end(inside)
        body()
        self.builder.branch(end)
        self.builder.position_at_end(end)

    def loop(self, test: Callable[[], Value], body: Callable[[], None], properties: Sequence[Any] = ()) -> None:
        super().loop(test, body)  # nothing is asked of a loop that is vectors already

    # --- values ------------------------------------------------------------------------------------------------------------

    def wide(self, value: Traced) -> Traced:
        """The value of each lane."""
        if split(value.value.type)[1]:
            return value
        return Traced(self.builder, self.builder.splat(value.value, self.width), value.dtype)

    def alike(self, *values: Traced) -> Sequence[Traced]:
        return [self.wide(v) for v in values] if any(split(v.value.type)[1] for v in values) else values

    def assign(self, name: str, value: Any) -> None:
        if name in self.names.varying:
            known = self.slots.get(name)
            if not isinstance(value, Traced):
                value = self.constant(value, boolean if isinstance(value, bool) else INT64)
            value = self.wide(value)
            if self.masked is not None and name not in self.masked.local and known is not None:
                before = Traced(self.builder, self.builder.load(known[1], known[0]), known[2])
                value = Traced(self.builder, self.builder.select(self.mask(), value.value, before.value), value.dtype)
        super().assign(name, value)

    def boolean(self, conjunction: bool, values: Sequence[ast.expr]) -> Traced:
        """`and`, `or`: an operand that calls a function is evaluated for the lanes alone that need it."""
        if not self.names.varies(*values):
            return super().boolean(conjunction, values)
        result = self.condition(values[0])
        for operand in values[1:]:
            if asks_memory(operand):
                second = self.needed(self.taking_part(result if conjunction else self.builder.not_(result)), operand)
            else:
                second = self.condition(operand)
            result = self.builder.binary("and" if conjunction else "or", result, second)
        return Traced(self.builder, result, boolean)

    def condition(self, node: ast.expr) -> Value:
        """A condition, of each lane."""
        return self.wide(Traced(self.builder, self.truth(self.expression(node)), boolean)).value

    def needed(self, mask: Value, node: ast.expr) -> Value:
        """A condition of the lanes of a mask; False of the others."""
        result = self.keep(constant(mask.type, False))
        with self.under(self.keep(mask), ()):
            self.if_any(mask, lambda: self.keep_mask(self.taking_part(self.condition(node)), result))
        return self.kept(result)

    def _checked_index(self, index: Any, size: Any, errors: BufferValue, site: int) -> Traced:
        index, size = self.int64(index), self.int64(size)
        if not split(index.value.type)[1]:
            return super()._checked_index(index, size, errors, site)
        outside = self.builder.compare("icmp uge", index.value, self.wide(size).value)
        wrong = self.taking_part(outside)
        then, end = self.function.new_block("bad_index"), self.function.new_block("checked")
        self.builder.cbranch(self.builder.any(wrong), then, end)
        self.builder.position_at_end(then)
        bits = self.builder.bits(wrong)
        lane = self.builder.intrinsic(f"llvm.cttz.{bits.type}", bits.type, [bits, constant(I1, True)])
        found = Traced(self.builder, self.builder.extract(index.value, self.builder.cast("zext", lane, I64)), INT64)
        for k, value in enumerate((self.constant(site, INT64), found, size)):
            self.store(errors, constant(I64, k), value)
        self.builder.branch(end)
        self.builder.position_at_end(end)
        return select(Traced(self.builder, outside, boolean), index.like(0), index)

    # --- memory ------------------------------------------------------------------------------------------------------------

    def scratch(self, size: int, scope: int, dtype: np.dtype) -> BufferValue:
        """An array for each lane: the same element of all lanes is a vector."""
        found = super().scratch(size * self.width, scope, dtype)
        self.stacks.add(found.pointer.name)
        return found

    def index(self, node: ast.expr) -> Any:
        """A number, or where the lanes differ a LaneIndex."""
        if not self.names.varies(node):
            return super().index(node)
        terms = summands(node)
        across = self.total([t for t in terms if self.names.varies(t)])
        alike = [t for t in terms if not self.names.varies(t)]
        own = all(self.names.is_of_lane(t) for t in terms)
        return LaneIndex(self.wide(across).value, self.total(alike).value if alike else None, own)

    def total(self, terms: Sequence[ast.expr]) -> Traced:
        first, *rest = (self.int64(self.expression(t)) for t in terms)
        for term in rest:
            a, b = self.alike(first, term)
            first = a + b
        return first

    def load(self, buffer: BufferValue, index: Any) -> Traced:
        storage, align, notes = storage_type(buffer.dtype), buffer.dtype.itemsize, self.notes(buffer)
        if isinstance(index, LaneIndex):
            across, place = self.places(buffer, index, reads=True)
            loaded = self.builder.gather(storage, across, place, align, notes)
        elif self.is_stack(buffer):
            loaded = self.builder.load(vector(storage, self.width), self.row(buffer, index), align, notes)
        else:
            return super().load(buffer, index)
        if buffer.dtype == boolean:
            loaded = self.builder.compare("icmp ne", loaded, constant(loaded.type, 0))
        return Traced(self.builder, loaded, buffer.dtype)

    def store(self, buffer: BufferValue, index: Any, value: Any) -> None:
        value = self.typed(value, buffer.dtype)
        storage, align, notes = storage_type(buffer.dtype), buffer.dtype.itemsize, self.notes(buffer)
        if not isinstance(index, LaneIndex) and not self.is_stack(buffer):
            if split(value.value.type)[1]:
                raise Unsupported("lanes that write to one place")
            super().store(buffer, index, value)
            return
        stored = self.wide(value).value
        if buffer.dtype == boolean:
            stored = self.builder.cast("zext", stored, vector(storage, self.width))
        if not isinstance(index, LaneIndex):
            row = self.row(buffer, index)
            if self.masked is not None:
                stored = self.builder.select(self.mask(), stored, self.builder.load(stored.type, row, align, notes))
            self.builder.store(stored, row, align, notes)
            return
        across, place = self.places(buffer, index, reads=False)
        pointers = [place(self.builder.extract(across, k)) for k in range(self.width)]
        if self.masked is not None:
            mask = self.mask()
            self.nowhere = self.nowhere or self.entry.alloca(I64)  # where those write that take no part
            pointers = [self.builder.select(self.builder.extract(mask, k), p, self.nowhere) for k, p in enumerate(pointers)]
        for k, pointer in enumerate(pointers):
            self.builder.store(self.builder.extract(stored, k), pointer, align, notes)

    def places(self, buffer: BufferValue, index: LaneIndex, reads: bool) -> tuple[Value, Callable[[Value], Value]]:
        """(an index for each lane, what makes it the address); lanes that take no part read the first element."""
        across, along, storage = index.across, index.along, storage_type(buffer.dtype)
        guarded = reads and self.masked is not None and not index.own
        if along is not None and (guarded or self.is_stack(buffer)):
            across = self.builder.add(across, self.builder.splat(along, self.width))
            along = None
        if guarded:
            across = self.builder.select(self.mask(), across, constant(across.type, 0))
        if self.is_stack(buffer):
            across = self.builder.mul(across, constant(across.type, self.width))
            across = self.builder.add(across, constants(I64, range(self.width)))

        def place(at: Value) -> Value:
            found = self.builder.place(storage, buffer.pointer, at)
            return found if along is None else self.builder.place(storage, found, along)

        return across, place

    def is_stack(self, buffer: BufferValue) -> bool:
        """Is a buffer an array that each lane has?"""
        return buffer.pointer.name in self.stacks

    def row(self, buffer: BufferValue, index: Value) -> Value:
        """The address of an element of all lanes."""
        at = self.builder.mul(index, constant(I64, self.width))
        return self.builder.place(storage_type(buffer.dtype), buffer.pointer, at)


def number_of(definition: ast.FunctionDef) -> np.dtype:
    """The dtype of which a vector has a number of each lane: float32 where there is no float64."""
    found = {name.rpartition("_")[2] for name in names(definition)}
    return f32 if found & {"f32", "float32"} and not found & {"f64", "float64"} else f64


def assembly(text: str, name: str) -> str:
    """LLVM assembly of the function `name` in `text`, lanes side by side where it says so; see `direct.assembly`."""
    return direct.assembly(text, name, {SIDE_BY_SIDE: LaneFunction})
