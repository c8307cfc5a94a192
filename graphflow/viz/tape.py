"""The picture of a tape: what it recorded, op by op, as far as derivatives can be asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphflow.ir.program import attribute_text
from graphflow.ir.tensor import Tensor
from graphflow.viz.picture import Arrow, Box, Picture, shortened, unique_keys

if TYPE_CHECKING:
    from graphflow.eager.tape import GradientTape

LIMIT = 48  # characters of an op's attributes


def tape_picture(tape: GradientTape) -> Picture:
    """A box for each op that ran on something watched, in order, and for what it ran on; sizes are those of the values."""
    used: dict[str, int] = {}
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    made: dict[Tensor, tuple[str, int | None]] = {}
    variables = {tensor: variable.name for variable, tensors in tape._reads.items() for tensor in tensors}

    def source(tensor: Tensor) -> None:
        kind = "variable" if tensor in variables else "placeholder" if tensor in tape.watched else "constant"
        name = variables.get(tensor, "watched" if kind == "placeholder" else "value")
        (key,) = unique_keys([name], used)
        boxes.append(Box(key, name, kind, kind, str(tensor.type), "", kind, bytes=tensor.array.nbytes))  # type: ignore[attr-defined]
        made[tensor] = (key, None)

    for application in tape.applications:
        for tensor in application.inputs:
            if tensor not in made:
                source(tensor)
        (key,) = unique_keys([application.op.name], used)
        attributes = [
            f"{name}={attribute_text(value)}"
            for name, value in application.attrs.items()
            if value is not None and value is not False
        ]
        text = f"{application.op.name}({shortened(', '.join(attributes), LIMIT)})" if attributes else application.op.name
        types = ", ".join(str(tensor.type) for tensor in application.outputs)
        size = sum(tensor.array.nbytes for tensor in application.outputs)
        boxes.append(Box(key, key, application.op.name, text, types, str(application.location), "forward", bytes=size))
        for operand, tensor in enumerate(application.inputs):
            arrows.append(Arrow(made[tensor][0], key, str(tensor.type), operand, made[tensor][1]))
        several = len(application.outputs) > 1
        made.update((tensor, (key, index if several else None)) for index, tensor in enumerate(application.outputs))
    return Picture("tape", tuple(boxes), tuple(arrows), (), "recorded")
