"""The values of eager variables as compiled functions see them.

A run may write the next value of a variable over its array. That must be invisible: whoever was given a tensor of the value, or
an array or a view of that, keeps what it had. So before such a run the variable gets an array of its own, by a copy, unless it
has one that nobody else refers to.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from graphflow.ops.state import VALUES, EagerVariable
from graphflow.runtime.binding import _REFERENCES, aligned_copy
from graphflow.runtime.native import address


class EagerStore:
    """What a `VariableStore` is to a session: here the variables own their values."""

    def __init__(self) -> None:
        self.lock = VALUES
        self.counter = 0  # of random numbers, for the run that holds the lock

    def has(self, variable: EagerVariable) -> bool:
        """Has a variable a value?"""
        return True

    def value(self, variable: EagerVariable) -> np.ndarray:
        """The value of a variable."""
        return variable.array

    def address(self, variable: EagerVariable) -> int:
        """Where the elements of a variable's value start, side by side."""
        found = variable.address
        if found is None:
            array = variable.array
            if not (array.flags.c_contiguous and array.flags.aligned):
                array = variable.array = np.require(array, requirements=["C", "A"])
            found = variable.address = address(array)
        return found

    def assign(self, variable: EagerVariable, array: np.ndarray) -> np.ndarray | None:
        """Give a variable its next value; the one before, if it may be written over once nobody has it."""
        before = variable.array if variable.own else None
        variable.keep(array, own=True)
        variable.address = address(array)
        return before


STORE = EagerStore()


class Snapshot:
    """The values of variables for a run that only reads them: it holds no lock, and whoever writes meanwhile writes elsewhere."""

    lock = nullcontext()
    counter = 0

    def __init__(self, variables: Sequence[EagerVariable]) -> None:
        with STORE.lock:
            self.given = [v.tensor for v in variables]  # as long as it is held, nothing is written over its value
            self.addresses = {v: STORE.address(v) for v in variables}
            self.arrays = [v.array for v in variables]

    def has(self, variable: EagerVariable) -> bool:
        """Has a variable a value?"""
        return variable in self.addresses

    def value(self, variable: EagerVariable) -> np.ndarray:
        """The value of a variable."""
        return self.arrays[list(self.addresses).index(variable)]

    def address(self, variable: EagerVariable) -> int:
        """Where the elements of a variable's value start."""
        return self.addresses[variable]

    def assign(self, variable: EagerVariable, array: np.ndarray) -> np.ndarray | None:
        """Nothing is assigned."""
        raise AssertionError(f"{variable!r} is assigned in a run that reads")


def own(variable: EagerVariable) -> None:
    """Let a variable have its value in an array that nobody else refers to."""
    lent = variable.lent
    shared = lent is not None and sys.getrefcount(lent) > 3  # the variable's, ours, and the argument's
    del lent
    if not shared:
        variable.lent = None
        array = variable.array
        shared = not variable.own or sys.getrefcount(array) > 3 or sys.getrefcount(array.base) > _REFERENCES
    if shared:
        variable.keep(aligned_copy(variable.array), own=True)
    variable.address = address(variable.array)
