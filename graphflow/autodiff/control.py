"""Gradients of loops and branches: a loop that runs the steps backwards, a branch that chooses among gradients.

The reverse of a step needs values of that step. Those that are cheap to compute from the step's rows and from other values
are computed again; the others are kept by the loop, a row a step. Which ones is a minimum cut: the fewest bytes that
everything else can be computed from. The loop that keeps them is another node than the one differentiated; a pass makes them
one again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.autodiff.backward import backward
from graphflow.autodiff.checkpoints import Chunk, Chunks, Steps, budget, bytes_of, division
from graphflow.autodiff.cut import minimum_cut
from graphflow.autodiff.gradients import nodes_between
from graphflow.ir.graph import current_lanes, in_each_lane, name_scope
from graphflow.ir.op import Access, literal
from graphflow.ir.program import Program, substituted, toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.array import concat, zeros_like
from graphflow.ops.control import branch, close, loop, make_parameter, parameter_like
from graphflow.ops.linalg import matmul_
from graphflow.ops.logic import equal, where
from graphflow.ops.movement import reshape, transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.ops.source import size_value
from graphflow.options import current
from graphflow.types import Size, TensorType, int64, static_size

RECOMPUTED = 4.0  # additions: an op on large values that costs more is not computed again
SMALL = 64  # elements of a value that loops compute element by element
OF_SCALAR = 3  # bytes written and read in the time of an addition
UNKNOWN_BYTES = 1 << 20  # taken for a value whose size only a run knows
RERUN_BYTES = 1 << 20  # of the results of a loop inside a loop, from which on it is run again rather than kept
SUMMED_ROWS = 256  # elements of a cotangent of a captured value, up to which a parallel loop keeps a row of it for each step


def depending_on(roots: Iterable[Tensor], outputs: Sequence[Tensor]) -> set[Tensor]:
    """The tensors below `outputs` that depend on `roots`, themselves included."""
    found = set(roots)
    for node in toposort(outputs):
        if any(t in found for t in node.inputs):
            found.update(node.outputs)
    return found


def flowing(
    nodes: Sequence[Node], weights: Iterable[tuple[Tensor, Tensor]], sources: Sequence[Tensor]
) -> dict[Tensor, Tensor | None]:
    """The cotangents of the sources of a body, given those of its results: one result may stand in several places."""
    alive = {t for node in nodes for t in node.outputs} | set(sources)
    seeds: dict[Tensor, Tensor] = {}
    for result, g in weights:
        if result in alive and result.dtype.is_differentiable:
            seeds[result] = add(seeds[result], g) if result in seeds else g
    return dict(zip(sources, backward(nodes, seeds, sources), strict=True))


# --- loops ----------------------------------------------------------------------------------------------------------------


@loop.defvjp_all
def _loop_vjp(gs: Any, outs: Any, *operands: Tensor, **attributes: Any) -> list[Tensor | None]:
    with name_scope("reverse_loop"):
        return _Reverse(gs, outs, operands, **attributes).cotangents()


class _Reverse:
    """The reverse of one loop."""

    def __init__(
        self, gs: Sequence[Tensor | None], outs: Sequence[Tensor], operands: Sequence[Tensor], *, body: Program,
        condition: Program | None, carried: int, elements: int, length: Any, reverse: bool, counted: bool,
        tape_bytes: int | None = None, chunk: bool = False,
    ) -> None:  # fmt: skip
        self.chunk = chunk  # is the loop small enough whatever it keeps?
        self.body, self.condition, self.length, self.backwards, self.outs = body, condition, length, reverse, outs
        self.tape_bytes = tape_bytes
        self.count = operands[0] if counted else None
        rest = operands[1:] if counted else operands
        self.initial, self.stacks = rest[:carried], rest[carried : carried + elements]
        self.captured = rest[carried + elements :]
        self.index, inputs = body.inputs[0], body.inputs[1:]
        self.state, self.rows = inputs[:carried], inputs[carried : carried + elements]
        self.outer = inputs[carried + elements :]
        self.g_finals, self.g_stacked = gs[:carried], gs[carried:-1]

    def cotangents(self) -> list[Tensor | None]:
        """What flows back to each operand."""
        with in_each_lane(1 if self.state else self.length):
            self.differentiate()
        if not any(c is not None for c in (*self.of_state, *self.of_rows, *self.of_outer)):
            return self.in_order(self.past(), [None] * len(self.stacks), [None] * len(self.captured))
        self.choose_sums()
        kept = self.kept_values()
        if not self.fits(kept):
            if self.state:
                return self.in_chunks(kept)
            kept = []  # steps that need nothing of one another are run again
        rows, steps = self.keep(kept)
        return self.run(rows, steps)

    def past(self) -> list[Tensor | None]:
        """The cotangents of the initial values where no step lets any through: those of the final ones if there is no step."""
        if isinstance(self.length, int) and self.length > 0 and self.condition is None and self.count is None:
            return [None] * len(self.initial)
        none = equal(self.steps(), literal(0, int64))
        return [None if g is None else where(none, g, zeros_like(g)) for g in self.g_finals]

    def fits(self, kept: Sequence[Tensor]) -> bool:
        """Is there room for what each step keeps? Where only a run knows, `tapes` decides in each run."""
        if self.chunk or not (kept or self.products or self.summed):
            return True
        if self.length is None:
            return False
        known = [self.length, current_lanes(), *(d for t in kept for d in t.shape)]
        return not all(isinstance(d, int) for d in known) or self.length * bytes_of(kept) <= budget()

    def in_order(self, *parts: Sequence[Tensor | None]) -> list[Tensor | None]:
        return [*([None] if self.count is not None else []), *(x for part in parts for x in part)]

    def differentiate(self) -> None:
        """The cotangents of a step's inputs in terms of those of its results; `active` values are those that any flow through."""
        results = self.body.outputs
        sources = [t for t in (*self.state, *self.rows, *self.outer) if t.dtype.is_differentiable]
        count = len(self.state)
        active = {k for k, g in enumerate(self.g_finals) if g is not None}
        nodes = nodes_between(sources, results)
        while True:
            self.g_state = {k: parameter_like(self.state[k], name="g_state") for k in sorted(active)}
            self.g_rows = {
                k: parameter_like(results[count + k], name="g_row") for k, g in enumerate(self.g_stacked) if g is not None
            }
            places = {**self.g_state, **{count + k: g for k, g in self.g_rows.items()}}
            found = flowing(nodes, [(results[k], g) for k, g in places.items()], sources)
            reached = active | {k for k, t in enumerate(self.state) if found.get(t) is not None}
            if reached == active:
                break
            active = reached
        self.of_state = [found.get(t) for t in self.state]
        self.of_rows = [found.get(t) for t in self.rows]
        self.of_outer = [found.get(t) for t in self.outer]

    def choose_sums(self) -> None:
        """How the cotangents of captured values are summed over the steps.

        Products of matrices: one product of all their rows, after the loop. Of a loop whose steps are independent, and stay so:
        a row a step, summed after the loop. Others: step by step; so are all of a loop that makes fewer steps than it has rows.
        """
        every = self.condition is None and self.count is None and self.length is not None
        self.products: list[tuple[int, Node]] = []
        self.summed: list[tuple[int, Tensor]] = []
        self.accumulated: list[tuple[int, Tensor]] = []
        for k, total in enumerate(self.of_outer):
            if total is None:
                continue
            rest: list[Tensor] = []
            for term in terms_of(total):
                if every and term.op is matmul_ and term.rank == 2 and large(term.inputs[0]):
                    self.products.append((k, term.node))
                else:
                    rest.append(term)
            if rest:
                total = sum_of(rest)
                size = static_size(total.shape)
                apart = every and not self.g_state and size is not None and size <= SUMMED_ROWS
                (self.summed if apart else self.accumulated).append((k, total))

    def results_of_step(self) -> list[Tensor]:
        """All that a reverse step computes: cotangents of the state, sums, rows."""
        states = [self.of_state[k] if self.of_state[k] is not None else zeros_like(self.state[k]) for k in self.g_state]
        rows = [g for g in self.of_rows if g is not None]
        factors = [t for _, node in self.products for t in node.inputs]
        return [*states, *(t for _, t in self.accumulated), *rows, *factors, *(t for _, t in self.summed)]  # type: ignore[list-item]

    def kept_values(self) -> list[Tensor]:
        """The values of a forward step that its reverse reads from memory."""
        wanted = self.results_of_step()
        given = [*self.g_state.values(), *self.g_rows.values()]
        late = depending_on(given, wanted)
        read = [t for node in toposort(wanted) if node.outputs[0] in late for t in node.inputs]
        used = dict.fromkeys(t for t in (*read, *wanted) if t not in late)
        return minimum_cut(used, set(self.state), cost_of_keeping, cost_again)

    def in_chunks(self, kept: Sequence[Tensor]) -> list[Tensor | None]:
        """The cotangents by way of checkpoints."""
        size, checkpoints = division(budget(), bytes_of(self.state), bytes_of(kept), self.length)
        chunks = Chunks(
            Steps(self.body, self.initial, self.stacks, self.captured), self.steps(), self.length, self.backwards, size,
            checkpoints,
        )  # fmt: skip
        summed = [k for k, g in enumerate(self.of_outer) if g is not None]
        rows = [k for k, g in enumerate(self.of_rows) if g is not None]
        given = [g for g in self.g_stacked if g is not None]

        def backwards(chunk: Chunk, carried: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            flowing = dict(zip(self.g_state, carried, strict=False))
            sliced = iter(chunks.slices(given, chunk.start))
            gs = [*map(flowing.get, range(len(self.state))), *(None if g is None else next(sliced) for g in self.g_stacked), None]
            found = iter(_Reverse(gs, chunk.outs, chunk.operands, **chunk.attributes, chunk=True).cotangents()[1:])
            of_state, of_rows, of_captured = ([next(found) for _ in x] for x in (self.state, self.rows, self.captured))
            states = [zeros_like(g) if (x := of_state[k]) is None else x for k, g in flowing.items()]
            sums = zip(summed, carried[len(flowing) :], strict=True)
            totals = [total if (g := of_captured[k]) is None else add(total, g) for k, total in sums]
            return [*states, *totals], [g for k in rows if (g := of_rows[k]) is not None]

        initial = [zeros_like(self.state[k]) if (g := self.g_finals[k]) is None else g for k in self.g_state]
        finals, stacks = chunks.reverse([*initial, *(zeros_like(self.captured[k]) for k in summed)], backwards)
        of_initial = dict(zip(self.g_state, finals, strict=False))
        of_rows, totals = dict(zip(rows, stacks, strict=True)), dict(zip(summed, finals[len(initial) :], strict=True))
        return self.in_order(
            *(
                [found.get(k) for k in range(len(values))]
                for found, values in ((of_initial, self.initial), (of_rows, self.stacks), (totals, self.captured))
            )
        )

    def steps(self) -> Tensor:
        """The number of steps made."""
        if self.condition is not None or self.count is not None:
            return self.outs[-1]
        return size_value(size=self.length) if isinstance(self.length, Size) else literal(self.length, int64)

    def keep(self, kept: Sequence[Tensor]) -> tuple[list[Kept], Tensor | None]:
        """The stacks that hold the kept values, and the number of steps where only the run knows it."""
        counted = self.condition is not None or self.count is not None
        present = {t: k for k, t in enumerate(self.body.outputs) if k >= len(self.state)}
        rows = packed([t for t in kept if t not in present])
        found = [Kept(self.outs[present[t]], [t]) for t in kept if t in present]
        if not rows:
            return found, self.outs[-1] if counted else None
        body = Program(self.body.inputs, (*self.body.outputs, *(row for row, _ in rows)), (), self.body.name)
        operands = (*([self.count] if self.count is not None else []), *self.initial, *self.stacks, *self.captured)
        outs = loop(
            *operands, body=body, condition=self.condition, carried=len(self.state), elements=len(self.rows), length=self.length,
            reverse=self.backwards, counted=self.count is not None, tape_bytes=self.tape_bytes,
        )  # fmt: skip
        fresh = [Kept(stack, values) for stack, (_, values) in zip(outs[len(self.body.outputs) :], rows, strict=False)]
        return [*found, *fresh], outs[-1] if counted else None

    def run(self, kept: Sequence[Kept], steps: Tensor | None) -> list[Tensor | None]:
        """The loop that goes through the steps from the last to the first, and what it gives each operand."""
        outer = dict(zip(self.outer, self.captured, strict=True))
        rows = dict(zip(self.rows, self.stacks, strict=True))
        kept_values = {t for k in kept for t in k.values if t not in rows and t not in outer}
        results = self.results_of_step()
        sums = [make_parameter(t.type, "sum") for _, t in self.accumulated]
        first_sum = len(self.g_state)
        for j, total in enumerate(sums):
            results[first_sum + j] = add(total, results[first_sum + j])
        # what the step reads of the forward step: rows, kept values and captured values, under new names
        needed = set(below(results, stop={self.index, *kept_values, *rows, *outer}))
        renamed = {t: parameter_like(t, name="row") for t in rows if t in needed}
        elements = {parameter: rows[t] for t, parameter in renamed.items()}
        for k in kept:
            if any(t in needed and t in kept_values for t in k.values):
                row = parameter_like(k.stack, k.stack.shape[1:], "kept")
                elements[row] = k.stack
                renamed.update(k.unpacked(row))
        captured: dict[Tensor, Tensor] = {t: parameter_like(t) for t in outer if t in needed}
        index = make_parameter(TensorType((), int64), "index")
        results = substituted(results, {self.index: index, **renamed, **captured})
        others: dict[Tensor, Tensor] = {}
        inputs = [index, *self.g_state.values(), *sums, *elements, *self.g_rows.values(), *captured.values()]
        body = close(results, inputs, others, "reverse_body")
        operands = {**{p: outer[t] for t, p in captured.items()}, **{p: t for t, p in others.items()}}
        given = [self.g_stacked[k] for k in self.g_rows]
        carried = len(self.g_state) + len(sums)
        found = loop(
            *([steps] if steps is not None else []),
            *(g if (g := self.g_finals[k]) is not None else zeros_like(self.state[k]) for k in self.g_state),
            *(zeros_like(t) for t in sums),
            *elements.values(),
            *given,
            *(operands[p] for p in body.inputs[1 + carried + len(elements) + len(given) :]),
            body=body, condition=None, carried=carried, elements=len(elements) + len(given), length=self.length,
            reverse=not self.backwards, counted=steps is not None, tape_bytes=None if self.chunk else current().tape_bytes,
        )  # fmt: skip
        return self.distribute(found, len(sums))

    def distribute(self, found: Sequence[Tensor], sums: int) -> list[Tensor | None]:
        """The results of the reverse loop as cotangents of the operands."""
        taken = iter(found)
        states = {k: next(taken) for k in self.g_state}
        totals: dict[int, list[Tensor]] = {}
        for k, _ in self.accumulated:
            totals.setdefault(k, []).append(next(taken))
        of_rows = [next(taken) if g is not None else None for g in self.of_rows]
        for k, node in self.products:
            a, b = next(taken), next(taken)
            totals.setdefault(k, []).append(product_of_rows(a, b, **node.attrs))
        for k, _ in self.summed:
            totals.setdefault(k, []).append(reduce_sum(next(taken), 0))
        of_initial = [states.get(k) for k in range(len(self.initial))]
        of_captured = [sum_of(totals[k]) if k in totals else None for k in range(len(self.captured))]
        return self.in_order(of_initial, of_rows, of_captured)


@dataclass(frozen=True)
class Kept:
    """A stack of rows in which values of the steps stand side by side."""

    stack: Tensor
    values: list[Tensor]

    def unpacked(self, row: Tensor) -> dict[Tensor, Tensor]:
        """The values in a row."""
        if len(self.values) == 1:
            return {self.values[0]: row}
        found: dict[Tensor, Tensor] = {}
        start = 0
        for tensor in self.values:
            size = static_size(tensor.shape)
            assert size is not None
            found[tensor] = reshape(row[start : start + size], tensor.shape)
            start += size
        return found


def packed(kept: Sequence[Tensor]) -> list[tuple[Tensor, list[Tensor]]]:
    """(row, the values in it) for all values that a step keeps: small ones of one dtype side by side.

    Values made in the same way are neighbours: what computes them may be one instruction for several.
    """
    small: dict[Any, list[Tensor]] = {}
    rows: list[tuple[Tensor, list[Tensor]]] = []
    for tensor in kept:
        size = static_size(tensor.shape)
        if size is not None and 0 < size <= SMALL:
            small.setdefault(tensor.dtype, []).append(tensor)
        else:
            rows.append((tensor, [tensor]))
    for group in small.values():
        if len(group) == 1:
            rows.append((group[0], group))
            continue
        group = sorted(group, key=lambda t: (t.op.name, [x.op.name for x in t.inputs]))
        rows.append((concat([reshape(t, (-1,)) for t in group], 0), group))
    return rows


def terms_of(total: Tensor) -> list[Tensor]:
    """The terms of a sum."""
    if total.op is add and all(t.shape == total.shape for t in total.inputs):
        return [term for t in total.inputs for term in terms_of(t)]
    return [total]


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total


def large(tensor: Tensor) -> bool:
    """Is a factor of a product too large for a loop that keeps its values in registers?"""
    size = static_size(tensor.shape)
    return size is None or size > SMALL


def product_of_rows(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    """The sum of the products of the rows of two stacks of matrices, as one product.

    sum_t op(A_t) op(B_t) is op(A) op(B) where the axis that is summed over runs over all steps.
    """
    if not transpose_a:
        a = transpose(a, (0, 2, 1))
    if transpose_b:
        b = transpose(b, (0, 2, 1))
    a = reshape(a, (a.shape[0] * a.shape[1], a.shape[2]))
    b = reshape(b, (b.shape[0] * b.shape[1], b.shape[2]))
    return matmul_(a, b, transpose_a=True, transpose_b=False)


def below(outputs: Sequence[Tensor], stop: set[Tensor]) -> list[Tensor]:
    """All tensors that computing `outputs` reads, not looking behind those in `stop`."""
    found: dict[Tensor, None] = {}
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        if tensor not in found:
            found[tensor] = None
            if tensor not in stop:
                stack.extend(tensor.inputs)
    return list(found)


def cost_of_keeping(tensor: Tensor) -> int:
    """What a row of a kept value costs: its bytes, written and read."""
    size = static_size(tensor.shape)
    return UNKNOWN_BYTES if size is None else max(1, size) * tensor.dtype.itemsize


def cost_again(node: Node) -> int | None:
    """What computing a node again costs, in bytes; None where it is not done.

    A loop whose results take much memory is run again.
    A small value is computed by one instruction after the other, where the rows that are kept stay in the cache: an addition
    is worth OF_SCALAR bytes. A large one is computed by vectors, and its rows come from memory.
    """
    if node.op is loop and sum(map(cost_of_keeping, node.outputs)) > min(RERUN_BYTES, budget() // 16):
        return 0
    if node.op.access in (Access.OPAQUE, Access.CONTROL):
        return None
    size = static_size(node.inputs[0].shape if node.op.access is Access.REDUCTION else node.type.shape)
    if node.op.access is Access.MOVEMENT and not node.op.repeats:
        return 0
    if size is not None and size <= SMALL:
        return round(size * node.op.cost * OF_SCALAR)
    if node.op.cost > RECOMPUTED or node.op.access is Access.REDUCTION:
        return None
    return 0


# --- branches ---------------------------------------------------------------------------------------------------------------


@branch.defvjp_all
def _branch_vjp(gs: Any, outs: Any, index: Tensor, *captured: Tensor, branches: Sequence[Program]) -> list[Tensor | None]:
    """A branch over the gradients of the branches, each of which computes its branch again."""
    gs = gs if isinstance(gs, tuple) else (gs,)
    places = [k for k, g in enumerate(gs) if g is not None]
    found: list[tuple[Program, list[Tensor | None], list[Tensor]]] = []
    with name_scope("reverse_branch"):
        for body in branches:
            g_params = [parameter_like(body.outputs[k], name="g") for k in places]
            sources = [t for t in body.inputs if t.dtype.is_differentiable]
            nodes = nodes_between(sources, body.outputs)
            of_inputs = flowing(nodes, [(body.outputs[k], g) for k, g in zip(places, g_params, strict=True)], sources)
            found.append((body, [of_inputs.get(t) for t in body.inputs], g_params))
        wanted = [k for k in range(len(captured)) if any(flows[k] is not None for _, flows, _ in found)]
        if not wanted:
            return [None] * (1 + len(captured))
        programs = []
        for body, flows, g_params in found:
            outputs = [zeros_like(captured[k]) if (flow := flows[k]) is None else flow for k in wanted]
            others: dict[Tensor, Tensor] = {}
            inputs = (*body.inputs, *g_params)
            closed = close(outputs, inputs, others, f"gradient of {body.name}", lambda node: True)
            assert not others
            programs.append(Program(inputs, closed.outputs, (), closed.name))
        results = branch(index, *captured, *(gs[k] for k in places), branches=tuple(programs))
        results = (results,) if isinstance(results, Tensor) else results
    flowed = dict(zip(wanted, results, strict=True))
    return [None, *(flowed.get(k) for k in range(len(captured)))]
