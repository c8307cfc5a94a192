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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.ir.graph import current_lanes
from graphflow.ir.op import literal
from graphflow.ir.program import Program, substituted
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, floordiv, maximum, minimum, multiply, subtract
from graphflow.ops.array import zeros_like
from graphflow.ops.control import close, loop, make_parameter, parameter_like
from graphflow.ops.indexing import gather
from graphflow.ops.logic import where
from graphflow.ops.movement import iota, reshape, slice_
from graphflow.ops.source import size_value
from graphflow.options import current
from graphflow.types import AnySize, TensorType, evaluate, int64, size_max, size_min
from graphflow.types import floordiv as size_floordiv

MOST_CHECKPOINTS = 1024  # of one loop: with chunks of a thousand steps they reach for a million; each run clears their rows
UNKNOWN_LANES = 1024  # taken for a number of lanes that only a run knows


def budget() -> int:
    """The bytes that the values kept of one loop may take; in a lane, its share of them."""
    lanes = current_lanes()
    number = lanes if isinstance(lanes, int) else evaluate(lanes, dict.fromkeys(lanes.dims, UNKNOWN_LANES))
    return max(1, current().tape_bytes // max(1, number))


def bytes_of(tensors: Sequence[Tensor]) -> AnySize:
    """The bytes of tensors."""
    total: AnySize = 0
    for tensor in tensors:
        total = total + tensor.type.size * tensor.dtype.itemsize
    return total


def division(room: AnySize, of_state: AnySize, of_step: AnySize, length: AnySize | None) -> tuple[AnySize, AnySize]:
    """(steps of a chunk, checkpoints) for so many bytes: half of them are the checkpoints' at most, the rest the chunk's."""
    checkpoints = size_max(1, size_min(MOST_CHECKPOINTS, size_floordiv(room, size_max(1, 2 * of_state))))
    steps = size_floordiv(room - checkpoints * of_state, size_max(1, of_step))
    return size_max(1, steps if length is None else size_min(steps, length)), checkpoints


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps of a body: carried values, and of each stack the row that a step takes."""

    body: Program
    initial: Sequence[Tensor]
    stacks: Sequence[Tensor]
    captured: Sequence[Tensor]

    def from_any(
        self, outputs: Sequence[Tensor], row: Callable[[Tensor, Tensor], Tensor], number: Tensor, stacked_rows: bool
    ) -> tuple[Program, list[Tensor]]:
        """(`outputs` of the body as the body of a loop that starts at any step, the operands that it captures).

        Its parameters are the step, counted from the start, carried values, rows if `stacked_rows`, captured values, stacks
        unless `stacked_rows`, the number of steps, and the start, whose operand is the caller's. `row` is the row of a step,
        given the number of steps.
        """
        inputs = self.body.inputs[1:]
        count, elements = len(self.initial), len(self.stacks)
        state, rows, outer = inputs[:count], inputs[count : count + elements], inputs[count + elements :]
        index, start = make_parameter(TensorType((), int64), "index"), make_parameter(TensorType((), int64), "start")
        new_state, new_outer = [parameter_like(t) for t in state], [parameter_like(t) for t in outer]
        steps = parameter_like(number)
        at = row(add(start, index), steps)
        new_stacks = [parameter_like(t) for t in ([] if stacked_rows else self.stacks)]
        new_rows = [parameter_like(t) for t in rows] if stacked_rows else [gather(stack, at) for stack in new_stacks]
        renamed = {self.body.inputs[0]: at}
        renamed.update(zip((*state, *rows, *outer), (*new_state, *new_rows, *new_outer), strict=True))
        parameters = (index, *new_state, *(new_rows if stacked_rows else ()), *new_outer, *new_stacks, steps, start)
        operands = [*self.captured, *([] if stacked_rows else self.stacks), number]
        return Program(parameters, tuple(substituted(outputs, renamed)), (), self.body.name), operands


@dataclass(frozen=True, eq=False)
class Chunk:
    """The loop over the steps of a chunk, run again: what it is given, what it returns, where it starts."""

    start: Tensor
    operands: Sequence[Tensor]  # the first one is the number of its steps
    attributes: Mapping[str, Any]
    outs: Sequence[Tensor]


# What runs a chunk backwards: the chunk and carried values -> the next carried values, and stacks with a row for each step.
Backwards = Callable[[Chunk, Sequence[Tensor]], tuple[Sequence[Tensor], Sequence[Tensor]]]


@dataclass(frozen=True, eq=False)
class Chunks:
    """A loop over `number` steps, to be run backwards in chunks of `size` steps, with room for `checkpoints` states."""

    loop: Steps
    number: Tensor  # of steps, int64
    length: AnySize | None  # the most steps
    backwards: bool  # do steps take rows from the last to the first?
    size: AnySize
    checkpoints: AnySize

    @property
    def most(self) -> AnySize | None:
        """Chunks, where that is known."""
        return None if self.length is None else size_ceiling(self.length, self.size)

    # --- steps ------------------------------------------------------------------------------------------------------------

    def row(self, step: Tensor, steps: Tensor) -> Tensor:
        """The row that a step takes, given the number of steps."""
        return subtract(subtract(steps, number(1)), step) if self.backwards else step

    def advance(self, state: Sequence[Tensor], start: Tensor, steps: Tensor) -> list[Tensor]:
        """The carried values after `steps` steps from step `start` on."""
        if not state:
            return []
        body, operands = self.loop.from_any(self.loop.body.outputs[: len(state)], self.row, self.number, False)
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
        initial = self.loop.initial
        if not initial:
            return []
        segments = ceiling(chunks, of_segment)
        index = make_parameter(TensorType((), int64), "segment")
        state = [parameter_like(t) for t in initial]
        steps = multiply(of_segment, number(self.size))
        last = subtract(segments, number(1))
        following = self.advance(state, multiply(index, steps), where(index < last, steps, number(0)))
        captured: dict[Tensor, Tensor] = {}
        body = close([*following, *state], [index, *state], captured, "segment")
        room = self.checkpoints if self.most is None else size_min(self.checkpoints, self.most)
        found = loop(
            segments, *initial, *captured, body=body, condition=None, carried=len(state), elements=0, length=room,
            reverse=False, counted=True,
        )  # fmt: skip
        return list(found[len(state) : -1])

    # --- backwards --------------------------------------------------------------------------------------------------------

    def slices(self, stacks: Sequence[Tensor], start: Tensor) -> list[Tensor]:
        """The rows that the steps of a chunk take, in the order of the steps."""
        if not stacks:
            return []
        steps = minimum(add(start, iota(size=self.size, dtype=int64)), subtract(self.number, number(1)))
        rows = maximum(self.row(steps, self.number), number(0))
        return [gather(stack, rows) for stack in stacks]

    def reverse(self, initial: Sequence[Tensor], backwards: Backwards) -> tuple[list[Tensor], list[Tensor]]:
        """(carried values in the end, stacks with a row for each row of the loop) of what goes through the chunks backwards."""
        chunks, of_segment = self.count()
        checkpoints = self.kept_states(chunks, of_segment)
        chunk = make_parameter(TensorType((), int64), "chunk")
        carried = [parameter_like(t) for t in initial]
        segment = floordiv(chunk, of_segment)
        first, start = (multiply(t, number(self.size)) for t in (multiply(segment, of_segment), chunk))
        state = self.advance([gather(stack, segment) for stack in checkpoints], first, subtract(start, first))
        steps = minimum(subtract(self.number, start), number(self.size))
        body, captured = self.loop.from_any(self.loop.body.outputs, self.row, self.number, True)
        operands = [steps, *state, *self.slices(self.loop.stacks, start), *captured, start]
        attributes: dict[str, Any] = {
            "body": body, "condition": None, "carried": len(state), "elements": len(self.loop.stacks), "length": self.size,
            "reverse": False, "counted": True,
        }  # fmt: skip
        following, stacked = backwards(Chunk(start, operands, attributes, loop(*operands, **attributes)), carried)
        others: dict[Tensor, Tensor] = {}
        closed = close([*following, *stacked], [chunk, *carried], others, "chunk")
        found = loop(
            chunks, *initial, *others, body=closed, condition=None, carried=len(carried), elements=0,
            length=self.most if stacked else None, reverse=True, counted=True,
        )  # fmt: skip
        return list(found[: len(carried)]), [self.in_rows(by_chunk) for by_chunk in found[len(carried) : -1]]

    def in_rows(self, by_chunk: Tensor) -> Tensor:
        """A stack of the loop's rows, given that of each step of each chunk; zeros in rows that no step took."""
        assert self.length is not None
        by_step = reshape(by_chunk, (by_chunk.shape[0] * by_chunk.shape[1], *by_chunk.shape[2:]))  # type: ignore[operator]
        shape = (self.length, *by_step.shape[1:])
        place = iota(size=self.length, dtype=int64)
        taken = reshape(place < self.number, (self.length, *(1,) * (by_step.rank - 1)))
        if self.backwards:
            by_step = gather(by_step, maximum(self.row(place, self.number), number(0)))
        else:
            by_step = slice_(by_step, begin=(0,) * len(shape), step=(1,) * len(shape), shape=shape)
        return where(taken, by_step, zeros_like(by_step))


def number(value: AnySize) -> Tensor:
    return literal(value, int64) if isinstance(value, int) else size_value(size=value)


def ceiling(a: Tensor, b: Tensor) -> Tensor:
    """a / b, rounded up."""
    return floordiv(add(a, subtract(b, number(1))), b)


def size_ceiling(a: AnySize, b: AnySize) -> AnySize:
    """a / b, rounded up."""
    return size_floordiv(a + b - 1, b)
