"""Functions of the user in a graph: `py_function` and `numpy_function` call Python while a program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.graph import next_node_number
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ops.declare import op, public
from graphflow.ops.shapes import shape_tuple
from graphflow.types import DType, Shape, TensorType, as_dtype, format_shape


def _call(*operands: np.ndarray, function: Callable[..., Any], dtypes: Sequence[DType], shapes: Sequence[Any], key: Any) -> Any:
    """What the function returns, as arrays of the dtypes and shapes that were promised."""
    found = function(*[x.copy() for x in operands])
    values = [found] if len(dtypes) == 1 and not isinstance(found, list | tuple) else found
    if not isinstance(values, list | tuple) or len(values) != len(dtypes):
        raise ValueError(f"the function gave {found!r} where {len(dtypes)} results were promised by Tout")
    results = tuple(_promised(*what) for what in zip(values, dtypes, shapes, strict=True))
    return results if len(results) > 1 else results[0]


def _promised(value: Any, dtype: DType, shape: Sequence[int]) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != tuple(shape):
        raise ShapeError(f"the function gave shape {format_shape(array.shape)}, promised was {format_shape(tuple(shape))}")
    if not np.can_cast(array.dtype, dtype.numpy, "same_kind"):
        raise DTypeError(f"the function gave {array.dtype}, promised was {dtype}")
    return array.astype(dtype.numpy)


@op(access=Access.OPAQUE, reference=_call, host=True, effect=True, differentiable=False)
def host_function(*operands, function, dtypes, shapes, key):
    """What a Python function makes of arrays; `key` tells apart calls that are not to be merged."""
    results = tuple(TensorType(tuple(shape), dtype) for dtype, shape in zip(dtypes, shapes, strict=True))
    return results if len(results) > 1 else results[0]


@public
def numpy_function(
    func: Callable[..., Any], inp: Sequence[Any], Tout: Any, stateful: bool = True, shape: Any = None, name: str | None = None
) -> Any:
    """What `func` makes of the values of `inp`, which it gets as NumPy arrays each time a run computes the result.

    `Tout` is the dtype of the result, or a list of the dtypes of several, and `shape` its shape, or a list of theirs, in which
    sizes of tensors may stand: `shape=x.shape`. Without `shape`, results have that of the first operand. `func` runs on the
    thread of the run, with the GIL, and may run in several runs at a time; the arrays are its own. What it raises, the run raises
    as `HostError`, with this line. It has no gradient; `gf.custom_gradient` gives it one. With `stateful=False` equal calls may
    become one. A program with such a function is compiled anew by each process.
    """
    several = isinstance(Tout, list | tuple)
    dtypes = tuple(as_dtype(t) for t in (Tout if several else [Tout]))
    if not dtypes:
        raise DTypeError("Tout is empty", rule="Return something, if only a number: an op computes a tensor.")
    if not callable(func):
        raise DTypeError(f"{func!r} is no function", rule="numpy_function(func, [x, y], gf.float32, shape=x.shape)")
    operands = [convert_to_tensor(x) for x in (inp if isinstance(inp, list | tuple) else [inp])]
    shapes = _shapes(operands, shape, len(dtypes), several)
    key = next_node_number() if stateful else None
    found = host_function(*operands, function=func, dtypes=dtypes, shapes=shapes, key=key, name=name)
    return list(found) if several and len(dtypes) > 1 else [found] if several else found


def _shapes(operands: Sequence[Any], shape: Any, count: int, several: bool) -> tuple[Shape, ...]:
    if shape is None:
        if not operands:
            raise ShapeError("the shape of the result is not known", rule="Give `shape`.")
        return (operands[0].shape,) * count
    if not several:
        return (shape_tuple(shape, "shape"),)
    if len(shape) != count:
        raise ShapeError(f"{len(shape)} shapes for {count} results")
    return tuple(shape_tuple(s, "shape") for s in shape)


@public
def py_function(func: Callable[..., Any], inp: Sequence[Any], Tout: Any, shape: Any = None, name: str | None = None) -> Any:
    """What `func` makes of the values of `inp`; as `numpy_function`, under TensorFlow's other name."""
    return numpy_function(func, inp, Tout, shape=shape, name=name)
