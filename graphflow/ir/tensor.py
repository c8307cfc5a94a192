"""Nodes and tensors: what a user builds and what the compiler rewrites.

A node is one application of an op; it has one result or several. A tensor is one result: a node and an index. Both are
immutable and compare by identity; equal-looking nodes are merged by the CSE pass, not by magic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from graphflow.errors import ModeError, UnknownSizeError
from graphflow.ir.location import SourceLocation
from graphflow.ir.steering import refusal
from graphflow.types import AnySize, DType, Shape, TensorType, dims_of

if TYPE_CHECKING:
    from graphflow.ir.graph import Graph
    from graphflow.ir.op import Op

Attrs = tuple[tuple[str, Any], ...]  # sorted by name, hashable


@dataclass(frozen=True)
class Constraint:
    """A relation between sizes that a run checks: `a == b`, or for `broadcast` also a size of 1."""

    kind: str  # "equal", "broadcast", "divisible", "within"
    a: AnySize
    b: AnySize
    text: str


class Literal:
    """A constant array that compares and hashes by content; read-only."""

    __slots__ = ("_digest", "array")

    def __init__(self, array: np.ndarray) -> None:
        if array.flags.writeable or not array.flags.c_contiguous or array.base is not None:
            array = np.array(array, order="C", copy=True)
            array.setflags(write=False)
        self.array = array
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        if self._digest is None:
            head = f"{self.array.dtype}{self.array.shape}".encode()
            self._digest = hashlib.blake2b(head + self.array.tobytes(), digest_size=16).digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        if self.array.size <= 4:
            return str(self.array.tolist())
        return f"<{self.array.size} values>"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Node:
    """One application of an op to operands; `outputs` are its results."""

    op: Op
    inputs: tuple[Tensor, ...]
    attributes: Attrs
    types: tuple[TensorType, ...]
    name: str
    location: SourceLocation
    number: int  # order of construction, over all graphs
    graph: Graph | None = None  # None for constants, which belong to every graph
    control: tuple[Node, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    twin: Node | None = None  # the forward node whose gradient this node computes
    outputs: tuple[Tensor, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(Tensor(self, i) for i in range(len(self.types))))

    @cached_property
    def attrs(self) -> dict[str, Any]:
        return dict(self.attributes)

    @property
    def type(self) -> TensorType:
        return self.types[0]

    @property
    def output(self) -> Tensor:
        """The first result."""
        return self.outputs[0]

    def __repr__(self) -> str:
        return f"<Node {self.name}: {self.op.name} -> {', '.join(map(str, self.types)) or 'nothing'}>"


class Tensor:
    """A symbolic value: a result of a node. Operators build nodes; `==` is identity (use `gf.equal`)."""

    __slots__ = ("__weakref__", "index", "node")
    __match_args__ = ("op", "inputs")

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index

    @property
    def op(self) -> Op:
        return self.node.op

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.node.inputs

    @property
    def attrs(self) -> dict[str, Any]:
        return self.node.attrs

    @property
    def graph(self) -> Graph | None:
        return self.node.graph

    @property
    def location(self) -> SourceLocation:
        return self.node.location

    @property
    def name(self) -> str:
        return self.node.name if len(self.node.types) == 1 else f"{self.node.name}:{self.index}"

    @property
    def type(self) -> TensorType:
        return self.node.types[self.index]

    @property
    def shape(self) -> Shape:
        """The sizes; an int where it is known, a symbol where a run decides."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return self.type.rank

    ndim = rank

    @property
    def T(self) -> Tensor:
        """The transpose: all axes in reverse order."""
        return operator("transpose")(self)

    @property
    def mT(self) -> Tensor:
        """Each matrix transposed: the last two axes exchanged."""
        return operator("swapaxes")(self, -1, -2)

    @property
    def real(self) -> Tensor:
        """The real part."""
        return operator("real")(self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return operator("imag")(self)

    @property
    def size(self) -> AnySize:
        """The number of elements; a symbol where a run decides."""
        return self.type.size

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> AnySize:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def get_shape(self) -> Shape:
        """The same as `shape`."""
        return self.shape

    def numpy(self) -> np.ndarray:
        """The value of a constant; ModeError for a tensor that only a run can compute."""
        if self.op.name != "constant":
            function = getattr(self.graph, "function", None)
            when = f"while {function} is traced" if function else "before a run"
            rule = "Return it, or give it to gf.py_function." if function else "Fetch it with Session.run."
            raise ModeError(
                f"{self.name} is symbolic and has no value {when}",
                operands={"tensor": self},
                rule=f"{rule} Only constants have a value at once.",
            )
        return self.attrs["value"].array

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value in `session`, or in the default session."""
        return operator("eval")(self, feed_dict, session)

    def __repr__(self) -> str:
        return f"<Tensor {self.name}: {self.type}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return import_module("graphflow.viz.notebook").html(self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        value = self.numpy()
        return value if dtype is None else value.astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        return operator("ufunc")(ufunc, method, inputs, settings)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        return operator("array_function")(function, args, settings)

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce__(self) -> Any:
        raise ModeError(f"{self.name} is symbolic: it is a place in a graph, and has nothing to be pickled")

    def __bool__(self) -> bool:
        if self.op.name == "constant":
            return bool(self.numpy())
        headline, remedy = refusal(self)
        rule = f"A symbolic tensor cannot steer Python's `if`, `while`, `and`, `or`. {remedy}"
        raise ModeError(headline, operands={"tensor": self}, rule=rule)

    def __iter__(self) -> Iterator[Tensor]:
        rule = "Iteration needs a first axis of known size; index or slice the tensor, or use gf.scan or gf.map_fn."
        if not self.shape:
            raise ModeError(f"cannot iterate over {self.name}: its first axis is missing", operands={"tensor": self}, rule=rule)
        if not isinstance(self.shape[0], int):
            raise UnknownSizeError(
                f"cannot iterate over {self.name}: its first axis is known at run time only",
                dims_of(self.shape[0]),
                operands={"tensor": self},
                rule=rule,
            )
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        if not self.shape:
            raise ModeError(f"len({self.name}): it is a scalar", operands={"tensor": self})
        if not isinstance(self.shape[0], int):
            headline = f"len({self.name}) is not known before a run"
            raise UnknownSizeError(headline, dims_of(self.shape[0]), operands={"tensor": self}, rule="Use gf.shape(x)[0].")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Tensor:
        return operator("getitem")(self, key)

    if TYPE_CHECKING:  # set below, from a table

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...

    def __neg__(self) -> Tensor:
        return operator("negative")(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return operator("abs")(self)

    def __invert__(self) -> Tensor:
        return operator("invert")(self)


_OPERATORS: dict[str, Callable[..., Any]] = {}  # filled by graphflow.ops: this module stands below the ops


def operator(name: str) -> Callable[..., Any]:
    """What `set_operators` said under `name`."""
    return _OPERATORS[name]


def set_operators(table: dict[str, Callable[..., Any]]) -> None:
    """Give the operators and methods of `Tensor` their ops."""
    _OPERATORS.update(table)


def set_methods(table: dict[str, Callable[..., Any]]) -> None:
    """Give `Tensor` methods: functions whose first argument is the tensor."""
    for name, function in table.items():
        setattr(Tensor, name, function)


def _binary(name: str, reflected: bool) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        return _OPERATORS[name](other, self) if reflected else _OPERATORS[name](self, other)

    return method


_INFIX = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floordiv", "mod": "mod",
    "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
for _python, _name in _INFIX.items():
    setattr(Tensor, f"__{_python}__", _binary(_name, reflected=False))
    setattr(Tensor, f"__r{_python}__", _binary(_name, reflected=True))
for _python, _name in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(Tensor, f"__{_python}__", _binary(_name, reflected=False))
