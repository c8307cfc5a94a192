"""Every op and public function on its samples, through the NumPy references: types, values, symbolic sizes."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ir.tensor import Tensor
from graphflow.ops import declare
from graphflow.types import as_dtype
from tests.ops.samples import COMPOSITIONS, WITHOUT_SAMPLES, all_samples, samples_for

PRIMITIVES = [pytest.param(op, sample, id=f"{op.name}-{sample}") for op, sample in all_samples(declare.REGISTRY.values())]
FUNCTIONS = [pytest.param(sample, id=f"{name}-{sample}") for name, samples in COMPOSITIONS.items() for sample in samples]


def inputs(sample, symbolic=False):
    """A placeholder for each operand, and the feed."""
    made = [
        gf.placeholder(as_dtype(x.dtype), [None] * x.ndim if symbolic else list(x.shape), name=f"x{k}")
        for k, x in enumerate(sample.operands)
    ]
    return made, dict(zip(made, sample.operands, strict=True))


def tensors(result):
    return list(result) if isinstance(result, list | tuple) else [result]


def same_kind_of_answer(actual, expected):
    expected = np.asarray(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape, (
        actual.dtype,
        actual.shape,
        expected.dtype,
        expected.shape,
    )
    tolerance = {"float16": 2e-3, "float32": 1e-5, "complex64": 1e-5}.get(actual.dtype.name, 1e-12)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_every_op_has_samples():
    for op in declare.REGISTRY.values():
        assert op.name in WITHOUT_SAMPLES or samples_for(op)


def test_every_public_function_has_samples():
    control_flow = {name for name, function in declare.COMPOSITIONS.items() if function.__module__ == "graphflow.ops.control"}
    assert not declare.COMPOSITIONS.keys() - COMPOSITIONS.keys() - control_flow


def test_every_op_says_whether_it_has_a_gradient():
    silent = [op.name for op in declare.REGISTRY.values() if op.differentiable and op.vjps is None and op.vjp_all is None]
    assert not silent
    both = [op.name for op in declare.REGISTRY.values() if not op.differentiable and (op.vjps or op.vjp_all)]
    assert not both


def test_every_op_can_be_lowered():
    for op in declare.REGISTRY.values():
        if op.access.name in ("ELEMENTWISE", "MOVEMENT"):
            assert op.scalar is not None or op.element_rule is not None, op.name
        if op.access.name == "REDUCTION":
            assert op.combine in declare.REGISTRY, op.name
        assert op.__doc__, op.name


@pytest.mark.parametrize(("op", "sample"), PRIMITIVES)
def test_the_type_is_what_the_reference_gives(op, sample):
    made, feed = inputs(sample)
    results = tensors(op(*made, **sample.attributes))
    for value, result in zip(evaluate(results, feed), results, strict=True):  # asserts shape and dtype against the type
        assert value.dtype == result.dtype.numpy


@pytest.mark.parametrize("symbolic", [False, True], ids=["known sizes", "sizes of the run"])
@pytest.mark.parametrize("sample", FUNCTIONS)
def test_functions_equal_numpy(sample, symbolic):
    made, feed = inputs(sample, symbolic)
    try:
        results = tensors(sample.build(*made))
    except gf.errors.ShapeError:
        if symbolic:
            pytest.skip("needs sizes that are known")
        raise
    values = evaluate(results, feed)
    if sample.expected is None:
        return
    with np.errstate(all="ignore"):
        expected = sample.expected(*sample.operands)
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    for value, answer in zip(values, expected, strict=True):
        same_kind_of_answer(value, answer)
    assert all(isinstance(t, Tensor) for t in results)
