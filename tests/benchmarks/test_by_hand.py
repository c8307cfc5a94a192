"""What is written by hand is right: its gradients are those of central differences, its values those of the graph."""

import dataclasses

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from tests.benchmarks.workload import Step
from tests.benchmarks.workloads import WORKLOADS

SMALL = {
    "leaves60": {"steps": 5, "nodes": 3},
    "kalman": {"steps": 10},
    "ar2": {"steps": 20},
    "seir": {"steps": 15},
    "lorenz": {"steps": 10},
    "robertson": {"steps": 10},
    "pid": {"steps": 20},
    "fits": {"lanes": 4, "points": 8},
    "mandelbrot": {"rows": 4, "columns": 5},
    "bridge": {"paths": 20, "steps": 5},
    "glicko": {"games": 12, "players": 5},
}


def small(name):
    """(the workload in a small size, its function by hand, not compiled)."""
    workload = dataclasses.replace(WORKLOADS[name], **SMALL[name])
    function = workload.numba(pytest.importorskip("numba"))
    return workload, getattr(function, "py_func", function)


@pytest.mark.parametrize("name", [name for name in SMALL if WORKLOADS[name].parameters])
def test_gradients_by_hand_are_central_differences(name):
    workload, function = small(name)
    arrays = workload.arrays()
    _, *gradients = function(*arrays.values())
    for parameter, gradient in zip(workload.parameters, gradients, strict=True):
        expected = np.zeros_like(arrays[parameter])
        for place in np.ndindex(expected.shape):
            losses = []
            for h in (1e-6, -1e-6):
                moved = {key: array.copy() for key, array in arrays.items()}
                moved[parameter][place] += h
                losses.append(function(*moved.values())[0])
            expected[place] = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max(), err_msg=parameter)


@pytest.mark.parametrize("name", SMALL)
def test_the_graph_computes_what_is_written_by_hand(name):
    workload, function = small(name)
    arrays = workload.arrays()
    expected = function(*(array.copy() for array in arrays.values()))
    with gf.Graph().as_default():
        p = {key: gf.placeholder(gf.as_dtype(array.dtype), array.shape, name=key) for key, array in arrays.items()}
        found = workload.graphflow(gf, p)
        if isinstance(found, Step):
            fetches = [found.outputs[key] for key in workload.outputs]
        else:
            fetches = [found, *gf.gradients(found, [p[key] for key in workload.parameters])]
        values = evaluate(fetches, {p[key]: array for key, array in arrays.items()})
    for value, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-12)


def test_small_workloads_are_all_that_are_written_by_hand():
    by_hand = {name for name, workload in WORKLOADS.items() if "numba" in type(workload).__dict__}
    assert by_hand == SMALL.keys()
