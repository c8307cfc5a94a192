"""Dtypes in the standard: how they are promoted, what is known of them, and what can be cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.errors import DTypeError
from graphflow.types import DTYPES, DType, as_dtype, complex64, complex128, float32, float64, int32, int64

DEFAULT_FLOAT, DEFAULT_COMPLEX, DEFAULT_INT, INDEX = float32, complex64, int32, int64
_STANDARD = [d for d in DTYPES if d.name not in ("float16", "bfloat16")]
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def promote(a: DType, b: DType) -> DType:
    """The dtype of a result of operands of `a` and `b`; DTypeError where the standard has none."""
    if a == b:
        return a
    kinds = {a.kind, b.kind}
    if kinds <= {"int", "uint"} or kinds <= {"float", "complex"}:
        if "bfloat16" in (a.name, b.name):
            other = a if b.name == "bfloat16" else b
            if other.name != "float16":
                return other
        else:
            found = as_dtype(np.result_type(a.numpy, b.numpy))
            if not kinds <= {"int", "uint"} or found.is_integer:
                return found
    raise DTypeError(f"no dtype holds {a} and {b}", rule="Bools, integers and floats do not mix; use astype.")


def with_number(dtype: DType, number: Any, adopt: bool = False) -> DType:
    """The dtype of a result of an operand of `dtype` and a Python number, which adopts it; DTypeError where it cannot."""
    kind = dtype.kind
    if isinstance(number, bool):
        fits = kind == "bool" or adopt
    elif isinstance(number, int):
        fits = kind != "bool"
        if fits and dtype.is_integer and not int(dtype.min) <= number <= int(dtype.max):
            raise OverflowError(f"{number} is outside the range of {dtype}")
    elif isinstance(number, float):
        fits = kind in ("float", "complex")
    else:
        fits = kind == "complex"
        if kind == "float" and not adopt:
            return complex128 if dtype == float64 else complex64
    if not fits:
        raise DTypeError(f"{number!r} does not fit {dtype}", rule="Use astype first.")
    return dtype


def dtype_of(x: Any) -> DType:
    """The dtype of an array, or the dtype itself."""
    return x if isinstance(x, DType) else as_dtype(getattr(x, "dtype", x))


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of a result of these operands: arrays, dtypes and Python numbers, of which one is no number."""
    numbers = [x for x in arrays_and_dtypes if isinstance(x, bool | int | float | complex)]
    given = [dtype_of(x) for x in arrays_and_dtypes if not isinstance(x, bool | int | float | complex)]
    if not given:
        raise TypeError("result_type of numbers alone")
    dtype = given[0]
    for other in given[1:]:
        dtype = promote(dtype, other)
    for number in numbers:
        dtype = with_number(dtype, number)
    return dtype


def can_cast(from_: Any, to: Any, /) -> bool:
    """Does every value of `from_`, an array or a dtype, have its place in `to`, by the standard's promotion?"""
    try:
        return promote(dtype_of(from_), to) == to
    except DTypeError:
        return False


def isdtype(dtype: Any, kind: Any) -> bool:
    """Is `dtype` of `kind`: "bool", "integral", "real floating", ..., a dtype, or one of several?"""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return as_dtype(dtype).kind in _KINDS[kind]
    if isinstance(kind, str):
        raise ValueError(f"no kind {kind!r}; they are {', '.join(_KINDS)}")
    return bool(as_dtype(dtype) == as_dtype(kind))


@dataclass(frozen=True)
class FloatInfo:
    """What is known of a dtype of floats, or of the parts of complex numbers."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntInfo:
    """What is known of a dtype of integers."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> FloatInfo:
    """What is known of a dtype of floats or complex numbers, or of that of an array."""
    dtype = dtype_of(type).real
    if not dtype.is_floating:
        raise DTypeError(f"finfo of {dtype}")
    info = np.finfo(dtype.numpy) if dtype.name != "bfloat16" else __import__("ml_dtypes").finfo(dtype.numpy)
    return FloatInfo(dtype.bits, float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), dtype)


def iinfo(type: Any, /) -> IntInfo:
    """What is known of a dtype of integers, or of that of an array."""
    dtype = dtype_of(type)
    if not dtype.is_integer:
        raise DTypeError(f"iinfo of {dtype}")
    return IntInfo(dtype.bits, int(dtype.max), int(dtype.min), dtype)


class Info:
    """What the standard's inspection functions say: `__array_namespace_info__()`."""

    def capabilities(self) -> dict[str, Any]:
        """Masks and shapes that depend on data work; there is no bound on the number of axes but NumPy's 64."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """ "cpu"."""
        return "cpu"

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes of what is made of Python's numbers, and of indices."""
        return {
            "real floating": DEFAULT_FLOAT,
            "complex floating": DEFAULT_COMPLEX,
            "integral": DEFAULT_INT,
            "indexing": INDEX,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes by name, all of them or those of `kind`."""
        return {d.name: d for d in _STANDARD if kind is None or isdtype(d, kind)}


__all__ = ["can_cast", "finfo", "iinfo", "isdtype", "result_type"]
