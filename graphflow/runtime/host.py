"""Host calls: rows of the launch program that call the NumPy reference of an op back.

The native driver takes such a row for one that moves something: it calls a function with the addresses of the context and of the
row, and goes on at the row that the context then names. Here the function is Python. It runs on the thread of the run, with the
GIL, which is taken for the call alone; several runs may be in one at a time, so it keeps nothing but what was raised.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from graphflow.ir.evaluate import numbers
from graphflow.ops.declare import REGISTRY
from graphflow.runtime.launch import Call
from graphflow.types import Dim, TensorType, evaluate

FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)
# Words of a context, see `runtime.driver`.
SLOTS, FAILED, NEXT = 0, 4, 10
_WORDS = ctypes.c_int64 * 16
REMEMBERED = 64  # addresses that a buffer was found at; then all are forgotten


class HostCall:
    """What a row calls, for one set of sizes. `raised` gets what it raises, by the address of the context of the run."""

    def __init__(self, call: Call, sizes: Mapping[Dim, int], raised: dict[int, BaseException]) -> None:
        reference = REGISTRY[call.op].reference
        assert reference is not None
        attributes = {name: numbers(value, sizes) for name, value in call.attributes}
        self.reference: Callable[..., Any] = partial(reference, **attributes) if attributes else reference
        self.single = len(call.results) == 1
        buffers = [Buffer(slot, type_, sizes) for slot, type_ in zip(call.slots, (*call.operands, *call.results), strict=True)]
        self.operands, self.results = buffers[: len(call.operands)], buffers[len(call.operands) :]
        self.addresses = ctypes.c_int64 * (max(call.slots) + 1)
        self.raised = raised
        self.function = FUNCTION(self.called)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value or 0

    def called(self, context: int, _: int, row: int, end: int) -> None:
        """Compute the results of row `row` of a table in a context, and say which row is the next."""
        words = _WORDS.from_address(context)
        try:
            self._compute(self.addresses.from_address(words[SLOTS]))
            words[NEXT] = row + 1
        except BaseException as error:  # an interrupt too: nothing passes through native code
            self.raised[context] = error
            words[FAILED] = row + 1
            words[NEXT] = end

    def _compute(self, addresses: Any) -> None:
        operands = [buffer.read(addresses) for buffer in self.operands]
        with np.errstate(all="ignore"):
            found = self.reference(*operands)
            for buffer, value in zip(self.results, (found,) if self.single else found, strict=True):
                buffer.write(addresses, value)


class Buffer:
    """A slot as an array. Where it is may differ from run to run, so arrays are remembered by address."""

    def __init__(self, slot: int, type_: TensorType, sizes: Mapping[Dim, int]) -> None:
        self.slot = slot
        self.shape = tuple([evaluate(size, sizes) for size in type_.shape])
        self.dtype = type_.dtype.numpy
        self.wide = type_.dtype.compute.numpy if type_.dtype.compute != type_.dtype else None  # references of 16-bit floats
        self.memory = ctypes.c_char * (math.prod(self.shape) * self.dtype.itemsize)
        self.known: dict[int, np.ndarray] = {}

    def array(self, addresses: Any) -> np.ndarray:
        address = addresses[self.slot]
        found = self.known.get(address)
        if found is None:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            memory = self.memory.from_address(address)
            found = self.known[address] = np.ndarray(self.shape, self.dtype, memory)  # type: ignore[arg-type]
        return found

    def read(self, addresses: Any) -> np.ndarray:
        """An operand of the reference, which does not change it."""
        array = self.array(addresses)
        return array if self.wide is None else array.astype(self.wide)

    def write(self, addresses: Any, value: Any) -> None:
        """Put a result where it belongs."""
        assert np.shape(value) == self.shape, f"a reference gave shape {np.shape(value)} for {self.shape}"
        self.array(addresses)[...] = value
