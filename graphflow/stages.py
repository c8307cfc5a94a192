"""The stages of compiling: passes, partition, lower, emit; and their text.

Imported only when a program is compiled or looked at: a process that finds its programs in the cache runs none of this.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphflow.codegen.emit import Source, emit
from graphflow.codegen.library import emit_library
from graphflow.ir.program import Program, program_text
from graphflow.ir.tensor import Tensor
from graphflow.loop.groups import lower_group
from graphflow.loop.inplace import run_in_place
from graphflow.loop.ir import Buffer, FusionGroup, Kernel
from graphflow.loop.library import lower_library
from graphflow.loop.partition import partition
from graphflow.loop.scatter import checks_first
from graphflow.loop.sequential import lower_sequential
from graphflow.options import Options
from graphflow.options import current as current_options
from graphflow.passes import PassRecord, run_passes
from graphflow.runtime.executable import Executable
from graphflow.types import AnySize, DType, product


@dataclass(frozen=True, eq=False)
class Stages:
    """What each stage of compiling a program made of it."""

    records: tuple[PassRecord, ...]
    program: Program  # after the passes
    groups: tuple[FusionGroup, ...]
    kernels: tuple[Kernel, ...]
    sources: tuple[Source, ...]


def run_stages(program: Program, options: Options) -> Stages:
    """All stages of a captured program, up to the source of its kernels."""
    optimized, records = run_passes(program, options)
    groups = partition(optimized, fuse="fusion" not in options.disable, max_group=options.max_group)
    kernels = lower(groups, optimized, options)
    sources = tuple(emit_library(k) if k.group.root is not None else emit(k) for k in kernels)
    return Stages(records, optimized, groups, kernels, sources)


def lower(groups: tuple[FusionGroup, ...], program: Program, options: Options) -> tuple[Kernel, ...]:
    """The kernels of all groups in launch order, with outputs merged into dying inputs."""
    buffers: dict[Tensor, Buffer] = {}

    def buffer_of(tensor: Tensor) -> Buffer:
        if tensor not in buffers:
            buffers[tensor] = Buffer(tensor.name, tensor.dtype, tensor.type.size, tensor)
        return buffers[tensor]

    def scratch(name: str, dtype: DType, size: AnySize) -> Buffer:
        return Buffer(name, dtype, size)

    kernels: list[Kernel] = []
    for group in groups:
        kernels.extend(_LOWER[group.kind](group, buffer_of, scratch))
    kernels = checks_first(kernels)
    return tuple(kernels if "inplace" in options.disable else run_in_place(kernels, program))


def lower_control(
    group: FusionGroup, buffers: Callable[[Tensor], Buffer], scratch: Callable[[str, DType, AnySize], Buffer]
) -> list[Kernel]:
    """The kernel of a loop or a branch."""
    kernel = lower_sequential(group, buffers, scratch)
    assert kernel is not None, f"{group.root!r} is no single kernel"
    return [kernel]


_LOWER: dict[str, Callable[..., list[Kernel]]] = {"loop": lower_group, "library": lower_library, "control": lower_control}


def groups_of(program: Program, options: Options | None = None) -> tuple[Program, tuple[FusionGroup, ...]]:
    """(the optimised program, its fusion groups), compiling no kernel."""
    options = options or current_options()
    optimized, _ = run_passes(program, options)
    return optimized, partition(optimized, fuse="fusion" not in options.disable, max_group=options.max_group)


# --- text -------------------------------------------------------------------------------------------------------------------


def explain(executable: Executable) -> str:
    """Every stage as text: program, passes, groups with their reasons, kernels, launch program, memory plan."""
    return "\n\n".join(text for _, text in stages(executable))


def stages(executable: Executable) -> list[tuple[str, str]]:
    """(name, text) of every stage, in order."""
    found = [("built", "# as built\n" + program_text(executable.built))]
    found += [(f"{record.name}", str(record)) for record in executable.records]
    found.append(("optimized", "# optimized\n" + program_text(executable.program)))
    found.append(("groups", "# fusion groups\n" + "\n".join(group_text(g) for g in executable.groups)))
    for k, source in enumerate(executable.sources):
        found.append((f"kernel_{k:02d}_{source.kernel.name}", kernel_text(source, k)))
    found.append(("launches", "# launch program\n" + "\n".join(launch_text(k, s) for k, s in enumerate(executable.sources))))
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


def launch_text(number: int, source: Source) -> str:
    kernel = source.kernel
    return f"  {number:>3}  {kernel.name}  extent {source.extent}{'  may fail' if kernel.checks else ''}"


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
