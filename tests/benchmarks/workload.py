"""`Workload`: what is measured, written once for all frameworks, and `Step`, what a workload without a loss gives back.

A workload has NumPy data and, for each framework, one function of that framework's module and a dict of tensors. Either
it returns a loss, which the framework's adapter differentiates by `parameters` (and then updates them, where there is a
`learning_rate`), or it returns a `Step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Step(NamedTuple):
    """What a step without a loss computes: named `outputs`, and the next values of the arrays named in `Workload.state`."""

    outputs: Mapping[str, Any]
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Workload:
    """A step to be measured. A framework whose method is not overridden does not take part."""

    name: str
    what: str

    parameters: ClassVar[tuple[str, ...]] = ()  # arrays by which the loss is differentiated
    learning_rate: ClassVar[float | None] = None  # of the update of the parameters; None: their gradients are results
    optimizer: ClassVar[str] = "gradient descent"  # or "adam"
    given_gradients: ClassVar[Mapping[str, str]] = {}  # parameter -> array that is its gradient: no loss
    state: ClassVar[tuple[str, ...]] = ()  # arrays that a `Step` replaces
    outputs: ClassVar[tuple[str, ...]] = ()  # names of what a `Step` computes, in the order of the function written by hand
    tolerance: ClassVar[float] = 2e-4  # largest difference between frameworks, relative to the largest value
    left_out: ClassVar[Mapping[str, str]] = {}  # framework that does not take part -> why

    def data(self, random: np.random.Generator) -> Arrays:
        """The arrays of the workload, the same in every process."""
        raise NotImplementedError

    def flops(self) -> float:
        """Floating-point operations of the step's matrix products and convolutions; 0 where there are none."""
        return 0.0

    def bytes(self) -> float:
        """Bytes that any implementation has to move: each array is read once, what a step leaves behind is written once."""
        arrays = self.arrays()
        written = [*self.parameters, *self.state]
        if self.optimizer == "adam":
            return sum(a.nbytes for a in arrays.values()) + 5 * sum(arrays[name].nbytes for name in written)
        return sum(a.nbytes for a in arrays.values()) + sum(arrays[name].nbytes for name in written)

    # --- for the adapters ----------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """The data, drawn from the seed that all processes share."""
        return self.data(np.random.default_rng(0))

    @property
    def updates(self) -> bool:
        """Does a step change the parameters?"""
        return self.learning_rate is not None

    @property
    def kept(self) -> tuple[str, ...]:
        """Arrays that live in the framework and change from step to step."""
        return (self.parameters if self.updates else ()) + self.state

    def channels_first(self, name: str, array: np.ndarray) -> np.ndarray:
        """An array in the layout of frameworks that put channels before pixels."""
        return array

    def channels_last(self, name: str, array: np.ndarray) -> np.ndarray:
        """The inverse of `channels_first`."""
        return array

    # --- one function for each framework ---------------------------------------------------------------------------------

    def graphflow(self, gf: Any, p: Mapping[str, Any]) -> Any:
        """The loss, or a `Step`, in graphflow."""
        raise NotImplementedError

    def jax(self, jax: Any, p: Mapping[str, Any]) -> Any:
        """The loss, or a `Step`, in JAX."""
        raise NotImplementedError

    def torch(self, torch: Any, p: Mapping[str, Any]) -> Any:
        """The loss, or a `Step`, in PyTorch."""
        raise NotImplementedError

    def tensorflow(self, tf: Any, p: Mapping[str, Any]) -> Any:
        """The loss, or a `Step`, in TensorFlow."""
        raise NotImplementedError

    def pytensor(self, pt: Any, p: Mapping[str, Any]) -> Any:
        """The loss, or a `Step`, in PyTensor."""
        raise NotImplementedError

    def numba(self, numba: Any) -> Any:
        """A function of the arrays in their order, compiled, that somebody wrote by hand: it returns the loss and the gradients
        by `parameters`, or `outputs`."""
        raise NotImplementedError


def normal(random: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normally distributed float32 numbers."""
    return (random.standard_normal(shape) * scale).astype(np.float32)


def labels(random: np.random.Generator, count: int, classes: int) -> np.ndarray:
    """Class numbers, int32."""
    return random.integers(0, classes, count).astype(np.int32)


def zeros(*shape: int) -> np.ndarray:
    """Zeros, float32."""
    return np.zeros(shape, np.float32)


def ones(*shape: int) -> np.ndarray:
    """Ones, float32."""
    return np.ones(shape, np.float32)
