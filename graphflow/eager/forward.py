"""`ForwardAccumulator`: derivatives in a direction, computed along with what runs."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from graphflow.autodiff.forward import along_branch, along_loop, transposed
from graphflow.autodiff.gradients import convert_weight
from graphflow.eager.tape import between_on_tape, check_eager
from graphflow.errors import GradientError
from graphflow.ir.eager import Application
from graphflow.ir.graph import BodyGraph, change_state, changed_state, state
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add
from graphflow.ops.array import zeros_like
from graphflow.ops.control import branch, loop
from graphflow.ops.state import Variable
from graphflow.ops.structure import flatten, pack


class ForwardAccumulator:
    """Forward mode: `with gf.ForwardAccumulator(x, v) as acc:`, then `acc.jvp(y)` is the derivative of y by x in direction v.

    `primals` are tensors, variables, or nests of them, `tangents` a nest like it. Nothing is kept of what ran but the tangents:
    the memory it takes does not grow with the number of steps. Accumulators nest with one another and with tapes.
    """

    def __init__(self, primals: Any, tangents: Any) -> None:
        leaves, directions = flatten(primals), flatten(tangents)
        if len(leaves) != len(directions):
            raise GradientError(f"ForwardAccumulator: {len(directions)} tangents for {len(leaves)} primals")
        self.watched = self._tangents = _Tangents()
        self._variables: dict[Variable, Tensor] = {}
        for leaf, direction in zip(leaves, directions, strict=True):
            value = leaf.read_value() if isinstance(leaf, Variable) else leaf
            if not isinstance(value, Tensor) or not value.dtype.is_differentiable:
                raise GradientError(f"ForwardAccumulator: {leaf!r:.60} is no tensor of floats", rule="Derivatives are by floats.")
            tangent = convert_weight(
                direction, check_eager(value, "ForwardAccumulator"), "tangent", "primal", "ForwardAccumulator"
            )
            if isinstance(leaf, Variable):
                self._variables[leaf] = tangent
            self._move(value, tangent)

    def __enter__(self) -> ForwardAccumulator:
        change_state(recorders=(*state().recorders, self))
        return self

    def __exit__(self, *exc: object) -> None:
        change_state(recorders=tuple([r for r in state().recorders if r is not self]))

    def jvp(self, primals: Any, unconnected_gradients: str = "zero") -> Any:
        """The tangents of `primals`, a nest of tensors; zeros ("zero") or None ("none") where nothing watched flows."""
        if unconnected_gradients not in ("none", "zero"):
            raise GradientError(f"unconnected_gradients={unconnected_gradients!r}", rule="It is 'none' or 'zero'.")
        found = []
        for leaf in flatten(primals):
            tensor = leaf.read_value() if isinstance(leaf, Variable) else convert_to_tensor(leaf)
            tangent = self._tangents.get(tensor)
            found.append(zeros_like(tensor) if tangent is None and unconnected_gradients == "zero" else tangent)
        return pack(primals, found)

    # --- recording --------------------------------------------------------------------------------------------------------

    def read(self, variable: Variable, tensor: Tensor) -> None:
        """Note that a variable was read."""
        if variable in self._variables and self._tangents.get(tensor) is None:
            self._move(tensor, self._variables[variable])

    def record(self, application: Application) -> None:
        """Give the results of an op their tangents."""
        directions = [self._tangents.get(t) if t.dtype.is_differentiable else None for t in application.inputs]
        around = state().recorders
        outside = around[: around.index(self)]  # what is inside of this accumulator differentiates values, not their tangents
        with changed_state(recorders=outside, eager=True, graph=BodyGraph(), body=None):
            if application.op is loop:
                _, moved = along_loop(application.inputs, directions, **application.attrs)
            elif application.op is branch:
                _, moved = along_branch(application.inputs, directions, **application.attrs)
            else:
                moved = transposed(application, directions, between_on_tape)  # type: ignore[arg-type]
        for output, tangent in zip(application.outputs, moved, strict=True):
            if tangent is not None:
                self._move(output, tangent)

    def _move(self, tensor: Tensor, tangent: Tensor) -> None:
        known = self._tangents.get(tensor)
        self._tangents.set(tensor, tangent if known is None else add(known, tangent))


class _Tangents:
    """Tangents by tensor, for as long as the tensor is there."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Tensor], Tensor]] = {}

    def get(self, tensor: Tensor) -> Tensor | None:
        found = self._found.get(id(tensor))
        return None if found is None else found[1]

    def set(self, tensor: Tensor, tangent: Tensor) -> None:
        number = id(tensor)
        self._found[number] = weakref.ref(tensor, lambda _: self._found.pop(number, None)), tangent

    def isdisjoint(self, tensors: Iterable[Tensor]) -> bool:
        """Has none of `tensors` a tangent?"""
        return not any(id(t) in self._found for t in tensors)
