"""The adapters: from a workload to a step that can be timed, in each framework as its own manual advises.

An adapter module has `build(workload, threads, variant)`, which gives a `Program`. It imports its framework when it is
itself imported, in a worker process of its own; ImportError means that the framework is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FRAMEWORKS = {  # name on the command line -> (adapter module, variant)
    "graphflow": ("graphflow", ""),
    "jax": ("jax", ""),
    "torch": ("torch", "eager"),
    "torch-compile": ("torch", "compile"),
    "tf-session": ("tensorflow", "session"),
    "tf-function": ("tensorflow", "function"),
    "pytensor": ("pytensor", ""),
    "numba": ("numba", ""),
}
BY_HAND = "numba"  # no peer but the measure: a loop and its derivative as somebody writes them who has the time


@dataclass(frozen=True)
class Program:
    """A workload in a framework, ready to run."""

    step: Callable[[], None]  # one step; when it returns, all its results are there
    results: Callable[[], dict[str, np.ndarray]]  # of the latest step: outputs, gradients, and what it left behind
    version: str
    compiled: Callable[[], int | None] = lambda: None  # kernels or programs compiled so far in this process
