"""The stages of compiling: passes, partition, lower, emit; and their text.

Imported only when a program is compiled or looked at: a process that finds its programs in the cache runs none of this.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graphflow.autodiff import tapes
from graphflow.codegen.emit import Source, emit
from graphflow.codegen.library import emit_library
from graphflow.ir.program import Program, program_text
from graphflow.loop.inplace import run_in_place
from graphflow.loop.ir import Cycle, FusionGroup, Item, Kernel, Label, Step
from graphflow.loop.partition import partition
from graphflow.loop.rows import Buffers, Rows
from graphflow.loop.scatter import checks_first
from graphflow.options import Options
from graphflow.passes import PassRecord, apply_pass, run_passes
from graphflow.passes.control_flow import control_flow
from graphflow.passes.rewrite import Fired
from graphflow.passes.watch import watch
from graphflow.runtime.executable import Executable
from graphflow.runtime.launch import Move
from graphflow.types import product


@dataclass(frozen=True, eq=False)
class Stages:
    """What each stage of compiling a program made of it."""

    records: tuple[PassRecord, ...]
    program: Program  # after the passes
    groups: tuple[FusionGroup, ...]
    rows: tuple[Item, ...]  # kernels, and between them the steps of loops and branches
    cycles: tuple[Cycle, ...]  # the loops among the rows
    sources: tuple[Source, ...]

    @property
    def launched(self) -> tuple[Kernel | Step, ...]:
        """What stands in the rows of the launch program."""
        return tuple(item for item in self.rows if not isinstance(item, Label))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels, in launch order."""
        return tuple(item for item in self.rows if isinstance(item, Kernel))


def run_stages(program: Program, options: Options) -> Stages:
    """All stages of a captured program, up to the source of its kernels."""
    optimized, records = run_passes(program, options)
    if options.nan_check:
        optimized = watch(optimized, options.nan_check)
    groups = partition(optimized, fuse="fusion" not in options.disable, max_group=options.max_group)
    rows, cycles = lower(groups, optimized, options)
    kernels = [item for item in rows if isinstance(item, Kernel)]
    sources = tuple(emit_library(k) if k.group.root is not None else emit(k) for k in kernels)
    return Stages(records, optimized, groups, rows, cycles, sources)


def lower(groups: tuple[FusionGroup, ...], program: Program, options: Options) -> tuple[tuple[Item, ...], tuple[Cycle, ...]]:
    """The rows of all groups in launch order, with outputs merged into dying inputs; and the loops among them."""
    rows = Rows(options)
    rows.groups(groups, program, Buffers())
    items, cycles = checks_first(rows.items), rows.cycles
    if "inplace" not in options.disable:
        items, cycles = run_in_place(items, cycles, program)
    return tuple(items), tuple(cycles)


def bounded(program: Program, options: Options) -> Program:
    """The program with tapes within their budgets; a loop and the one that keeps its values are one before that."""
    return tapes.bounded(apply_pass(control_flow, program, options, Fired()))


# --- text -------------------------------------------------------------------------------------------------------------------


def explain(executable: Executable) -> str:
    """Every stage as text: program, passes, groups with their reasons, kernels, launch program, memory plan."""
    return "\n\n".join(text for _, text in stages(executable))


def stages(executable: Executable) -> list[tuple[str, str]]:
    """(name, text) of every stage, in order."""
    found = [("built", "# as built\n" + program_text(executable.built))]
    found += [(f"{record.name}", str(record)) for record in executable.records]
    found.append(("optimized", "# optimized\n" + program_text(executable.program)))
    found.append(("groups", "# fusion groups\n" + "\n".join(group_text(g) for g in all_groups(executable))))
    for k, source in enumerate(executable.sources):
        found.append((f"kernel_{k:02d}_{source.kernel.name}", kernel_text(source, k)))
    found.append(("launches", "# launch program\n" + rows_text(executable)))
    found.append(("memory", "# memory\n" + memory_text(executable)))
    return found


def group_text(group: FusionGroup) -> str:
    """One group: its domain, what it reads and writes, its members with their lines, why it ends here."""
    names = lambda tensors: ", ".join(f"{t.name}: {t.type}" for t in tensors) or "nothing"  # noqa: E731
    axes = "" if group.axes is None else f", reduces axes {list(group.axes)}"
    lines = [f"group {group.number} {group.name} ({group.kind}) over {list(group.shape)}{axes}"]
    lines.append(f"  reads {names(group.reads)}")
    lines.append(f"  writes {names(group.outputs)}")
    for node in group.members:
        lines.append(f"    {node.name} = {node.op.name}: {node.type}   {node.location}")
    lines += [f"  {remark}" for remark in group.remarks]
    return "\n".join(lines)


def kernel_text(source: Source, number: int) -> str:
    """The source of a kernel under a comment that names the user's tensors and lines."""
    kernel = source.kernel
    lines = [
        f"# kernel {number} {kernel.name} ({kernel.form}): group {kernel.group.number}, {kernel.extent} units of parallel work"
    ]
    for buffer, role in zip(kernel.params, kernel.roles, strict=True):
        type_ = buffer.tensor.type if buffer.tensor is not None else f"{buffer.dtype}[{buffer.size}]"
        lines.append(f"#   {role.value}: {buffer.name}  {type_}")
    for k, size in enumerate(source.dims):
        lines.append(f"#   dims[{k}] = {size}")
    places = sorted({str(node.location) for node in kernel.group.members})
    lines.append(f"#   from {', '.join(places[:6])}{', ...' if len(places) > 6 else ''}")
    return "\n".join(lines) + "\n" + source.text


def rows_text(executable: Executable) -> str:
    """The rows of the launch program, those of loops and branches indented, with the rows that jumps go to."""
    return "\n".join(f"  {k:>3}  {'  ' * depth}{text}" for k, (depth, text) in enumerate(row_texts(executable)))


def row_texts(executable: Executable) -> list[tuple[int, str]]:
    """(loops and branches it is in, text) of each row of the launch program."""
    stages = executable.stages
    sources = {id(source.kernel): source for source in stages.sources}
    rows = [item for item in stages.rows if not isinstance(item, Label)]
    program = executable.launch_program
    depth = [0] * len(rows)
    for cycle in program.cycles:
        for k in range(cycle.head, cycle.last):
            depth[k] += 1
    texts = []
    for item, row in zip(rows, program.rows, strict=True):
        if isinstance(item, Kernel):
            texts.append(f"{item.name}  extent {sources[id(item)].extent}{'  may fail' if item.checks else ''}")
        else:
            texts.append(step_text(item, row.targets if isinstance(row, Move) else ()))
    return list(zip(depth, texts, strict=True))


def step_text(step: Step, targets: Sequence[int]) -> str:
    """A row that launches nothing, as a statement."""
    names = [b.name if b is not None else None for b in step.buffers]
    pairs = list(zip(names[::2], names[1::2], strict=False))
    match step.op:
        case "point":
            text = ", ".join(f"{a} -> {b}" for a, b in pairs)
        case "locate":
            text = ", ".join(f"{a} -> {b}[{names[0]}]" for a, b in zip(names[1::2], names[2::2], strict=True))
        case "turn":
            text = f"{names[0]}, {names[1]}, {names[2]} -> {names[1]}, {names[2]}, {names[1]}"
        case "count":
            text = f"{names[0]} += {step.values[0]}"
        case "store":
            text = f"{names[0]} = {step.values[0]}" + (f" + {names[1]}" if names[1] else "")
        case "clear":
            text = f"clear {names[0]} from row {names[1]} on, of {step.values[0]} bytes"
        case "copy":
            text = f"copy {names[1]} to {names[0]}, {step.values[0]} bytes"
        case "call":
            count = len(step.node.inputs)
            text = f"call {step.node.op.name}({', '.join(map(str, names[:count]))}) -> {', '.join(map(str, names[count:]))}"
        case "until":
            text = f"until {names[0]} == {names[1] or step.values[0]}"
        case _:
            text = " ".join([step.op, *(name for name in names if name)])
    return text + (f": go to {', '.join(map(str, targets))}" if targets else "")


def all_groups(executable: Executable) -> tuple[FusionGroup, ...]:
    """The groups of the program, and those of the bodies of its loops and branches, in launch order."""
    found = {kernel.group: None for kernel in executable.kernels}
    return tuple(dict.fromkeys([*executable.groups, *found]))


def memory_text(executable: Executable) -> str:
    """The memory plan, for the sizes of the last run where sizes are symbols."""
    lines = []
    for slot in executable.launch_program.slots:
        lines.append(f"  {slot.kind:<8} {executable.slot_name(slot)}: {product(slot.shape) * slot.dtype.itemsize} bytes")
    bindings = list(executable.bindings.values())
    if not bindings and all(t.type.is_static for t in executable.feeds):
        bindings = [executable.bind(tuple(t.shape for t in executable.feeds))]  # type: ignore[misc]
    if bindings:
        lines.append(str(bindings[-1].memory))
    else:
        lines.append("  the arena is planned when a run gives the sizes")
    return "\n".join(lines)


def dump(executable: Executable, folder: Path) -> None:
    """A file per stage: `00_built.txt`, ..., `40_kernel_00_add_exp.py`."""
    os.makedirs(folder, exist_ok=True)
    for k, (name, text) in enumerate(stages(executable)):
        suffix = "py" if name.startswith("kernel_") else "txt"
        safe = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[:80]
        (folder / f"{k:02d}_{safe}.{suffix}").write_text(text + "\n")
