"""Workloads in PyTorch: eager, with fused optimizers, and with the loss, or the whole step, under `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Step, Workload


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The workload's step; `variant` is "eager" or "compile"."""
    torch.set_num_threads(threads)
    arrays = {name: workload.channels_first(name, array) for name, array in workload.arrays().items()}
    tensors = {
        name: torch.from_numpy(np.array(a, dtype=np.int64 if a.dtype == np.int32 else a.dtype)) for name, a in arrays.items()
    }
    compile_ = torch.compile if variant == "compile" else lambda function: function
    for name in workload.parameters:
        tensors[name].requires_grad_(True)
    latest: dict[str, Any] = {}
    step = _make_step(workload, tensors, latest, compile_)

    def results() -> dict[str, np.ndarray]:
        found = dict(latest)
        found.update({name: tensors[name] for name in workload.kept})
        values = {name: value.detach().numpy().copy() for name, value in found.items()}
        return {name: workload.channels_last(name, value) for name, value in values.items()}

    return Program(step, results, torch.__version__, _generated if variant == "compile" else lambda: None)


def _tensor(array: np.ndarray) -> Any:
    """A tensor of its own memory; class numbers and indices are int64 here."""
    return torch.from_numpy(np.array(array, dtype=np.int64 if array.dtype == np.int32 else array.dtype))


def _make_step(workload: Workload, tensors: dict[str, Any], latest: dict[str, Any], compile_: Callable) -> Callable[[], None]:
    parameters = [tensors[name] for name in workload.parameters]
    if workload.given_gradients:
        for name, gradient in workload.given_gradients.items():
            tensors[name].grad = tensors[gradient]
        return compile_(_optimizer(workload, parameters).step)
    if not parameters:
        function = compile_(lambda p: workload.torch(torch, p))

        def advance() -> None:
            found = function(tensors)
            assert isinstance(found, Step)
            latest.update(found.outputs)
            tensors.update(found.state)

        return torch.no_grad()(advance)

    loss_of = compile_(lambda: workload.torch(torch, tensors))
    optimizer = _optimizer(workload, parameters) if workload.updates else None

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        loss = loss_of()
        loss.backward()
        latest["loss"] = loss.detach()
        if optimizer is not None:
            optimizer.step()
            return
        latest.update({f"gradient of {name}": tensors[name].grad for name in workload.parameters})

    return step


def _optimizer(workload: Workload, parameters: list[Any]) -> Any:
    """Fused, as the manual advises; not for the sparse gradients of embeddings, which only the plain form takes."""
    if workload.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=workload.learning_rate, fused=True)
    return torch.optim.SGD(parameters, lr=workload.learning_rate, fused=workload.name != "embedding")


def _generated() -> int | None:
    from torch._inductor import metrics

    return metrics.generated_kernel_count
