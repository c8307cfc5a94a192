"""Workloads in TensorFlow: a version 1 graph run by `Session.make_callable`, and a `tf.function`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tests.benchmarks.frameworks import Program
from tests.benchmarks.workload import Step, Workload

v1 = tf.compat.v1


def build(workload: Workload, threads: int, variant: str) -> Program:
    """The workload's step; `variant` is "session" or "function"."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return _session(workload, threads) if variant == "session" else _function(workload)


def _session(workload: Workload, threads: int) -> Program:
    v1.disable_eager_execution()
    arrays = workload.arrays()
    # What is differentiated lives in variables even where it does not change: that saves feeding it.
    variables = {name: v1.get_variable(name, initializer=arrays[name]) for name in {*workload.kept, *workload.parameters}}
    fed = {
        name: v1.placeholder(tf.as_dtype(array.dtype), array.shape, name)
        for name, array in arrays.items()
        if name not in variables
    }
    outputs: dict[str, Any] = {}
    updates: list[Any] = []
    if workload.given_gradients:
        pairs = [(fed[gradient], variables[name]) for name, gradient in workload.given_gradients.items()]
        updates = [v1.train.AdamOptimizer(workload.learning_rate).apply_gradients(pairs)]
    else:
        found = workload.tensorflow(tf, {**fed, **variables})
        if isinstance(found, Step):
            outputs = dict(found.outputs)
            updates = [variables[name].assign(value, read_value=False) for name, value in found.state.items()]
        else:
            outputs["loss"] = found
            if workload.updates:
                updates = [v1.train.GradientDescentOptimizer(workload.learning_rate).minimize(found)]
            else:
                gradients = tf.gradients(found, [variables[name] for name in workload.parameters])
                outputs.update({f"gradient of {n}": g for n, g in zip(workload.parameters, gradients, strict=True)})
    session = v1.Session(config=v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads))
    session.run(v1.global_variables_initializer())
    call = session.make_callable([*outputs.values(), *updates], feed_list=list(fed.values()))
    values = [arrays[name] for name in fed]
    latest: list[Any] = []

    def step() -> None:
        latest[:] = call(*values)

    def results() -> dict[str, np.ndarray]:
        found = {name: np.asarray(value) for name, value in zip(outputs, latest, strict=False)}  # updates are None
        return {**found, **session.run({name: variables[name] for name in workload.kept})}

    return Program(step, results, tf.__version__)


def _function(workload: Workload) -> Program:
    arrays = workload.arrays()
    variables = {name: tf.Variable(arrays[name]) for name in workload.kept}
    data = {name: tf.constant(array) for name, array in arrays.items() if name not in variables}
    adam = None
    if workload.given_gradients:
        adam = tf.keras.optimizers.Adam(workload.learning_rate, epsilon=1e-8)
        adam.build(list(variables.values()))

    @tf.function
    def function(data: dict[str, Any]) -> dict[str, Any]:
        p = {**data, **variables}
        if adam is not None:
            adam.apply([data[g] for g in workload.given_gradients.values()], [variables[n] for n in workload.given_gradients])
            return {}
        if not workload.parameters:
            found = workload.tensorflow(tf, p)
            assert isinstance(found, Step)
            for name, value in found.state.items():
                variables[name].assign(value)
            return dict(found.outputs)
        sources = [p[name] for name in workload.parameters]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = workload.tensorflow(tf, p)
        gradients = tape.gradient(loss, sources)
        if not workload.updates:
            return {"loss": loss, **{f"gradient of {n}": g for n, g in zip(workload.parameters, gradients, strict=True)}}
        for variable, gradient in zip(sources, gradients, strict=True):
            if isinstance(gradient, tf.IndexedSlices):
                variable.scatter_sub(tf.IndexedSlices(workload.learning_rate * gradient.values, gradient.indices))
            else:
                variable.assign_sub(workload.learning_rate * gradient)
        return {"loss": loss}

    latest: dict[str, Any] = {}

    def step() -> None:
        latest.update(function(data))

    def results() -> dict[str, np.ndarray]:
        found = {**latest, **{name: variables[name] for name in workload.kept}}
        return {name: value.numpy() for name, value in found.items()}

    return Program(step, results, tf.__version__)
