"""The standard's functions that make arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.array_api.array import Array, eagerly, tensor_of, value
from graphflow.array_api.dtypes import DEFAULT_COMPLEX, DEFAULT_FLOAT, DEFAULT_INT
from graphflow.errors import ModeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.op import as_tensor_or_none, number_array
from graphflow.ir.tensor import Tensor
from graphflow.numpy import arrays as names
from graphflow.ops.logic import cast, identity
from graphflow.types import DType, as_dtype, int64, uint64


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ModeError(f"no device {device!r}", rule='There is one device, "cpu".')


def _default(kind: str) -> DType:
    return {"b": as_dtype(bool), "i": DEFAULT_INT, "u": uint64, "f": DEFAULT_FLOAT, "c": DEFAULT_COMPLEX}[kind]


def _of_numbers(array: np.ndarray, dtype: DType | None) -> Array:
    """Python's numbers in `dtype`, or in the default one of their kind; whole numbers that it cannot hold in int64."""
    if dtype is None:
        dtype = _default(array.dtype.kind)
        if dtype == DEFAULT_INT and array.size and (array.min() < int(dtype.min) or array.max() > int(dtype.max)):
            dtype = int64
    return value(array.astype(dtype.numpy), dtype)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    """An array of `obj`: numbers, lists of them and of arrays, arrays, tensors, NumPy's arrays, or what speaks DLPack."""
    _check_device(device)
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(obj, Array) and not copy and wanted in (None, obj.dtype):
        return obj
    if isinstance(obj, np.ndarray | np.generic):
        found = np.asarray(obj)
        target = as_dtype(found.dtype) if wanted is None else wanted
        if copy is False and target.numpy != found.dtype:
            raise ValueError(f"an array of {found.dtype} is none of {target} without a copy")
        return value(found if copy is False else np.array(found, target.numpy), target)
    if as_tensor_or_none(obj) is None and hasattr(obj, "__dlpack__"):
        obj = from_dlpack(obj, copy=copy)
    if isinstance(obj, Array | Tensor) or hasattr(obj, "read_value"):
        return _converted(obj, wanted, copy)
    if copy is False:
        raise ValueError("Python's numbers are no array without a copy")
    if isinstance(obj, list | tuple):
        obj = _with_values(obj)
        if isinstance(obj, np.ndarray):
            return value(obj if wanted is None else obj.astype(wanted.numpy))
    return _of_numbers(number_array(obj), wanted)


def _with_values(nest: Any) -> Any:
    """A nest of lists whose leaves are numbers; an array, where there are arrays among them."""
    if not isinstance(nest, list | tuple):
        return tensor_of(nest).numpy() if not isinstance(nest, bool | int | float | complex | np.generic) else nest
    parts = [_with_values(item) for item in nest]
    return np.stack([np.asarray(x) for x in parts]) if any(isinstance(x, np.ndarray) for x in parts) else parts


@eagerly
def _converted(obj: Any, dtype: DType | None, copy: bool | None) -> Any:
    tensor = tensor_of(obj)
    if dtype is not None and dtype != tensor.dtype:
        if copy is False:
            raise ValueError(f"an array of {tensor.dtype} is none of {dtype} without a copy")
        return cast(tensor, dtype)
    if copy:
        return EagerTensor(tensor.array.copy(), tensor.dtype) if tensor.constant else identity(tensor)
    return tensor


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """An array over the memory of `x`, which speaks DLPack; without a copy unless one is asked for."""
    from graphflow.eager.exchange import from_dlpack as taken

    return Array(taken(x, device=device, copy=copy))


def _sizes(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if hasattr(shape, "__index__") else tuple(int(d) for d in shape)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """An array of `shape` with `fill_value` everywhere."""
    _check_device(device)
    given = asarray(fill_value, dtype=dtype)
    return value(np.full(_sizes(shape), given.array), given.dtype)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """`fill_value` everywhere, in the shape of `x`, and in its dtype unless `dtype` is given."""
    tensor = tensor_of(x)
    return full(tensor.shape, fill_value, dtype=tensor.dtype if dtype is None else dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """An array of `shape` with 0 everywhere."""
    _check_device(device)
    wanted = DEFAULT_FLOAT if dtype is None else as_dtype(dtype)
    return value(np.zeros(_sizes(shape), wanted.numpy), wanted)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """An array of `shape` with 1 everywhere."""
    _check_device(device)
    wanted = DEFAULT_FLOAT if dtype is None else as_dtype(dtype)
    return value(np.ones(_sizes(shape), wanted.numpy), wanted)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """An array of `shape`; of zeros."""
    return zeros(shape, dtype=dtype, device=device)


def zeros_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    """0 everywhere, in the shape of `x`, and in its dtype unless `dtype` is given."""
    tensor = tensor_of(x)
    return zeros(tensor.shape, dtype=tensor.dtype if dtype is None else dtype, device=device)


def ones_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    """1 everywhere, in the shape of `x`, and in its dtype unless `dtype` is given."""
    tensor = tensor_of(x)
    return ones(tensor.shape, dtype=tensor.dtype if dtype is None else dtype, device=device)


def empty_like(x: Any, /, *, dtype: Any = None, device: Any = None) -> Array:
    """An array in the shape of `x`; of zeros."""
    return zeros_like(x, dtype=dtype, device=device)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """start, start + step, ... up to but without `stop`; arange(n) counts from 0."""
    _check_device(device)
    low, high = (0, start) if stop is None else (start, stop)
    if dtype is not None:
        return value(np.arange(low, high, step).astype(as_dtype(dtype).numpy), as_dtype(dtype))
    return _of_numbers(np.arange(low, high, step), None)


def linspace(start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: bool = True) -> Array:
    """`num` numbers at equal distances from `start` to `stop`, which is the last one if `endpoint`."""
    _check_device(device)
    found = np.linspace(start, stop, num, endpoint=endpoint)
    return value(found.astype(as_dtype(dtype).numpy), as_dtype(dtype)) if dtype is not None else _of_numbers(found, None)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    """A matrix with ones on diagonal `k`."""
    _check_device(device)
    wanted = DEFAULT_FLOAT if dtype is None else as_dtype(dtype)
    return value(np.eye(n_rows, n_cols, k, dtype=wanted.numpy), wanted)


@eagerly
def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    """For each vector its elements along an axis of its own, all of one shape; for "xy" the first two axes change places."""
    return names.meshgrid(*map(tensor_of, arrays), indexing=indexing)


@eagerly
def tril(x: Any, /, *, k: int = 0) -> Any:
    """Each matrix with zeros above diagonal `k`."""
    return names.tril(tensor_of(x), k)


@eagerly
def triu(x: Any, /, *, k: int = 0) -> Any:
    """Each matrix with zeros below diagonal `k`."""
    return names.triu(tensor_of(x), k)


__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "meshgrid", "ones",
    "ones_like", "tril", "triu", "zeros", "zeros_like",
]  # fmt: skip
