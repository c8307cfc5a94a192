"""In-place execution: an output written over an input that nobody reads afterwards.

Only where it cannot be seen: every element is read at the place where it is written and before it is written; a variable
is overwritten only when nothing that may fail is still to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from graphflow.ir.liveness import Repeated, live_ranges
from graphflow.ir.program import Program
from graphflow.ir.scalar import Expr, Load
from graphflow.ir.tensor import Tensor
from graphflow.loop.inline import storage
from graphflow.loop.ir import (
    Buffer,
    Cycle,
    Item,
    Kernel,
    Label,
    Offset,
    Role,
    Stage,
    Step,
    Store,
    children,
    passes,
    replace_children,
    walk,
)
from graphflow.loop.library import update_scale
from graphflow.loop.statements import mapped


def run_in_place(items: Sequence[Item], cycles: Sequence[Cycle], program: Program) -> tuple[list[Item], list[Cycle]]:
    """The rows, and the loops among them, with outputs of kernels merged into dying inputs."""
    result, loops = list(items), list(cycles)
    fetched = {storage(t) for t in program.outputs}
    committed = {storage(value): variable for variable, value in program.updates}
    sources = {storage(value) for _, value in program.updates if storage(value).op.access.name == "SOURCE"}
    alive = ranges(result, loops)
    last_failing = max((k for k, item in enumerate(result) if may_fail(item)), default=-1)
    for k in range(len(result)):
        kernel = result[k]
        if not isinstance(kernel, Kernel):
            continue
        for output in [b for b, role in zip(kernel.params, kernel.roles, strict=True) if role is Role.OUTPUT]:
            tensor = output.tensor
            if tensor is None or tensor in fetched or output.pointer or alive[output][0] != k:
                continue  # an output that an earlier kernel fills as well would be there too early
            for buffer in _inputs(kernel):
                if alive[buffer][1] != k or buffer.dtype != output.dtype or buffer.size != output.size or buffer.pointer:
                    continue
                if not _may_overwrite(buffer, tensor, committed, fetched | sources, k, last_failing):
                    continue
                if not reads_in_place(kernel, buffer, output):
                    continue
                result, loops = merged(result, loops, output, buffer)
                kernel = result[k]
                assert isinstance(kernel, Kernel)
                alive[buffer] = (alive[buffer][0], max(alive[buffer][1], alive.pop(output)[1]))
                break
    return result, loops


def ranges(items: Sequence[Item], cycles: Sequence[Cycle]) -> dict[Buffer, tuple[int, int]]:
    """The first and the last row that each buffer is needed at."""
    rows = [() if isinstance(item, Label) else item.params for item in items]
    place = {item: k for k, item in enumerate(items) if isinstance(item, Label)}
    return live_ranges(rows, [Repeated(place[c.first], place[c.head], place[c.last], c.pinned) for c in cycles])


def may_fail(item: Item) -> bool:
    """May the run end here? Loops can be interrupted, and what is called back may raise."""
    return bool(item.checks) if isinstance(item, Kernel) else isinstance(item, Step) and item.op in ("again", "call")


def overwrites(items: Sequence[Item], cycles: Sequence[Cycle], following: Buffer, value: Buffer) -> bool:
    """May a step write the next value of a carried one where the value itself is?

    On every way through the branches of the step, nothing may read the value after the next one is begun.
    """
    touched = lambda buffer: [k for k, item in enumerate(items) if not isinstance(item, Label) and buffer in item.params]  # noqa: E731
    written, read = touched(following), touched(value)
    if not written or following.dtype != value.dtype or following.size != value.size:
        return False
    place = {item: k for k, item in enumerate(items) if isinstance(item, Label)}
    loops = [range(place[c.head], place[c.last]) for c in cycles]
    ways = branches_at(items)
    for w in written:
        for r in read:
            if any(r in rows and w in rows for rows in loops):
                return False  # the next step of the inner loop reads it again
            if any(ways[r].get(choice, arm) != arm for choice, arm in ways[w].items()):
                continue  # no step does both
            if r > w:
                return False
            if r == w and not changes_in_place(items[w], following, value):
                return False
    return True


def changes_in_place(item: Item, following: Buffer, value: Buffer) -> bool:
    """May the buffer that is written be the one that is read?"""
    if isinstance(item, Kernel):
        return reads_in_place(item, value, following)
    return isinstance(item, Step) and item.op == "copy" and item.buffers == (following, value)


def branches_at(items: Sequence[Item]) -> list[dict[Item, int]]:
    """For each row the branches that it is in: which of the programs of each choice."""
    found: list[dict[Item, int]] = []
    inside: dict[Item, int] = {}
    starts: dict[Item, tuple[Item, int]] = {}
    ends: dict[Item, Item] = {}
    for item in items:
        if isinstance(item, Step) and item.op == "choose":
            *arms, end = item.targets
            starts.update({label: (item, k) for k, label in enumerate(arms)})
            ends[end] = item
        elif item in starts:
            choice, arm = starts[item]
            inside = {**inside, choice: arm}
        elif item in ends:
            inside = {choice: arm for choice, arm in inside.items() if choice is not ends[item]}
        found.append(inside)
    return found


def merged(items: Sequence[Item], cycles: Sequence[Cycle], output: Buffer, buffer: Buffer) -> tuple[list[Item], list[Cycle]]:
    """The rows and loops with `buffer` in the place of `output`; copies of it to itself are left out."""
    swap = lambda found: tuple(buffer if b is output else b for b in found)  # noqa: E731
    result: list[Item] = []
    for item in items:
        if isinstance(item, Kernel):
            item = _merge(item, output, buffer)
        elif isinstance(item, Step) and output in item.buffers:
            item = replace(item, buffers=swap(item.buffers))
            if item.op == "copy" and item.buffers[0] is item.buffers[1]:
                continue
        result.append(item)
    return result, [replace(c, counter=swap((c.counter,))[0], pinned=swap(c.pinned)) for c in cycles]


def _inputs(kernel: Kernel) -> list[Buffer]:
    return [b for b, role in zip(kernel.params, kernel.roles, strict=True) if role is Role.INPUT and b.tensor is not None]


def _may_overwrite(
    buffer: Buffer, output: Tensor, committed: dict[Tensor, Tensor], kept: set[Tensor], k: int, last_failing: int
) -> bool:
    """Is the input dead after this kernel, and nobody's but ours?"""
    tensor = buffer.tensor
    assert tensor is not None
    if tensor in kept:
        return False
    if tensor.op.name == "variable":
        return committed.get(output) is tensor and k > last_failing
    return tensor.op.access.name != "SOURCE" and tensor not in committed and output not in committed


def reads_in_place(kernel: Kernel, buffer: Buffer, output: Buffer) -> bool:
    """Does the kernel read each element of `buffer` only where, and before, it writes `output`?"""
    root = kernel.group.root
    if kernel.form == "scatter":
        return kernel.operands[0] is buffer and not any(
            isinstance(e, Load) and e.buffer is buffer for s in kernel.stages[0].stores for e in walk([s.value, s.offset])
        )
    if root is not None:
        if buffer in kernel.operands:
            return False
        if output in kernel.operands:
            # A library call overwrites its result at once; only `c + alpha * product` over c is safe.
            scale = update_scale(kernel.group, root) if root.op.name == "matmul" and len(kernel.group.outputs) == 1 else None
            return scale is not None and len(kernel.stages[0].stores) == 1
    steps = [(k, s) for k, parts in enumerate(passes(kernel.stages)) for st in parts for s in st.stores]
    steps += [(len(kernel.stages), s) for s in kernel.finals]
    writes = [(k, s) for k, s in steps if s.buffer is output]
    places = {_offset_key(write.offset) for _, write in writes}
    if len(places) != 1:
        return False
    at, (place,) = min(k for k, _ in writes), places
    for k, roots in _reads(kernel):
        for e in walk(roots):
            if isinstance(e, Load) and e.buffer is buffer and (k > at or _offset_key(e.index[0]) != place):
                return False
    return True


def _reads(kernel: Kernel) -> list[tuple[int, list[Expr]]]:
    found: list[tuple[int, list[Expr]]] = []
    for k, parts in enumerate(passes(kernel.stages)):
        for st in parts:  # segments are apart from one another
            found.append((k, [r.value for r in st.reductions] + [s.value for s in st.stores] + [s.offset for s in st.stores]))
    found.append((len(kernel.stages), [s.value for s in kernel.finals]))
    return found


def _offset_key(offset: Expr) -> object:
    """Equal for equal positions; positions that depend on data equal nothing."""
    if not isinstance(offset, Offset) or any(children(atom) for atom, _ in offset.terms):
        return object()
    return offset.constant, frozenset((id(atom), factor) for atom, factor in offset.terms)


def _merge(kernel: Kernel, output: Buffer, buffer: Buffer) -> Kernel:
    """`kernel` with `output` replaced by `buffer`."""
    if output not in kernel.params:
        return kernel
    writes = kernel.roles[kernel.params.index(output)] is not Role.INPUT
    pairs = [
        (buffer, Role.INOUT if writes and buffer in kernel.params else role) if b is output else (b, role)
        for b, role in zip(kernel.params, kernel.roles, strict=True)
        if b is not buffer
    ]

    def moved(s: Store) -> Store:
        return replace(s, buffer=buffer) if s.buffer is output else s

    stages = tuple(replace(st, stores=tuple(moved(s) for s in st.stores)) for st in kernel.stages)
    swapped = replace(
        kernel,
        params=tuple(b for b, _ in pairs),
        roles=tuple(r for _, r in pairs),
        stages=stages,
        finals=tuple(moved(s) for s in kernel.finals),
        operands=tuple(buffer if b is output else b for b in kernel.operands),
    )
    return _reload(swapped, output, buffer)


def _reload(kernel: Kernel, output: Buffer, buffer: Buffer) -> Kernel:
    """Loads of `output` are loads of `buffer`."""
    moved = reloader(lambda b: buffer if b is output else b)

    def store(s: Store) -> Store:
        return Store(s.buffer, moved(s.offset), moved(s.value))  # type: ignore[arg-type]

    def stage(st: Stage) -> Stage:
        reductions = tuple(replace(r, value=moved(r.value)) for r in st.reductions)
        return replace(st, reductions=reductions, stores=tuple(store(s) for s in st.stores))

    def moving(s: Store) -> Store:
        return store(replace(s, buffer=buffer) if s.buffer is output else s)

    stages = tuple(stage(st) for st in kernel.stages)
    statements = tuple(mapped(block, moved, moving) for block in kernel.statements)
    return replace(kernel, stages=stages, finals=tuple(store(s) for s in kernel.finals), statements=statements)


def reloader(target: Callable[[Buffer], Buffer]) -> Callable[[Expr], Expr]:
    """The function that makes loads of a buffer loads of `target(buffer)`."""
    done: dict[int, Expr] = {}

    def moved(root: Expr) -> Expr:
        for e in walk([root], done):
            parts = children(e)
            new = tuple(done[id(p)] for p in parts)
            out = e if all(a is b for a, b in zip(parts, new, strict=True)) else replace_children(e, new)
            if isinstance(out, Load) and target(out.buffer) is not out.buffer:
                out = Load(target(out.buffer), out.index, out.dtype)
            done[id(e)] = out
        return done[id(root)]

    return moved
