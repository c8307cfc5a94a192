"""Gradients against central differences: every op and public function, first and second order, known and symbolic sizes."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ops import declare
from graphflow.ops.arithmetic import real
from graphflow.types import as_dtype
from tests.ops.samples import COMPOSITIONS, Sample, all_samples, generator

STEP = 1e-5
PRIMITIVES = [
    pytest.param(sample, op, id=f"{op.name}-{sample}")
    for op, sample in all_samples(declare.REGISTRY.values())
    if sample.gradient and op.differentiable
]
FUNCTIONS = [
    pytest.param(sample, None, id=f"{name}-{sample}")
    for name, samples in COMPOSITIONS.items()
    for sample in samples
    if sample.gradient
]


class Case:
    """A sample with a scalar loss: the sum of its results, each weighed by fixed random numbers."""

    def __init__(self, sample: Sample, op, symbolic: bool = False):
        self.rng = generator(str(sample))
        self.sample = sample
        self.made = [
            gf.placeholder(as_dtype(x.dtype), [None] * x.ndim if symbolic else list(x.shape), name=f"x{k}")
            for k, x in enumerate(sample.operands)
        ]
        self.feed = dict(zip(self.made, sample.operands, strict=True))
        result = sample.build(*self.made) if sample.build else op(*self.made, **sample.attributes)
        results = [t for t in (result if isinstance(result, list | tuple) else [result]) if t.dtype.is_differentiable]
        values = evaluate(results, self.feed)
        self.loss = self.weighed(results, [self.random_like(v) for v in values])
        self.sources = [t for t in self.made if t.dtype.is_differentiable]

    def random_like(self, array):
        values = self.rng.normal(size=array.shape)
        return values + 1j * self.rng.normal(size=array.shape) if array.dtype.kind == "c" else values

    def weighed(self, tensors, weights):
        """The sum of real(conj(weight) * tensor)."""
        total = 0.0
        for tensor, weight in zip(tensors, weights, strict=True):
            weighed = gf.constant(np.asarray(np.conj(weight))) * tensor
            total = gf.reduce_sum(real(weighed)) + total
        return total

    def check(self, loss, gradients):
        """The gradients agree with central differences of the loss in one random direction."""
        found = evaluate(gradients, self.feed)
        directions = [self.random_like(self.feed[x]) for x in self.sources]
        slope = sum(float(np.real(np.conj(g) * d).sum()) for g, d in zip(found, directions, strict=True))
        ends = []
        for sign in (1, -1):
            moved = dict(self.feed)
            for x, d in zip(self.sources, directions, strict=True):
                moved[x] = self.feed[x] + sign * STEP * d
            ends.append(float(evaluate([loss], moved)[0]))
        scale = max(1.0, abs(ends[0]), *(float(np.abs(g).max(initial=0)) for g in found))
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * STEP), rtol=2e-6, atol=2e-7 * scale)


@pytest.mark.parametrize(("sample", "op"), PRIMITIVES + FUNCTIONS)
def test_gradient_equals_central_differences(sample, op):
    case = Case(sample, op)
    gradients = gf.gradients(case.loss, case.sources, unconnected_gradients="zero")
    assert [g.type for g in gradients] == [x.type for x in case.sources]
    case.check(case.loss, gradients)


@pytest.mark.parametrize(("sample", "op"), PRIMITIVES + FUNCTIONS)
def test_jvp_is_the_gradient_in_a_direction(sample, op):
    case = Case(sample, op)
    directions = [case.random_like(case.feed[x]) for x in case.sources]
    gradients = gf.gradients(case.loss, case.sources, unconnected_gradients="zero")
    slope, *found = evaluate([gf.jvp(case.loss, case.sources, directions), *gradients], case.feed)
    parts = [float(np.real(np.conj(g) * d).sum()) for g, d in zip(found, directions, strict=True)]
    np.testing.assert_allclose(slope, sum(parts), rtol=1e-9, atol=1e-9 * max(1.0, *map(abs, parts)))


@pytest.mark.parametrize(("sample", "op"), PRIMITIVES + FUNCTIONS)
def test_second_order_equals_central_differences(sample, op):
    if not sample.second:
        pytest.skip("the gradient itself is not smooth at this sample")
    case = Case(sample, op)
    first = gf.gradients(case.loss, case.sources, unconnected_gradients="zero")
    loss = case.weighed(first, [case.random_like(v) for v in evaluate(first, case.feed)])
    second = gf.gradients(loss, case.sources, unconnected_gradients="zero")
    case.check(loss, second)


@pytest.mark.parametrize(("sample", "op"), FUNCTIONS)
def test_gradient_with_symbolic_sizes(sample, op):
    try:
        case = Case(sample, op, symbolic=True)
    except gf.errors.ShapeError:
        pytest.skip("needs sizes that are known")
    case.check(case.loss, gf.gradients(case.loss, case.sources, unconnected_gradients="zero"))


@pytest.mark.parametrize(
    "shapes", [((1,), (3,)), ((3,), (1,)), ((3,), (3,)), ((1,), (1,)), ((0,), (1,)), ((2, 1), (1, 4)), ((3,), (2, 3))]
)
def test_broadcasting_that_only_the_run_knows_is_undone(shapes, rng):
    sample = Sample(str(shapes), tuple(rng.normal(size=s) for s in shapes), build=lambda a, b: gf.exp(a) * b * b)
    case = Case(sample, None, symbolic=True)
    gradients = gf.gradients(case.loss, case.sources)
    case.check(case.loss, gradients)
    loss = case.weighed(gradients, [rng.normal(size=s) for s in shapes])
    case.check(loss, gf.gradients(loss, case.sources, unconnected_gradients="zero"))
