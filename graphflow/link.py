"""From kernels to the launch program: a slot for every buffer, a launch for every kernel, a place for every result."""

from __future__ import annotations

import math

import numpy as np

from graphflow.codegen.cache import source_key
from graphflow.codegen.emit import Source
from graphflow.ir.program import Program
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import storage
from graphflow.loop.ir import Buffer, Kernel, Label, Role, Step
from graphflow.loop.ir import Cycle as LoopRows
from graphflow.runtime.launch import NOWHERE, Call, Cycle, Launch, LaunchProgram, Merge, Move, Place, Slot
from graphflow.stages import Stages
from graphflow.types import AnySize, int64

SCALAR = 8.0  # a scalar operation costs as much as that many of a vectorised loop
ELEMENTS, LANES = 64, 8  # that one thread takes at least
ERROR_WORDS = 8  # int64s of an error record
_SOURCES = {"placeholder": "feed", "variable": "variable", "constant": "constant", "run_counter": "counter"}


def link(stages: Stages, built: Program) -> LaunchProgram:
    """The launch program of the kernels; `built` is the captured program that its nodes are positions in."""
    return _Linker(stages.program, built).link(stages)


class _Linker:
    """The slots of a program under construction."""

    def __init__(self, program: Program, built: Program) -> None:
        self.program = program
        self.inputs = {tensor: k for k, tensor in enumerate(program.inputs)}
        self.feeds = {t: k for k, t in enumerate(t for t in program.inputs if t.op.name == "placeholder")}
        self.next_values = {storage(value) for _, value in program.updates}
        self.fetched = {storage(tensor) for tensor in program.outputs}
        self.slots: list[Slot] = []
        self.of_buffer: dict[int, int] = {}
        self.of_tensor: dict[Tensor, int] = {}
        self.constants: dict[Tensor, int] = {}
        self.places: dict[Label, int] = {}
        self.positions = Positions(built)

    def link(self, stages: Stages) -> LaunchProgram:
        sources = {id(source.kernel): source for source in stages.sources}
        number = 0
        for item in stages.rows:  # where jumps go
            if isinstance(item, Label):
                self.places[item] = number
            number += not isinstance(item, Label)
        rows = tuple(
            [
                self.launch(sources[id(item)]) if isinstance(item, Kernel) else self.move(item)
                for item in stages.rows
                if not isinstance(item, Label)
            ]
        )
        cycles = tuple([self.cycle(cycle) for cycle in stages.cycles])
        results = tuple([self.place(tensor) for tensor in self.program.outputs])
        updates = tuple([self.next_value(variable, value) for variable, value in self.program.updates])
        counted = any(s.kind == "counter" for s in self.slots) or any(p.kind == "counter" for p in results + updates)
        constants = tuple([np.ascontiguousarray(t.attrs["value"].array) for t in self.constants])
        kernels = [item for item in stages.rows if not isinstance(item, Label)]
        merges = tuple([m for k, item in enumerate(kernels) if isinstance(item, Kernel) for m in self.merges(item, k)])
        return LaunchProgram(tuple(self.slots), rows, cycles, results, updates, constants, counted, merges)

    # --- launches ----------------------------------------------------------------------------------------------------------

    def launch(self, source: Source) -> Launch:
        kernel = source.kernel
        node = self.positions.of(kernel.group.members[-1])
        numbers = [self.slot(buffer, node) for buffer in kernel.params]
        if kernel.checks:
            numbers.append(self.error_slot())
        return Launch(
            key=source_key(source.text),
            slots=tuple(numbers),
            dims=source.dims,
            extent=source.extent,
            elements=elements_of(kernel),
            cost=cost_of(kernel),
            step=step_of(kernel),
            library=kernel.group.root is not None,
            checks=tuple([self.positions.of(n) for n in kernel.checks]),
            node=node,
        )

    def move(self, step: Step) -> Move | Call:
        node = self.positions.of(step.node)
        numbers = tuple([NOWHERE if buffer is None else self.slot(buffer, node) for buffer in step.buffers])
        if step.op == "call":
            called = step.node
            return Call(called.op.name, numbers, called.attributes, tuple([t.type for t in called.inputs]), called.types, node)
        return Move(step.op, numbers, step.values, tuple([self.places[target] for target in step.targets]), node)

    def cycle(self, cycle: LoopRows) -> Cycle:
        node = self.positions.of(cycle.node)
        first, head, last = (self.places[label] for label in (cycle.first, cycle.head, cycle.last))
        pinned = tuple([self.slot(buffer, node) for buffer in cycle.pinned])
        return Cycle(first, head, last, self.slot(cycle.counter, node), pinned, cycle.trips, node)

    def slot(self, buffer: Buffer, node: int) -> int:
        """The slot of a buffer that a launch computing `node` reads or writes."""
        found = self.of_buffer.get(id(buffer))
        if found is None:
            found = self.of_buffer[id(buffer)] = len(self.slots)
            tensor = buffer.tensor
            if tensor is None:
                self.slots.append(Slot("arena", buffer.dtype, (buffer.size,), node, scratch=True))
                return found
            if buffer.inner:
                kind = "pointer" if buffer.pointer else "arena"
                self.slots.append(Slot(kind, buffer.dtype, tensor.shape, self.positions.of(tensor.node)))
                return found
            self.of_tensor[tensor] = found
            kind = self.kind(tensor)
            index = {"feed": self.feeds, "variable": self.inputs, "constant": self.constants}.get(kind, {})
            if kind == "constant":
                self.constants.setdefault(tensor, len(self.constants))
            self.slots.append(Slot(kind, buffer.dtype, tensor.shape, self.positions.of(tensor.node), index.get(tensor, 0)))
        return found

    def kind(self, tensor: Tensor) -> str:
        if tensor.op.name in _SOURCES:
            return _SOURCES[tensor.op.name]
        if tensor in self.next_values:
            return "state"
        return "output" if tensor in self.fetched else "arena"

    def error_slot(self) -> int:
        for number, slot in enumerate(self.slots):
            if slot.kind == "errors":
                return number
        self.slots.append(Slot("errors", int64, (ERROR_WORDS,)))
        return len(self.slots) - 1

    def merges(self, kernel: Kernel, launch: int) -> list[Merge]:
        """The outputs that a kernel writes over its inputs: they have no slot of their own."""
        found = []
        targets = [b for b, role in zip(kernel.params, kernel.roles, strict=True) if role is Role.INOUT]
        for tensor in kernel.group.outputs if targets else ():
            fitting = [b for b in targets if b.dtype == tensor.dtype and b.size == tensor.type.size]
            if storage(tensor) not in self.of_tensor and fitting:
                targets.remove(fitting[0])
                found.append(Merge(self.positions.of(tensor.node), self.of_buffer[id(fitting[0])], launch))
        return found

    # --- results -----------------------------------------------------------------------------------------------------------

    def place(self, tensor: Tensor) -> Place:
        """Where the values of a result are."""
        base = storage(tensor)
        kind = _SOURCES.get(base.op.name)
        if kind is None:
            return Place("slot", self.of_tensor[base])
        if kind == "constant":
            return Place(kind, self.constants.setdefault(base, len(self.constants)))
        return Place(kind, {"feed": self.feeds, "variable": self.inputs}.get(kind, {}).get(base, 0))

    def next_value(self, variable: Tensor, value: Tensor) -> Place:
        base = storage(value)
        if base.op.name not in _SOURCES and base not in self.of_tensor:
            return Place("in place")  # the kernels have the variable's own buffer where the value would be
        return self.place(value)


class Positions:
    """Where in the captured program a node of the optimised program comes from."""

    def __init__(self, built: Program) -> None:
        self.by_number = {node.number: k for k, node in enumerate(built.all_nodes)}
        self.by_line: dict[object, int] = {}
        for k, node in enumerate(built.all_nodes):
            self.by_line[id(node.location)] = k
            self.by_line.setdefault((id(node.location), node.op), k)

    def of(self, node: Node) -> int:
        """The node itself, or on other operands; else one that it was derived from, of the same op if there is one."""
        for place, key in (
            (self.by_number, node.number),
            (self.by_line, (id(node.location), node.op)),
            (self.by_line, id(node.location)),
        ):
            if key in place:
                return place[key]  # type: ignore[index]
        return NOWHERE


# --- work -------------------------------------------------------------------------------------------------------------------


def elements_of(kernel: Kernel) -> AnySize:
    """Elements of the domain of a kernel."""
    result: AnySize = 1
    for axis in (*kernel.rows, *kernel.reduced, *kernel.lanes):
        if axis.name != "unit":
            result = result * axis.extent
    return result if kernel.form != "row" or kernel.reduced or kernel.rows else 1


def step_of(kernel: Kernel) -> int:
    """Chunks of a kernel's units are multiples of so many: of lines of the cache, of the lanes in a vector."""
    if kernel.form == "sequential":
        return LANES
    return ELEMENTS if kernel.form == "map" and len(kernel.rows) <= 1 else 1


def cost_of(kernel: Kernel) -> float:
    """Operations an element of a kernel's domain costs, loads and stores included."""
    if kernel.work:
        return kernel.work * SCALAR
    return float(math.fsum(node.op.cost for node in kernel.group.members) + len(kernel.params))
