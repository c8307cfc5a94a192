"""Fusion: a partition of a program into groups that share a kernel, with the reason for every refusal.

Nodes are visited operands first. A cheap one, or one that is read only once, is *deferred*: it is computed wherever it is
read. The others are *placed*: into the group of a producer, or of another reader of the same buffer, if the group's
elements are read at the very index at which they are made and no cycle arises; else into a group of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphflow.ir.op import Access
from graphflow.ir.order import dependencies_first
from graphflow.ir.program import Program
from graphflow.ir.scalar import Accumulator, Axis, Const, Expr, Load
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import VIEWS, Inliner, scalar_constant, storage
from graphflow.loop.ir import FusionGroup, Refusal
from graphflow.types import Shape, int64, product, static_size

CHEAP = 3.0  # additions: recomputing this much costs less than a store and a load
DEFERRED_LIMIT = 40  # ops: longer chains are cut, so that no expression grows without bound
CHUNK = 4096  # elements of a full reduction that one unit of work sums; smaller ones are one unit
COMPUTED_INSIDE = {
    "scatter_add": 1,
    "scatter_add_to": 2,
    "scatter_set": 2,
}  # the operand of which such a kernel computes each element itself
CANDIDATES = 6  # groups tried for a node before it gets its own


class _Group:
    """A group in the making."""

    def __init__(self, number: int, kind: str, shape: Shape) -> None:
        self.number = number
        self.kind = kind
        self.shape = shape
        self.domain = tuple(Axis(f"i{k}", size) for k, size in enumerate(shape))
        self.axes: tuple[int, ...] | None = None
        self.solids: list[Node] = []
        self.inlined: set[Node] = set()  # deferred nodes that its members compute on the way
        self.index: dict[Tensor, tuple[Expr, ...]] = {}  # where in the domain each member's element is made
        self.reduced: set[Tensor] = set()  # members that do not vary along the reduced axes
        self.across: set[Tensor] = set()  # sums over all rows, and what is made of them
        self.outputs: dict[Tensor, None] = {}
        self.deps: set[_Group] = set()
        self.reads: set[Tensor] = set()
        self.refused: list[tuple[Node, _Group, str]] = []  # what did not join which other group, and why
        self.remarks: list[str] = []
        self.weight = 0
        self.root: Node | None = None

    @property
    def reduces_all(self) -> bool:
        """Is a full reduction split over several units, its result known only when all are done?"""
        if self.axes is None or len(self.axes) != len(self.shape):
            return False
        size = static_size(self.shape)
        return size is None or size > CHUNK

    def levels(self, node: Node) -> Iterable[tuple[str, tuple[Expr, ...]]]:
        """The index maps a node of this shape could have: over the whole domain, or without the reduced axes."""
        shape = node.type.shape
        full = match_axes(shape, [(a, a.extent) for a in self.domain])
        if full is not None:
            yield "full", full
        if self.axes is not None:
            kept = match_axes(shape, [(a, a.extent) for k, a in enumerate(self.domain) if k not in self.axes])
            if kept is not None:
                yield "reduced", kept
        if self.across:
            lanes = match_axes(shape, [(a, a.extent) for k, a in enumerate(self.domain) if k in (self.axes or ())])
            if lanes is not None:
                yield "across", lanes


def match_axes(shape: Shape, axes: Sequence[tuple[Axis, object]]) -> tuple[Expr, ...] | None:
    """`shape`'s index over `axes`, where they agree but for sizes of 1; None where they do not."""
    index: list[Expr] = []
    k = 0
    for size in shape:
        while k < len(axes) and axes[k][1] == 1 and size != 1:
            k += 1
        if k < len(axes) and axes[k][1] == size:
            index.append(axes[k][0])
            k += 1
        elif size == 1:
            index.append(Const(0, int64))
        else:
            return None
    return tuple(index) if all(size == 1 for _, size in axes[k:]) else None


class Partitioner:
    """Walks a program once; `groups()` is the result."""

    def __init__(self, program: Program, *, fuse: bool = True, max_group: int = 160) -> None:
        self.program = program
        self.fuse = fuse
        self.max_group = max_group
        self.all: list[_Group] = []
        self.home: dict[Tensor, _Group] = {}  # of placed tensors
        self.sources: set[Tensor] = set()
        self.weights: dict[Node, tuple[int, float]] = {}  # of deferred nodes: ops and cost to compute one element
        self.uses: dict[Tensor, int] = {}
        self.readers: dict[Tensor, list[_Group]] = {}
        self.consumers: dict[Tensor, list[Node]] = {}
        self.results = set(program.results)
        self.required: set[Tensor] = set()  # buffers that exist whatever is decided

    def groups(self) -> tuple[FusionGroup, ...]:
        """The fusion groups in launch order."""
        nodes = self.program.nodes
        for node in nodes:
            for tensor in node.inputs:
                self.uses[tensor] = self.uses.get(tensor, 0) + 1
                self.consumers.setdefault(tensor, []).append(node)
            if node.op.access in (Access.OPAQUE, Access.CONTROL) or node.op.called_back(node.inputs):
                self.required.update(storage(t) for t in in_memory(node))
        for tensor in self.program.results:
            self.uses[tensor] = self.uses.get(tensor, 0) + 1
            self.required.add(storage(tensor))
        for node in nodes:
            self.visit(node)
        for tensor in self.program.results:
            self.need(tensor)
        return finish(self)

    # --- one node ------------------------------------------------------------------------------------------------------

    def visit(self, node: Node) -> None:
        called_back = node.op.called_back(node.inputs)
        match Access.OPAQUE if called_back else node.op.access:
            case Access.SOURCE:
                self.sources.update(node.outputs)
            case Access.OPAQUE:
                for tensor in in_memory(node):
                    self.need(tensor)
                self.place_library(node, "host" if called_back else "library")
            case Access.CONTROL:
                for tensor in node.inputs:
                    self.need(tensor)
                self.place_library(node, "control")
            case Access.REDUCTION:
                self.place(node)
            case Access.MOVEMENT | Access.ELEMENTWISE:
                self.settle_repeated(node)
                if node.op.name in VIEWS and not self.may_defer(node):
                    self.need_placed(storage(node.output))
                if node.op.name in VIEWS or self.may_defer(node):
                    self.weights[node] = self.weight_of(node)
                else:
                    self.place(node)
            case _:
                raise AssertionError(f"{node!r} cannot be fused")

    def settle_repeated(self, node: Node) -> None:
        """Place operands whose elements this node would compute again and again."""
        if node.op.access is Access.MOVEMENT and not node.op.repeats:
            return
        for tensor in node.inputs:
            base = storage(tensor)
            dear = base.node in self.weights and (self.weights[base.node][1] > CHEAP or moves_last_axis(base.node))
            if dear and tensor.type.size != node.type.size:
                self.place(base.node)

    def need_placed(self, tensor: Tensor) -> None:
        if tensor not in self.sources and tensor not in self.home:
            self.place(tensor.node)

    def weight_of(self, node: Node) -> tuple[int, float]:
        count, cost = 1, node.op.cost if node.op.access is Access.ELEMENTWISE else node.op.cost - 1
        for tensor in node.inputs:
            if tensor.node in self.weights:
                below = self.weights[tensor.node]
                count, cost = count + below[0], cost + below[1]
        return count, cost

    def may_defer(self, node: Node) -> bool:
        movement = node.op.access is Access.MOVEMENT
        if not self.fuse:
            return movement
        if self.accumulates(node):
            return False
        count, cost = self.weight_of(node)
        if count > DEFERRED_LIMIT:
            return False
        return cost <= CHEAP or self.uses.get(node.output, 0) <= 1

    def accumulates(self, node: Node) -> bool:
        """Is it a sum of a matrix product that nothing else reads, and of a value in memory? The product is added up there."""
        if node.op.name not in ("add", "subtract") or len(node.inputs) != 2:
            return False
        for factor, other in (node.inputs, node.inputs[::-1]):
            group = self.home.get(factor)
            if group is not None and group.root is factor.node and len(group.solids) == 1 and self.uses[factor] == 1:
                return other.shape == factor.shape and storage(other) in self.home
        return False

    def frontier(self, tensors: Iterable[Tensor]) -> dict[Tensor, None]:
        """The placed tensors and sources that computing `tensors` reads."""
        found: dict[Tensor, None] = {}
        stack, seen = list(tensors), set()
        while stack:
            tensor = stack.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            if tensor in self.home:
                found[tensor] = None
            elif tensor in self.sources:
                if scalar_constant(tensor) is None:
                    found[tensor] = None
            else:
                stack.extend(tensor.inputs)
        return found

    # --- placing -------------------------------------------------------------------------------------------------------

    def place(self, node: Node) -> _Group:
        """The group that computes `node`."""
        self.weights.pop(node, None)
        refused: list[tuple[Node, _Group, str]] = []
        if self.fuse:
            for group in self.candidates(node):
                reason = self.join(node, group)
                if reason is None:
                    self.settle_operands(node, group)
                    return group
                refused.append((node, group, reason))
        shape = node.inputs[0].type.shape if node.op.access is Access.REDUCTION else node.type.shape
        group = _Group(len(self.all), "loop", shape)
        self.all.append(group)
        group.refused.extend(refused)
        if not self.fuse:
            group.remarks.append("fusion is disabled")
        reason = self.join(node, group)
        assert reason is None, f"{node!r} does not fit its own group: {reason}"
        self.settle_operands(node, group)
        return group

    def place_library(self, node: Node, kind: str = "library") -> None:
        view = self.view_of_rows(node)
        group = _Group(len(self.all), kind, node.type.shape if view is None else view.type.shape)
        group.root = node
        self.all.append(group)
        group.solids.append(node)
        for tensor in node.outputs:
            group.index[tensor] = group.domain if view is None else index_below(view, group.domain)
            self.home[tensor] = group
        for tensor in in_memory(node):
            self.read(group, storage(tensor))
        if node.op.name in COMPUTED_INSIDE:
            operand = node.inputs[COMPUTED_INSIDE[node.op.name]]
            if not self.may_compute_inside(operand, in_memory(node)):
                self.need(operand)
            self.settle(operand, group)

    def view_of_rows(self, node: Node) -> Node | None:
        """The reshape through which alone a matrix is read, if it splits rows: what follows [8 * 64, n] runs over [8, 64, n]."""
        readers = self.consumers.get(node.output, [])
        if len(node.outputs) > 1 or node.type.rank != 2 or not readers or any(r is not readers[0] for r in readers):
            return None
        view = readers[0]
        shape = view.types[0].shape if view.types else ()
        splits = view.op.name == "reshape" and len(shape) > 2 and shape[-1] == node.type.shape[-1]
        return view if splits and product(shape[:-1]) == node.type.shape[0] and storage(node.output) not in self.results else None

    def may_compute_inside(self, tensor: Tensor, others: Sequence[Tensor]) -> bool:
        """May a library kernel compute elements of `tensor`: without failing, or reading what it may be written over?"""
        taken = {storage(t) for t in others}
        stack, seen = [tensor], set()
        while stack:
            current = stack.pop()
            if current in taken or current.op.fails:
                return False
            if current not in seen and current not in self.home and current not in self.sources:
                seen.add(current)
                stack.extend(current.inputs)
        return True

    def candidates(self, node: Node) -> list[_Group]:
        leaves = self.frontier(node.inputs)
        found: dict[_Group, None] = {}
        for tensor in sorted((t for t in leaves if t in self.home), key=lambda t: -self.home[t].number):
            found[self.home[tensor]] = None
        domain = node.inputs[0].type.shape if node.op.access is Access.REDUCTION else node.type.shape
        for tensor in leaves:
            for group in reversed(self.readers.get(tensor, [])):
                if group.kind == "loop" and group.shape == domain:
                    found[group] = None
        return list(found)[:CANDIDATES]

    def join(self, node: Node, group: _Group) -> str | None:
        """Make `node` a member of `group`; or the reason why it cannot be."""
        if group.solids and group.weight + self.weight_of(node)[0] > self.max_group:
            return f"the kernel would hold more than {self.max_group} ops"
        leaves = self.frontier(node.inputs)
        others = {self.home[t] for t in leaves if t in self.home} - {group}
        if any(depends(other, group) for other in others):
            return "it also needs a value that is computed from that group's result"
        reason = self.join_reduction(node, group) if node.op.access is Access.REDUCTION else self.join_element(node, group)
        if reason is not None:
            return reason
        group.solids.append(node)
        group.weight += self.weight_of(node)[0]
        self.home[node.output] = group
        for other in others:
            group.deps.add(other)
        return None

    def join_element(self, node: Node, group: _Group) -> str | None:
        reason = f"its shape {list(node.type.shape)} is not that of the group, {list(group.shape)}"
        for level, index in group.levels(node):
            if group.root is not None and not group.root.op.followed:
                return f"nothing runs inside the kernel of {group.root.op.name}"
            failed = self.check_reads(group, level, lambda inliner, index=index: inliner.element(node, index))
            if failed is None:
                group.index[node.output] = index
                if level == "reduced":
                    group.reduced.add(node.output)
                if level == "across":
                    group.across.add(node.output)
                return None
            reason = failed
        return reason

    def join_reduction(self, node: Node, group: _Group) -> str | None:
        if group.root is not None:
            return "library kernels are followed by elementwise ops only"
        operand = node.inputs[0]
        shape, axes = operand.type.shape, node.attrs["axis"]
        if shape != group.shape:
            return f"it reduces {list(shape)}, the group runs over {list(group.shape)}"
        if group.axes is not None and group.axes != axes:
            return self.join_across(node, group)
        before, group.axes = group.axes, axes
        level = "full" if not group.reduces_all else "chunk"
        reason = self.check_reads(group, level, lambda inliner: inliner.value(operand, group.domain))
        if reason is None and before is None and group.reduces_all and self._has_late_reads(group):
            reason = "its result would be read while it is still being summed"
        if reason is not None:
            group.axes = before
            return reason
        kept = [a for k, a in enumerate(group.domain) if k not in axes]
        if node.attrs["keepdims"]:
            kept = [Const(0, int64) if k in axes else a for k, a in enumerate(group.domain)]  # type: ignore[misc]
        group.index[node.output] = tuple(kept)
        group.reduced.add(node.output)
        return None

    def join_across(self, node: Node, group: _Group) -> str | None:
        """A sum over all rows of a group that reduces each row: bias gradients in the kernel of a softmax."""
        operand, axes = node.inputs[0], node.attrs["axis"]
        assert group.axes is not None
        rows = tuple(range(group.axes[0]))
        if axes != rows or group.axes != tuple(range(len(rows), len(group.shape))):
            return f"it reduces axes {list(axes)}, the group reduces {list(group.axes)}"
        reason = self.check_reads(group, "full", lambda inliner: inliner.value(operand, group.domain))
        if reason is not None:
            return reason
        lanes = [a for k, a in enumerate(group.domain) if k in group.axes]
        ones = [Const(0, int64)] * len(rows) if node.attrs["keepdims"] else []
        group.index[node.output] = (*ones, *lanes)
        group.across.add(node.output)
        return None

    def _has_late_reads(self, group: _Group) -> bool:
        return bool(group.reduced)

    def check_reads(self, group: _Group, level: str, compute) -> str | None:  # type: ignore[no-untyped-def]
        """None if computing reads the group's members only where they are made; else what is read elsewhere."""
        problems: list[str] = []

        def leaf(tensor: Tensor, index: tuple[Expr, ...]) -> Expr | None:
            home = self.home.get(tensor)
            if home is None:
                return Load(tensor, index, tensor.dtype) if tensor in self.sources else None
            if home is group:
                made = tuple(inliner.intern(i) for i in group.index[tensor])
                if any(a is not b for a, b in zip(made, index, strict=True)):
                    problems.append(f"it reads {tensor.name} at another index")
                elif (tensor in group.across) != (level == "across"):
                    problems.append(f"{tensor.name} and what is read with it are not known at the same time")
                elif tensor in group.reduced:
                    if level == "chunk" or (level == "full" and group.reduces_all):
                        problems.append(f"{tensor.name} is known only when the whole of it is summed")
                elif level == "reduced":
                    problems.append(f"it reads {tensor.name} before it is reduced")
                return Accumulator(0, tensor.dtype)
            return Load(tensor, index, tensor.dtype)

        inliner = Inliner(leaf)
        compute(inliner)
        return problems[0] if problems else None

    # --- buffers -------------------------------------------------------------------------------------------------------

    def settle_operands(self, node: Node, group: _Group) -> None:
        """Write to memory what the new member of `group` reads from other groups."""
        for tensor in node.inputs:
            self.settle(tensor, group)

    def settle(self, tensor: Tensor, group: _Group) -> None:
        if tensor in self.home:
            if self.home[tensor] is not group:
                self.materialise(tensor)
                self.read(group, tensor)
            return
        if tensor in self.sources:
            self.read(group, tensor)
            return
        if tensor.node in group.inlined:
            return
        leaves = self.frontier([tensor])
        homes = {self.home[t] for t in leaves if t in self.home}
        fresh = [t for t in leaves if t in self.home and self.home[t] is not group and t not in self.home[t].outputs]
        fresh = [t for t in fresh if t not in self.required]
        if self.worth_memory(tensor, fresh) and len(homes) == 1:
            # Better one buffer of the deferred value than buffers of all it is made of.
            producer = homes.pop()
            if self.join(tensor.node, producer) is None:
                self.weights.pop(tensor.node, None)
                self.settle_operands(tensor.node, producer)
                self.materialise(tensor)
                self.read(group, tensor)
                group.deps.add(producer)
                return
        group.inlined.add(tensor.node)
        for operand in tensor.inputs:
            self.settle(operand, group)

    def worth_memory(self, tensor: Tensor, leaves: Sequence[Tensor]) -> bool:
        """Is a deferred value better kept in memory than these leaves, which it is made of? A single leaf may serve many."""
        if not leaves or tensor.op.access is not Access.ELEMENTWISE:
            return False
        smaller = tensor.dtype.itemsize < leaves[0].dtype.itemsize
        return len(leaves) > 1 or smaller or self.weights[tensor.node][1] > CHEAP

    def need(self, tensor: Tensor) -> None:
        """Have `tensor` in memory."""
        base = storage(tensor)
        if base in self.sources:
            return
        self.need_placed(base)
        self.materialise(base)

    def materialise(self, tensor: Tensor) -> None:
        self.home[tensor].outputs[tensor] = None

    def read(self, group: _Group, tensor: Tensor) -> None:
        if scalar_constant(tensor) is not None and group.kind == "loop":
            return
        if tensor not in group.reads:
            group.reads.add(tensor)
            self.readers.setdefault(tensor, []).append(group)
        home = self.home.get(tensor)
        if home is not None and home is not group:
            group.deps.add(home)


def moves_last_axis(node: Node) -> bool:
    """Does reading along its rows jump about in its operand? Done once, that is nothing; again and again, no vector is loaded."""
    return node.op.name == "transpose" and node.attrs["perm"][-1] != len(node.attrs["perm"]) - 1


def in_memory(node: Node) -> tuple[Tensor, ...]:
    """The operands that a library kernel reads from memory."""
    inside = COMPUTED_INSIDE.get(node.op.name)
    return tuple(t for k, t in enumerate(node.inputs) if k != inside)


def index_below(view: Node, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Where a reshape reads its operand for the element at `index`."""
    found: list[tuple[Expr, ...]] = []

    def leaf(tensor: Tensor, read: tuple[Expr, ...]) -> Expr:
        found.append(read)
        return Load(tensor, read, tensor.dtype)

    Inliner(leaf).element(view, index)
    return found[0]


def depends(group: _Group, on: _Group) -> bool:
    """Does `group` need, directly or not, a result of `on`?"""
    stack, seen = [group], {group}
    while stack:
        current = stack.pop()
        if current is on:
            return True
        for dep in current.deps:
            if dep not in seen:
                seen.add(dep)
                stack.append(dep)
    return False


def launch_order(groups: Sequence[_Group]) -> list[_Group]:
    """Groups after those they need; otherwise in the order they were made."""
    return dependencies_first(groups, lambda group: sorted(group.deps, key=lambda g: g.number))


def finish(partitioner: Partitioner) -> tuple[FusionGroup, ...]:
    """The groups as values: what is read from memory, what is computed inside, in launch order."""
    result: list[FusionGroup] = []
    order = launch_order(partitioner.all)
    number = {group: k for k, group in enumerate(order)}
    for group in order:
        members: dict[Node, None] = {}
        for node in group.solids:
            for inner in inlined_below(group, node):
                members[inner] = None
            members[node] = None
        reads = {
            t: None
            for node in members
            for t in node.inputs
            if t.node not in members and (scalar_constant(t) is None or (node is group.root and t in in_memory(node)))
        }
        missing = [t for t in reads if t in partitioner.home and t not in partitioner.home[t].outputs]
        assert not missing, f"group {group.number} reads {missing}, which nobody writes"
        if group.root is not None:
            operands = in_memory(group.root)
            reads = {**{storage(t): None for t in operands}, **{t: None for t in reads if t not in operands}}
        refused = tuple(dict.fromkeys(Refusal(node, number[other], reason) for node, other, reason in group.refused))
        result.append(
            FusionGroup(
                len(result),
                group.kind,
                group.shape,
                group.axes,
                tuple(members),
                tuple(reads),
                tuple(group.outputs),
                tuple(dict.fromkeys([*group.remarks, *map(str, refused)])),
                group.root,
                frozenset(group.across),
                refused,
            )
        )
    return tuple(result)


def inlined_below(group: _Group, node: Node) -> list[Node]:
    """The deferred nodes that computing `node` inside `group` computes as well, operands first."""

    def below(current: Node) -> list[Node]:
        return [t.node for t in current.inputs if t.node in group.inlined]

    return dependencies_first(below(node), below)


def partition(program: Program, *, fuse: bool = True, max_group: int = 160) -> tuple[FusionGroup, ...]:
    """The fusion groups of a program in launch order."""
    return Partitioner(program, fuse=fuse, max_group=max_group).groups()
