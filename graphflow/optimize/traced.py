"""Functions that a solver calls in several places: called once, and copied to where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from graphflow.ir.graph import next_node_number
from graphflow.ir.program import substituted, toposort
from graphflow.ir.tensor import Tensor
from graphflow.ops.control import parameter_like


class Traced:
    """The results of `function` as a graph of its argument, a vector like `x`, and of what it reads from outside."""

    def __init__(self, function: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> None:
        before = next_node_number()
        self.argument = parameter_like(x, name="x")
        self.results = tuple(function(self.argument))
        self.outside = read_from_outside(self.results, self.argument, before)

    @property
    def read(self) -> list[Tensor]:
        """The differentiable tensors beside the argument that results depend on."""
        return [t for t in self.outside if t.dtype.is_differentiable]

    def __call__(self, x: Tensor, instead: Mapping[Tensor, Tensor] | None = None) -> list[Tensor]:
        """The results for another argument, and with other tensors `instead` of some that are read."""
        return substituted(self.results, {**{t: t for t in self.outside}, **(instead or {}), self.argument: x})


def read_from_outside(results: Sequence[Tensor], argument: Tensor, before: int) -> list[Tensor]:
    """What a function called after node number `before` read beside its argument and constants: older tensors, and sources."""
    found: dict[Tensor, None] = {}
    for node in toposort(results):
        if node.number > before:
            found.update((t, None) for t in node.inputs or node.outputs if t.node.number < before or not t.inputs)
    found.update((t, None) for t in results if t.node.number < before)
    return [t for t in found if t.op.name != "constant" and t is not argument]
