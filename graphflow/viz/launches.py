"""Pictures of what runs: kernels and the buffers between them, and the rows of the launch program in order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

from graphflow.ir.tensor import Node
from graphflow.loop.ir import Buffer, Item, Kernel, Label, Role, Step
from graphflow.runtime.executable import Executable
from graphflow.stages import row_texts
from graphflow.types import Dim
from graphflow.viz.nodes import application, bytes_of, flops_of, kind_of, number
from graphflow.viz.picture import Arrow, Box, Picture, shortened, unique_keys

Sizes = Mapping[Dim, int]
LINES = 3  # user's lines that a kernel's box names


def kernels_picture(executable: Executable, sizes: Sizes, title: str) -> Picture:
    """A box for each kernel and for each input, an arrow for each buffer between them."""
    return _Rows(executable, sizes, steps=False).picture(title, "kernels")


def launches_picture(executable: Executable, sizes: Sizes, title: str) -> Picture:
    """A box for each row of the launch program, in order: kernels, and the moves, counts and jumps of loops and branches."""
    return _Rows(executable, sizes, steps=True).picture(title, "launches")


class _Rows:
    """The rows of a launch program as boxes; buffers that were written by a row are arrows from it."""

    def __init__(self, executable: Executable, sizes: Sizes, steps: bool) -> None:
        self.executable, self.sizes, self.steps = executable, sizes, steps
        self.texts = row_texts(executable) if steps else []
        self.rows = [item for item in executable.stages.rows if not isinstance(item, Label)]
        self.used: dict[str, int] = {}
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.inputs: dict[Node, str] = {}
        self.writers: dict[Buffer, tuple[str, ...]] = {}  # who wrote it last; several of what pointers may point to

    def picture(self, title: str, stage: str) -> Picture:
        for k, item in enumerate(self.rows):
            if isinstance(item, Kernel):
                self.kernel(item)
            elif isinstance(item, Step):
                self.step(item, k)
        if self.steps:
            keys = [box.key for box in self.boxes if box.kind in ("kernel", "library", "step")]
            self.arrows += [Arrow(a, b, "", -1, None, "control") for a, b in pairwise(keys)]
        return Picture(title, tuple(self.boxes), tuple(self.arrows), (), stage)

    def kernel(self, kernel: Kernel) -> None:
        (key,) = unique_keys([kernel.name], self.used)
        members = kernel.group.members
        self.boxes.append(
            Box(
                key=key,
                name=kernel.name,
                op=kernel.form,
                application=f"{kernel.form} over {list(kernel.group.shape)}",
                type=", ".join(str(t.type) for t in kernel.group.outputs),
                location=lines_of(members),
                kind="library" if kernel.group.root is not None else "kernel",
                bytes=moved(kernel, self.sizes),
                flops=work(members, self.sizes),
                fetched=any(t in self.executable.program.outputs for t in kernel.group.outputs),
            )
        )
        self.connect(kernel, key, {b for b, role in zip(kernel.params, kernel.roles, strict=True) if role is Role.OUTPUT})
        for buffer, role in zip(kernel.params, kernel.roles, strict=True):
            if role in (Role.OUTPUT, Role.INOUT):
                self.writers[buffer] = (key,)

    def step(self, step: Step, row: int) -> None:
        if self.steps:
            _, text = self.texts[row]
            (key,) = unique_keys([f"{row} {step.op}"], self.used)
            self.boxes.append(Box(key, key, step.op, shortened(text, 60), "", str(step.node.location), "step"))
            self.connect(step, key, set())
            self.writers.update((buffer, (key,)) for buffer in step.params)
            return
        together = tuple(dict.fromkeys(w for buffer in step.params for w in self.writing(buffer)))
        self.writers.update((buffer, together) for buffer in step.params)

    def connect(self, item: Item, key: str, written: set[Buffer]) -> None:
        for k, buffer in enumerate(item.params if not isinstance(item, Label) else ()):
            if buffer in written:
                continue
            type_ = str(buffer.tensor.type) if buffer.tensor is not None else f"{buffer.dtype}[{buffer.size}]"
            self.arrows += [Arrow(writer, key, type_, k) for writer in self.writing(buffer) if writer != key]

    def writing(self, buffer: Buffer) -> tuple[str, ...]:
        """Who wrote a buffer; the box of an input where nobody did."""
        if buffer in self.writers or buffer.tensor is None or buffer.tensor.op.access.name != "SOURCE" or buffer.inner:
            return self.writers.get(buffer, ())
        node = buffer.tensor.node
        if node not in self.inputs:
            (key,) = unique_keys([node.name], self.used)
            self.inputs[node] = key
            type_, size = str(node.type), bytes_of(node, self.sizes)
            self.boxes.append(
                Box(key, node.name, node.op.name, application(node), type_, str(node.location), kind_of(node), bytes=size)
            )
        return (self.inputs[node],)


def lines_of(members: tuple[Node, ...]) -> str:
    """The user's lines that a kernel computes: the first few, and how many more there are."""
    found = list(dict.fromkeys(str(node.location) for node in members))
    return ", ".join(found[:LINES]) + (f" and {len(found) - LINES} more" if len(found) > LINES else "")


def moved(kernel: Kernel, sizes: Sizes) -> int | None:
    """Bytes that a kernel reads and writes, each buffer once; None where a size is not known."""
    found = [number(buffer.size, sizes) for buffer in kernel.params]
    if None in found:
        return None
    twice = [2 if role is Role.INOUT else 1 for role in kernel.roles]
    items = [buffer.dtype.itemsize for buffer in kernel.params]
    return sum(prod(parts) for parts in zip([n or 0 for n in found], items, twice, strict=True))


def work(members: tuple[Node, ...], sizes: Sizes) -> int | None:
    """Operations of a group's nodes, each counted once; None where a size is not known."""
    found = [flops_of(node, sizes) for node in members]
    return None if None in found else sum(flops or 0 for flops in found)
