"""Workloads in JAX: one `jit` for the whole step, state donated, data on the device, `block_until_ready` at the end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Step, Workload

_compilations: list[float] = []


def _listen(event: str, seconds: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compilations.append(seconds)


jax.monitoring.register_event_duration_secs_listener(_listen)


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The workload's step, jitted. The number of threads follows from the processors the worker may use."""
    jax.config.update("jax_enable_x64", any(array.dtype == np.float64 for array in workload.arrays().values()))
    arrays = {name: jnp.asarray(array) for name, array in workload.arrays().items()}
    state = {name: arrays[name] for name in workload.kept}
    if workload.optimizer == "adam":
        state["optimizer"] = {
            "step": jnp.zeros((), jnp.int32),
            "m": {name: jnp.zeros_like(arrays[name]) for name in workload.parameters},
            "v": {name: jnp.zeros_like(arrays[name]) for name in workload.parameters},
        }
    data = {name: array for name, array in arrays.items() if name not in state}
    function = jax.jit(lambda state, data: _step(workload, state, data), donate_argnums=(0,) if state else ())
    latest: dict[str, Any] = {"state": state, "outputs": {}}

    def step() -> None:
        latest["outputs"], latest["state"] = found = function(latest["state"], data)
        for array in jax.tree.leaves(found):
            array.block_until_ready()

    def results() -> dict[str, np.ndarray]:
        found = {**latest["outputs"], **{name: latest["state"][name] for name in workload.kept}}
        return {name: np.array(value) for name, value in found.items()}

    return Program(step, results, jax.__version__, lambda: len(_compilations))


def _step(workload: Workload, state: dict[str, Any], data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(outputs, next state)."""
    if workload.given_gradients:
        return {}, _adam(workload, state, {name: data[g] for name, g in workload.given_gradients.items()})
    if not workload.parameters:
        found = workload.jax(jax, {**state, **data})
        assert isinstance(found, Step)
        return dict(found.outputs), dict(found.state)
    parameters = {name: {**state, **data}[name] for name in workload.parameters}
    loss, gradients = jax.value_and_grad(lambda q: workload.jax(jax, {**state, **data, **q}))(parameters)
    if workload.updates:
        return {"loss": loss}, {name: value - workload.learning_rate * gradients[name] for name, value in parameters.items()}
    return {"loss": loss, **{f"gradient of {name}": g for name, g in gradients.items()}}, {}


def _adam(workload: Workload, state: dict[str, Any], gradients: dict[str, Any]) -> dict[str, Any]:
    """Adam of Kingma and Ba, as Optax writes it."""
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    slots = state["optimizer"]
    count = slots["step"] + 1
    m = {name: beta1 * slots["m"][name] + (1 - beta1) * g for name, g in gradients.items()}
    v = {name: beta2 * slots["v"][name] + (1 - beta2) * g * g for name, g in gradients.items()}
    first, second = 1 - beta1**count, 1 - beta2**count
    parameters = {
        name: state[name] - workload.learning_rate * (m[name] / first) / (jnp.sqrt(v[name] / second) + epsilon)
        for name in gradients
    }
    return {**parameters, "optimizer": {"step": count, "m": m, "v": v}}
