"""`Array`: an eager tensor as the array API standard wants it, with promotion of dtypes and assignment to elements.

An array holds a tensor, which never changes; an assignment gives it another one. So tapes see every value an array ever had, and
the derivative by an array is that by the value it has when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce, wraps
from typing import Any

import numpy as np

from graphflow.array_api import dtypes
from graphflow.eager.modes import eager
from graphflow.errors import DTypeError, ModeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.graph import state
from graphflow.ir.op import as_tensor_or_none, register_conversion
from graphflow.ir.protocols import ArrayValue
from graphflow.ir.tensor import Tensor
from graphflow.ops import math as ops
from graphflow.ops.array import swapaxes
from graphflow.ops.indexing import gather, is_basic, positions_of, set_elements
from graphflow.ops.logic import cast, where
from graphflow.ops.movement import reshape, transpose
from graphflow.types import DType

Function = Callable[..., Any]


# --- between arrays and tensors ----------------------------------------------------------------------------------------


def tensor_of(x: Any) -> EagerTensor:
    """The tensor of an array, an eager tensor or a variable; TypeError for what is none."""
    if type(x) is Array:
        return x.tensor
    tensor = as_tensor_or_none(x)
    if isinstance(tensor, EagerTensor):
        return tensor
    if tensor is not None:
        raise ModeError("gf.array_api is of values", operands={"x": tensor}, rule="gf.numpy has functions of symbolic tensors.")
    raise TypeError(f"{x!r:.60} is no array")


def value(array: Any, dtype: DType | None = None) -> Array:
    """An array of what NumPy computed."""
    array = np.asarray(array)
    return Array(EagerTensor(array, dtypes.as_dtype(array.dtype) if dtype is None else dtype))


def wrapped(found: Any) -> Any:
    """Tensors as arrays, in a tuple or a list, too."""
    if isinstance(found, tuple | list):
        return type(found)(*map(wrapped, found)) if hasattr(found, "_fields") else type(found)(map(wrapped, found))
    return Array(found) if isinstance(found, Tensor) else found


def eagerly(function: Function) -> Function:
    """The function, run in eager mode, and tensors that it returns as arrays."""

    @wraps(function)
    def call(*args: Any, **settings: Any) -> Any:
        now = state()
        if now.eager and now.body is None:
            return wrapped(function(*args, **settings))
        with eager():
            return wrapped(function(*args, **settings))

    return call


# --- promotion ---------------------------------------------------------------------------------------------------------


def promoted(*operands: Any) -> list[EagerTensor]:
    """Arrays and Python numbers as tensors of the dtype that the standard promotes them to."""
    found = [None if isinstance(x, bool | int | float | complex) else tensor_of(x) for x in operands]
    given = [t.dtype for t in found if t is not None]
    if not given:
        raise TypeError("one of the operands must be an array")
    dtype = reduce(dtypes.promote, given)
    for x, tensor in zip(operands, found, strict=True):
        if tensor is None:
            dtype = dtypes.with_number(dtype, x)
    return [
        EagerTensor(np.asarray(x, dtype.numpy), dtype) if t is None else cast(t, dtype)
        for x, t in zip(operands, found, strict=True)
    ]


def binary(op: Function) -> Function:
    """An op of two operands, which are promoted first."""

    def call(x1: Any, x2: Any, /) -> Any:
        if type(x1) is Array and type(x2) is Array and x1.tensor.dtype is x2.tensor.dtype:
            return op(x1.tensor, x2.tensor)
        return op(*promoted(x1, x2))

    return eagerly(call)


# --- elements ----------------------------------------------------------------------------------------------------------


def element(x: EagerTensor, key: Any) -> Tensor:
    """x[key], for any subscript that NumPy takes."""
    return x[key] if is_basic(key) else gather(reshape(x, (-1,)), positions_of(x, key, always=True), 0)


def with_elements(x: EagerTensor, key: Any, given: Any) -> Tensor:
    """`x` with `given`, which broadcasts and whose dtype is promoted to that of `x`, at x[key]."""
    if isinstance(given, bool | int | float | complex):
        dtypes.with_number(x.dtype, given, adopt=True)
        return set_elements(x, key, EagerTensor(np.asarray(given, x.dtype.numpy), x.dtype))
    update = tensor_of(given)
    if dtypes.promote(x.dtype, update.dtype) != x.dtype:
        raise DTypeError(f"elements of {x.dtype} given {update.dtype}", operands={"x": x, "value": update})
    return set_elements(x, key, cast(update, x.dtype))


# --- the class ---------------------------------------------------------------------------------------------------------


class Array(ArrayValue):
    """An array of the standard. Operators promote dtypes; functions and tapes of graphflow take it like a tensor.

    Assignment to elements and `x += y` give it another value; whoever has a view of the old one keeps that.
    """

    __slots__ = ("__weakref__", "tensor")
    __hash__ = object.__hash__

    def __init__(self, tensor: Any) -> None:
        self.tensor: EagerTensor = tensor

    @property
    def array(self) -> np.ndarray:  # type: ignore[override]
        return self.tensor.array

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.tensor.dtype

    @property
    def type(self) -> Any:
        return self.tensor.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.tensor.rank

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.tensor.array.size

    @property
    def T(self) -> Array:
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise ValueError(f"T of rank {self.ndim}: it is of matrices; use mT, or permute_dims")
        return _transposed(self)

    @property
    def mT(self) -> Array:
        """Each matrix transposed."""
        if self.ndim < 2:
            raise ValueError(f"mT of rank {self.ndim}: it is of matrices")
        return _swapped(self)

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        return namespace(api_version)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        own = _of_ufunc(ufunc) if method == "__call__" and not settings else None
        if own is None:
            return wrapped(_tensor_method("__array_ufunc__", self, ufunc, method, *map(_plain, inputs), **settings))
        return own(*map(_plain, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        return wrapped(_tensor_method("__array_function__", self, function, types, args, settings))

    def __reduce__(self) -> Any:
        return Array, (self.tensor,)

    def __copy__(self) -> Array:
        return Array(self.tensor)

    def __deepcopy__(self, memo: Any) -> Array:
        return Array(self.tensor)

    def __repr__(self) -> str:
        return self._shown("Array")

    def __getitem__(self, key: Any, /) -> Array:
        return _element(self.tensor, key)

    def __setitem__(self, key: Any, given: Any, /) -> None:  # type: ignore[override]
        self.tensor = _with_elements(self.tensor, key, given).tensor

    def __pos__(self, /) -> Array:
        return Array(self.tensor)


def namespace(api_version: str | None = None) -> Any:
    """The module `graphflow.array_api`, which follows version 2024.12 of the standard and those before."""
    from graphflow import array_api

    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"no array API of version {api_version!r}; it is 2024.12")
    return array_api


@cache
def _of_ufunc(ufunc: Any) -> Function | None:
    """The namespace's function for one of NumPy's, which has the standard's names beside its own."""
    names = namespace()
    return next((getattr(names, name) for name in names.__all__ if getattr(np, name, None) is ufunc), None)


@eagerly
def _tensor_method(name: str, array: Array, *args: Any, **settings: Any) -> Any:
    return getattr(array.tensor, name)(*args, **settings)


def _plain(x: Any) -> Any:
    return value(x) if isinstance(x, np.ndarray | np.generic) else x


_element, _with_elements = eagerly(element), eagerly(with_elements)
_transposed = eagerly(lambda x: transpose(x.tensor))
_swapped = eagerly(lambda x: swapaxes(x.tensor, -1, -2))
_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray, Tensor, Array)


def _operator(function: Function, reflected: bool = False) -> Function:
    def method(self: Array, other: Any, /) -> Any:
        if not isinstance(other, _NUMBERS):
            return NotImplemented
        return function(_plain(other), self) if reflected else function(self, _plain(other))

    return method


def _in_place(function: Function) -> Function:
    def method(self: Array, other: Any, /) -> Any:
        found = function(self, _plain(other))
        if found.shape != self.shape or found.dtype != self.dtype:
            raise DTypeError(f"{self.tensor.type} cannot hold {found.tensor.type}", rule="Write x = x + y.")
        self.tensor = found.tensor
        return self

    return method


def _unary(op: Function) -> Function:
    def method(self: Array, /) -> Any:
        return computed(self)

    computed = eagerly(lambda x: op(x.tensor))
    return method


def floor_divide(x: Tensor, y: Tensor) -> Tensor:
    """Elementwise floor of x / y, of infinities, too, where Python has NaN or the quotient of a division with remainder."""
    found = ops.floordiv(x, y)
    if not x.dtype.is_floating:
        return found
    return where(ops.logical_or(ops.is_inf(x), ops.is_inf(y)), ops.floor(ops.divide(x, y)), found)


_INFIX: dict[str, Function] = {
    "add": ops.add, "sub": ops.subtract, "mul": ops.multiply, "truediv": ops.divide, "floordiv": floor_divide, "mod": ops.mod,
    "pow": ops.power, "and": ops.bitwise_and, "or": ops.bitwise_or, "xor": ops.bitwise_xor, "lshift": ops.left_shift,
    "rshift": ops.right_shift,
}  # fmt: skip


def set_matmul(matmul: Function) -> None:
    """Give `@` its meaning."""
    _set_infix("matmul", matmul)


def _set_infix(name: str, function: Function) -> None:
    for method, made in {
        f"__{name}__": _operator(function),
        f"__r{name}__": _operator(function, reflected=True),
        f"__i{name}__": _in_place(function),
    }.items():
        setattr(Array, method, made)


for _name, _op in _INFIX.items():
    _set_infix(_name, binary(_op))
for _name, _op in {
    "eq": ops.equal, "ne": ops.not_equal, "lt": ops.less, "le": ops.less_equal, "gt": ops.greater, "ge": ops.greater_equal,
}.items():  # fmt: skip
    setattr(Array, f"__{_name}__", _operator(binary(_op)))
for _name, _op in {"neg": ops.negative, "abs": ops.absolute, "invert": ops.invert}.items():
    setattr(Array, f"__{_name}__", _unary(_op))

register_conversion(Array, lambda array: array.tensor)
