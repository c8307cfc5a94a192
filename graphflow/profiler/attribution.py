"""What the times of launches say of the program: each kernel's work beside its time, and its time shared out to its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from graphflow.codegen.library_values import LibraryValue, flops_of
from graphflow.ir.op import Access
from graphflow.ir.program import bodies_of
from graphflow.ir.tensor import Node
from graphflow.loop.inline import storage
from graphflow.loop.ir import Kernel, Role, Step
from graphflow.runtime.binding import FLOP_NS, OPERATION_NS, Binding
from graphflow.runtime.launch import Launch
from graphflow.runtime.timing import Span, TimedBinding
from graphflow.types import AnySize, product

_CONVOLUTIONS = {  # the operands that are the outputs and the filters; None is the result
    "convolution": (None, 1),
    "convolution_input_gradient": (0, 1),
    "convolution_filter_gradient": (1, None),
}
_SCATTERS = ("scatter_add", "scatter_add_to", "scatter_set")


@dataclass(frozen=True)
class KernelTime:
    """A kernel of a program: how often it was launched, for how long, and what it did in that time.

    `operations` are floating-point operations, an exponential counting as many as it takes; None where only a run can tell, as
    in a loop under a condition. `bytes` are those of the buffers it reads and writes, each once.
    """

    program: str  # the first result of the program it belongs to
    number: int  # its row in the launch program
    name: str
    launches: int
    seconds: float  # from the beginning of each launch to its end
    thread_seconds: float  # of all threads in sum
    bytes: int  # in sum over the launches
    operations: float | None
    lines: tuple[str, ...]
    shares: tuple[tuple[Node, float], ...] = field(repr=False)  # seconds of each of its nodes, by the work estimated

    @property
    def gigabytes_per_second(self) -> float:
        """Gigabytes read and written in a second."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gigaflops(self) -> float | None:
        """Billions of operations in a second."""
        return None if self.operations is None else self.operations / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: operations for each byte."""
        return None if self.operations is None or not self.bytes else self.operations / self.bytes


@dataclass(frozen=True)
class Share:
    """The part of the kernels' time that belongs to a line, a name scope or an op."""

    name: str
    seconds: float
    ops: tuple[str, ...]


def kernel_times(binding: TimedBinding) -> list[KernelTime]:
    """The kernels of a program that were launched, in the order of its rows."""
    executable = binding.executable
    rows = executable.stages.launched
    elapsed = elapsed_shares(binding.spans(), binding.calls)
    program = program_name(binding)
    found = []
    begun: set[int] = set()  # groups: a second kernel of one combines what the first has computed
    for number, (calls, thread_ns) in binding.launches().items():
        kernel, launch = rows[number], binding.program.rows[number]
        if not calls:
            continue
        if isinstance(kernel, Step):
            found.append(host_time(binding, number, kernel.node, calls, thread_ns / 1e9))
            continue
        assert isinstance(launch, Launch)
        seconds = thread_ns * elapsed.get(number, 1.0) / 1e9
        count = calls // binding.calls(number)
        if id(kernel.group) in begun:
            operations: float | None = float(binding.evaluate(launch.elements))
        else:
            operations = operations_of_kernel(kernel, launch, binding)
        begun.add(id(kernel.group))
        found.append(
            KernelTime(
                program=program,
                number=number,
                name=kernel.name,
                launches=count,
                seconds=seconds,
                thread_seconds=thread_ns / 1e9,
                bytes=bytes_of_kernel(kernel, binding.evaluate) * count,
                operations=None if operations is None else operations * count,
                lines=tuple(dict.fromkeys(str(n.location) for n in nodes_of(kernel))),
                shares=tuple(shared_out(seconds, nodes_of(kernel), binding.evaluate)),
            )
        )
    return found


def host_time(binding: TimedBinding, number: int, node: Node, calls: int, seconds: float) -> KernelTime:
    """A row that calls Python."""
    moved = sum(binding.sizes[n] for n in binding.program.rows[number].slots)
    return KernelTime(
        program=program_name(binding),
        number=number,
        name=f"{node.op.name} in Python",
        launches=calls,
        seconds=seconds,
        thread_seconds=seconds,
        bytes=moved * calls,
        operations=None,
        lines=(str(node.location),),
        shares=((node, seconds),),
    )


def program_name(binding: TimedBinding) -> str:
    """The first result or update of a program."""
    built = binding.executable.built
    result = next(iter([*built.outputs, *(variable for variable, _ in built.updates)]), None)
    return built.name if result is None else result.name


def elapsed_shares(spans: Sequence[Span], calls: Callable[[int], int]) -> dict[int, float]:
    """The time that passed for each second of a thread, by row; a launch is so many calls of its kernel, side by side."""
    by_row: dict[int, list[Span]] = {}
    for span in sorted(spans, key=lambda s: s.began):
        by_row.setdefault(span.row, []).append(span)
    found = {}
    for row, calls_of_row in by_row.items():
        count = calls(row)
        launches = [calls_of_row[k : k + count] for k in range(0, len(calls_of_row) - count + 1, count)]
        passed = sum(max(s.ended for s in launch) - launch[0].began for launch in launches)
        busy = sum(s.ended - s.began for launch in launches for s in launch)
        found[row] = passed / busy if busy else 1.0
    return found


# --- work -------------------------------------------------------------------------------------------------------------------


def nodes_of(kernel: Kernel) -> list[Node]:
    """The nodes that a kernel computes, those of the bodies of a loop or a branch in place of it."""
    found: list[Node] = []
    for node in kernel.group.members:
        inner = [n for body in bodies_of(node) for n in body.all_nodes if n.op.access is not Access.SOURCE]
        found += inner or [node]
    return found


def shared_out(seconds: float, nodes: Sequence[Node], size: Callable[[AnySize], int]) -> Iterable[tuple[Node, float]]:
    """The seconds of a kernel, to each of its nodes the part that its estimated work is of the sum."""
    works = [work_of(node, size) for node in nodes]
    total = sum(works)
    for node, work in zip(nodes, works, strict=True):
        if work or not total:
            yield node, seconds * (work / total if total else 1 / len(nodes))


def work_of(node: Node, size: Callable[[AnySize], int]) -> float:
    """An estimate of the nanoseconds of a node."""
    operations = operations_of(node, size) or 0.0
    return operations * (FLOP_NS if node.op.name == "matmul" else OPERATION_NS)


def operations_of(node: Node, size: Callable[[AnySize], int]) -> float | None:
    """Floating-point operations of a node; None where only a run can tell."""
    match node.op.access:
        case Access.ELEMENTWISE:
            return node.op.cost * size(node.type.size)
        case Access.REDUCTION:
            return float(size(node.inputs[0].type.size))
        case Access.OPAQUE if node.op.name == "matmul":
            depth = node.inputs[0].shape[-2 if node.attrs["transpose_a"] else -1]
            return 2.0 * size(node.type.size) * size(depth)
        case Access.OPAQUE if node.op.name in _CONVOLUTIONS:  # two for each element of the outputs and of a filter
            outputs, filters = (node.type if k is None else node.inputs[k].type for k in _CONVOLUTIONS[node.op.name])
            return 2.0 * size(outputs.size) * size(product(filters.shape[:-1]))
        case Access.OPAQUE if node.op.name.startswith("attention"):  # two products with the keys, of the gradient five
            keys = node.inputs[1].shape[-2]
            return 2.0 * node.op.cost * size(node.inputs[0].type.size) * size(keys)
        case Access.OPAQUE:
            return node.op.cost * size(node.type.size)
        case Access.CONTROL:
            bodies = [operations_of_nodes(body.all_nodes, size) for body in bodies_of(node)]
            length = node.attrs.get("length")
            if length is None or node.attrs["condition"] is not None or any(work is None for work in bodies):
                return None
            return size(length) * sum(work for work in bodies if work is not None)
        case _:
            return node.op.cost * size(node.type.size) if node.op.cost > 1 else 0.0


def operations_of_nodes(nodes: Iterable[Node], size: Callable[[AnySize], int]) -> float | None:
    """Floating-point operations of some nodes; None where only a run can tell."""
    works = [operations_of(node, size) for node in nodes]
    return None if any(work is None for work in works) else math.fsum(work for work in works if work is not None)


def operations_of_kernel(kernel: Kernel, launch: Launch, binding: Binding) -> float | None:
    """Floating-point operations of one launch."""
    if isinstance(launch.extent, LibraryValue):
        products = flops_of(launch.extent.name, *map(binding.evaluate, launch.extent.args))
        beside = operations_of_nodes([n for n in kernel.group.members if n is not kernel.group.root], binding.evaluate)
        return None if beside is None else products + beside
    return operations_of_nodes(kernel.group.members, binding.evaluate)


def bytes_of_kernel(kernel: Kernel, size: Callable[[AnySize], int]) -> int:
    """Bytes that one launch reads and writes; of a table that it looks up, or adds rows to, those of the rows."""
    rows: dict[int, AnySize] = {}
    for node in kernel.group.members:
        if node.op.name == "gather":
            rows[id(storage(node.inputs[0]))] = node.type.size
        elif node.op.name in _SCATTERS:
            rows[id(node.output)] = rows[id(storage(node.inputs[0]))] = node.inputs[-1].type.size
    total = 0
    for buffer, role in zip(kernel.params, kernel.roles, strict=True):
        elements = size(buffer.size)
        if id(buffer.tensor) in rows:
            elements = min(elements, size(rows[id(buffer.tensor)]))
        total += elements * buffer.dtype.itemsize * (2 if role is Role.INOUT else 1)
    return total


# --- sums -------------------------------------------------------------------------------------------------------------------


def sums(kernels: Iterable[KernelTime], name: Callable[[Node], str]) -> list[Share]:
    """The seconds of all nodes of one name, the longest first."""
    seconds: dict[str, float] = {}
    ops: dict[str, dict[str, None]] = {}
    for kernel in kernels:
        for node, share in kernel.shares:
            key = name(node)
            seconds[key] = seconds.get(key, 0.0) + share
            ops.setdefault(key, {})[node.op.name] = None
    return sorted((Share(key, seconds[key], tuple(ops[key])) for key in seconds), key=lambda s: -s.seconds)


def scope_of(node: Node) -> str:
    """The name scope that a node was built in."""
    return node.name.rpartition("/")[0] or "(no scope)"


def stack_of(node: Node) -> tuple[str, ...]:
    """Where a node belongs, from the outside in: forward part or gradient, name scopes, line, op."""
    part = "gradient" if node.twin is not None else "forward"
    return (part, *node.name.split("/")[:-1], str(node.location), node.op.name)
