"""What NumPy's own functions do with tensors: those that gf.numpy has are run by it, so that tapes see them and graphs grow.

A ufunc comes with a method: a plain call, or `reduce`, `accumulate` and `outer`, which are functions of their own here. A result
is written into an `out` that is a NumPy array; from there no gradient flows. What gf.numpy has not NumPy computes from the
values, where they are known and no tape watches them; else that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from graphflow.errors import ModeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.graph import state
from graphflow.ir.op import as_tensor_or_none, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.numpy import arrays, elementwise, fft, linalg, reductions
from graphflow.ops.movement import reshape
from graphflow.types import DType

NAMES: dict[str, Callable[..., Any]] = {
    name: getattr(module, name) for module in (arrays, elementwise, reductions) for name in module.__all__
}
_FUNCTIONS = {getattr(np, name): function for name, function in NAMES.items() if hasattr(np, name)} | {
    getattr(theirs, name): getattr(ours, name) for theirs, ours in ((np.linalg, linalg), (np.fft, fft)) for name in ours.__all__
}

_REDUCED = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
}  # fmt: skip
_ACCUMULATED = {"add": "cumsum", "multiply": "cumprod"}  # along the first axis, as NumPy's
_SHOWN = frozenset(  # what is no computation: NumPy is given the values
    ["array2string", "array_repr", "array_str", "array_equiv", "can_cast", "common_type", "copyto", "iscomplexobj", "isrealobj",
     "may_share_memory", "min_scalar_type", "result_type", "save", "savetxt", "savez", "savez_compressed", "shares_memory"]
)  # fmt: skip
_COMPARED = frozenset(["allclose", "array_equal", "isclose"])  # of values: NumPy's answer, whatever the two dtypes


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """What NumPy's `ufunc` gives for operands of which one is a tensor."""
    function = _of_ufunc(ufunc, method)
    if function is not None and method == "__call__" and not settings:
        return function(*inputs)
    if function is None:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return _of_values(getattr(ufunc, method), name, inputs, settings)
    out = settings.pop("out", (None,))
    dtype = settings.pop("dtype", None)
    mask = settings.pop("where", True) if method == "__call__" else True
    if method in ("reduce", "accumulate"):
        settings.setdefault("axis", 0)
    if method != "__call__" and dtype is not None:
        settings["dtype"], dtype = dtype, None
    if dtype is not None:
        inputs = tuple(arrays.asarray(x, dtype) for x in inputs)
    found = function(*inputs, **settings)
    if mask is not True and out[0] is None:
        raise ModeError(
            f"np.{ufunc.__name__}: where= without out=", rule="np.where(mask, result, other) says what stands elsewhere."
        )
    return _written(found, out[0], mask, ufunc.__name__)


def apply_function(function: Any, args: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
    """What NumPy's `function` gives for arguments of which one is a tensor, or a list of them."""
    if function.__name__ in _COMPARED and all(isinstance(x, EagerTensor | np.ndarray | float | int) for x in args):
        return function(*_values(args), **_values(settings))
    own = _FUNCTIONS.get(function)
    if own is None:
        return _of_values(function, function.__name__, args, settings)
    given = dict(settings)
    out = given.pop("out", None)
    return _written(own(*args, **given), out, True, function.__name__)


def _of_values(function: Any, name: str, args: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
    """What NumPy makes of the values, where no gradient is lost by that."""
    tensors = list(_tensors((args, settings)))
    known = all(isinstance(tensor, EagerTensor) for tensor in tensors)
    if known and (name in _SHOWN or all(recorder.watched.isdisjoint(tensors) for recorder in state().recorders)):
        return function(*_values(args), **_values(settings))
    raise ModeError(
        f"np.{name} has no gradient and no graph",
        operands=tensors,
        rule=f"Take the values, through which no gradient flows: np.{name}(np.asarray(x)), or gf.numpy_function in a graph.",
    )


def _tensors(item: Any) -> Iterator[Tensor]:
    """All tensors in a nest."""
    if isinstance(item, tuple | list):
        for part in item:
            yield from _tensors(part)
    elif isinstance(item, Mapping):
        yield from _tensors(list(item.values()))
    else:
        tensor = _tensor(item)
        if tensor is not None:
            yield tensor


def _tensor(item: Any) -> Tensor | None:
    return as_tensor_or_none(item) if hasattr(item, "__array_function__") and not isinstance(item, np.ndarray) else None


def _of_ufunc(ufunc: Any, method: str) -> Callable[..., Any] | None:
    name = ufunc.__name__
    if method == "__call__":
        return NAMES.get(name)
    if method == "outer":
        inner = _of_ufunc(ufunc, "__call__")
        return None if inner is None else lambda x, y: inner(*_opened(x, y))
    table = {"reduce": _REDUCED, "accumulate": _ACCUMULATED}.get(method, {})
    return NAMES.get(table.get(name, ""))


def _opened(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """`x` with an axis of size 1 for each axis of `y`."""
    x, y = convert_to_tensor(x), convert_to_tensor(y)
    return reshape(x, (*x.shape, *(1,) * y.rank)), y


def _written(found: Any, out: Any, mask: Any, name: str) -> Any:
    """`found`, or `out` with it where the mask holds."""
    if out is None:
        return found
    if not isinstance(out, np.ndarray):
        raise ModeError(f"np.{name}: out= is a tensor, whose value never changes", rule="Use what the function returns.")
    if not isinstance(found, EagerTensor):
        raise ModeError(f"np.{name}: a symbolic result has no value to write into out=", rule="Write x = x + y, not x += y.")
    np.copyto(out, found.numpy(), where=mask if mask is True else np.asarray(mask))
    return out


def _values(item: Any) -> Any:
    """Tensors as arrays and dtypes as NumPy's, in a nest."""
    if isinstance(item, tuple | list):
        return type(item)(_values(x) for x in item)
    if isinstance(item, Mapping):
        return {key: _values(x) for key, x in item.items()}
    if isinstance(item, DType):
        return item.numpy
    tensor = _tensor(item)
    return item if tensor is None else tensor.numpy()
