"""Workloads in graphflow: a graph, a session, and `make_callable`. Data are fed as NumPy arrays, parameters are variables."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphflow as gf
from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Step, Workload


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The workload's step as a callable of a session."""
    gf.set_num_threads(threads)
    arrays = workload.arrays()
    graph = gf.Graph()
    with graph.as_default():
        variables = {name: gf.Variable(arrays[name], name=name) for name in workload.kept}
        fed = {
            name: gf.placeholder(gf.as_dtype(array.dtype), array.shape, name=name)
            for name, array in arrays.items()
            if name not in variables
        }
        fetches, updates = _fetches(workload, variables, fed)
        session = gf.Session(graph)
        session.run(gf.global_variables_initializer())
        call = session.make_callable([*fetches.values(), *updates], feed_list=list(fed.values()))
    values = [arrays[name][()] for name in fed]  # a number where the rank is 0
    latest: list[Any] = []

    def step() -> None:
        latest[:] = call(*values)

    def results() -> dict[str, np.ndarray]:
        found = {name: np.asarray(value) for name, value in zip(fetches, latest, strict=False)}  # updates are None
        if variables:
            names = list(variables)
            found.update(zip(names, session.run([variables[name] for name in names]), strict=True))
        return found

    return Program(step, results, gf.__version__, lambda: gf.cache.stats().compiled)


def _fetches(workload: Workload, variables: dict[str, Any], fed: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """(named results, operations to run for their updates)."""
    p = {**fed, **variables}
    if workload.given_gradients:
        pairs = [(p[gradient], variables[name]) for name, gradient in workload.given_gradients.items()]
        return {}, [_optimizer(workload).apply_gradients(pairs)]
    found = workload.graphflow(gf, p)
    if isinstance(found, Step):
        # An operation, not its result: to fetch an assignment is to fetch a copy of the new value.
        return dict(found.outputs), [gf.group(variables[name].assign(value)) for name, value in found.state.items()]
    if workload.updates:
        return {"loss": found}, [_optimizer(workload).minimize(found)]
    gradients = gf.gradients(found, [p[name] for name in workload.parameters])
    return {"loss": found, **{f"gradient of {name}": g for name, g in zip(workload.parameters, gradients, strict=True)}}, []


def _optimizer(workload: Workload) -> Any:
    if workload.optimizer == "adam":
        return gf.train.AdamOptimizer(workload.learning_rate)
    return gf.train.GradientDescentOptimizer(workload.learning_rate)
