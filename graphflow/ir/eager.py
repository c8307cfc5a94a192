"""Eager tensors: values that are there at once; and `execute`, which runs an op on them.

An op on eager tensors runs its NumPy reference, or native code where that is the faster one. What is known of an application
before its values are (the type rule's answer, the attributes, whether 16-bit floats are to be widened) is kept in a `_Plan` for
the next one of the same types. Recorders, which are tapes and accumulators, are shown what runs on tensors they watch.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from graphflow.errors import ModeError
from graphflow.ir.graph import is_eager, local, next_node_number
from graphflow.ir.location import PACKAGE, SourceLocation
from graphflow.ir.protocols import ArrayValue
from graphflow.ir.tensor import Attrs, Literal, Node, Tensor, operator
from graphflow.types import DType, TensorType, as_dtype

if TYPE_CHECKING:
    from graphflow.ir.op import Op

REMEMBERED_PLANS = 4096  # applications of one op that are kept, by types and attributes; then all are forgotten
_NOWHERE = SourceLocation("<eager>", 0)


class EagerTensor(ArrayValue, Tensor):
    """A tensor whose value is there: a constant, or what an op computed in eager mode. The value never changes.

    In a graph a constant is a constant; any other eager tensor is a value of this process, which only the functions and the
    bodies of loops that are being traced take in. `==` compares elements in eager mode; in a graph it is identity.
    """

    __slots__ = ("_node", "array", "constant", "dtype")
    _node: Node
    __hash__ = object.__hash__
    _repr_html_ = None  # type: ignore[assignment]  # notebooks show the value, not a graph
    index = 0  # type: ignore[assignment]

    def __init__(self, array: np.ndarray, dtype: DType, constant: bool = False) -> None:
        self.array = array
        self.dtype = dtype  # type: ignore[misc]
        self.constant = constant

    @classmethod
    def of(cls, value: Any, dtype: DType) -> EagerTensor:
        """An array, or a number of NumPy's, as a tensor."""
        return cls(value if type(value) is np.ndarray else np.asarray(value, dtype.numpy), dtype)

    @property
    def node(self) -> Node:  # type: ignore[override]
        """What the tensor is in a graph: a node without operands, made when it is first asked for."""
        try:
            return self._node
        except AttributeError:
            self._node = node = source_node(self)
            return node

    @property
    def location(self) -> SourceLocation | None:  # type: ignore[override]
        """The line that built a graph's constant; an eager tensor is where the error is."""
        return None if self.node.location is _NOWHERE else self.node.location

    @property
    def type(self) -> TensorType:
        return TensorType(self.array.shape, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def rank(self) -> int:
        return self.array.ndim

    ndim = rank

    def eval(self, feed_dict: Any = None, session: Any = None) -> np.ndarray:
        """The value."""
        return self.numpy()

    def __eq__(self, other: object) -> Any:
        return operator("equal")(self, other) if self._compares_with(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return operator("not_equal")(self, other) if self._compares_with(other) else NotImplemented

    def _compares_with(self, other: Any) -> bool:
        """Does `==` compare the elements with those of `other`? Else it is identity."""
        if isinstance(other, Tensor):
            return isinstance(other, EagerTensor) and (is_eager() or not self.constant or not other.constant)
        return (is_eager() or not self.constant) and (isinstance(other, _NUMBERS) or hasattr(other, "dtype"))

    def __reduce__(self) -> Any:
        return _restored, (self.array, self.dtype.name, self.constant)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return operator("array_namespace")(api_version)


_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray, list, tuple)


def _restored(array: np.ndarray, dtype: str, constant: bool) -> EagerTensor:
    return EagerTensor(array, as_dtype(dtype), constant)


def source_node(tensor: EagerTensor, name: str | None = None, location: SourceLocation = _NOWHERE) -> Node:
    """The node of an eager tensor: that of a constant, or of a value that is captured."""
    from graphflow.ir import op as ops

    kind = ops.CONSTANT if tensor.constant else ops.VALUE
    assert kind is not None, "graphflow.ops declares the source ops"
    attributes: Attrs = (("value", Literal(tensor.array) if tensor.constant else tensor),)
    node = Node(kind, (), attributes, (tensor.type,), name or kind.name, location, next_node_number())
    object.__setattr__(node, "outputs", (tensor,))
    return node


def is_value(tensor: Tensor) -> bool:
    """Is it an eager tensor that is no constant?"""
    return isinstance(tensor, EagerTensor) and not tensor.constant


def is_watched(tensor: Tensor) -> bool:
    """Does a recorder of this thread watch the tensor?"""
    return any(not recorder.watched.isdisjoint((tensor,)) for recorder in local.state.recorders)


def as_eager(tensor: Tensor) -> EagerTensor:
    """An eager tensor or a graph's constant as an eager tensor."""
    return tensor if isinstance(tensor, EagerTensor) else EagerTensor(tensor.numpy(), tensor.dtype, constant=True)


# --- recorders -----------------------------------------------------------------------------------------------------------


class Recorder(Protocol):
    """What is shown the applications of ops to tensors it watches."""

    @property
    def watched(self) -> Any:
        """A set of tensors, or what else knows `isdisjoint`."""

    def read(self, variable: Any, tensor: Tensor) -> None:
        """Called when a variable is read, which has the value `tensor`."""

    def record(self, application: Application) -> None:
        """Called with each application that has an operand in `watched`."""


class Application:
    """An op that ran on eager tensors: what a node is in a graph, as far as gradients ask."""

    __slots__ = ("_line", "attrs", "inputs", "op", "outputs")
    graph = None
    control = ()

    def __init__(self, op: Op, inputs: tuple[Tensor, ...], attrs: Mapping[str, Any], outputs: tuple[EagerTensor, ...]) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        self._line = frame.f_code.co_filename, frame.f_lineno

    @property
    def output(self) -> EagerTensor:
        return self.outputs[0]

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(t.type for t in self.outputs)

    @property
    def type(self) -> TensorType:
        return self.outputs[0].type

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def location(self) -> SourceLocation:
        return SourceLocation(*self._line)

    def __repr__(self) -> str:
        return f"<{self.op.name} at {self.location}>"


# --- running -------------------------------------------------------------------------------------------------------------

Run = Callable[..., Any]
Choice = Callable[["Op", Sequence[Tensor], Mapping[str, Any], Sequence[TensorType], Run], Run]
_native: Choice | None = None


def set_native(choose: Choice) -> None:
    """Let `choose(op, operands, attrs, types, reference)` give the function of arrays that runs an application."""
    global _native
    _native = choose


class _Plan:
    """How applications of one op to operands of certain types run: a function of arrays, and what comes out."""

    __slots__ = ("attrs", "dtype", "dtypes", "run")

    def __init__(self, run: Run, attrs: Mapping[str, Any], dtypes: tuple[DType, ...]) -> None:
        self.run = run
        self.attrs = attrs
        self.dtypes = dtypes
        self.dtype = dtypes[0] if len(dtypes) == 1 else None  # that of the only result


def execute(op: Op, operands: tuple[EagerTensor, ...], attributes: Mapping[str, Any]) -> Any:
    """The results of `op` on eager tensors, computed now."""
    key: Any
    if attributes or not op.by_dtype:
        key = _key(op, operands, attributes)
    elif len(operands) == 2:
        key = operands[0].dtype.name, operands[1].dtype.name
    else:
        key = tuple([t.dtype.name for t in operands])
    plan = op.plans.get(key)
    if plan is None:
        plan = _planned(op, operands, attributes, key)
    try:
        found = plan.run(*[t.array for t in operands])
    except ValueError:  # shapes that do not broadcast: the type rule says it better
        op.infer(tuple(t.type for t in operands), plan.attrs, operands)
        raise
    outputs: tuple[EagerTensor, ...]
    result: Any
    if plan.dtype is not None:
        result = EagerTensor(found if type(found) is np.ndarray else np.asarray(found), plan.dtype)
        outputs = (result,)
    else:
        result = outputs = tuple([EagerTensor(np.asarray(x), d) for x, d in zip(found, plan.dtypes, strict=True)])
    recorders = local.state.recorders
    if recorders and op.differentiable:
        show(recorders, op, operands, plan.attrs, outputs)
    return result


def show(
    recorders: Sequence[Recorder], op: Op, operands: tuple[Tensor, ...], attrs: Mapping[str, Any], outputs: tuple[Any, ...]
) -> None:
    """Let the recorders that watch an operand see an application."""
    application = None
    for recorder in recorders:
        if not recorder.watched.isdisjoint(operands):
            if application is None:
                application = Application(op, operands, attrs, outputs)
            recorder.record(application)


def _key(op: Op, operands: Sequence[EagerTensor], attributes: Mapping[str, Any]) -> Any:
    """What a plan is remembered by; None where an attribute is nothing to remember by."""
    given = []
    for name, value in attributes.items():
        if not _is_plain(value):
            return None
        given.append((name, type(value), value))
    types = [t.dtype.name if op.by_dtype else (t.dtype.name, t.array.shape) for t in operands]
    return (*types, *given)


_PLAIN = (int, bool, str, type(None), DType)


def _is_plain(value: Any) -> bool:
    """May a value be compared with another by `==`? Not floats: 0.0 equals -0.0; not programs: they are made anew each time."""
    if type(value) is tuple or type(value) is list:
        return type(value) is tuple and all(map(_is_plain, value))
    return type(value) in _PLAIN


def _planned(op: Op, operands: tuple[EagerTensor, ...], attributes: Mapping[str, Any], key: Any) -> _Plan:
    """The plan of an application, after its type rule; errors are those of building it in a graph."""
    from graphflow.ir.op import bind_attributes

    op.check_count(operands)
    attrs = dict(bind_attributes(op, attributes))
    types, _ = op.infer(tuple(t.type for t in operands), attrs, operands)
    if op.reference is None:
        raise ModeError(f"{op.name} has no value in eager mode", operands=dict(enumerate(operands)))  # type: ignore[arg-type]
    run = run_of(op, attrs, operands, types)
    plan = _Plan(run if op.silent else np.errstate(all="ignore")(run), attrs, tuple(t.dtype for t in types))
    if key is not None:
        if len(op.plans) >= REMEMBERED_PLANS:
            op.plans.clear()
        op.plans[key] = plan
    return plan


def run_of(op: Op, attrs: Mapping[str, Any], operands: Sequence[Tensor], types: Sequence[TensorType]) -> Run:
    """The op as a function of arrays: its NumPy reference, or native code where that is chosen."""
    reference = _reference_run(op, attrs, operands, types)
    return reference if _native is None else _native(op, operands, attrs, types, reference)


def _reference_run(op: Op, attrs: Mapping[str, Any], operands: Sequence[Tensor], types: Sequence[TensorType]) -> Run:
    """The op's reference as a function of arrays; 16-bit floats are computed in float32."""
    reference = op.reference
    assert reference is not None
    if op.takes_sizes:
        attrs = {**attrs, "sizes": {}}
    if all(d.compute == d for d in [*(t.dtype for t in operands), *(t.dtype for t in types)]):
        return functools.partial(reference, **attrs) if attrs else reference
    dtypes = [t.dtype.numpy for t in types]
    wide = [t.dtype.compute.numpy for t in operands]

    def run(*arrays: np.ndarray) -> Any:
        found = reference(*[x.astype(d, copy=False) for x, d in zip(arrays, wide, strict=True)], **attrs)
        if len(dtypes) == 1:
            return np.asarray(found).astype(dtypes[0], copy=False)
        return tuple([np.asarray(x).astype(d, copy=False) for x, d in zip(found, dtypes, strict=True)])

    return run


# --- Python's numbers ------------------------------------------------------------------------------------------------------


REMEMBERED_NUMBERS = 1024
_numbers: dict[Any, EagerTensor] = {}


def adopt(value: int | float, dtype: DType) -> EagerTensor | None:
    """A Python number as a constant of `dtype`, where it fits; None where the general rule must say."""
    key = type(value), value, dtype.name
    found = _numbers.get(key)
    if found is not None:
        return found
    if not dtype.is_differentiable and not (type(value) is int and dtype.is_integer and dtype.min <= value <= dtype.max):
        return None
    found = EagerTensor(np.asarray(value, dtype.numpy), dtype, constant=True)
    if value != 0:  # 0.0 equals -0.0
        if len(_numbers) >= REMEMBERED_NUMBERS:
            _numbers.clear()
        _numbers[key] = found
    return found
