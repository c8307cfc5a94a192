"""The values of variables in one session."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np

from graphflow.errors import UninitializedVariableError
from graphflow.runtime.native import address


class Store(Protocol):
    """Where a run finds the values of variables, and leaves the next ones."""

    lock: Any  # of runs that read or write variables
    counter: int  # of runs that drew random numbers

    def has(self, variable: Any) -> bool:
        """Has a variable a value?"""

    def value(self, variable: Any) -> np.ndarray:
        """The value of a variable."""

    def address(self, variable: Any) -> int:
        """Where the elements of a variable's value start."""

    def assign(self, variable: Any, array: np.ndarray) -> np.ndarray | None:
        """Give a variable its next value; the array of the one before, if the caller may write to it."""


class VariableStore:
    """Values by variable, with the addresses of their elements; and the number of runs that drew random numbers."""

    def __init__(self) -> None:
        self.values: dict[Any, np.ndarray] = {}
        self.addresses: dict[Any, int] = {}
        self.counter = 0
        self.lock = threading.RLock()

    def has(self, variable: Any) -> bool:
        """Has a variable a value?"""
        return variable in self.values

    def value(self, variable: Any) -> np.ndarray:
        """The value of a variable; UninitializedVariableError if it has none yet."""
        found = self.values.get(variable)
        if found is None:
            raise uninitialized(variable)
        return found

    def address(self, variable: Any) -> int:
        """Where the elements of a variable's value start; UninitializedVariableError if it has none yet."""
        found = self.addresses.get(variable)
        if found is None:
            raise uninitialized(variable)
        return found

    def assign(self, variable: Any, array: np.ndarray) -> np.ndarray | None:
        """Give a variable its next value, an array that is the store's from now on; the one before is the caller's."""
        before = self.values.get(variable)
        self.addresses[variable] = address(array)
        self.values[variable] = array
        return before

    def clear(self) -> None:
        """Forget all values."""
        self.values.clear()
        self.addresses.clear()


def uninitialized(variable: Any) -> UninitializedVariableError:
    """The error for a variable without a value."""
    return UninitializedVariableError(
        f"variable {variable.name} has no value in this session",
        operands={"variable": variable},
        rule="Run gf.global_variables_initializer() in this session first.",
    )
