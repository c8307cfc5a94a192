"""What a failed run says: the op and its line, the operands with their types and the shapes they had, the steps of the loops."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from graphflow.codegen.library_values import INDEFINITE, SINGULAR
from graphflow.errors import (
    DecompositionError,
    GraphflowError,
    HostError,
    IndexOutOfRangeError,
    InvalidArgumentError,
    NumericsError,
    ShapeError,
)
from graphflow.ir.location import SourceLocation
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.numerics import KINDS
from graphflow.runtime import native
from graphflow.runtime.binding import Context
from graphflow.runtime.launch import Call, Launch
from graphflow.types import Dim, Shape, dims_of, evaluate

if TYPE_CHECKING:
    from graphflow.runtime.executable import Executable

OWN_STEPS = slice(3, 8)  # of an error record: steps of the loops inside the kernel, outer ones first, from 1
UNCHANGED = "No variable was changed."


@dataclass(frozen=True)
class Sized:
    """A tensor as an error shows it, with the shape that it had in the run."""

    name: str
    type: str
    location: SourceLocation


class MadeError(NumericsError):
    """An op that made a NaN or an infinity, as a watched program tells: where, which element, and in which steps."""

    def __init__(self, node: Node, index: tuple[int, ...], kind: str, inside: str, sizes: Mapping[Dim, int]) -> None:
        self.node, self.index, self.kind = node, index, kind
        super().__init__(
            f"{node.op.name} ({node.name}) makes element {list(index)} {kind}{inside}",
            operands=sized_operands(node, sizes),
            location=node.location,
            rule=UNCHANGED,
        )


def failure(executable: Executable, context: Context, sizes: Mapping[Dim, int]) -> BaseException:
    """The exception for a run of these sizes whose error record is set, or that was called back and raised; clears the record."""
    row = context.words[4] - 1
    launch = executable.launch_program.rows[row]
    steps = steps_at(executable, row, context)
    site, index, size = context.errors[:3]
    own = [number for number in context.errors[OWN_STEPS] if number > 0]
    context.words[4] = context.errors[0] = 0
    for k in range(OWN_STEPS.start, OWN_STEPS.stop):
        context.errors[k] = 0
    if isinstance(launch, Call):
        return host_failure(executable, launch, inside_of(steps), context, sizes)
    assert isinstance(launch, Launch)
    inside = inside_of([*steps, *(f"step {number - 1}" for number in own)])
    if executable.watched:
        check = executable.stages.launched[row].checks[site - 1]
        if check.op.name == "watched":
            made = check.inputs[0].node
            return MadeError(made, unravelled(index // 4, made.output.shape, sizes), KINDS[index % 4], inside, sizes)
    node = executable.node(launch.checks[site - 1])
    if node is not None and node.op.name == "check_numerics":
        return numerics_failure(node, index, inside, sizes)
    if size in (SINGULAR, INDEFINITE):
        found = "not positive definite" if size == INDEFINITE else "singular"
        return DecompositionError(
            f"{'linear algebra' if node is None else f'{node.op.name} ({node.name})'}: matrix {index} is {found}{inside}",
            operands={} if node is None else sized_operands(node, sizes),
            location=None if node is None else node.location,
            rule=UNCHANGED,
        )
    if node is not None and node.op.name == "refused":
        return ShapeError(node.attrs["text"] + inside, location=node.location, rule=UNCHANGED)
    rule = f"Indices run from 0 to {size - 1}. {UNCHANGED}" if size else f"The axis is empty. {UNCHANGED}"
    if node is None:
        return IndexOutOfRangeError(f"index {index} is outside an axis of size {size}{inside}", rule=rule)
    return IndexOutOfRangeError(
        f"{node.op.name} ({node.name}): index {index} is outside axis {node.attrs.get('axis', 0)} of size {size}{inside}",
        operands=sized_operands(node, sizes),
        location=node.location,
        rule=rule,
    )


def host_failure(executable: Executable, call: Call, inside: str, context: Context, sizes: Mapping[Dim, int]) -> BaseException:
    """The exception for a run in which an op that was called back raised one, which is its cause."""
    error = executable.raised.pop(native.address_of(context.words))
    if not isinstance(error, Exception):
        return error  # an interrupt, or the end of the process
    node = executable.node(call.node)
    kind: type[GraphflowError] = DecompositionError if isinstance(error, np.linalg.LinAlgError) else HostError
    if isinstance(error, InvalidArgumentError):
        kind = type(error)
    what = call.op if node is None else node.name if isinstance(error, kind) else f"{call.op} ({node.name})"
    text = f"{type(error).__name__}: {error}" if kind is HostError else str(error)
    found = kind(
        f"{what}{inside}: {text}",
        operands={} if node is None else sized_operands(node, sizes),
        location=None if node is None else node.location,
        rule=UNCHANGED,
    )
    found.__cause__ = error
    return found


def numerics_failure(node: Node, record: int, inside: str, sizes: Mapping[Dim, int]) -> NumericsError:
    """The exception for an element that is not finite, as `ops.numerics` records it."""
    place, kind = unravelled(record // 4, node.type.shape, sizes), KINDS[record % 4]
    message = node.attrs["message"]
    return NumericsError(
        f"{message + ': ' if message else ''}element {list(place)} of {node.inputs[0].name} is {kind}{inside}",
        operands=sized_operands(node, sizes),
        location=node.location,
        rule=UNCHANGED,
    )


# --- parts ------------------------------------------------------------------------------------------------------------------


def steps_at(executable: Executable, row: int, context: Context) -> list[str]:
    """The step that each of the loops around a row is in, outer ones first; steps are counted from 0."""
    found = []
    for cycle in reversed(executable.launch_program.cycles):
        if cycle.head <= row < cycle.last:
            number = ctypes.c_int64.from_address(context.slots[cycle.counter]).value
            node = executable.node(cycle.node)
            found.append(f"step {number}" if node is None else f"step {number} of {node.name}")
    return found


def inside_of(steps: list[str]) -> str:
    """`, in step 3 of step 731 of scan/loop`."""
    return f", in {' of '.join(steps[::-1])}" if steps else ""


def unravelled(position: int, shape: Shape, sizes: Mapping[Dim, int]) -> tuple[int, ...]:
    """The index of an element, given its place in row-major order."""
    index = []
    for size in reversed(shape):
        number = max(1, evaluate(size, sizes))
        index.append(position % number)
        position //= number
    return tuple(reversed(index))


def operands_of(node: Node) -> dict[str, Tensor]:
    """The operands of a node by their names."""
    labels = node.op.operands if not node.op.variadic else tuple(f"operand {i}" for i in range(len(node.inputs)))
    return dict(zip(labels, node.inputs, strict=False))


def sized_operands(node: Node, sizes: Mapping[Dim, int]) -> dict[str, Tensor | Sized]:
    """The operands of a node by their names, with the shapes that they had in a run where the types leave them open."""
    return {label: sized(tensor, sizes) for label, tensor in operands_of(node).items()}


def sized(tensor: Tensor, sizes: Mapping[Dim, int]) -> Tensor | Sized:
    symbols = {dim for size in tensor.shape for dim in dims_of(size)}
    if not symbols or not symbols <= sizes.keys():
        return tensor
    return Sized(tensor.name, f"{tensor.type} = {[evaluate(size, sizes) for size in tensor.shape]}", tensor.location)
