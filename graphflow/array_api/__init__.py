"""`gf.array_api`: the Python array API standard, version 2024.12, with its extensions `linalg` and `fft`, on eager tensors.

Its arrays promote dtypes of one kind, which graphflow's tensors do not, and take assignments. Everything runs as it is called, in
either mode, and what has an op is recorded by tapes.
"""

from __future__ import annotations

from math import e, inf, nan, pi  # noqa: F401

from graphflow.array_api import creation, elementwise, fft, functions, linalg
from graphflow.array_api.array import Array, namespace  # noqa: F401
from graphflow.array_api.creation import *  # noqa: F403
from graphflow.array_api.dtypes import Info, can_cast, finfo, iinfo, isdtype, result_type
from graphflow.array_api.elementwise import *  # noqa: F403
from graphflow.array_api.functions import *  # noqa: F403
from graphflow.array_api.linalg import matmul, matrix_transpose, tensordot, vecdot
from graphflow.types import bool_ as bool
from graphflow.types import (
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

__array_api_version__ = "2024.12"
newaxis = None


def __array_namespace_info__() -> Info:
    """What the standard's inspection functions say."""
    return Info()


__all__ = [
    *creation.__all__, *elementwise.__all__, *functions.__all__, "Array", "bool", "can_cast", "complex64", "complex128",
    "fft", "finfo", "float32", "float64", "iinfo", "int8", "int16", "int32", "int64", "isdtype", "linalg", "matmul",
    "matrix_transpose", "result_type", "tensordot", "uint8", "uint16", "uint32", "uint64", "vecdot",
]  # fmt: skip
