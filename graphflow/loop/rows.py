"""Lowering of programs to rows: the kernels of their groups, and for loops and branches the steps and jumps between them.

The body of a loop is partitioned and lowered like any program. Its values live in buffers, and what changes from step to step
are pointers: the row of a stack that a step reads or writes; a carried value, which the next step reads where this one has
written it. A step writes a carried value to one of two buffers in turn, or straight over the old one where nothing reads
that any more, or into the row of a stack, if it is a result as well. So no step copies what it computes.

    first:  steps = 0                      head:  until steps == length -> end        end:  final = state
            state -> initial                      row -> stack[steps]                 last:
            next -> final, other -> spare         kernels of the body
                                                  steps += 1; state, next, other -> next, other, next
                                                  again -> head
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphflow.ir.op import Access
from graphflow.ir.program import Program
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.groups import lower_group
from graphflow.loop.inline import storage
from graphflow.loop.inplace import merged, overwrites
from graphflow.loop.ir import Buffer, Cycle, FusionGroup, Item, Label, Step
from graphflow.loop.library import lower_library
from graphflow.loop.partition import partition
from graphflow.loop.sequential import lower_sequential, read_whole
from graphflow.ops.control import loop
from graphflow.options import Options
from graphflow.types import AnySize, DType, int64


class Buffers:
    """The buffer of each tensor of a program, made when it is asked for."""

    def __init__(self, outer: Buffers | None = None, known: Mapping[Tensor, Buffer] | None = None) -> None:
        self.outer = outer
        self.known = dict(known or {})
        self.read_whole: set[Tensor] = set()

    def of(self, tensor: Tensor) -> Buffer:
        """The buffer with the values of a tensor that is no view."""
        found = self.known.get(tensor)
        if found is None and self.outer is not None and tensor.op.name == "constant":
            found = self.outer.of(tensor)
        if found is None:
            found = Buffer(tensor.name, tensor.dtype, tensor.type.size, tensor, inner=self.outer is not None)
        self.known[tensor] = found
        return found


def scratch(name: str, dtype: DType, size: AnySize) -> Buffer:
    """A buffer of no tensor."""
    return Buffer(name, dtype, size)


def pointer(name: str, like: Tensor) -> Buffer:
    """A pointer to values of the type of a tensor."""
    return Buffer(name, like.dtype, like.type.size, like, pointer=True, inner=True)


@dataclass
class Carried:
    """A carried value of a loop under construction."""

    state: Tensor  # the parameter
    out: Tensor  # what a step makes of it
    initial: Buffer
    final: Buffer
    now: Buffer  # a pointer to the value that a step reads
    next: Buffer | None = None  # a pointer to where a step writes the value for the next one
    other: Buffer | None = None  # a pointer to where the step after that will write it
    spare: Buffer | None = None  # what `other` points to at first
    row: Buffer | None = None  # a pointer to the row of a stacked result, where a step writes it

    @property
    def in_place(self) -> bool:
        """Is it written over the value that the step read?"""
        return self.next is self.now


@dataclass
class Rows:
    """The rows of a program under construction."""

    options: Options
    items: list[Item] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)

    def program(self, program: Program, buffers: Buffers) -> None:
        """Add the rows that compute a program."""
        groups = partition(program, fuse="fusion" not in self.options.disable, max_group=self.options.max_group)
        self.groups(groups, program, buffers)

    def groups(self, groups: Sequence[FusionGroup], program: Program, buffers: Buffers) -> None:
        """Add the rows of a program's groups, in launch order."""
        buffers.read_whole = read_whole(program)
        for group in groups:
            if group.kind == "loop":
                self.items.extend(lower_group(group, buffers.of, scratch))
            elif group.kind == "library":
                self.items.extend(lower_library(group, buffers.of, scratch))
            elif group.kind == "host":
                self.call(group, buffers)
            else:
                self.control(group, buffers)

    def call(self, group: FusionGroup, buffers: Buffers) -> None:
        """Add the row that calls the reference of an op back. Results that nothing reads are written all the same."""
        node = group.root
        assert node is not None
        results = [buffers.of(t) if t in group.outputs else scratch(t.name, t.dtype, t.type.size) for t in node.outputs]
        self.items.append(Step("call", node, (*(buffers.of(storage(t)) for t in node.inputs), *results)))

    def control(self, group: FusionGroup, buffers: Buffers) -> None:
        """Add the one kernel of a loop or a branch, where its values fit into registers; else its rows."""
        node = group.root
        assert node is not None
        kernel = (
            None if "sequential" in self.options.disable else lower_sequential(group, buffers.of, scratch, buffers.read_whole)
        )
        if kernel is not None:
            self.items.append(kernel)
        elif node.op is loop:
            self.loop(node, buffers)
        else:
            self.branch(node, buffers)

    # --- loops -------------------------------------------------------------------------------------------------------------

    def loop(self, node: Node, outer: Buffers) -> None:
        """Add the rows of a loop."""
        attrs = node.attrs
        body: Program = attrs["body"]
        condition: Program | None = attrs["condition"]
        carried, elements, length, reverse = attrs["carried"], attrs["elements"], attrs["length"], attrs["reverse"]
        operands = [outer.of(storage(t)) for t in node.inputs]
        count = operands.pop(0) if attrs["counted"] else None
        *results, steps = [outer.of(t) for t in node.outputs]
        index = Buffer("index", int64, 1, body.inputs[0], inner=True) if reverse else steps
        state = body.inputs[1 : 1 + carried]
        rows = body.inputs[1 + carried : 1 + carried + elements]
        stacks = operands[carried : carried + elements]
        captured = body.inputs[1 + carried + elements :]
        buffers = Buffers(outer, {body.inputs[0]: index, **dict(zip(captured, operands[carried + elements :], strict=True))})
        moving: list[tuple[Buffer, Buffer]] = []  # pointers to rows, with their stacks
        for parameter, stack in zip(rows, stacks, strict=True):
            buffers.known[parameter] = pointer(parameter.name, parameter)
            moving.append((buffers.known[parameter], stack))
        states = [
            Carried(parameter, storage(out), initial, final, pointer(parameter.name, parameter))
            for parameter, out, initial, final in zip(state, body.outputs, operands, results, strict=False)
        ]
        buffers.known.update({c.state: c.now for c in states})
        places = [(storage(out), stack) for out, stack in zip(body.outputs[carried:], results[carried:], strict=True)]
        targets = _Targets(set(body.inputs), buffers)
        stacked: dict[Tensor, Buffer] = {}
        for out, stack in places:
            row = pointer(f"row of {stack.name}", out)
            moving.append((row, stack))
            if targets.write(out, row):
                stacked[out] = row
        for c in states:
            if c.out is c.state:
                continue
            c.row = stacked.get(c.out)
            if c.row is None:
                c.next = pointer(f"next {c.state.name}", c.state)
                targets.write(c.out, c.next)
        inner = Rows(self.options)
        step = lambda op, *found, values=(), to=(): Step(op, node, found, tuple(values), to)  # noqa: E731
        inner.items += [step("copy", to, source, values=[bytes_of(to)]) for source, to in targets.before]
        inner.program(body, buffers)
        inner.items += [step("copy", to, source, values=[bytes_of(to)]) for source, to in targets.after]
        in_place = "inplace" not in self.options.disable
        for c in states:
            if in_place and c.next is not None and overwrites(inner.items, inner.cycles, c.next, c.now):
                inner.items, inner.cycles = merged(inner.items, inner.cycles, c.next, c.now)
                c.next = c.now
            elif c.next is not None:
                c.other = pointer(f"other {c.state.name}", c.state)
                c.spare = replace(c.final, name=f"spare {c.state.name}", pointer=False, inner=True)

        first, head, end, last = (Label(f"{node.name}_{name}") for name in ("first", "head", "end", "last"))
        self.items += [first, step("store", steps, None, values=[0])]
        if reverse:
            self.items.append(step("store", index, count, values=[-1 if count is not None else length - 1]))
        for c in states:
            if c.in_place:
                self.items += [step("copy", c.final, c.initial, values=[bytes_of(c.final)]), step("point", c.now, c.final)]
            elif c.next is not None:
                self.items.append(step("point", c.now, c.initial, c.next, c.final, c.other, c.spare))
            else:
                self.items.append(step("point", c.now, c.initial))
        self.items.append(head)
        if count is not None or length is not None:
            self.items.append(step("until", steps, count, values=[0 if length is None else length], to=(end,)))
        if condition is not None:
            self.condition(node, condition, [index, *(c.now for c in states), *operands[carried + elements :]], outer, end)
        if moving:
            flat = [buffer for pair in moving for buffer in pair]
            self.items.append(step("locate", index, *flat, values=[bytes_of(to) for to, _ in moving]))
        self.items += inner.items
        for c in states:
            if c.other is not None:
                self.items.append(step("turn", c.now, c.next, c.other))
            elif c.row is not None:
                self.items.append(step("point", c.now, c.row))
        self.items.append(step("count", steps, values=[1]))
        if reverse:
            self.items.append(step("count", index, values=[-1]))
        self.items += [step("again", to=(head,)), end]
        self.items += [step("copy", c.final, c.now, values=[bytes_of(c.final)]) for c in states if not c.in_place]
        if condition is not None or count is not None:
            for tensor, out, stack in zip(node.outputs[carried:-1], body.outputs[carried:], results[carried:], strict=True):
                if tensor in outer.read_whole:
                    self.items.append(step("clear", stack, steps, values=[bytes_of(outer.of(tensor)), row_bytes(out)]))
        self.items.append(last)
        pointed = [b for c in states for b in (c.initial, c.final)] + [b for pair in moving for b in pair[1:]]
        pointed += [c.spare for c in states if c.spare is not None]
        pinned = tuple(dict.fromkeys([*pointed, *operands, steps, index]))
        self.cycles += [*inner.cycles, Cycle(node, first, head, last, steps, pinned, length)]

    def condition(self, node: Node, condition: Program, given: Sequence[Buffer], outer: Buffers, end: Label) -> None:
        """Add the rows that compute the condition of a loop and leave the loop where it does not hold."""
        buffers = Buffers(outer, dict(zip(condition.inputs, given, strict=True)))
        self.program(condition, buffers)
        self.items.append(Step("unless", node, (buffers.of(storage(condition.outputs[0])),), (), (end,)))

    # --- branches ----------------------------------------------------------------------------------------------------------

    def branch(self, node: Node, outer: Buffers) -> None:
        """Add the rows of a branch: those of each of its programs, of which a run jumps to one."""
        number, *operands = [outer.of(storage(t)) for t in node.inputs]
        results = [outer.of(t) for t in node.outputs]
        programs: tuple[Program, ...] = node.attrs["branches"]
        starts = tuple(Label(f"{node.name}_{k}") for k in range(len(programs)))
        end = Label(f"{node.name}_end")
        self.items.append(Step("choose", node, (number,), (len(starts),), (*starts, end)))
        for k, (start, program) in enumerate(zip(starts, programs, strict=True)):
            buffers = Buffers(outer, dict(zip(program.inputs, operands, strict=True)))
            targets = _Targets(set(program.inputs), buffers)
            for out, to in zip(program.outputs, results, strict=True):
                targets.write(storage(out), to)
            self.items.append(start)
            self.program(program, buffers)
            copies = [*targets.before, *targets.after]
            self.items += [Step("copy", node, (to, source), (bytes_of(to),)) for source, to in copies]
            if k < len(programs) - 1:
                self.items.append(Step("jump", node, (), (), (end,)))
        self.items.append(end)


class _Targets:
    """Where the results of a body are written: by the kernels that compute them, or copied."""

    def __init__(self, inputs: set[Tensor], buffers: Buffers) -> None:
        self.inputs = inputs
        self.buffers = buffers
        self.written: set[Tensor] = set()
        self.before: list[tuple[Buffer, Buffer]] = []  # copies of what is there before the body is run: (source, target)
        self.after: list[tuple[Buffer, Buffer]] = []

    def write(self, out: Tensor, to: Buffer) -> bool:
        """Have the values of `out` in `to`; True where they are computed there."""
        if out in self.inputs or out.op.access is Access.SOURCE:
            self.before.append((self.buffers.of(out), to))
            return False
        if out in self.written:
            self.after.append((self.buffers.of(out), to))
            return False
        self.written.add(out)
        self.buffers.known[out] = to
        return True


def row_bytes(row: Tensor) -> AnySize:
    return row.type.size * row.dtype.itemsize


def bytes_of(buffer: Buffer) -> AnySize:
    return buffer.size * buffer.dtype.itemsize
