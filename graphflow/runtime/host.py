"""Host calls: rows of the launch program that call the NumPy reference of an op back.

The native driver takes such a row for one that moves something: it calls a function with the addresses of the context and of the
row, and goes on at the row that the context then names. Here the function is Python. It runs on the thread of the run, with the
GIL, which is taken for the call alone; several runs may be in one at a time, so it keeps nothing but what was raised.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from graphflow.ir.evaluate import call_reference, numbers
from graphflow.ops.declare import REGISTRY
from graphflow.runtime.launch import Call
from graphflow.types import Dim, TensorType, evaluate

_FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
# Words of a context, see `runtime.driver`.
SLOTS, FAILED, NEXT = 0, 4, 10


class HostCall:
    """What a row calls, for one set of sizes. `raised` gets what it raises, by the address of the context of the run."""

    def __init__(self, call: Call, sizes: Mapping[Dim, int], raised: dict[int, BaseException]) -> None:
        self.reference = REGISTRY[call.op].reference
        self.attributes = {name: numbers(value, sizes) for name, value in call.attributes}
        self.types = call.results
        self.sizes = sizes
        count = len(call.operands)
        self.operands = [(k, *layout(t, sizes)) for k, t in zip(call.slots[:count], call.operands, strict=True)]
        self.results = [(k, *layout(t, sizes)) for k, t in zip(call.slots[count:], call.results, strict=True)]
        self.raised = raised
        self.function = _FUNCTION(self._called)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value or 0

    def _called(self, context: int, _: int, row: int, end: int) -> None:
        words = (ctypes.c_int64 * 16).from_address(context)
        try:
            self._compute(words[SLOTS])
            words[NEXT] = row + 1
        except BaseException as error:  # an interrupt too: nothing passes through native code
            self.raised[context] = error
            words[FAILED] = row + 1
            words[NEXT] = end

    def _compute(self, slots: int) -> None:
        assert self.reference is not None
        operands = [array_at(slots, *place) for place in self.operands]
        found = call_reference(self.reference, operands, self.attributes, self.types, self.sizes)
        for place, value in zip(self.results, found, strict=True):
            array_at(slots, *place)[...] = value


def layout(type_: TensorType, sizes: Mapping[Dim, int]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the dtype of an array."""
    return tuple([evaluate(size, sizes) for size in type_.shape]), type_.dtype.numpy


def array_at(slots: int, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """The array in a slot."""
    address = ctypes.c_int64.from_address(slots + 8 * number).value
    memory = (ctypes.c_char * (math.prod(shape) * dtype.itemsize)).from_address(address)
    return np.ndarray(shape, dtype, memory)  # type: ignore[arg-type]
