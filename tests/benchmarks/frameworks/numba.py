"""Workloads written by hand in numba, with derivatives derived by hand: no framework, but what one is measured against."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Workload


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The compiled function of the workload; parameters are updated where there is a learning rate."""
    numba.set_num_threads(threads)
    arrays = workload.arrays()
    function = workload.numba(numba)
    values = list(arrays.values())
    kept = [arrays[name] for name in workload.kept]
    gradients = [] if workload.updates else [f"gradient of {name}" for name in workload.parameters]
    names = list(workload.outputs) or ["loss", *gradients]
    latest: list[Any] = []

    def step() -> None:
        latest[:] = function(*values)
        for value, gradient in zip(kept, latest[1:], strict=False):
            value -= workload.learning_rate * gradient

    def results() -> dict[str, np.ndarray]:
        found = dict(zip(names, latest, strict=False))
        return {name: np.array(value) for name, value in {**found, **{n: arrays[n] for n in workload.kept}}.items()}

    return Program(step, results, numba.__version__)
