"""`Optimizer`: from a loss to the operation that makes it smaller; a subclass says what one variable's update is.

An update reads the values before the run, as everything in a run does; all updates are committed together at its end.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from graphflow.autodiff import gradients
from graphflow.eager.tape import GradientTape
from graphflow.errors import DTypeError, GradientError, OptionError, ShapeError
from graphflow.ir.graph import Graph, changed_state, get_default_graph
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.math import cast
from graphflow.ops.movement import broadcast_to
from graphflow.ops.state import Operation, Variable, control_free, group
from graphflow.types import DType, float64

GradientAndVariable = tuple[Tensor | None, Variable]


class Optimizer:
    """Base of the optimizers. A subclass implements `update`, and asks `slot` for the state it keeps beside a variable."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._slots: dict[tuple[Any, str], Variable] = {}

    def minimize(
        self,
        loss: Any,
        var_list: Variable | Sequence[Variable] | None = None,
        global_step: Variable | None = None,
        name: str | None = None,
    ) -> Operation | None:
        """The operation that changes the variables so that `loss` falls: `compute_gradients`, then `apply_gradients`.

        In eager mode, and in a `gf.function`, `loss` is a function without parameters. `var_list` are the variables to change,
        by default the trainable ones that `loss` depends on. `global_step` is counted up by one with every run.
        """
        return self.apply_gradients(self.compute_gradients(loss, var_list), global_step, name)

    def compute_gradients(
        self, loss: Any, var_list: Variable | Sequence[Variable] | None = None, grad_loss: Any = None
    ) -> list[GradientAndVariable]:
        """A pair (gradient, variable) for each variable; the place to change gradients before `apply_gradients`.

        A variable named in `var_list` that `loss` does not depend on is a GradientError. Without `var_list` all trainable
        variables are taken, and the gradient of one that `loss` does not depend on is None. Of a `loss` that is a function
        without parameters, the trainable variables are those it reads.
        """
        if callable(loss) and not isinstance(loss, Variable):
            return self._along_tape(loss, var_list, grad_loss)
        loss = convert_to_tensor(loss)
        if not loss.dtype.is_differentiable:
            raise GradientError(
                f"{self.name}: a loss of {loss.dtype} has no gradient",
                operands={"loss": loss},
                rule="A loss is a float; use gf.cast(x, gf.float32) before the arithmetic that should be differentiated.",
            )
        graph = loss.graph or get_default_graph()
        variables = _variables(var_list, graph, self.name)
        unconnected = "none" if var_list is None else "raise"
        with _building_in(graph):
            found = gradients(loss, variables, grad_ys=grad_loss, unconnected_gradients=unconnected)
        if all(gradient is None for gradient in found):
            names = ", ".join(v.name for v in variables[:8]) + (", ..." if len(variables) > 8 else "")
            raise GradientError(
                f"{self.name}: the loss depends on no trainable variable",
                operands={"loss": loss},
                rule=f"The trainable variables are {names}. Is the loss computed from them, without stop_gradient, cast to an "
                "integer or argmax on the way?",
            )
        return list(zip(found, variables, strict=True))

    def _along_tape(
        self, loss: Callable[[], Any], var_list: Variable | Sequence[Variable] | None, grad_loss: Any
    ) -> list[GradientAndVariable]:
        """The gradients of what a function returns."""
        with GradientTape() as tape:
            if var_list is not None:
                tape.watch(var_list)
            value = loss()
        variables = list(tape.watched_variables()) if var_list is None else _variables(var_list, get_default_graph(), self.name)
        if not variables:
            raise GradientError(f"{self.name}: the loss reads no trainable variable", operands={"loss": value})
        unconnected = "none" if var_list is None else "raise"
        return list(zip(tape.gradient(value, variables, grad_loss, unconnected), variables, strict=True))

    def apply_gradients(
        self,
        grads_and_vars: Iterable[GradientAndVariable],
        global_step: Variable | None = None,
        name: str | None = None,
    ) -> Operation | None:
        """The operation that updates each variable by its gradient; pairs whose gradient is None are left out.

        Eager variables are updated at once, and the result is None.
        """
        pairs = [_checked_pair(pair, self.name) for pair in grads_and_vars]
        used = [(gradient, variable) for gradient, variable in pairs if gradient is not None]
        if not used:
            raise GradientError(
                f"{self.name}: no variable has a gradient",
                operands={f"variable {i}": v for i, (_, v) in enumerate(pairs[:8])},
                rule="apply_gradients takes pairs (gradient, variable) as compute_gradients returns them; all gradients are None."
                if pairs
                else "apply_gradients takes pairs (gradient, variable); the list is empty.",
            )
        with _building_in(used[0][1].graph):
            self.prepare([variable for _, variable in used])
            updates: list[Any] = []
            for gradient, variable in used:
                updates.extend(self.update(gradient, variable))
            updates.extend(self.finish())
            if global_step is not None:
                updates.append(global_step.assign_add(1))
            return group(*updates, name=name or self.name)

    # --- for subclasses -----------------------------------------------------------------------------------------------

    def prepare(self, variables: Sequence[Variable]) -> None:
        """Build what the updates of all variables share."""

    def update(self, gradient: Tensor, variable: Variable) -> Sequence[Tensor]:
        """The assignments that one gradient leads to: to the variable and to its slots."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a variable is updated")

    def finish(self) -> Sequence[Tensor]:
        """The assignments to the state that the variables share."""
        return ()

    def slot(self, variable: Variable, name: str, value: float = 0.0) -> Variable:
        """The state `name` of this optimizer beside `variable`, of the same type; filled with `value` at first."""
        key = (variable, name)
        if key not in self._slots:
            with control_free():
                start = broadcast_to(convert_to_tensor(value, variable.dtype), variable.shape)
                self._slots[key] = Variable(start, trainable=False, name=f"{variable.name}/{self.name}/{name}")
        return self._slots[key]

    def shared(self, name: str, value: float, graph: Graph) -> Variable:
        """State that the variables of a graph share: a float64 scalar, `value` at first."""
        if (graph, name) not in self._slots:
            with control_free():
                start = convert_to_tensor(value, float64)
                self._slots[graph, name] = Variable(start, trainable=False, name=f"{self.name}/{name}")
        return self._slots[graph, name]

    # --- looking at the state ---------------------------------------------------------------------------------------

    def get_slot(self, variable: Variable, name: str) -> Variable | None:
        """The state `name` beside `variable`, once `apply_gradients` has made it."""
        return self._slots.get((variable, name))

    def get_slot_names(self) -> list[str]:
        """The names that `get_slot` knows."""
        return sorted({name for key, name in self._slots if isinstance(key, Variable)})

    def variables(self) -> list[Variable]:
        """All variables that hold the optimizer's state, in the order they were made."""
        return list(self._slots.values())


def hyperparameter(value: Any, label: str, optimizer: str) -> Any:
    """A number or a scalar tensor, as an optimizer is given it; an error that names it for anything else."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool):
        raise DTypeError(f"{optimizer}: {label} is {value}, not a number")
    try:
        tensor = value if isinstance(value, Variable) else convert_to_tensor(value)
    except DTypeError as error:
        raise DTypeError(
            f"{optimizer}: {label}: {error.headline}", rule=f"{label} is a number, a scalar tensor or a scalar variable."
        ) from None
    if tensor.rank != 0:
        raise ShapeError(f"{optimizer}: {label} must be a scalar", operands={label: tensor}, rule="One number for all elements.")
    return tensor


def fraction(value: Any, label: str, optimizer: str) -> Any:
    """A hyperparameter that, where it is a number, lies in [0, 1)."""
    value = hyperparameter(value, label, optimizer)
    if isinstance(value, float) and not 0 <= value < 1:
        raise OptionError(f"{optimizer}: {label} is {value}", rule=f"{label} is at least 0 and less than 1.")
    return value


def in_dtype(value: Any, dtype: DType) -> Any:
    """A hyperparameter for arithmetic with tensors of `dtype`: a number as it is, a tensor cast where it must be."""
    if isinstance(value, float):
        return value
    return value if value.dtype == dtype else cast(value, dtype)


def _building_in(graph: Graph | None) -> AbstractContextManager[Any]:
    """A context that builds in `graph`; for eager variables, which have none, one that no tape sees."""
    if graph is None:
        return changed_state(recorders=())
    return nullcontext() if get_default_graph() is graph else graph.as_default()


def _variables(var_list: Variable | Sequence[Variable] | None, graph: Graph, optimizer: str) -> list[Variable]:
    if var_list is None:
        found = [v for v in graph.variables if v.trainable and v.dtype.is_differentiable]
        if not found:
            raise GradientError(
                f"{optimizer}: there are no trainable variables in the graph of the loss",
                rule="Make the parameters gf.Variable(...), or name the variables to change: minimize(loss, var_list=[...]).",
            )
        return found
    given = [var_list] if isinstance(var_list, Variable) else list(var_list)
    if not given:
        raise GradientError(f"{optimizer}: var_list is empty", rule="Leave var_list out to train all trainable variables.")
    for item in given:
        if not isinstance(item, Variable):
            raise GradientError(f"{optimizer}: var_list holds something that is no Variable", operands={"item": item})
    return given


def _checked_pair(pair: Any, optimizer: str) -> GradientAndVariable:
    try:
        gradient, variable = pair
    except (TypeError, ValueError):
        raise GradientError(f"{optimizer}: not a pair (gradient, variable): {pair!r:.80}") from None
    if not isinstance(variable, Variable):
        raise GradientError(
            f"{optimizer}: the second of a pair (gradient, variable) is no Variable", operands={"variable": variable}
        )
    if gradient is None:
        return None, variable
    tensor = convert_to_tensor(gradient) if hasattr(gradient, "dtype") else convert_to_tensor(gradient, variable.dtype)
    if tensor.dtype != variable.dtype or tensor.rank != variable.rank:
        raise (ShapeError if tensor.dtype == variable.dtype else DTypeError)(
            f"{optimizer}: gradient and variable differ in type",
            operands={"gradient": tensor, "variable": variable},
            rule="A gradient has the type of its variable.",
        )
    return tensor, variable
