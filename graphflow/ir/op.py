"""`Op`: a kind of computation, with its type rule, gradient rules, element rule and NumPy reference in one object.

`apply()` is where an op meets its operands: it converts literals, infers the type and adds a node. It is the only place
where the modes of graphflow differ.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, GraphError, GraphflowError, ModeError, TypeRuleError
from graphflow.ir.eager import EagerTensor, adopt, as_eager, execute, is_value, source_node
from graphflow.ir.graph import Graph, building_scratch, get_default_graph, local, state, traced_graph
from graphflow.ir.location import user_location
from graphflow.ir.program import attribute_dims
from graphflow.ir.tensor import _OPERATORS, Attrs, Constraint, Literal, Node, Tensor
from graphflow.types import (
    AnySize,
    DType,
    Size,
    TensorType,
    as_dtype,
    bool_,
    complex64,
    float32,
    int32,
    int64,
)


class Access(Enum):
    """All that fusion needs to know of an op: how its result's elements depend on its operands' elements."""

    ELEMENTWISE = auto()  # out[i] from x[i]
    MOVEMENT = auto()  # out[i] is one element of an operand, or a number made from i
    REDUCTION = auto()  # out[i] combines a range of x
    OPAQUE = auto()  # a library kernel
    SOURCE = auto()  # no operands: placeholder, variable, constant
    CONTROL = auto()  # a loop or a branch: runs programs that are its attributes
    STATE = auto()  # an update of a variable; gone after capture


VJP = Callable[..., Any]


class Op:
    """A kind of computation. Made by the decorators of `graphflow.ops.declare`; called like a function."""

    def __init__(
        self,
        name: str,
        type_rule: Callable[..., TensorType | tuple[TensorType, ...]],
        *,
        access: Access,
        reference: Callable[..., Any] | None,
        operands: tuple[str, ...],
        variadic: bool = False,
        attributes: Mapping[str, Any],
        common: tuple[str, ...] = (),
        doc: str = "",
        cost: float = 1.0,
        domain: tuple[float, float] | None = None,
        differentiable: bool = True,
        scalar: str | Mapping[str, str] | None = None,
        combine: str | None = None,
        fails: bool = False,
        linear: bool = False,
        repeats: bool = False,
        followed: bool = False,
        host: bool | Callable[[Sequence[TensorType]], bool] = False,
        effect: bool = False,
    ) -> None:
        self.name = name
        self.type_rule = type_rule
        self.access = access
        self.reference = reference
        self.operands = operands
        self.variadic = variadic
        self.attributes = dict(attributes)  # name -> default; `inspect.Parameter.empty` where it must be given
        self.common = common  # operands that share one dtype: a Python number adopts it
        self.cost = cost  # scalar operations an element costs, for fusion and threads
        self.domain = domain  # where samples for tests lie
        self.differentiable = differentiable
        self.scalar = scalar  # spelling of one element in a kernel; a mapping gives one per dtype kind
        self.combine = combine  # the op whose scalar function combines two elements, for a reduction
        self.fails = fails  # can a run fail in it (an index out of range)?
        self.followed = followed  # does its library kernel compute elementwise ops on the result while that is in the cache?
        self.host = host  # no kernel, or none for operands of such types: a run calls the reference back
        self.effect = effect  # does it more than compute its result? Then it is neither folded nor recomputed
        self.linear = linear  # its local derivatives are finite constants, so a cotangent of 0 stays 0
        self.repeats = repeats  # may it read an element of an operand several times?
        self.adopts = len(common) == len(operands)  # does a Python number beside a tensor always adopt its dtype?
        self.by_dtype = access is Access.ELEMENTWISE  # do the dtypes alone say how it runs on eager tensors?
        self.silent = access is Access.MOVEMENT  # does its reference compute nothing that NumPy warns of?
        self.takes_sizes = access is Access.CONTROL  # is its reference given the sizes that symbols stand for?
        self.plans: dict[Any, Any] = {}  # how it runs on eager tensors, by their types (see `ir.eager`)
        self.guards: tuple[Callable[..., Tensor] | None, ...] | None = None
        self.guards_last = False
        self.vjps: tuple[VJP | None, ...] | None = None
        self.vjp_all: VJP | None = None
        self.element_rule: Callable[..., Any] | None = None
        self.__name__ = name
        self.__doc__ = doc
        self.__signature__ = _signature(operands, variadic, self.attributes)

    # --- declaration -------------------------------------------------------------------------------------------------

    def defvjp(self, *vjps: VJP | None) -> None:
        """One function `(g, out, *operands, **attributes) -> cotangent` per operand; None where there is no gradient."""
        assert len(vjps) == len(self.operands), f"{self.name}: {len(vjps)} VJPs for operands {self.operands}"
        self.vjps = vjps

    def defvjp_all(self, vjp: VJP) -> VJP:
        """One function that returns the cotangents of all operands, for ops with any number of them, or of results.

        It is called with `(g, out, *operands, **attributes)`; where there are several results, `g` and `out` are tuples, and the
        cotangent of a result from which nothing flows is None.
        """
        self.vjp_all = vjp
        return vjp

    def defguard(self, *guards: Callable[..., Tensor] | None, lasting: bool = False) -> None:
        """One function `(out, *operands) -> bool tensor` per operand of an op that selects: where the operand is taken at all.

        `lasting` guards are kept past reductions (see `autodiff.backward`).
        """
        assert len(guards) == len(self.operands)
        self.guards = guards
        self.guards_last = lasting

    def element(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator for the element rule `(index, *readers, **attributes) -> Expr`."""
        self.element_rule = rule
        return rule

    def called_back(self, operands: Sequence[Tensor]) -> bool:
        """Has it no kernel for these operands, so that a run calls the reference back?"""
        return self.host if isinstance(self.host, bool) else self.host([t.type for t in operands])

    def cotangents(self, g: Any, node: Node) -> Sequence[Any]:
        """What flows back to each operand of `node`; None where nothing does. `g` is a tuple where there are several results."""
        if len(node.types) > 1:
            assert self.vjp_all is not None
            return self.vjp_all(g, node.outputs, *node.inputs, **node.attrs)
        if self.vjp_all is not None:
            return self.vjp_all(g, node.output, *node.inputs, **node.attrs)
        assert self.vjps is not None
        return [None if vjp is None else vjp(g, node.output, *node.inputs, **node.attrs) for vjp in self.vjps]

    # --- use ----------------------------------------------------------------------------------------------------------

    def __call__(self, *operands: Any, name: str | None = None, **attributes: Any) -> Any:
        now = local.state
        if now.eager and now.body is None:  # the short way, for what needs no conversion
            for operand in operands:
                if type(operand) is not EagerTensor:
                    ready = self._adopted(operands)
                    break
            else:
                ready = operands
            if ready:
                return execute(self, ready, attributes)
        self.check_count(operands)
        return apply(self, convert_operands(self, operands), bind_attributes(self, attributes), name)

    def check_count(self, operands: Sequence[Any]) -> None:
        """TypeError for another number of operands than the op takes."""
        if not self.variadic and len(operands) != len(self.operands):
            raise TypeError(f"{self.name}{self.__signature__} takes {len(self.operands)} operands, not {len(operands)}")

    def _adopted(self, operands: Sequence[Any]) -> tuple[EagerTensor, ...] | None:
        """Eager tensors, variables and Python numbers as eager tensors; None where the general rule must say what they are."""
        found: list[Any] = []
        dtype = None
        for operand in operands:
            kind = type(operand)
            if kind is not EagerTensor and kind is not float and kind is not int:
                operand = as_tensor_or_none(operand)
                if type(operand) is not EagerTensor:
                    return None
            if type(operand) is EagerTensor:
                dtype = operand.dtype
            found.append(operand)
        if dtype is None or not self.adopts:
            return None
        for k, operand in enumerate(found):
            if type(operand) is not EagerTensor:
                found[k] = adopt(operand, dtype)
                if found[k] is None:
                    return None
        return tuple(found)

    def infer(
        self, types: tuple[TensorType, ...], attributes: Mapping[str, Any], operands: Sequence[Any] = ()
    ) -> tuple[tuple[TensorType, ...], tuple[Constraint, ...]]:
        """The result types of an application, and what a run must check of the sizes."""
        _inference.constraints = []
        try:
            result = self.type_rule(*types, **attributes)
        except TypeRuleError as error:
            if error.operands or not operands:
                raise
            labels = self.operands if not self.variadic else [f"operand {i}" for i in range(len(operands))]
            raise type(error)(
                f"{self.name}: {error.headline}", operands=dict(zip(labels, operands, strict=False)), rule=error.rule
            ) from None
        constraints = tuple(_inference.constraints)
        return (result if isinstance(result, tuple) else (result,)), constraints

    def __repr__(self) -> str:
        return f"<op {self.name}{self.__signature__}>"


class _Inference(threading.local):
    def __init__(self) -> None:
        self.constraints: list[Constraint] = []


_inference = _Inference()


def require(kind: str, a: AnySize, b: AnySize, text: str) -> None:
    """Note, inside a type rule, a relation of sizes that only a run can check."""
    _inference.constraints.append(Constraint(kind, a, b, text))


def _signature(operands: tuple[str, ...], variadic: bool, attributes: Mapping[str, Any]) -> inspect.Signature:
    kind = inspect.Parameter.VAR_POSITIONAL if variadic else inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in operands]
    parameters += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in attributes.items()]
    return inspect.Signature(parameters)


def bind_attributes(op: Op, given: Mapping[str, Any]) -> Attrs:
    """All attributes of an application, defaults filled in, sorted by name."""
    unknown = given.keys() - op.attributes.keys()
    if unknown:
        raise TypeError(f"{op.name}{op.__signature__} has no attribute {', '.join(sorted(unknown))}")
    merged = {**op.attributes, **given}
    missing = [name for name, value in merged.items() if value is inspect.Parameter.empty]
    if missing:
        raise TypeError(f"{op.name}{op.__signature__} needs {', '.join(missing)}")
    return tuple(sorted((name, hashable(value)) for name, value in merged.items()))


def hashable(value: Any) -> Any:
    """An attribute as it is kept: lists become tuples, arrays literals, NumPy integers ints."""
    if isinstance(value, list | tuple):
        return tuple(hashable(v) for v in value)
    if isinstance(value, np.ndarray):
        return Literal(value)
    if isinstance(value, np.integer):
        return int(value)
    return value


def apply(op: Op, operands: tuple[Tensor, ...], attributes: Attrs, name: str | None = None) -> Any:
    """The result of `op` on tensors: a new node's output, or its outputs where there are several."""
    if runs_now(operands, attributes):
        return execute(op, tuple(map(as_eager, operands)), dict(attributes))
    graph = graph_of(op, operands)
    if state().detached and op.differentiable and graph is not building_scratch():
        operands = tuple(_OPERATORS["detached"](t) if t.dtype.is_differentiable and t.op is not CONSTANT else t for t in operands)
    types, constraints = op.infer(tuple(t.type for t in operands), dict(attributes), operands)
    node = graph.add(op, operands, attributes, types, constraints, name)
    return node.output if len(types) == 1 else node.outputs


def runs_now(operands: Sequence[Tensor], attributes: Attrs) -> bool:
    """Is every operand, and every size among the attributes, known, and are we not building a graph of constants?"""
    if building_scratch() is not None or not all(isinstance(t, EagerTensor) or t.op is CONSTANT for t in operands):
        return False
    now = state().eager or (traced_graph() is None and any(map(is_value, operands)))
    return now and not any(attribute_dims(value) for _, value in attributes)


def graph_of(op: Op, operands: Sequence[Tensor]) -> Graph:
    """The graph of the operands, or the default graph; GraphError where they belong to different ones."""
    pass_graph = building_scratch()
    if pass_graph is not None:
        return pass_graph
    found: Graph | None = None
    for tensor in operands:
        if is_value(tensor) and not get_default_graph().takes_values:
            symbolic = next((t for t in operands if not isinstance(t, EagerTensor)), tensor)
            raise ModeError(
                f"{op.name} of a symbolic and an eager tensor",
                operands={"symbolic": symbolic, "eager": tensor},
                rule="Feed the value through a placeholder, make it a constant with gf.constant(x.numpy()), or run both in a "
                "gf.function.",
            )
        if tensor.graph is None or tensor.graph is found or tensor.graph.temporary:
            continue
        if found is not None:
            raise GraphError(
                f"{op.name}: operands belong to different graphs",
                operands=dict(zip(op.operands if not op.variadic else map(str, range(len(operands))), operands, strict=False)),
                rule=belonging(operands),
            )
        found = tensor.graph
    return found or get_default_graph()


def belonging(operands: Sequence[Tensor]) -> str:
    """What to do about operands of different graphs."""
    for tensor in operands:
        function = getattr(tensor.graph, "function", None)
        if function is not None and tensor.graph is not get_default_graph():
            return f"{tensor.name} was made while {function} was traced, and means nothing outside of it: return it from there."
    return "Build what belongs together inside one `with graph.as_default():`."


# --- literals -------------------------------------------------------------------------------------------------------------


def constant_node(array: np.ndarray, dtype: DType, name: str = "constant") -> Tensor:
    """The tensor of a constant; it belongs to every graph."""
    assert CONSTANT is not None, "graphflow.ops declares the constant op"
    tensor = EagerTensor(Literal(array).array, dtype, constant=True)
    if not state().eager:
        location = user_location() if building_scratch() is None else _NOWHERE
        tensor._node = source_node(tensor, name, location)
    return tensor


CONSTANT: Op | None = None  # set by graphflow.ops.source
VALUE: Op | None = None  # likewise: an eager tensor that is no constant, in what is being traced
_NOWHERE = user_location()

_converters: list[tuple[type, Callable[[Any], Tensor]]] = []


def register_conversion(kind: type, convert: Callable[[Any], Tensor]) -> None:
    """Let operands of class `kind` (a Variable) be used as tensors."""
    _converters.append((kind, convert))


def convert_operands(op: Op, operands: Sequence[Any]) -> tuple[Tensor, ...]:
    """Operands as tensors; Python numbers and lists adopt the dtype of the tensors beside them."""
    labels = op.operands if not op.variadic else op.operands * len(operands)
    found = [as_tensor_or_none(x) for x in operands]
    shared = next((t.dtype for t, label in zip(found, labels, strict=True) if t is not None and label in op.common), None)
    if shared is None:
        shared = widest_literal(
            [x for x, t, label in zip(operands, found, labels, strict=True) if t is None and label in op.common]
        )
    result = []
    for operand, tensor, label in zip(operands, found, labels, strict=True):
        if tensor is None:
            try:
                tensor = literal(operand, shared if label in op.common else None)
            except GraphflowError as error:
                others = {f"{k}": t for k, t in zip(labels, found, strict=True) if t is not None}
                raise type(error)(f"{op.name}: operand {label}: {error.headline}", operands=others, rule=error.rule) from None
        result.append(tensor)
    return tuple(result)


def as_tensor_or_none(value: Any) -> Tensor | None:
    """`value` as a tensor where its dtype is its own; None for Python numbers and lists of them."""
    if isinstance(value, Tensor):
        return value
    for kind, convert in _converters:
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, np.ndarray) or (isinstance(value, np.generic) and not isinstance(value, float | complex)):
        return constant(value)
    if isinstance(value, list | tuple) and _contains_tensor(value):
        return _operators_stack(value)
    if isinstance(value, Size):
        return _size_tensor(value)
    return None


def _contains_tensor(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_contains_tensor(v) for v in value)
    return isinstance(value, Tensor | Size) or any(isinstance(value, kind) for kind, _ in _converters)


def _operators_stack(value: Any) -> Tensor:
    return _OPERATORS["stack"](value)


def _size_tensor(value: Size) -> Tensor:
    return _OPERATORS["size_value"](value)


def widest_literal(values: Sequence[Any]) -> DType | None:
    """The dtype that Python numbers without any tensor beside them get: the widest kind wins."""
    kinds = [_default_dtype(np.asarray(v)) for v in values if _is_number_like(v)]
    order = [bool_, int32, int64, float32, complex64]
    return max(kinds, key=lambda k: order.index(k) if k in order else 99, default=None)


def _is_number_like(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "biufc"
    except (ValueError, TypeError):
        return False


def _default_dtype(array: np.ndarray) -> DType:
    match array.dtype.kind:
        case "b":
            return bool_
        case "i" | "u":
            small = not array.size or (array.min() >= -(2**31) and array.max() < 2**31)
            return int32 if small else int64
        case "f":
            return float32
        case _:
            return complex64


def literal(value: Any, dtype: DType | None) -> Tensor:
    """A Python number or nested list as a constant of `dtype` (by default bool, int32, float32 or complex64)."""
    array = number_array(value)
    target = dtype or _default_dtype(array)
    source = array.dtype.kind
    allowed = {"b": "bool", "i": "int uint float complex", "u": "int uint float complex", "f": "float complex", "c": "complex"}
    if target.kind not in allowed[source].split():
        shown = repr(value) if array.ndim == 0 else f"a list of {array.dtype}"
        raise DTypeError(f"{shown} does not fit {target}", rule=f"Cast one side: gf.cast(x, gf.{_default_dtype(array)}).")
    if target.is_integer and array.size and (int(array.min()) < int(target.min) or int(array.max()) > int(target.max)):
        raise DTypeError(f"{value!r} is outside the range of {target}", rule=f"{target} holds {target.min} to {target.max}.")
    return constant_node(array.astype(target.numpy), target)


def number_array(value: Any) -> np.ndarray:
    """The array of a Python number or nested list; DTypeError for texts, objects and ragged lists."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise DTypeError(f"{_shorten(value)} is no array of numbers: {error}") from None
    if array.dtype.kind not in "biufc":
        what = {"U": "a text", "S": "bytes", "O": "an object"}.get(array.dtype.kind, f"of dtype {array.dtype}")
        raise DTypeError(
            f"{_shorten(value)} is {what}, not a number", rule="Operands are tensors, numbers, or arrays of numbers."
        )
    return array


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str = "constant") -> Tensor:
    """A tensor of fixed values; it has a `.numpy()` at once. Python floats become float32, ints int32, unless `dtype` says."""
    if isinstance(value, Tensor) and value.op is CONSTANT:
        value = value.numpy()
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "biufc" and array.dtype.name != "bfloat16":
            number_array(value)
        own = as_dtype(array.dtype)
        array = array.astype((wanted or own).numpy)
        tensor = constant_node(array, wanted or own, name)
    else:
        tensor = literal(value, wanted)
    if shape is not None:
        array = tensor.numpy()
        array = np.broadcast_to(array.reshape(shape) if array.size == int(np.prod(shape)) else array, tuple(shape))
        tensor = constant_node(np.ascontiguousarray(array).reshape(tuple(shape)), tensor.dtype, name)
    return tensor


def convert_to_tensor(value: Any, dtype: Any = None) -> Tensor:
    """`value` as a tensor: itself, a variable's value, or a constant."""
    tensor = as_tensor_or_none(value)
    wanted = None if dtype is None else as_dtype(dtype)
    if tensor is None:
        return literal(value, wanted)
    if wanted is not None and tensor.dtype != wanted:
        raise DTypeError(
            f"{tensor.name} is {tensor.dtype}, not {wanted}", operands={"value": tensor}, rule=f"Use gf.cast(x, gf.{wanted})."
        )
    return tensor
