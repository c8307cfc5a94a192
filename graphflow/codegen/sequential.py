"""Emission of kernels that are trees of statements: loops with registers, choices, sums (see `loop.sequential`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from graphflow.codegen import scalar
from graphflow.codegen.emit import SCALARS, SIDE_BY_SIDE, Emitter, Region, Source, _Guard
from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.scalar import Accumulator, Call, Check, Expr
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel, walk
from graphflow.loop.sequential import loops_in, may_not_end, operations_of
from graphflow.loop.statements import Block, Choice, Clear, Fill, Repeat, Statement, Sum, Update, blocks_of, expressions

ENDLESS = (1 << 63) - 1  # steps of a loop that its condition alone ends
STACK_BYTES = 1 << 14  # of a lane's arrays: those of several lanes are to stay in the cache


def emit_sequential(kernel: Kernel, root: Node) -> Source:
    """The source of a loop or branch on small values."""
    return _Sequential(kernel).run()


MOST_STEPS = 5  # of loops inside one another: so many fit into an error record


def side_by_side(kernel: Kernel, block: Block) -> bool:
    """Are the lanes of a kernel to be in vectors together?

    Not where a lane sums many values in memory, as those are neighbours and become vectors; nor where all are integers, as
    vectors neither divide nor multiply those of 64 bits.
    """
    if not kernel.rows or kernel.extent == 1 or sums_in_memory(block):
        return False
    if not any(isinstance(e, Call) and e.dtype.is_floating for e in walk(expressions(block))):
        return False
    return sum(size * buffer.dtype.itemsize for buffer, size in kernel.locals) <= STACK_BYTES


def sums_in_memory(block: Block) -> bool:
    """Is a sum over an axis in memory among the statements?"""
    return any(isinstance(s, Sum) or any(map(sums_in_memory, blocks_of(s))) for s in block.statements)


class _Sequential(Emitter):
    """Writes statements; a register is a local that is assigned again in every step."""

    nesting = 0  # loops around what is being written

    def run(self) -> Source:
        kernel = self.kernel
        (block,) = kernel.statements
        roots = expressions(block)
        self.note = SIDE_BY_SIDE if side_by_side(kernel, block) else SCALARS
        self.count_uses(roots)
        self.read = {e.number for e in walk(roots) if isinstance(e, Accumulator)}
        for expr in walk(roots):
            if isinstance(expr, Check):
                self.counts[self.key(expr)] = 2  # a local: the index is checked once
        for k, (buffer, size) in enumerate(kernel.locals):
            name = self.fresh("stack")
            self.params[id(buffer)] = name
            self.line(f"{name} = scratch_{scalar.SUFFIX[buffer.dtype.name]}({size}, {len(kernel.params) + 1 + k})")
        with self.units():
            self.block(block)
        return Source(self.text(), tuple(self.dims), kernel.extent, kernel)

    @contextmanager
    def units(self) -> Iterator[None]:
        """The loop over the lanes of a map; nothing around a single loop."""
        if not self.kernel.rows:
            yield
            return
        name = self.fresh("lane")
        with self.loop(f"for {name} in range(begin, end):", self.kernel.rows, [name]):
            yield

    def block(self, block: Block) -> None:
        for statement in block.statements:
            self.statement(statement)

    def statement(self, statement: Statement) -> None:
        match statement:
            case Fill(axes, stores):
                with self.nest(axes):
                    self.stores(stores)
            case Clear(buffer, offset, first, last):
                at = self.fresh("at")
                start = self.offset_text(offset)
                zero = scalar.literal(0, buffer.dtype)
                with self.loop(f"for {at} in range({self.value(first)}, {self.value(last)}):", (), ()):
                    self.line(f"{self.params[id(buffer)]}[{start} + {at}] = {zero}")
            case Sum():
                self.sum(statement)
            case Choice():
                self.choice(statement)
            case Repeat():
                self.repeat(statement)

    def name(self, target: Accumulator, base: str, text: str | None = None) -> str:
        """The local of a register, known from here on in the current loop."""
        found = text or self.fresh(base)
        self.accumulator_text[target.number] = found
        self.accumulator_depth[target.number] = self.regions[-1].depth
        self.depths.clear()
        return found

    def sum(self, statement: Sum) -> None:
        for target, _, identity, _ in statement.terms:
            self.line(f"{self.name(target, 'sum')} = {scalar.literal(identity.value, identity.dtype)}")
        with self.nest(statement.axes):
            values = [self.value(value) for _, _, _, value in statement.terms]
            for (target, combine, _, _), value in zip(statement.terms, values, strict=True):
                name = self.accumulator_text[target.number]
                self.line(f"{name} = {self.combine(combine, target.dtype, name, value)}")

    def choice(self, statement: Choice) -> None:
        """An if statement, in which only the branch taken computes."""
        condition = self.value(statement.condition)
        names = [self.fresh("chosen") for _ in statement.results]
        outer = self.regions[-1]
        for head, block in ((f"if {condition}:", statement.then), ("else:", statement.otherwise)):
            inner = Region(outer.depth)
            self.regions.append(_Guard(inner, outer.depth))
            self.depths.clear()
            self.block(block)
            texts = [self.value(result, atom=False) for result in block.results]
            lines = self.regions.pop().lines
            self.depths.clear()
            lines = [*lines, *(f"{name} = {text}" for name, text in zip(names, texts, strict=True))]
            outer.lines.append(head)
            outer.lines.extend("    " + line for line in lines or ["pass"])
        for target, name in zip(statement.results, names, strict=True):
            self.name(target, "chosen", name)

    def repeat(self, statement: Repeat) -> None:
        """A loop: registers get their first values before it, their next ones at the end of each step."""
        starts = [self.value(c.initial, atom=False) for c in statement.carried]
        names = []
        for start in starts:
            names.append(self.fresh("state"))
            self.line(f"{names[-1]} = {start}")
        count = None if statement.count is None else self.value(statement.count)
        step, made = self.fresh("t"), ""
        if statement.trips is not None and statement.trips.number in self.read:
            made = self.fresh("steps")
            self.line(f"{made} = 0")
        self.nesting += 1
        with self.loop(f"for {step} in range({ENDLESS if count is None else count}):", (statement.step,), [step]):
            self.registers(statement, names)
            if statement.test is not None:
                block, test = statement.test
                self.block(block)
                self.line(f"if {self.value(test)}:")
                self.line("    pass")
                self.line("else:")
                self.line("    break")
            self.step(statement, names, step)
            if may_not_end(statement.node):
                self.poll(statement.node, step)
            if made:
                self.line(f"{made} = {step} + 1")
        self.nesting -= 1
        for c, name in zip(statement.carried, names, strict=True):
            self.name(c.final, "state", name)
        self.name(statement.after, "", "after")
        if statement.trips is not None:
            self.name(statement.trips, "steps", made)

    def registers(self, statement: Repeat, names: Sequence[str]) -> None:
        self.name(statement.inside, "", "inside")
        for c, name in zip(statement.carried, names, strict=True):
            self.name(c.now, "state", name)

    def step(self, statement: Repeat, names: Sequence[str], step: str) -> None:
        """The body of a loop."""
        self.block(statement.body)
        following = [self.value(c.following, atom=False) for c in statement.carried]
        temporary = [self.fresh("next") for _ in following]
        for name, text in zip(temporary, following, strict=True):
            self.line(f"{name} = {text}")
        self.updates(statement.late)
        for name, new in zip(names, temporary, strict=True):
            self.line(f"{name} = {new}")
        if self.kernel.checks and (
            any(isinstance(e, Check) for e in walk(self.checked(statement))) or any(map(may_not_end, loops_in(statement.node)))
        ):
            self.line("if errors[0] != 0:")
            if self.nesting <= MOST_STEPS:
                self.line(f"    errors[{2 + self.nesting}] = {step} + 1")
            self.line("    break")

    def poll(self, node: Node, step: str) -> None:
        """Leave the loop if the run is interrupted, which is asked for once in a million operations."""
        every = 1 << max(0, 20 - round(operations_of(node)).bit_length())
        self.line(f"if index_mod({step}, {every}) == {every - 1}:")
        self.line(f"    if call_address({self.dim(LibraryValue('poll'))}, 0, 0, 0, 0, 0, 0, 0) != 0:")
        self.line("        errors[0] = -1")
        self.line("    if errors[0] != 0:")
        self.line("        break")

    def updates(self, items: Sequence[Update]) -> None:
        """Changes of carried values in memory, when all that the step makes of the old ones is known."""
        for item in items:
            for expr in (item.offset, item.value):
                if not item.axes:
                    self.counts[self.key(expr)] = 2  # a local
                    self.value(expr)
        for item in items:
            with self.nest(item.axes):
                value = self.value(item.value, atom=False)
                place = f"{self.params[id(item.buffer)]}[{self.offset_text(item.offset)}]"
                self.line(f"{place} = {self.combine('add', item.buffer.dtype, place, value) if item.adds else value}")

    def checked(self, statement: Repeat) -> list[Expr]:
        found = [*expressions(statement.body), *(c.following for c in statement.carried)]
        return [*found, *(e for update in statement.late for e in (update.value, update.offset))]
