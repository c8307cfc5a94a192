"""Workloads in PyTensor's numba mode: parameters and state are shared variables, inputs are trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Step, Workload


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The workload's step as a `pytensor.function`."""
    arrays = workload.arrays()
    if any(array.dtype == np.float64 for array in arrays.values()):
        pytensor.config.floatX = "float64"  # what numbers in a formula are taken for
    shared = {name: pytensor.shared(arrays[name].copy(), name=name, shape=arrays[name].shape) for name in workload.kept}
    fed = {
        name: pt.tensor(name, dtype=str(array.dtype), shape=array.shape) for name, array in arrays.items() if name not in shared
    }
    outputs, updates = _outputs(workload, {**fed, **shared}, shared)
    names = list(outputs)
    call = pytensor.function(
        list(fed.values()), [outputs[name] for name in names], updates=updates, mode="NUMBA", on_unused_input="ignore"
    )
    call.trust_input = True
    values = [arrays[name] for name in fed]
    latest: list[Any] = []

    def step() -> None:
        latest[:] = call(*values)

    def results() -> dict[str, np.ndarray]:
        found = dict(zip(names, latest, strict=True))
        found.update({name: variable.get_value() for name, variable in shared.items()})
        return {name: np.asarray(value) for name, value in found.items()}

    return Program(step, results, pytensor.__version__)


def _outputs(workload: Workload, p: dict[str, Any], shared: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
    """(named results, pairs of a shared variable and its next value)."""
    if workload.given_gradients:
        return {}, _adam(workload, {shared[name]: p[g] for name, g in workload.given_gradients.items()})
    found = workload.pytensor(pt, p)
    if isinstance(found, Step):
        return dict(found.outputs), [(shared[name], value) for name, value in found.state.items()]
    gradients = dict(zip(workload.parameters, pt.grad(found, [p[name] for name in workload.parameters]), strict=True))
    if workload.updates:
        rate = {name: np.asarray(workload.learning_rate, shared[name].dtype) for name in gradients}
        return {"loss": found}, [(shared[name], shared[name] - rate[name] * g) for name, g in gradients.items()]
    return {"loss": found, **{f"gradient of {name}": g for name, g in gradients.items()}}, []


def _adam(workload: Workload, gradients: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Adam of Kingma and Ba; PyTensor has no optimizers of its own."""
    beta1, beta2, epsilon = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    one, rate = np.float32(1), np.float32(workload.learning_rate)
    count = pytensor.shared(np.float32(0), name="count")
    updates = [(count, count + one)]
    scaled = rate * pt.sqrt(one - beta2 ** (count + one)) / (one - beta1 ** (count + one))
    for parameter, gradient in gradients.items():
        m, v = (pytensor.shared(np.zeros_like(parameter.get_value())) for _ in range(2))
        next_m = beta1 * m + (one - beta1) * gradient
        next_v = beta2 * v + (one - beta2) * gradient * gradient
        updates += [(m, next_m), (v, next_v), (parameter, parameter - scaled * next_m / (pt.sqrt(next_v) + epsilon))]
    return updates
