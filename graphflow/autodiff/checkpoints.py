"""The reverse of a loop within a budget of bytes: a few states of the loop are kept, and steps are run again from them.

The steps are divided into chunks. A chunk is a loop of its own, whose reverse keeps what it needs of the chunk's steps; the
chunks are gone through from the last to the first. A chunk starts from a checkpoint, the carried values before some step, one
for each segment of whole chunks; where a segment has more than one chunk, the steps between the checkpoint and the chunk are
run once more. The number of steps may be known to a run alone: the length of a chunk and the number of checkpoints follow
from the budget, the length of a segment from the number of steps that were made.

With room for c checkpoints and chunks of k steps, up to c*k steps are run twice more (once for the checkpoints, once in their
chunks); n > c*k steps about n/(2*c*k) times more than that. Checkpoints at distances that are optimal when c is small: Griewank,
Walther, "Algorithm 799: revolve", ACM TOMS 26, 2000; with as many as a budget of megabytes has room for, equal distances do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.autodiff.substitute import substituted, zeros
from graphflow.ir.graph import current_lanes
from graphflow.ir.op import literal
from graphflow.ir.program import Program
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, floordiv, maximum, minimum, multiply, subtract
from graphflow.ops.control import close, loop, make_parameter, parameter_like
from graphflow.ops.indexing import gather
from graphflow.ops.logic import where
from graphflow.ops.movement import iota, reshape, slice_
from graphflow.options import current
from graphflow.types import AnySize, TensorType, int64

# What differentiates the loop of a chunk: its results' cotangents, results, operands and attributes -> cotangents of operands.
Differentiate = Callable[..., list[Tensor | None]]


def budget() -> int:
    """The bytes that the values kept of one loop may take; in a lane, its share of them."""
    return max(1, current().tape_bytes // current_lanes())


@dataclass(frozen=True, eq=False)
class Chunks:
    """A loop over `number` steps, to be run backwards in chunks of `size` steps, with room for `checkpoints` states."""

    body: Program
    initial: Sequence[Tensor]
    stacks: Sequence[Tensor]
    captured: Sequence[Tensor]
    number: Tensor  # of steps, int64
    length: AnySize | None  # the most steps
    backwards: bool  # do steps take rows from the last to the first?
    size: int
    checkpoints: int

    @property
    def most(self) -> int | None:
        """Chunks, where that is known."""
        return -(-self.length // self.size) if isinstance(self.length, int) else None

    # --- steps ------------------------------------------------------------------------------------------------------------

    def row(self, step: Tensor) -> Tensor:
        """The row that a step takes."""
        return subtract(subtract(self.number, number(1)), step) if self.backwards else step

    def renamed_body(self, outputs: Sequence[Tensor], stacked_rows: bool) -> tuple[Program, list[Tensor]]:
        """(`outputs` of the body as the body of a loop that starts at any step, the operands that it captures).

        Its parameters are the step, counted from the start, carried values, rows if `stacked_rows`, captured values, stacks
        unless `stacked_rows`, the number of steps, and the start, whose operand is the caller's.
        """
        inputs = self.body.inputs[1:]
        count, elements = len(self.initial), len(self.stacks)
        state, rows, outer = inputs[:count], inputs[count : count + elements], inputs[count + elements :]
        index, start = make_parameter(TensorType((), int64), "index"), make_parameter(TensorType((), int64), "start")
        new_state, new_outer = [parameter_like(t) for t in state], [parameter_like(t) for t in outer]
        steps = parameter_like(self.number)
        at = add(start, index)
        if self.backwards:
            at = subtract(subtract(steps, number(1)), at)
        new_stacks = [parameter_like(t) for t in ([] if stacked_rows else self.stacks)]
        new_rows = [parameter_like(t) for t in rows] if stacked_rows else [gather(stack, at) for stack in new_stacks]
        renamed = {self.body.inputs[0]: at}
        renamed.update(zip((*state, *rows, *outer), (*new_state, *new_rows, *new_outer), strict=True))
        parameters = (index, *new_state, *(new_rows if stacked_rows else ()), *new_outer, *new_stacks, steps, start)
        operands = [*self.captured, *([] if stacked_rows else self.stacks), self.number]
        return Program(parameters, tuple(substituted(outputs, renamed)), (), self.body.name), operands

    def advance(self, state: Sequence[Tensor], start: Tensor, steps: Tensor) -> list[Tensor]:
        """The carried values after `steps` steps from step `start` on."""
        if not state:
            return []
        body, operands = self.renamed_body(self.body.outputs[: len(state)], False)
        found = loop(
            steps, *state, *operands, start, body=body, condition=None, carried=len(state), elements=0, length=None,
            reverse=False, counted=True,
        )  # fmt: skip
        return list(found[: len(state)])

    # --- checkpoints ------------------------------------------------------------------------------------------------------

    def count(self) -> tuple[Tensor, Tensor]:
        """(number of chunks, chunks of a segment)."""
        chunks = ceiling(self.number, number(self.size))
        return chunks, maximum(ceiling(chunks, number(self.checkpoints)), number(1))

    def kept_states(self, chunks: Tensor, of_segment: Tensor) -> list[Tensor]:
        """The carried values before each segment, stacked."""
        if not self.initial:
            return []
        segments = ceiling(chunks, of_segment)
        index = make_parameter(TensorType((), int64), "segment")
        state = [parameter_like(t) for t in self.initial]
        steps = multiply(of_segment, number(self.size))
        last = subtract(segments, number(1))
        following = self.advance(state, multiply(index, steps), where(index < last, steps, number(0)))
        captured: dict[Tensor, Tensor] = {}
        body = close([*following, *state], [index, *state], captured, "segment")
        room = self.checkpoints if self.most is None else min(self.checkpoints, self.most)
        found = loop(
            segments, *self.initial, *captured, body=body, condition=None, carried=len(state), elements=0, length=room,
            reverse=False, counted=True,
        )  # fmt: skip
        return list(found[len(state) : -1])

    # --- the reverse ------------------------------------------------------------------------------------------------------

    def slices(self, stacks: Sequence[Tensor], start: Tensor) -> list[Tensor]:
        """The rows that the steps of a chunk take, in the order of the steps."""
        if not stacks:
            return []
        steps = minimum(add(start, iota(size=self.size, dtype=int64)), subtract(self.number, number(1)))
        rows = maximum(self.row(steps), number(0))
        return [gather(stack, rows) for stack in stacks]

    def reverse(
        self, differentiate: Differentiate, g_state: dict[int, Tensor], g_stacked: Sequence[Tensor | None], summed: Sequence[int]
    ) -> tuple[dict[int, Tensor], list[Tensor | None], dict[int, Tensor]]:  # fmt: skip
        """The cotangents of initial values, stacks and captured values.

        `g_state` has those of the carried values that any flow through, `g_stacked` those of the stacked results; `summed` are
        the captured values that get any.
        """
        chunks, of_segment = self.count()
        checkpoints = self.kept_states(chunks, of_segment)
        chunk = make_parameter(TensorType((), int64), "chunk")
        flowing = {k: parameter_like(g, name="g_state") for k, g in g_state.items()}
        sums = {k: parameter_like(self.captured[k], name="sum") for k in summed}
        segment = floordiv(chunk, of_segment)
        first, start = (multiply(t, number(self.size)) for t in (multiply(segment, of_segment), chunk))
        state = self.advance([gather(stack, segment) for stack in checkpoints], first, subtract(start, first))
        steps = minimum(subtract(self.number, start), number(self.size))
        body, captured = self.renamed_body(self.body.outputs, True)
        operands = [steps, *state, *self.slices(self.stacks, start), *captured, start]
        attributes: dict[str, Any] = {
            "body": body, "condition": None, "carried": len(state), "elements": len(self.stacks), "length": self.size,
            "reverse": False, "counted": True,
        }  # fmt: skip
        outs = loop(*operands, **attributes)
        rows = iter(self.slices([g for g in g_stacked if g is not None], start))
        gs = [*(flowing.get(k) for k in range(len(state))), *(None if g is None else next(rows) for g in g_stacked), None]
        found = iter(differentiate(gs, outs, operands, **attributes)[1:])
        of_state = [next(found) for _ in state]
        of_rows = [next(found) for _ in self.stacks]
        of_captured = [next(found) for _ in self.captured]
        results = [of_state[k] if of_state[k] is not None else zeros(g.type) for k, g in flowing.items()]
        results += [total if (g := of_captured[k]) is None else add(total, g) for k, total in sums.items()]
        stacked = [k for k, g in enumerate(of_rows) if g is not None]
        results += [of_rows[k] for k in stacked]
        others: dict[Tensor, Tensor] = {}
        closed = close(results, [chunk, *flowing.values(), *sums.values()], others, "chunk")  # type: ignore[arg-type]
        flown = loop(
            chunks, *g_state.values(), *(zeros(t.type) for t in sums.values()), *others, body=closed, condition=None,
            carried=len(flowing) + len(sums), elements=0, length=self.most if stacked else None, reverse=True, counted=True,
        )  # fmt: skip
        taken = iter(flown)
        states = {k: next(taken) for k in flowing}
        totals = {k: next(taken) for k in sums}
        by_row: list[Tensor | None] = [None] * len(self.stacks)
        for k in stacked:
            by_row[k] = self.in_rows(next(taken), self.stacks[k])
        return states, by_row, totals

    def in_rows(self, by_chunk: Tensor, stack: Tensor) -> Tensor:
        """The cotangents of the rows of a stack, given those of each step of each chunk; zeros in rows that no step took."""
        by_step = reshape(by_chunk, (by_chunk.shape[0] * self.size, *by_chunk.shape[2:]))  # type: ignore[operator]
        place = iota(size=stack.shape[0], dtype=int64)
        taken = reshape(place < self.number, (stack.shape[0], *(1,) * (stack.rank - 1)))
        if self.backwards:
            by_step = gather(by_step, maximum(self.row(place), number(0)))
        else:
            by_step = slice_(by_step, begin=(0,) * stack.rank, step=(1,) * stack.rank, shape=stack.shape)
        return where(taken, by_step, zeros(stack.type))


def number(value: int) -> Tensor:
    return literal(value, int64)


def ceiling(a: Tensor, b: Tensor) -> Tensor:
    """a / b, rounded up."""
    return floordiv(add(a, subtract(b, number(1))), b)
