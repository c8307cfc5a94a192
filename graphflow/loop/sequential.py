"""Loops and branches on small values as one kernel: carried values are registers, a body is inlined, element by element.

The kernel is a tree of statements over scalar expressions. A loop without carried values is a map: its rows are the units of
parallel work, so that each lane runs its own inner loops. What does not fit (a large body, a product of large matrices) is no
kernel of this kind: `lower_sequential` returns None, and the loop becomes rows of the launch program.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphflow.ir.op import Access
from graphflow.ir.program import Program, bodies_of
from graphflow.ir.scalar import Accumulator, Axis, Call, Const, Expr, Index, Load, SizeValue, as_index, index_mul
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.critical_path import shortened
from graphflow.loop.elements import (
    REGISTERS,
    SUMMED,
    UNROLLED,
    ElementValues,
    Read,
    depth_of,
    places_of,
    product_term,
    register_reader,
    row_index,
)
from graphflow.loop.inline import storage
from graphflow.loop.ir import Buffer, FusionGroup, Kernel, Offset, Role, Store, walk
from graphflow.loop.lower import checks_of, flat_offset, identity_of, rewriter
from graphflow.loop.statements import (
    Block,
    Carried,
    Choice,
    Clear,
    Fill,
    InRegisters,
    Repeat,
    Sum,
    TooLarge,
    Update,
    expressions,
    stores_of,
    targets,
)
from graphflow.ops.arithmetic import add
from graphflow.ops.control import branch, loop
from graphflow.ops.logic import cast_
from graphflow.types import AnySize, DType, Shape, bool_, int64, product, static_size

ROW = 2048  # elements of a row that is put together of values side by side: what a gradient keeps
STATE = 640  # of all carried values together
VECTORISED = 16  # terms of a sum over what is in memory that are a loop, several terms at a time
MOST_VALUES = 12_000  # scalar operations of a kernel
STACK_ELEMENTS = 4096  # of a stack of rows inside the kernel that is on the machine's stack
WHILE_STEPS = 64  # of a loop whose steps only a run can tell, for the estimate of its work


# --- lowering --------------------------------------------------------------------------------------------------------------


class _Lowering:
    """One kernel under construction."""

    def __init__(
        self, group: FusionGroup, buffers: Callable[[Tensor], Buffer], scratch: Callable[..., Buffer], whole: set[Tensor]
    ) -> None:
        self.group = group
        self.whole = whole
        self.buffers = buffers
        self.make_scratch = scratch
        self.numbers = itertools.count()
        self.spent = 0
        self.lane: Axis | None = None
        self.locals: list[tuple[Buffer, int]] = []  # arrays on the machine's stack
        self.scratches: list[Buffer] = []

    def fresh(self, dtype: DType) -> Accumulator:
        return Accumulator(next(self.numbers), dtype.compute)

    def spend(self) -> None:
        self.spent += 1
        if self.spent > MOST_VALUES:
            raise TooLarge(f"more than {MOST_VALUES} scalar operations")

    def memory(self, name: str, dtype: DType, shape: Shape) -> tuple[Buffer, Expr | None]:
        """(a buffer inside the kernel, where this lane's part begins): on the machine's stack if it is small."""
        size = static_size(shape)
        if size is not None and size <= STACK_ELEMENTS:
            buffer = Buffer(name, dtype, max(1, size))
            self.locals.append((buffer, max(1, size)))
            return buffer, None
        total = product(shape)
        lanes = 1 if self.lane is None else self.lane.extent
        buffer = self.make_scratch(name, dtype, total * lanes)
        self.scratches.append(buffer)
        return buffer, None if self.lane is None else index_mul(self.lane, total)


@dataclass(frozen=True, eq=False)
class _Place:
    """Memory for the rows of a stack: a buffer, and the position of the stack in it."""

    buffer: Buffer
    base: tuple[tuple[Expr, AnySize], ...] = ()  # index expressions with the elements each step of them skips

    def offset(self, index: Sequence[Expr], shape: Shape) -> Offset:
        inner = flat_offset(tuple(index), shape)
        terms = {id(e): (e, f) for e, f in inner.terms}
        constant = inner.constant
        for e, f in self.base:
            if isinstance(e, Const | SizeValue):
                constant = constant + (e.value if isinstance(e, Const) else e.size) * f
            else:
                terms[id(e)] = (e, terms.get(id(e), (e, 0))[1] + f)
        return Offset(constant, tuple((e, f) for e, f in terms.values() if f != 0))


class _Scope:
    """The statements of one program, and how the elements of its tensors are read."""

    def __init__(self, lowering: _Lowering, program: Program, given: Mapping[Tensor, Read]) -> None:
        self.lowering = lowering
        self.program = program
        self.given: dict[Tensor, Read] = dict(given)
        self.places: dict[Tensor, _Place] = {}  # where stacks that an inner loop makes are wanted
        self.block = Block()
        self.values = ElementValues(self.leaf, lowering.spend)

    def leaf(self, tensor: Tensor, index: tuple[Expr, ...]) -> Expr | None:
        read = self.given.get(tensor)
        if read is not None:
            return read(index)
        if tensor.op.name == "constant":
            return constant_element(self.lowering, tensor, index)
        return None

    def value(self, tensor: Tensor, index: Iterable[Index] = ()) -> Expr:
        return self.values.value(tensor, tuple(as_index(i) for i in index))

    def run(self) -> None:
        """The statements of all nodes that are statements."""
        for node in self.program.nodes:
            if node.op is loop:
                self.repeat(node)
            elif node.op is branch:
                self.choose(node)
            elif node.op.access is Access.REDUCTION:
                self.reduce(node, node.inputs[0].shape, node.attrs["axis"])
            elif node.op.name == "matmul":
                self.multiply(node)

    # --- sums --------------------------------------------------------------------------------------------------------------

    def reduce(self, node: Node, shape: Shape, reduced: tuple[int, ...]) -> None:
        """A long reduction is a loop of its own, or a part of one over the same axes."""
        count = static_size(tuple(shape[a] for a in reduced))
        if count is not None and count < VECTORISED:
            return
        kept = [shape[a] for a in range(len(shape)) if a not in reduced]
        axes = self.axes_of([shape[a] for a in reduced])

        def term(place: tuple[int, ...]) -> Expr:
            inner, outer = iter(axes), iter(place)
            return self.value(node.inputs[0], [next(inner) if a in reduced else next(outer) for a in range(len(shape))])

        keep = node.attrs["keepdims"]
        positions = [a for a in range(len(shape)) if a not in reduced]
        assert node.op.combine is not None
        self.sums(node, kept, axes, node.op.combine, term, lambda index: [index[a] for a in positions] if keep else list(index))

    def multiply(self, node: Node) -> None:
        """A product with a long inner axis: each element is a sum of its own, all in one pass."""
        depth = depth_of(node)
        size = static_size(node.type.shape)
        if isinstance(depth, int) and depth < VECTORISED:
            return
        if size is None or size > REGISTERS:
            if isinstance(depth, int) and depth <= UNROLLED:
                return  # as far as elements of it are read
            raise TooLarge("a product of large matrices")
        axes = self.axes_of([depth])

        def term(place: tuple[int, ...]) -> Expr:
            return product_term(self.values, node, tuple(as_index(k) for k in place), axes[0])

        self.sums(node, node.type.shape, axes, "add", term, list)

    def axes_of(self, sizes: Sequence[AnySize]) -> tuple[Axis, ...]:
        """Axes to sum over: those of the last loop over the same sizes, so that both may become one."""
        for statement in reversed(self.block.statements):
            if isinstance(statement, Sum) and [a.extent for a in statement.axes] == list(sizes):
                return statement.axes
        return tuple(Axis(f"{SUMMED}{k}", size) for k, size in enumerate(sizes))

    def sums(
        self, node: Node, kept: Sequence[AnySize], axes: tuple[Axis, ...], combine: str, term: Callable[[tuple[int, ...]], Expr],
        place: Callable[[tuple[Expr, ...]], list[Expr]],
    ) -> None:  # fmt: skip
        size, count = static_size(tuple(kept)), static_size(tuple(a.extent for a in axes))
        short = count is not None and count <= UNROLLED
        if size is None or size > REGISTERS:
            if short:
                return
            raise TooLarge("sums of many rows")
        dtype = node.type.dtype.compute
        try:
            values = [term(position) for position in itertools.product(*(range(k) for k in kept))]  # type: ignore[arg-type]
        except InRegisters:
            if short:
                return  # written out
            raise TooLarge("a long sum of values in registers") from None
        registers: dict[tuple[int, ...], Expr] = {}
        terms = []
        positions = itertools.product(*(range(k) for k in kept))  # type: ignore[arg-type]
        for position, value in zip(positions, values, strict=True):
            result = self.lowering.fresh(dtype)
            registers[position] = result
            terms.append((result, combine, identity_of(combine, dtype), value))
        self.add_sum(axes, terms)
        shape = tuple(kept)
        read = register_reader(registers, shape)
        self.given[node.output] = lambda index: read(tuple(place(index)))

    def add_sum(self, axes: tuple[Axis, ...], terms: list[tuple[Accumulator, str, Const, Expr]]) -> None:
        """Add to the last pass over these axes, if nothing since is read; else make a new one."""
        statements = self.block.statements
        for k, statement in enumerate(statements):
            if isinstance(statement, Sum) and statement.axes is axes:
                later = {id(t) for s in statements[k:] for t in targets(s)}
                if not any(id(e) in later for e in walk([t[3] for t in terms])):
                    statement.terms.extend(terms)
                    return
        own = tuple(Axis(a.name, a.extent) for a in axes)
        swap = {id(a): b for a, b in zip(axes, own, strict=True)}
        if any(isinstance(s, Sum) and s.axes is axes for s in statements):
            moved = rewriter(swap)
            terms = [(t, c, i, moved(v)) for t, c, i, v in terms]
            axes = own
        statements.append(Sum(axes, terms))

    # --- branches ----------------------------------------------------------------------------------------------------------

    def choose(self, node: Node) -> None:
        """A chain of choices, with registers for the results."""
        programs: Sequence[Program] = node.attrs["branches"]
        index, *captured = node.inputs
        results: list[dict[tuple[int, ...], Accumulator]] = []
        for tensor in node.outputs:
            results.append({place: self.lowering.fresh(tensor.dtype) for place in places_of(tensor.shape)})
        targets_ = tuple(t for of_tensor in results for t in of_tensor.values())
        blocks = []
        for program in programs:
            given = {p: self.reader(t) for p, t in zip(program.inputs, captured, strict=True)}
            scope = _Scope(self.lowering, program, given)
            scope.run()
            scope.block.results = [scope.value(t, p) for t in program.outputs for p in places_of(t.shape)]
            blocks.append(scope.block)
        self.block.statements.append(self.choice(index, blocks, targets_))
        for tensor, registers in zip(node.outputs, results, strict=True):
            self.given[tensor] = register_reader(dict(registers), tensor.shape)

    def choice(self, index: Tensor, blocks: list[Block], results: tuple[Accumulator, ...]) -> Choice:
        if index.op is cast_ and index.inputs[0].dtype.is_bool and len(blocks) == 2:
            return Choice(self.value(index.inputs[0]), blocks[1], blocks[0], results)
        number = self.value(index)
        otherwise = blocks[-1]
        for k in reversed(range(len(blocks) - 1)):
            here = Call("equal", (number, Const(k, index.dtype)), bool_)
            made = Choice(here, blocks[k], otherwise, results)
            if k == 0:
                return made
            otherwise = Block([made], list(results))
        always = Const(True, bool_)
        return Choice(always, blocks[0], blocks[0], results)

    def reader(self, tensor: Tensor) -> Read:
        return lambda index: self.values.value(tensor, index)

    # --- loops -------------------------------------------------------------------------------------------------------------

    def repeat(self, node: Node) -> None:
        """A loop inside the kernel, and how its results are read."""
        attrs = node.attrs
        rows = attrs["length"]
        carried = attrs["carried"]
        places: list[_Place] = []
        inner = attrs["body"].outputs[carried:]
        for tensor, output in zip(inner, node.outputs[carried:-1], strict=True):
            place = self.places.get(output)
            if place is None:
                buffer, base = self.lowering.memory("stack", tensor.dtype, (rows, *tensor.shape))
                place = _Place(buffer, () if base is None else ((base, 1),))
            places.append(place)
        operands = [self.reader(t) for t in node.inputs]
        after = self.lowering.fresh(int64)
        for place, output in zip(places, node.outputs[carried:-1], strict=True):
            self.given[output] = stack_reader(place, output, after)
        finals, trips = lower_loop(self.lowering, self.block, node, operands, places, after, read_whole(self.program))
        for tensor, registers in zip(node.outputs, finals, strict=False):
            self.given[tensor] = register_reader(dict(registers), tensor.shape)
        self.given[node.outputs[-1]] = lambda index: trips


def constant_element(lowering: _Lowering, tensor: Tensor, index: tuple[Expr, ...]) -> Expr:
    """An element of a constant: a number where the index is known, else read from memory."""
    array = tensor.attrs["value"].array
    if array.size and all(isinstance(i, Const) for i in index):
        place = tuple(i.value for i in index)  # type: ignore[attr-defined]
        if all(0 <= k < n for k, n in zip(place, array.shape, strict=True)):
            return Const(array[place].item() if array.dtype.name != "bfloat16" else float(array[place]), tensor.dtype)
        return Const(0, tensor.dtype)
    return Load(lowering.buffers(tensor), (flat_offset(index, tensor.shape),), tensor.dtype)


def lower_loop(
    lowering: _Lowering, block: Block, node: Node, operands: Sequence[Read], places: Sequence[_Place], after: Accumulator,
    whole: set[Tensor], memory: Mapping[int, Buffer] | None = None,
) -> tuple[list[dict[tuple[int, ...], Expr]], Expr]:  # fmt: skip
    """(registers of the final carried values, number of steps) of a loop, whose statement goes to the end of `block`.

    `operands` read the loop's operands, `places` are where stacked results go, `memory` has the carried values that are too
    large for registers: buffers that hold the initial value, then the next ones.
    """
    memory = memory or {}
    inside = lowering.fresh(int64)
    attrs = node.attrs
    body: Program = attrs["body"]
    condition: Program | None = attrs["condition"]
    carried, elements, counted = attrs["carried"], attrs["elements"], int(attrs["counted"])
    length: AnySize | None = attrs["length"]
    count: Expr | None = operands[0](()) if counted else None if length is None else as_index(length)
    initial, stacks = operands[counted : counted + carried], operands[counted + carried : counted + carried + elements]
    captured = operands[counted + carried + elements :]
    step = Axis("t", length if length is not None else 1 << 62)
    row: Expr = step
    if attrs["reverse"]:
        assert count is not None
        row = count + index_mul(step, -1) + -1
    given: dict[Tensor, Read] = {body.inputs[0]: lambda index: row}
    registers: list[tuple[int, tuple[int, ...], Accumulator]] = []
    state = body.inputs[1 : 1 + carried]
    by_state: list[dict[tuple[int, ...], Accumulator]] = []
    counters: dict[int, Const] = {}
    total = 0
    for k, tensor in enumerate(state):
        if tensor.dtype.name in ("float16", "bfloat16"):
            raise TooLarge("16-bit floats are rounded in memory")
        if k in memory:
            given[tensor] = memory_reader(memory[k], tensor, inside)
            by_state.append({})
            continue
        by = counted_by(tensor, body.outputs[k])
        if by is not None:
            counters[k] = by
            given[tensor] = counter_reader(initial[k], step, by)
            by_state.append({})
            continue
        own = {place: lowering.fresh(tensor.dtype) for place in places_of(tensor.shape)}
        total += len(own)
        by_state.append(own)
        registers += [(k, place, r) for place, r in own.items()]
        given[tensor] = register_reader(dict(own), tensor.shape)
    if total > STATE:
        raise TooLarge("many carried values")
    for tensor, read in zip(body.inputs[1 + carried : 1 + carried + elements], stacks, strict=True):
        given[tensor] = row_reader(read, row)
    given.update(zip(body.inputs[1 + carried + elements :], captured, strict=True))
    test = None
    if condition is not None:
        own_given: dict[Tensor, Read] = {condition.inputs[0]: lambda index: row}
        own_given.update({c: given[b] for c, b in zip(condition.inputs[1 : 1 + carried], state, strict=True)})
        own_given.update(zip(condition.inputs[1 + carried :], captured, strict=True))
        asked = _Scope(lowering, condition, own_given)
        asked.run()
        test = asked.block, asked.value(condition.outputs[0])
    scope = _Scope(lowering, body, given)
    outputs = body.outputs[carried:]
    for tensor, place in zip(outputs, places, strict=True):
        if is_stack(tensor):
            size = product(tensor.shape)
            scope.places.setdefault(tensor, _Place(place.buffer, (*place.base, (row, size))))
    scope.run()
    for tensor, output, place in zip(outputs, node.outputs[carried:-1], places, strict=True):
        if tensor in scope.places and scope.places[tensor].buffer is place.buffer:
            continue  # the inner loop writes it there
        scope.block.statements.append(fill(scope, tensor, place, (row,), output.shape))
    late = [update for k, buffer in memory.items() for update in updates(scope, body.outputs[k], state[k], buffer)]
    changed = {id(u.buffer) for u in late}
    if len(late) > 1 and any(
        u.axes and any(isinstance(e, Load) and id(e.buffer) in changed for e in walk([u.value])) for u in late
    ):
        raise TooLarge("rows are made of rows that the step changes")
    finals: list[dict[tuple[int, ...], Expr]] = [{} for _ in state]
    items = []
    for k, position, register in registers:
        final = lowering.fresh(state[k].dtype)
        finals[k][position] = final
        start = initial[k](tuple(as_index(i) for i in position))
        items.append(Carried(start, register, scope.value(body.outputs[k], position), final))
    trips = lowering.fresh(int64) if condition is not None else None
    for k, by in counters.items():
        made = trips if trips is not None else count
        assert made is not None
        finals[k][()] = counter_reader(initial[k], made, by)(())
    block.statements.append(Repeat(step, count, test, scope.block, tuple(items), tuple(late), trips, inside, after, node))
    if condition is not None or counted:
        made = trips if trips is not None else count
        assert made is not None
        for output, place in zip(node.outputs[carried:-1], places, strict=True):
            if output in whole:
                begin = place.offset(tuple(as_index(0) for _ in output.shape), output.shape)
                of_row = product(output.shape[1:])
                block.statements.append(Clear(place.buffer, begin, index_mul(made, of_row), as_index(output.type.size)))
    return finals, trips if trips is not None else count  # type: ignore[return-value]


def counted_by(state: Tensor, following: Tensor) -> Const | None:
    """The number that each step adds to an integer, if it does nothing else to it."""
    if state.rank or not state.dtype.is_integer or following.op is not add:
        return None
    for base, other in (following.node.inputs, following.node.inputs[::-1]):
        if base is state and other.op.name == "constant" and other.rank == 0:
            return Const(other.attrs["value"].array.item(), state.dtype)
    return None


def counter_reader(initial: Read, steps: Expr, by: Const) -> Read:
    """An integer after so many steps, each of which adds a number."""

    def read(index: tuple[Expr, ...]) -> Expr:
        made: Expr = Call("cast", (steps,), by.dtype)
        if by.value != 1:
            made = Call("multiply", (made, by), by.dtype)
        start = initial(index)
        return made if isinstance(start, Const) and start.value == 0 else Call("add", (start, made), by.dtype)

    return read


def is_stack(tensor: Tensor) -> bool:
    """Is the tensor a stacked result of a loop?"""
    return tensor.node.op is loop and tensor.node.attrs["carried"] <= tensor.index < len(tensor.node.outputs) - 1


def row_reader(read: Read, row: Expr) -> Read:
    return lambda index: read((row, *index))


def memory_reader(buffer: Buffer, tensor: Tensor, inside: Accumulator) -> Read:
    return lambda index: Load(buffer, (flat_offset(index, tensor.shape), inside), tensor.dtype)


def stack_reader(place: _Place, stack: Tensor, after: Accumulator) -> Read:
    return lambda index: Load(place.buffer, (place.offset(index, stack.shape), after), stack.dtype)


def fill(scope: _Scope, tensor: Tensor, place: _Place, row: tuple[Expr, ...], shape: Shape) -> Fill:
    """Stores of a row of a stack: of each element of a small one, else a loop."""
    size = static_size(tensor.shape)
    if size is not None and size <= (ROW if tensor.op.name == "concat" else REGISTERS):
        stores = []
        for position in itertools.product(*(range(d) for d in tensor.shape)):  # type: ignore[arg-type]
            index = tuple(as_index(k) for k in position)
            stores.append(Store(place.buffer, place.offset((*row, *index), shape), scope.value(tensor, index)))
        return Fill((), tuple(stores))
    axes = tuple(Axis(f"j{k}", d) for k, d in enumerate(tensor.shape))
    return Fill(axes, (Store(place.buffer, place.offset((*row, *axes), shape), scope.value(tensor, axes)),))


def updates(scope: _Scope, following: Tensor, state: Tensor, buffer: Buffer) -> list[Update]:
    """The stores that turn a carried value in memory into the next one: of the rows that a step adds to."""
    if following is state:
        return []
    node = following.node
    if node.op.name in ("scatter_add_to", "scatter_set"):
        base, indices, rows = node.inputs
        return [*updates(scope, base, state, buffer), *added(scope, node, indices, rows, buffer)]
    if node.op.name == "add":
        for base, change in (node.inputs, node.inputs[::-1]):
            if change.op.name == "scatter_add" and change.shape == following.shape:
                indices, rows = change.inputs
                return [*updates(scope, base, state, buffer), *added(scope, change.node, indices, rows, buffer)]
    raise TooLarge(f"a large carried value is changed by {node.op.name}")


def added(scope: _Scope, node: Node, indices: Tensor, rows: Tensor, buffer: Buffer) -> list[Update]:
    """Changes of the rows that the indices say, one after the other."""
    if node.attrs["drop"]:
        raise TooLarge("rows outside are dropped")
    count = static_size(indices.shape)
    if count is None or count > 8:
        raise TooLarge("many rows are added in a step")
    found = []
    for place in itertools.product(*(range(d) for d in indices.shape)):  # type: ignore[arg-type]
        at = tuple(as_index(k) for k in place)
        row = scope.values.intern(row_index(scope.values, node, indices, at))
        rest = node.type.shape[1:]
        axes = tuple(Axis(f"j{k}", d) for k, d in enumerate(rest))
        offset = flat_offset((row, *axes), node.type.shape)
        value = scope.value(rows, (*at, *axes))
        found.append(Update(axes, buffer, offset, value, node.op.name != "scatter_set"))
    return found


def read_whole(program: Program) -> set[Tensor]:
    """The stacked results of loops of which more is read than the rows that their steps have written, which are zeros there."""
    found = {storage(t) for t in program.results}
    for node in program.nodes:
        rows: set[Tensor] = set()
        if node.op is loop:
            start = int(node.attrs["counted"]) + node.attrs["carried"]
            count = node.inputs[0].node if node.attrs["counted"] else None
            rows = {t for t in node.inputs[start : start + node.attrs["elements"]] if t.node is count}
        found.update(storage(t) for t in node.inputs if t not in rows)
    return found


# --- the kernel ------------------------------------------------------------------------------------------------------------


def lower_sequential(
    group: FusionGroup,
    buffers: Callable[[Tensor], Buffer],
    scratch: Callable[[str, DType, AnySize], Buffer],
    whole: set[Tensor],
) -> Kernel | None:
    """The kernel of a loop or a branch on small values; None where it is no such.

    `whole` has the stacked results of which more is read than the rows that are written: see `read_whole`.
    """
    node = group.root
    assert node is not None
    lowering = _Lowering(group, buffers, scratch, whole)
    extent: AnySize = 1
    work = 0.0
    try:
        if node.op is branch:
            block = branch_block(lowering, node)
        elif node.attrs["carried"] == 0 and node.attrs["condition"] is None and not node.attrs["counted"]:
            block, extent, work = lanes_block(lowering, node)
        else:
            block = loop_block(lowering, node)
    except TooLarge:
        return None
    return make_kernel(lowering, shortened(block), extent, work)


def operand_readers(lowering: _Lowering, node: Node) -> list[Read]:
    def reader(tensor: Tensor) -> Read:
        def read(index: tuple[Expr, ...]) -> Expr:
            if tensor.op.name == "constant":
                return constant_element(lowering, tensor, index)
            return Load(lowering.buffers(storage(tensor)), (flat_offset(index, tensor.shape),), tensor.dtype)

        return read

    return [reader(t) for t in node.inputs]


def needed(lowering: _Lowering, node: Node) -> list[Tensor]:
    return [t for t in node.outputs if t in lowering.group.outputs]


def destinations(lowering: _Lowering, node: Node, carried: int) -> list[_Place]:
    """Where the stacked results of the kernel's loop go; to memory that nobody reads where nobody reads them."""
    found = []
    for tensor in node.outputs[carried:-1]:
        if tensor in lowering.group.outputs:
            found.append(_Place(lowering.buffers(tensor)))
        else:
            found.append(_Place(lowering.make_scratch("unread", tensor.dtype, tensor.type.size)))
    return found


def loop_block(lowering: _Lowering, node: Node) -> Block:
    """A loop alone: its final values are stored after it."""
    block = Block()
    operands = operand_readers(lowering, node)
    carried, counted = node.attrs["carried"], int(node.attrs["counted"])
    memory: dict[int, Buffer] = {}
    for k, tensor in enumerate(node.outputs[:carried]):
        size = static_size(tensor.shape)
        if size is None or size > REGISTERS:
            in_use = tensor in lowering.group.outputs
            memory[k] = lowering.buffers(tensor) if in_use else lowering.make_scratch("state", tensor.dtype, tensor.type.size)
            axis = Axis("i0", tensor.type.size)
            start = node.inputs[counted + k]
            value = Load(lowering.buffers(storage(start)), (Offset(0, ((axis, 1),)),), tensor.dtype)
            block.statements.append(Fill((axis,), (Store(memory[k], Offset(0, ((axis, 1),)), value),)))
    after, places = lowering.fresh(int64), destinations(lowering, node, carried)
    finals, trips = lower_loop(lowering, block, node, operands, places, after, lowering.whole, memory)
    for k, tensor in enumerate(node.outputs[:carried]):
        if tensor in lowering.group.outputs and k not in memory:
            stores = [
                Store(lowering.buffers(tensor), flat_offset(tuple(as_index(i) for i in place), tensor.shape), final)
                for place, final in finals[k].items()
            ]
            block.statements.append(Fill((), tuple(stores)))
    if node.outputs[-1] in lowering.group.outputs:
        block.statements.append(Fill((), (Store(lowering.buffers(node.outputs[-1]), Offset(0, ()), trips),)))
    return block


def lanes_block(lowering: _Lowering, node: Node) -> tuple[Block, AnySize, float]:
    """(the statements of one lane, number of lanes, operations of a lane) of a loop without carried values."""
    attrs = node.attrs
    body: Program = attrs["body"]
    lane = Axis("lane", attrs["length"])
    lowering.lane = lane
    operands = operand_readers(lowering, node)
    given: dict[Tensor, Read] = {body.inputs[0]: lambda index: lane}
    elements = attrs["elements"]
    for tensor, read in zip(body.inputs[1 : 1 + elements], operands[:elements], strict=True):
        given[tensor] = row_reader(read, lane)
    given.update(zip(body.inputs[1 + elements :], operands[elements:], strict=True))
    scope = _Scope(lowering, body, given)
    places = destinations(lowering, node, 0)
    for tensor, place in zip(body.outputs, places, strict=True):
        if is_stack(tensor):
            scope.places.setdefault(tensor, _Place(place.buffer, ((lane, product(tensor.shape)),)))
    scope.run()
    for tensor, output, place in zip(body.outputs, node.outputs[:-1], places, strict=True):
        if tensor in scope.places and scope.places[tensor].buffer is place.buffer:
            continue
        scope.block.statements.append(fill(scope, tensor, place, (lane,), output.shape))
    if node.outputs[-1] in lowering.group.outputs:
        raise TooLarge("the number of lanes is asked for")
    return scope.block, attrs["length"], operations(body)


def branch_block(lowering: _Lowering, node: Node) -> Block:
    """A branch alone: its results are stored after it."""
    names = dict(zip(node.inputs, operand_readers(lowering, node), strict=True))
    scope = _Scope(lowering, Program(node.inputs, node.outputs, (), "branch"), names)
    scope.choose(node)
    for tensor in needed(lowering, node):
        scope.block.statements.append(fill(scope, tensor, _Place(lowering.buffers(tensor)), (), tensor.shape))
    return scope.block


def operations(program: Program) -> float:
    """A guess at the scalar operations of one run of a program."""
    total = 0.0
    for node in program.nodes:
        if node.op is loop:
            length = node.attrs["length"]
            steps = length if isinstance(length, int) and node.attrs["condition"] is None else WHILE_STEPS
            total += steps * operations(node.attrs["body"])
        elif node.op is branch:
            total += max(operations(p) for p in node.attrs["branches"])
        else:
            size = max((static_size(t.shape) or 256) for t in node.outputs) if node.outputs else 1
            if node.inputs and node.op.access is Access.REDUCTION:
                size = static_size(node.inputs[0].shape) or 256
            total += size * node.op.cost
    return total


def operations_of(node: Node) -> float:
    """A guess at the scalar operations of a step of a loop."""
    condition = node.attrs["condition"]
    return operations(node.attrs["body"]) + (0.0 if condition is None else operations(condition))


POLLED = 1 << 16  # steps: a loop that may do more under a condition can be interrupted


def may_not_end(node: Node) -> bool:
    """May a loop run for so long that it must be possible to interrupt it?"""
    length = node.attrs["length"]
    return node.attrs["condition"] is not None and not (isinstance(length, int) and length <= POLLED)


def loops_in(node: Node) -> list[Node]:
    """The loops inside the bodies of a loop or a branch."""
    return [inner for body in bodies_of(node) for inner in body.all_nodes if inner.op is loop]


def make_kernel(lowering: _Lowering, block: Block, extent: AnySize, work: float) -> Kernel:
    """The kernel with its buffers collected: those read, then those written."""
    group = lowering.group
    roots = expressions(block)
    stores = stores_of(block)
    own = {id(b) for b, _ in lowering.locals}
    exprs = walk(roots)
    written = {id(s.buffer): s.buffer for s in stores if id(s.buffer) not in own}
    read = {id(e.buffer): e.buffer for e in exprs if isinstance(e, Load) and id(e.buffer) not in own}
    params = [b for k, b in read.items() if k not in written] + list(written.values())
    scratches = {id(b) for b in lowering.scratches}
    roles = [Role.SCRATCH if id(b) in scratches else Role.OUTPUT if id(b) in written else Role.INPUT for b in params]
    checks = checks_of(roots)
    root = group.root
    assert root is not None
    if any(map(may_not_end, [*([root] if root.op is loop else []), *loops_in(root)])):
        checks = (*checks, root)  # the run may end here
    rows = () if lowering.lane is None else (lowering.lane,)
    return Kernel(
        group.name, "sequential", tuple(params), tuple(roles), rows, (), (), (), (), extent, group, checks=checks,
        operands=tuple(params), statements=(block,), locals=tuple(lowering.locals), work=work,
    )  # fmt: skip
