"""Variables and their updates.

A run reads the old values of all variables and commits all updates at its end. Updates of one variable within a run apply in
the order in which they were built; a read that comes after an update (through `control_dependencies`) is the updated value.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from graphflow.errors import DTypeError, GraphError, ModeError, ShapeError
from graphflow.ir.eager import EagerTensor, as_eager
from graphflow.ir.graph import (
    changed_state,
    control_dependencies,
    current_body,
    current_control,
    get_default_graph,
    is_eager,
    state,
    traced_graph,
)
from graphflow.ir.location import SourceLocation
from graphflow.ir.op import Access, Op, apply, bind_attributes, convert_to_tensor, register_conversion
from graphflow.ir.tensor import _OPERATORS, Node, Tensor
from graphflow.ops import source
from graphflow.ops.declare import op, require_equal
from graphflow.ops.indexing import set_elements
from graphflow.types import DType, Shape, TensorType


@op(access=Access.MOVEMENT, reference=lambda x: x)
def read_after(x: TensorType) -> TensorType:
    """The value of a variable after the updates it depends on by control."""
    return x


read_after.defvjp(lambda g, out, x: g)


@read_after.element
def _(index, x):
    return x(*index)


def _update_type(value: TensorType, handle: Variable) -> TensorType:
    target = handle.type
    if value.dtype != target.dtype:
        raise DTypeError(
            f"value is {value.dtype}, variable {handle.name} is {target.dtype}", rule=f"Use gf.cast(value, gf.{target.dtype})."
        )
    if value.rank != target.rank:
        raise ShapeError(f"value {value} does not fit variable {handle.name}: {target}", rule="A value has the variable's shape.")
    for a, b in zip(value.shape, target.shape, strict=True):
        require_equal(a, b, f"value and variable {handle.name} differ in shape")
    return target


@op(access=Access.STATE, reference=None, differentiable=False)
def assign(value: TensorType, *, handle: Variable) -> TensorType:
    """The value, which the variable has after the run."""
    return _update_type(value, handle)


@op(access=Access.STATE, reference=None, differentiable=False)
def assign_add(value: TensorType, *, handle: Variable) -> TensorType:
    """The variable plus the value, which it has after the run."""
    return _update_type(value, handle)


@op(access=Access.STATE, reference=None, differentiable=False)
def assign_sub(value: TensorType, *, handle: Variable) -> TensorType:
    """The variable minus the value, which it has after the run."""
    return _update_type(value, handle)


@op(access=Access.STATE, reference=None, differentiable=False)
def no_op() -> tuple[TensorType, ...]:
    """Nothing but its control dependencies."""
    return ()


T = TypeVar("T", bound=Tensor)


class Operation:
    """Something to run for its updates; fetching it returns None."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def location(self) -> SourceLocation:
        return self.node.location

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Run it in `session`, or in the default session."""
        _OPERATORS["eval"](self, feed_dict, session)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"


class Variable:
    """A tensor with state. In a graph its value belongs to a session and lives from run to run; in eager mode it is its own.

    `initial_value` is a tensor, an array, a number or a function of no arguments that gives one; in a graph it is computed when
    the `initializer` runs. A variable can be used wherever a tensor can.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Variable:
        return object.__new__(EagerVariable if cls is Variable and (is_eager() or traced_graph() is not None) else cls)

    def __init__(
        self,
        initial_value: Any,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        graph = get_default_graph()
        if callable(initial_value):
            initial_value = initial_value()
        if isinstance(initial_value, Variable):
            initial_value = initial_value.initial_value
        self.initial_value: Tensor = convert_to_tensor(initial_value, dtype)
        unique = graph.unique_name(name or "Variable")
        self.trainable = bool(trainable)
        self.graph = graph
        type_ = self.initial_value.type
        if not type_.is_static:
            raise ShapeError(
                "a variable needs a shape of known sizes",
                operands={"initial_value": self.initial_value},
                rule="State is allocated once; give the initial value sizes that are numbers.",
            )
        self.type = type_
        attributes = (("dtype", type_.dtype), ("handle", self), ("shape", type_.shape))
        with control_free():
            self.value = graph.add(source.variable, (), attributes, (type_,), (), unique).output
            self.initializer = self.assign(self.initial_value, name=f"{unique.split('/')[-1]}/assign")
        graph.add_variable(self)

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def location(self) -> SourceLocation:
        return self.value.location

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return self.type.rank

    ndim = rank

    def read_value(self) -> Tensor:
        """The value as of the current control dependencies: after their updates."""
        if not current_control():
            return self.value
        return read_after(self.value)

    def initialized_value(self) -> Tensor:
        """The initial value, for use in the initial values of other variables."""
        return self.initial_value

    def assign(self, value: Any, name: str | None = None) -> Tensor:
        """The value, given to the variable at the end of the run."""
        return _update(assign, self, value, name)

    def assign_add(self, delta: Any, name: str | None = None) -> Tensor:
        """The sum of variable and `delta`, given to the variable at the end of the run."""
        return _update(assign_add, self, delta, name)

    def assign_sub(self, delta: Any, name: str | None = None) -> Tensor:
        """The variable less `delta`, given to the variable at the end of the run."""
        return _update(assign_sub, self, delta, name)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.read_value().__array__(dtype, copy)

    def eval(self, session: Any = None) -> Any:
        """The value in `session`, or in the default session."""
        return _OPERATORS["eval"](self.value, None, session)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "value":
            raise AttributeError(name)
        return getattr(self.read_value(), name)

    def __repr__(self) -> str:
        return f"<Variable {self.name}: {self.type}>"

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return True if self is other else NotImplemented


VALUES = threading.RLock()  # held while a compiled function reads and writes the values of eager variables


class EagerVariable(Variable):
    """A variable of eager mode: it owns its value, and an assignment changes it at once."""

    def __init__(
        self,
        initial_value: Any,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if callable(initial_value):
            initial_value = initial_value()
        start = convert_to_tensor(initial_value, dtype)
        graph = traced_graph()
        if not isinstance(start, EagerTensor) and start.op is not source.constant:
            if graph is None:
                raise ModeError("a symbolic initial value for an eager variable", operands={"initial_value": start})
            start = graph.lifted(start)
        self.lent: EagerTensor | None = None  # the tensor of the value that has been given out, if one has
        self.trainable = bool(trainable)
        self.type = start.type
        self.graph = None  # type: ignore[assignment]
        self._name = name or "Variable"
        self.tensor = as_eager(start)
        if graph is not None:
            graph.made(self)

    @property
    def tensor(self) -> EagerTensor:
        """The value now, as a tensor of its own, from which no gradient flows back to how it was computed."""
        with VALUES:  # no run may be writing over the array, or be about to
            if self.lent is None:
                self.lent = EagerTensor(self.array, self.dtype)
            return self.lent

    @tensor.setter
    def tensor(self, value: EagerTensor) -> None:
        with VALUES:
            self.keep(value.array, own=False)

    def keep(self, array: np.ndarray, own: bool) -> None:
        """Give the variable its next value; `own` says that nobody else has the array."""
        self.array = array
        self.own = own
        self.address: int | None = None  # of the array's elements, once a compiled function has asked for it
        self.lent = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def location(self) -> Any:
        return None

    @property
    def value(self) -> Tensor:  # type: ignore[override]
        return self.read_value()

    @property
    def initial_value(self) -> Tensor:  # type: ignore[override]
        return self.read_value()

    def read_value(self) -> Tensor:
        """The value now; in a function that is being traced, the value when it will run."""
        graph = traced_graph()
        return self.read() if graph is None else self._shown(graph.read(self))

    def read(self) -> EagerTensor:
        """The value now."""
        return self._shown(self.tensor)

    def _shown(self, tensor: T) -> T:
        for recorder in state().recorders:
            recorder.read(self, tensor)
        return tensor

    def assign(self, value: Any, name: str | None = None) -> Tensor:
        """The value, which the variable has from now on."""
        return self._assigned(_value_for(assign, self, value))

    def assign_add(self, delta: Any, name: str | None = None) -> Tensor:
        """The sum of variable and `delta`, which the variable has from now on."""
        with changed_state(recorders=()):
            return self._assigned(self.read_value() + _value_for(assign_add, self, delta))

    def assign_sub(self, delta: Any, name: str | None = None) -> Tensor:
        """The variable less `delta`, which the variable has from now on."""
        with changed_state(recorders=()):
            return self._assigned(self.read_value() - _value_for(assign_sub, self, delta))

    def __setitem__(self, key: Any, value: Any) -> None:
        with changed_state(recorders=()):
            self._assigned(_value_for(assign, self, set_elements(self.read_value(), key, value)))

    def _assigned(self, value: Tensor) -> Tensor:
        graph = traced_graph()
        if graph is not None:
            return graph.write(self, value)
        if not isinstance(value, EagerTensor) and value.op is not source.constant:
            raise ModeError(
                f"a symbolic value for the eager variable {self.name}",
                operands={"value": value},
                rule="Assign inside a gf.function, or run the value first.",
            )
        self.tensor = as_eager(value)
        return self.tensor

    def eval(self, session: Any = None) -> Any:
        """The value."""
        return self.tensor.numpy()

    def __reduce__(self) -> Any:
        return _restored, (self.tensor.array, self.dtype.name, self.trainable, self._name)

    def __repr__(self) -> str:
        return f"<Variable {self.name}: {self.tensor!r}>"


def _restored(array: Any, dtype: str, trainable: bool, name: str) -> EagerVariable:
    return EagerVariable(array, trainable, name, dtype)


def _forward(method: str) -> Callable[..., Any]:
    def call(self: Variable, *args: Any, **settings: Any) -> Any:
        return getattr(self.read_value(), method)(*args, **settings)

    return call


for _method in [
    *(
        f"__{r}{name}__"
        for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
        for r in ("", "r")
    ),
    *[
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__neg__",
        "__pos__",
        "__abs__",
        "__invert__",
        "__getitem__",
        "__iter__",
        "__len__",
        "__bool__",
        "__array__",
        "__array_ufunc__",
        "__array_function__",
    ],
]:
    setattr(Variable, _method, _forward(_method))
for _method in [
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__contains__",
    "__format__",
    "__dlpack__",
    "__dlpack_device__",
]:
    setattr(EagerVariable, _method, _forward(_method))

register_conversion(Variable, Variable.read_value)


def control_free() -> Any:
    """A context without control dependencies."""
    return changed_state(control=())


def _value_for(kind: Op, variable: Variable, value: Any) -> Tensor:
    """The value of an update as a tensor of the variable's type."""
    body = current_body()
    if body is not None:
        raise GraphError(
            f"{kind.name} of {variable.name} inside {body}",
            operands={"variable": variable},
            rule="A variable is assigned once a run: carry its value through the loop, or return it from the branch, and assign "
            "the result.",
        )
    tensor = convert_to_tensor(value) if hasattr(value, "dtype") else convert_to_tensor(value, variable.dtype)
    kind.infer((tensor.type,), {"handle": variable}, (tensor,))
    return tensor


def _update(kind: Op, variable: Variable, value: Any, name: str | None) -> Tensor:
    return apply(kind, (_value_for(kind, variable, value),), bind_attributes(kind, {"handle": variable}), name)


def assign_to(variable: Variable, value: Any, name: str | None = None) -> Tensor:
    """The value, given to `variable` at the end of the run."""
    return variable.assign(value, name)


def assign_add_to(variable: Variable, value: Any, name: str | None = None) -> Tensor:
    """The sum of `variable` and `value`, given to the variable at the end of the run."""
    return variable.assign_add(value, name)


def assign_sub_from(variable: Variable, value: Any, name: str | None = None) -> Tensor:
    """`variable` less `value`, given to the variable at the end of the run."""
    return variable.assign_sub(value, name)


def group(*inputs: Any, name: str | None = None) -> Operation | None:
    """One operation that runs all of `inputs`; None in eager mode, where they have run."""
    if is_eager():
        return None
    flat: list[Any] = []
    for item in inputs:
        flat.extend(item if isinstance(item, list | tuple) else [item])
    nodes = [item.value if isinstance(item, Variable) else item for item in flat if item is not None]
    with control_dependencies(nodes):
        graph = next((n.node.graph for n in nodes if n.node.graph is not None), None) or get_default_graph()
        return Operation(graph.add(no_op, (), (), (), (), name or "group"))


def variables_initializer(variables: Sequence[Variable], name: str = "init") -> Operation | None:
    """The operation that gives each of `variables` its initial value."""
    return group(*(v.initializer for v in variables), name=name)


def global_variables() -> list[Variable]:
    """All variables of the default graph, in the order they were made."""
    return list(get_default_graph().variables)


def trainable_variables() -> list[Variable]:
    """The variables of the default graph that optimizers change."""
    return [v for v in get_default_graph().variables if v.trainable]


def global_variables_initializer() -> Operation | None:
    """The operation that gives all variables of the default graph their initial values."""
    return variables_initializer(global_variables())
