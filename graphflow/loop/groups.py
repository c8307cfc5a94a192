"""The kernels of a loop group: one, or several where a reduction is split over units of work.

A split reduction writes a partial result for each unit, and a second kernel combines them in order. Where units begin
depends on sizes only, so any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from graphflow.ir.scalar import Accumulator, Axis, Call, Expr, Load
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.blocks import in_blocks
from graphflow.loop.ir import Buffer, FusionGroup, Kernel, Offset, Reduction, Stage, Store, walk
from graphflow.loop.lower import (
    _Lowering,
    checks_of,
    classes,
    elementwise_kernel,
    flat_offset,
    make_kernel,
    merge_axes,
    reducing_kernel,
    rewriter,
    row_kernel,
    stage,
    store_of,
)
from graphflow.loop.narrow import narrowed
from graphflow.loop.partition import CHUNK
from graphflow.types import AnySize, DType, floordiv, product, size_max, static_size

ACROSS_ELEMENTS = 32_768  # of one unit of a sum over rows: its partial result, a row, is small beside that
ACROSS_ROWS = 32  # at least, in a unit: so writing and combining partial results is a sixteenth of the work at most
COLUMN_ELEMENTS = 16_384  # a sum over so few elements is one kernel: 2 us of one core

Scratch = Callable[[str, DType, AnySize], Buffer]


def lower_group(group: FusionGroup, buffers: Callable[[Tensor], Buffer], scratch: Scratch) -> list[Kernel]:
    """The kernels of a loop group, in launch order."""
    lowering = _Lowering(group, buffers)
    for node in group.members:
        if node.op.combine is not None:
            lowering.reduce(node)
    lowering.reductions, stores = narrowed(lowering.reductions, [store_of(lowering, tensor) for tensor in group.outputs])
    checks = checks_of([e for s in stores for e in (s.value, s.offset)] + [r.value for r in lowering.reductions])
    if group.axes is None:
        return [elementwise_kernel(group, lowering.domain, stores, checks)]
    size = static_size(group.shape)
    if len(group.axes) == len(group.shape) and (size is None or size > CHUNK):
        return chunk_kernels(group, lowering, stores, checks, scratch)
    if group.across:
        return across_kernels(group, lowering, stores, checks, scratch)
    rows, reduced, lanes = classes(lowering)
    _, merged = merge_axes([reduced, lanes], lowering.reductions, stores)[0]
    # Several axes of lanes read some operand again and again: a column keeps it in registers.
    if not rows and len(merged) == 1 and merged[0].extent != 1 and (size is None or size > COLUMN_ELEMENTS):
        return column_kernels(group, lowering, stores, checks, scratch)
    kernel = row_kernel(group, lowering, stores, checks)
    return [in_blocks(kernel) if kernel.form == "row" else kernel]


def chunk_kernels(
    group: FusionGroup, lowering: _Lowering, stores: list[Store], checks: tuple[Node, ...], scratch: Scratch
) -> list[Kernel]:
    """A full reduction: units of CHUNK elements each write a partial result, a second kernel combines them in order."""
    late = [s for s in stores if any(isinstance(e, Accumulator) for e in walk([s.value])) or not _varies(s)]
    early = [s for s in stores if s not in late]
    (reduced,), reductions, early = merge_axes([list(lowering.domain)], lowering.reductions, early)
    inner = static_size(tuple(a.extent for a in reduced[1:]))
    per_unit = CHUNK if len(reduced) == 1 else max(1, CHUNK // inner) if inner else 1
    units = (reduced[0].extent + (per_unit - 1)) // per_unit
    unit = Axis("unit", units)
    partial_stores, combined = [], []
    place = Offset(0, ((unit, 1),))
    for r in reductions:
        buffer = scratch(partial_name(r), r.accumulator.dtype, units)
        partial_stores.append(Store(buffer, place, r.accumulator))
        combined.append(replace(r, value=Load(buffer, (place,), r.accumulator.dtype)))
    first = make_kernel(
        group, "chunk", [unit], reduced, [], [Stage(tuple(reductions), tuple(early))], partial_stores, units, checks, per_unit
    )
    second = make_kernel(group, "row", [], [unit], [], [Stage(tuple(combined), ())], late, 1, checks)
    return [first, replace(second, name=f"{second.name}_combine")]


def _varies(store: Store) -> bool:
    return bool(store.offset.terms)


def partial_name(reduction: Reduction) -> str:
    return f"partial_{reduction.node.name.split('/')[-1]}"


# --- sums over rows -------------------------------------------------------------------------------------------------------


def across_kernels(
    group: FusionGroup, lowering: _Lowering, stores: list[Store], checks: tuple[Node, ...], scratch: Scratch
) -> list[Kernel]:
    """A row kernel that also sums over its rows, for each lane: the gradients of a softmax and of the bias before it."""
    rows, lanes, _ = classes(lowering)
    whole = [r for r in lowering.reductions if r.node.output in group.across]
    of_rows = [r for r in lowering.reductions if r not in whole]
    # By what is stored: the buffer may be that of a loop's state.
    late = [s for tensor, s in zip(group.outputs, stores, strict=True) if tensor in group.across]
    early = [s for s in stores if s not in late]
    return split_over_rows(group, rows, lanes, of_rows, whole, early, late, checks, scratch)


def column_kernels(
    group: FusionGroup, lowering: _Lowering, stores: list[Store], checks: tuple[Node, ...], scratch: Scratch
) -> list[Kernel]:
    """Sums over leading axes, stage after stage: each stage's sums are known when all units of its kernel are done."""
    _, reduced, lanes = classes(lowering)
    stages, finals = stage(lowering.reductions, stores, reduced)
    last = max(k for k, step in enumerate(stages) if step.reductions)
    kernels: list[Kernel] = []
    totals: dict[int, Expr] = {}  # accumulators of earlier stages
    for k, step in enumerate(stages):
        known = rewriter(totals)
        reductions = [replace(r, value=known(r.value)) for r in step.reductions]
        early = [replace(s, value=known(s.value)) for s in step.stores]
        late = [replace(s, value=known(s.value)) for s in finals] if k == last else []
        place = flat_offset(lanes, tuple(a.extent for a in lanes))
        if k < len(stages) - 1:
            for r in reductions:
                total = scratch(f"total_{r.node.name.split('/')[-1]}", r.accumulator.dtype, product([a.extent for a in lanes]))
                late.append(Store(total, place, r.accumulator))
                totals[id(r.accumulator)] = Load(total, (place,), r.accumulator.dtype)
        if reductions:
            kernels += split_over_rows(group, reduced, lanes, [], reductions, early, late, checks, scratch)
        else:
            kernels.append(elementwise_kernel(group, [*reduced, *lanes], early, checks))
    return [replace(kernel, name=f"{kernel.name}_{k}") if k else kernel for k, kernel in enumerate(kernels)]


def split_over_rows(
    group: FusionGroup,
    rows: Sequence[Axis],
    lanes: Sequence[Axis],
    of_rows: Sequence[Reduction],
    whole: Sequence[Reduction],
    early: Sequence[Store],
    late: Sequence[Store],
    checks: tuple[Node, ...],
    scratch: Scratch,
) -> list[Kernel]:
    """Stages over the lanes of each row that also add to a partial result of their unit; then the sum of those, and `late`."""
    width = product([a.extent for a in lanes])
    count = product([a.extent for a in rows])
    chunk = size_max(ACROSS_ROWS, floordiv(ACROSS_ELEMENTS, size_max(width, 1)))
    unit = Axis("unit", floordiv(count + chunk - 1, chunk))
    place = flat_offset([unit, *lanes], (unit.extent, *(a.extent for a in lanes)))
    partials, adding, combined = [], [], []
    for r in whole:
        buffer = scratch(partial_name(r), r.accumulator.dtype, unit.extent * width)
        partial = Load(buffer, (place,), r.accumulator.dtype)
        partials.append((buffer, r.identity))
        adding.append(Store(buffer, place, Call(r.combine, (partial, r.value), r.accumulator.dtype)))
        combined.append(replace(r, value=partial))
    (outer, inner), of_rows, stores = merge_axes([list(rows), list(lanes)], of_rows, [*adding, *early])
    stages, finals = stage(of_rows, stores, inner)
    first = make_kernel(group, "across", [unit, *outer], inner, [], stages, finals, unit.extent, checks, chunk)
    second = reducing_kernel(group, ([], [unit], list(lanes)), combined, late, checks)
    return [in_blocks(replace(first, partials=tuple(partials))), replace(second, name=f"{second.name}_combine")]
