"""What a value is to the rest of Python: the protocols by which others read an eager tensor without a copy, and Python's own.

An eager tensor never changes, so what others get of its memory cannot be written to, and a copy of it is the tensor itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from graphflow.errors import DTypeError, ModeError, ShapeError

CPU = "cpu"
_DLPACK_CPU = (1, 0)


class ArrayValue:
    """The protocols of something with a value in `array` and a `dtype`."""

    __slots__ = ()
    array: np.ndarray
    dtype: Any

    # --- other libraries ---------------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The value as an array that cannot be written to; no copy."""
        self.array.flags.writeable = False
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.numpy()
        if dtype is not None and value.dtype != dtype:
            if copy is False:
                raise ValueError(f"a tensor of {self.dtype} is no array of {np.dtype(dtype)} without a copy")
            return value.astype(dtype)
        return value.copy() if copy else value

    def __buffer__(self, flags: int) -> memoryview:
        """What `memoryview(tensor)` shows, from Python 3.12 on; before, take `memoryview(tensor.numpy())`. No copy."""
        return self.numpy().data

    @property
    def device(self) -> str:
        """Where the value is: "cpu"."""
        return CPU

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The tensor itself, for the device that it is on."""
        if device != CPU or stream is not None:
            raise ModeError(f"no device {device!r}", rule='There is one device, "cpu", without streams.')
        return self

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if max_version is None or max_version[0] < 1:  # that protocol has no word for memory that is only read
            array = _seen_as_writable(array)
        return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DLPACK_CPU

    # --- Python's numbers --------------------------------------------------------------------------------------------------

    def item(self, *index: int) -> Any:
        """The only element as a Python number, or the one at `index`."""
        if not index and self.array.size != 1:
            raise ShapeError(f"item: {self.array.size} elements", operands={"tensor": self}, rule="Index one: x.item(0, 2).")
        return self._wide().item(*index)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._wide().tolist()

    def _wide(self) -> np.ndarray:
        """The value in a dtype that Python's numbers come from."""
        return self.array.astype(np.float32) if self.dtype.name == "bfloat16" else self.array

    def _scalar(self, what: str) -> Any:
        if self.array.ndim:
            raise ShapeError(
                f"{what} of a tensor of rank {self.array.ndim}", operands={"tensor": self}, rule="Index one element."
            )
        return self._wide().item()

    def __bool__(self) -> bool:
        return bool(self.array)

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if not self.dtype.is_integer:
            raise DTypeError(f"a tensor of {self.dtype} is no index", operands={"tensor": self}, rule="An index is an integer.")
        return int(self._scalar("index"))

    def __len__(self) -> int:
        if not self.array.ndim:
            raise ShapeError("len of a tensor without axes", operands={"tensor": self})
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        if not self.array.ndim:
            raise ShapeError("iteration over a tensor without axes", operands={"tensor": self})
        return (self[k] for k in range(len(self.array)))  # type: ignore[index]

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.array == np.asarray(value)))

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise ModeError(
            "the value of a tensor never changes",
            operands={"tensor": self},
            rule="Make a new one with gf.where or gf.tensor_scatter_nd_update, keep what changes in a gf.Variable, or use "
            "gf.array_api, whose arrays take assignments.",
        )

    # --- text and copies ---------------------------------------------------------------------------------------------------

    def __format__(self, spec: str) -> str:
        return format(self._scalar("format"), spec) if spec else str(self)

    def __str__(self) -> str:
        return str(self.array)

    def __repr__(self) -> str:
        return self._shown("gf.Tensor")

    def _shown(self, name: str) -> str:
        """The value as NumPy shows it, between `name(` and what is known besides."""
        body = np.array2string(self.array, separator=", ", prefix=f"{name}(")
        shape = f", shape={self.array.shape}" if not self.array.size and self.array.shape != (0,) else ""
        return f"{name}({body}{shape}, dtype={self.dtype}, device={self.device})"

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class _Memory:
    """The memory of an array under another flag; it keeps the array alive."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.__array_interface__["data"][0], False)}


def _seen_as_writable(array: np.ndarray) -> np.ndarray:
    return np.asarray(_Memory(array))
