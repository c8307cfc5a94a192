"""From a fusion group to a kernel of the loop IR: which axes run how, what each stage computes, and where it is stored."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from graphflow.ir.scalar import Accumulator, Axis, Call, Check, Const, Expr, Load, SizeValue, size_of
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import Inliner, storage
from graphflow.loop.ir import Buffer, FusionGroup, Kernel, Offset, Reduction, Role, Stage, Store, children, replace_children, walk
from graphflow.loop.partition import CHEAP, match_axes
from graphflow.loop.segments import MOST_OPS, segments
from graphflow.ops.declare import REGISTRY
from graphflow.types import AnySize, DType, Shape, contiguous_strides, int64, product

MOST_WRITTEN_OUT = 16  # terms of a reduction that is no loop
LANE_TILE = 64  # elements a column kernel keeps in its accumulators at a time: 256 bytes of float32


_IDENTITIES: Mapping[str, Callable[[DType], object]] = {
    "add": lambda d: d.numpy.type(0).item() if d.name != "bfloat16" else 0.0,
    "multiply": lambda d: d.numpy.type(1).item() if d.name != "bfloat16" else 1.0,
    "maximum": lambda d: -float("inf") if d.is_floating else d.min,
    "minimum": lambda d: float("inf") if d.is_floating else d.max,
    "logical_or": lambda d: False,
    "logical_and": lambda d: True,
}


def identity_of(combine: str, dtype: DType) -> Const:
    """The neutral element: 0 for sums, -inf for maxima, ..."""
    value = _IDENTITIES[combine](dtype)
    return Const(value.item() if isinstance(value, np.generic) else value, dtype)


def flat_offset(index: Sequence[Expr], shape: Shape) -> Offset:
    """The row-major position of `index` as a constant plus multiples of axes."""
    constant: AnySize = 0
    terms: dict[int, tuple[Expr, AnySize]] = {}

    def add(expr: Expr, factor: AnySize) -> None:
        nonlocal constant
        match expr:
            case Const() | SizeValue():
                constant = constant + size_of(expr) * factor
            case Call("index_add", (a, b)):
                add(a, factor)
                add(b, factor)
            case Call("index_mul", (a, b)) if isinstance(b, Const | SizeValue):
                add(a, size_of(b) * factor)
            case Call("index_mul", (a, b)) if isinstance(a, Const | SizeValue):
                add(b, size_of(a) * factor)
            case _:
                old = terms.get(id(expr), (expr, 0))[1]
                terms[id(expr)] = (expr, old + factor)

    for i, stride in zip(index, contiguous_strides(shape), strict=True):
        add(i, stride)
    return Offset(constant, tuple((e, f) for e, f in terms.values() if f != 0))


class _Lowering:
    """The expressions of one group."""

    def __init__(self, group: FusionGroup, buffers: Callable[[Tensor], Buffer]) -> None:
        self.group = group
        self.buffers = buffers
        self.domain = tuple(Axis(f"i{k}", size) for k, size in enumerate(group.shape))
        self.inside = {t for node in group.members if node is not group.root for t in node.outputs}
        self.accumulators: dict[Tensor, Accumulator] = {}
        self.reductions: list[Reduction] = []
        self.inliner = Inliner(self.leaf)
        self.values: dict[Tensor, tuple[Expr, tuple[Expr, ...]]] = {}

    def leaf(self, tensor: Tensor, index: tuple[Expr, ...]) -> Expr | None:
        if tensor in self.accumulators:
            return self.accumulators[tensor]
        base = storage(tensor)
        if base in self.inside:
            return None
        return Load(self.buffers(base), (flat_offset(index, tensor.type.shape),), tensor.dtype)

    def index_of(self, tensor: Tensor) -> list[tuple[Expr, ...]]:
        """The index maps a member could have."""
        if tensor in self.group.across:
            lanes = [(a, a.extent) for k, a in enumerate(self.domain) if k in (self.group.axes or ())]
            return [index for index in [match_axes(tensor.type.shape, lanes)] if index is not None]
        found = []
        full = match_axes(tensor.type.shape, [(a, a.extent) for a in self.domain])
        if full is not None:
            found.append(full)
        if self.group.axes is not None:
            kept = match_axes(tensor.type.shape, [(a, a.extent) for k, a in enumerate(self.domain) if k not in self.group.axes])
            if kept is not None:
                found.append(kept)
        return found

    def reduce(self, node: Node) -> None:
        combine = node.op.combine
        assert combine is not None
        dtype = node.type.dtype.compute
        value = self.inliner.value(node.inputs[0], self.domain)
        across = node.output in self.group.across
        for r in self.reductions:
            if (r.combine, r.value, r.node.output in self.group.across) == (combine, value, across):
                self.accumulators[node.output] = r.accumulator
                return
        accumulator = Accumulator(len(self.reductions), dtype)
        self.reductions.append(Reduction(accumulator, combine, identity_of(combine, dtype), value, node))
        self.accumulators[node.output] = accumulator


def store_of(lowering: _Lowering, tensor: Tensor) -> Store:
    """The store that writes a member to its buffer."""
    group, domain = lowering.group, lowering.domain
    buffer = lowering.buffers(tensor)
    reduced = [a for a in (domain[k] for k in group.axes or ())]
    for index in lowering.index_of(tensor):
        value = lowering.inliner.value(tensor, index)
        used = {id(e) for e in walk([value]) if isinstance(e, Axis)}
        offset = flat_offset(index, tensor.type.shape)
        placed = {id(a) for a, _ in offset.terms}
        if used <= placed or not any(id(a) in used - placed for a in reduced):
            return Store(buffer, offset, value)
    raise AssertionError(f"{tensor!r} has no place in its group")


def elementwise_kernel(group: FusionGroup, domain: Sequence[Axis], stores: Sequence[Store], checks: tuple[Node, ...]) -> Kernel:
    """A map kernel: every axis is parallel, the innermost one is the loop that vectorises."""
    (axes,), _, stores = merge_axes([list(domain)], [], stores)
    extent = product([a.extent for a in axes[:-1]]) if len(axes) > 1 else (axes[0].extent if axes else 1)
    stages = segments(axes[-1], Stage((), tuple(stores))) if axes else [Stage((), tuple(stores))]
    return make_kernel(group, "map", axes, [], [], stages, [], extent, checks)


def classes(lowering: _Lowering) -> tuple[list[Axis], list[Axis], list[Axis]]:
    """(rows, reduced, lanes): the kept axes behind the last reduced one are lanes, if there are any to speak of."""
    axes = lowering.group.axes or ()
    last = max(axes)
    reduced = [a for k, a in enumerate(lowering.domain) if k in axes]
    rows = [a for k, a in enumerate(lowering.domain) if k not in axes and k < last]
    lanes = [a for k, a in enumerate(lowering.domain) if k > last]
    return rows, reduced, lanes


def row_kernel(group: FusionGroup, lowering: _Lowering, stores: list[Store], checks: tuple[Node, ...]) -> Kernel:
    """A kernel with reductions: stages over the reduced axes of one row, or of one tile of lanes."""
    return reducing_kernel(group, classes(lowering), lowering.reductions, stores, checks)


def reducing_kernel(
    group: FusionGroup,
    axes: Sequence[list[Axis]],
    reductions: Sequence[Reduction],
    stores: Sequence[Store],
    checks: tuple[Node, ...],
) -> Kernel:
    """A row kernel over (rows, reduced axes, lanes), or a column kernel if there are lanes to speak of."""
    (rows, reduced, lanes), reductions, stores = merge_axes(list(axes), reductions, stores)
    if len(lanes) > 1:
        rows, lanes = [*rows, *lanes[:-1]], lanes[-1:]
    lanes = [a for a in lanes if a.extent != 1]
    if lanes and not checks and (written_out := without_reductions(reductions, stores, reduced)) is not None:
        return elementwise_kernel(group, [*rows, *lanes], written_out, checks)
    stages, finals = stage(reductions, stores, reduced)
    extent = product([a.extent for a in rows])
    if lanes:
        stages = [part for st in stages for part in segments(lanes[0], st)]
        tiles = (lanes[0].extent + (LANE_TILE - 1)) // LANE_TILE
        return make_kernel(group, "column", rows, reduced, lanes, stages, finals, extent * tiles, checks)
    return make_kernel(group, "row", rows, reduced, [], stages, finals, extent, checks)


def without_reductions(reductions: Sequence[Reduction], stores: Sequence[Store], reduced: Sequence[Axis]) -> list[Store] | None:
    """The stores with reductions of few terms written out: sums stay in registers, and each is a value like any other."""
    extents = [a.extent for a in reduced if isinstance(a.extent, int)]
    terms, exprs = math.prod(extents), walk([r.value for r in reductions])
    if len(extents) < len(reduced) or terms > MOST_WRITTEN_OUT or len(exprs) * terms > MOST_OPS:
        return None
    over = {id(a) for a in reduced}
    if any(isinstance(e, Accumulator) for e in exprs) or any(id(a) in over for s in stores for a, _ in s.offset.terms):
        return None
    totals: dict[int, Expr] = {}
    for r in reductions:
        total: Expr = r.identity
        for place in itertools.product(*map(range, extents)):
            at = {id(a): Const(k, int64) for a, k in zip(reduced, place, strict=True)}
            total = Call(r.combine, (total, rewriter(at)(r.value)), r.accumulator.dtype)
        totals[id(r.accumulator)] = total
    known = rewriter(totals)
    return [replace(s, value=known(s.value)) for s in stores]


def stage(reductions: Sequence[Reduction], stores: Sequence[Store], reduced: Sequence[Axis]) -> tuple[list[Stage], list[Store]]:
    """Passes over the row, each as early as its operands allow, and the stores that need one element a row."""
    level: dict[int, int] = {}

    def stage_of(value: Expr) -> int:
        needed = [level[e.number] + 1 for e in walk([value]) if isinstance(e, Accumulator)]
        return max(needed, default=0)

    for r in reductions:
        level[r.accumulator.number] = stage_of(r.value)
    over = {id(a) for a in reduced}
    inner = [s for s in stores if any(id(a) in over for a, _ in s.offset.terms)]
    finals = [s for s in stores if s not in inner]
    placed = [(stage_of(s.value), s) for s in inner]
    early = kept_early(reductions, placed, stage_of, over)
    count = 1 + max([*level.values(), *(k for k, _ in placed)], default=-1)
    stages: list[Stage] = []
    stored: dict[int, Expr] = {}  # values that an earlier stage wrote to memory: dear ones are read back
    for k in range(count):
        rewritten = rewriter({**stored, **{id(s.value): loaded(s) for first, last, s in early if first < k <= last}})
        now = [s for at, s in placed if at == k]
        stages.append(
            Stage(
                tuple(replace(r, value=rewritten(r.value)) for r in reductions if level[r.accumulator.number] == k),
                tuple(replace(s, value=rewritten(s.value)) for s in [*(s for first, _, s in early if first == k), *now]),
            )
        )
        for s in now:
            if cost_along(s.value, over) > CHEAP and s.value.dtype.compute == s.buffer.dtype:
                stored[id(s.value)] = loaded(s)
    return stages, finals


def loaded(store: Store) -> Load:
    """What a store has written."""
    return Load(store.buffer, (store.offset,), store.value.dtype)


def kept_early(
    reductions: Sequence[Reduction], placed: Sequence[tuple[int, Store]], stage_of: Callable[[Expr], int], over: set[int]
) -> list[tuple[int, int, Store]]:
    """(first stage, last stage, store) of dear values that a reduction computes and later stages need again.

    They wait where the result of the last stage will be: softmax writes its exponentials there when it sums them.
    """
    costs = {id(e): (cost_along(e, over), e) for e in walk([r.value for r in reductions]) if isinstance(e, Call)}
    found: dict[int, tuple[int, int, Store]] = {}
    for at, store in placed:
        parts = walk([store.value])
        if at == 0 or any(isinstance(e, Load) and e.buffer is store.buffer for e in parts):
            continue  # or it adds to what is there
        shared = [costs[id(e)] for e in parts if id(e) in costs and e.dtype.compute == store.buffer.dtype]
        again = [(c, e) for c, e in shared if c > CHEAP and stage_of(e) < at and has_place(e, store.offset)]
        if again:
            _, value = max(again, key=lambda pair: pair[0])
            if id(value) not in found or found[id(value)][1] < at:
                found[id(value)] = (stage_of(value), at, Store(store.buffer, store.offset, value))
    return list(found.values())


def has_place(value: Expr, offset: Offset) -> bool:
    """Is there an element at `offset` for each element of `value`?"""
    placed = {id(atom) for atom, _ in offset.terms}
    return all(id(e) in placed for e in walk([value]) if isinstance(e, Axis))


def cost_along(value: Expr, over: set[int]) -> float:
    """The cost of one element of a value in a loop over the axes `over`: what is the same for all elements costs nothing."""
    varies: set[int] = set()
    cost = 0.0
    for e in walk([value]):
        if id(e) in over or any(id(part) in varies for part in children(e)):
            varies.add(id(e))
            cost += REGISTRY[e.fn].cost if isinstance(e, Call) and e.fn in REGISTRY else 0.0
    return cost


def checks_of(roots: Sequence[Expr]) -> tuple[Node, ...]:
    """The nodes whose indices are checked in expressions."""
    return tuple({id(e.site): e.site for e in walk(list(roots)) if isinstance(e, Check)}.values())


def make_kernel(
    group: FusionGroup,
    form: str,
    rows: Sequence[Axis],
    reduced: Sequence[Axis],
    lanes: Sequence[Axis],
    stages: Sequence[Stage],
    finals: Sequence[Store],
    extent: AnySize,
    checks: tuple[Node, ...],
    chunk: AnySize = 0,
) -> Kernel:
    """A kernel with its parameters collected: buffers read, then buffers written."""
    stores = [s for st in stages for s in st.stores] + list(finals)
    roots = [s.value for s in stores] + [s.offset for s in stores] + [r.value for st in stages for r in st.reductions]
    read = {id(e.buffer): e.buffer for e in walk(roots) if isinstance(e, Load)}
    written = {id(s.buffer): s.buffer for s in stores}
    params = [b for k, b in read.items() if k not in written] + list(written.values())
    roles = [Role.OUTPUT if id(b) in written else Role.INPUT for b in params]
    sites = {id(e.site) for e in walk(roots) if isinstance(e, Check)}
    used = tuple(n for n in checks if id(n) in sites)
    return Kernel(
        group.name,
        form,
        tuple(params),
        tuple(roles),
        tuple(rows),
        tuple(reduced),
        tuple(lanes),
        tuple(stages),
        tuple(finals),
        extent,
        group,
        chunk,
        used,
    )


# --- merging axes ---------------------------------------------------------------------------------------------------------


def merge_axes(
    lists: list[list[Axis]], reductions: Sequence[Reduction], stores: Sequence[Store]
) -> tuple[list[list[Axis]], list[Reduction], list[Store]]:
    """Adjacent axes of one class become one where every buffer is laid out so: [64, 128] elements are one loop of 8192."""
    roots = [r.value for r in reductions] + [s.value for s in stores] + [s.offset for s in stores]
    exprs = walk(roots)
    pinned: set[int] = set()  # axes whose value is used, not only their place
    offsets: list[Offset] = []
    for e in exprs:
        if isinstance(e, Offset):
            offsets.append(e)
            parts = [atom for atom, _ in e.terms if not isinstance(atom, Axis)]
        else:
            parts = list(children(e))
        pinned.update(id(p) for p in parts if isinstance(p, Axis))
    pinned.update(id(e) for e in roots if isinstance(e, Axis))
    factors = [{id(atom): f for atom, f in o.terms} for o in offsets]
    replacement: dict[int, Expr] = {}
    result: list[list[Axis]] = []
    for axes in lists:
        merged: list[Axis] = []
        for axis in [a for a in axes if a.extent != 1 or id(a) in pinned]:
            previous = merged[-1] if merged else None
            if previous is not None and id(previous) not in pinned and id(axis) not in pinned:
                fits = all(f.get(id(previous), 0) == f.get(id(axis), 0) * axis.extent for f in factors)
                if fits:
                    joined = Axis(f"{previous.name}{axis.name[1:]}", previous.extent * axis.extent)
                    for f in factors:
                        factor = f.pop(id(axis), 0)
                        f.pop(id(previous), None)
                        if factor != 0:
                            f[id(joined)] = factor
                    replacement[id(previous)] = Const(0, int64)
                    replacement[id(axis)] = joined
                    for key, value in list(replacement.items()):
                        if value is previous:
                            replacement[key] = Const(0, int64)
                    merged[-1] = joined
                    continue
            merged.append(axis)
        for axis in axes:
            if axis.extent == 1 and id(axis) not in pinned:
                replacement[id(axis)] = Const(0, int64)
        result.append(merged)
    if not replacement:
        return result, list(reductions), list(stores)
    rewritten = rewriter(replacement)
    return (
        result,
        [replace(r, value=rewritten(r.value)) for r in reductions],
        [Store(s.buffer, rewritten(s.offset), rewritten(s.value)) for s in stores],  # type: ignore[arg-type]
    )


def rewriter(replacement: Mapping[int, Expr]) -> Callable[[Expr], Expr]:
    done: dict[int, Expr] = {}

    def rewrite(root: Expr) -> Expr:
        for e in walk([root], done):
            if id(e) in replacement:
                done[id(e)] = replacement[id(e)]
                continue
            parts = children(e)
            new = tuple(done[id(p)] for p in parts)
            if isinstance(e, Offset):
                terms: dict[int, tuple[Expr, AnySize]] = {}
                constant = e.constant
                for atom, (_, factor) in zip(new, e.terms, strict=True):
                    if isinstance(atom, Const):
                        constant = constant + atom.value * factor  # type: ignore[operator]
                        continue
                    old = terms.get(id(atom), (atom, 0))[1]
                    terms[id(atom)] = (atom, old + factor)
                done[id(e)] = Offset(constant, tuple(terms.values()))
            elif all(a is b for a, b in zip(parts, new, strict=True)):
                done[id(e)] = e
            else:
                done[id(e)] = replace_children(e, new)
        return done[id(root)]

    return rewrite
