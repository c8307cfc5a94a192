"""Every op and every public function, run eagerly: the value, the tape's gradient and the tangent are those of the graph."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ops import declare
from graphflow.ops.arithmetic import real
from tests.ops.samples import COMPOSITIONS, WITHOUT_SAMPLES, generator, samples_for

SUBJECTS = [pytest.param(op, samples_for(op), id=op.name) for op in declare.REGISTRY.values() if op.name not in WITHOUT_SAMPLES]
SUBJECTS += [pytest.param(None, samples, id=name) for name, samples in COMPOSITIONS.items()]


SUBJECTS = [subject for subject in SUBJECTS if subject.id != "dropout"]  # random: each call draws other numbers


def applied(op, sample, operands):
    result = sample.build(*operands) if sample.build else op(*operands, **sample.attributes)
    return [*result] if isinstance(result, list | tuple) else [result]


def same(found, expected, what):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype, what
    assert found.shape == expected.shape, what
    if found.dtype.kind not in "fc" and found.dtype.name != "bfloat16":
        np.testing.assert_array_equal(found, expected, err_msg=what)
        return
    tolerance = {2: 1e-2, 4: 1e-5, 8: 1e-12 if found.dtype.kind == "f" else 1e-5, 16: 1e-12}[found.dtype.itemsize]
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(found.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance, err_msg=what)


@pytest.mark.parametrize(("op", "samples"), SUBJECTS)
def test_eager_values_are_those_of_the_graph(op, samples):
    for sample in samples:
        with gf.Graph().as_default():
            expected = evaluate(applied(op, sample, [gf.constant(x) for x in sample.operands]))
        with gf.eager():
            operands = [gf.constant(x) for x in sample.operands]
            for time in ("first", "second", "third"):  # by its ops, traced, by its recipe
                for found, value in zip(applied(op, sample, operands), expected, strict=True):
                    same(found, value, f"{sample}, the {time} time")


@pytest.mark.parametrize(("op", "samples"), SUBJECTS)
def test_eager_derivatives_are_those_of_the_graph(op, samples):
    for sample in samples:
        if not sample.gradient or (op is not None and not op.differentiable):
            continue
        rng = generator(str(sample))
        directions = [rng.normal(size=x.shape).astype(x.dtype) for x in sample.operands if x.dtype.kind in "fc"]
        with gf.Graph().as_default():
            made = [gf.placeholder(x.dtype, x.shape) for x in sample.operands]
            loss, sources = summed(applied(op, sample, made)), [t for t in made if t.dtype.is_differentiable]
            gradients = gf.gradients(loss, sources, unconnected_gradients="zero")
            feeds = dict(zip(made, sample.operands, strict=True))
            tangent, *expected = evaluate([gf.jvp(loss, sources, directions), *gradients], feeds)
        with gf.eager():
            operands = [gf.constant(x) for x in sample.operands]
            sources = [t for t in operands if t.dtype.is_differentiable]
            with gf.GradientTape() as tape, gf.ForwardAccumulator(sources, directions) as accumulator:
                tape.watch(sources)
                loss = summed(applied(op, sample, operands))
            same(accumulator.jvp(loss), tangent, f"{sample}: the tangent")
            for found, value in zip(tape.gradient(loss, sources, unconnected_gradients="zero"), expected, strict=True):
                same(found, value, f"{sample}: the gradient")


def summed(results):
    """A scalar whose derivative by each element of the results differs."""
    total = 0.0
    for tensor in results:
        if tensor.dtype.is_differentiable:
            part = real(gf.cast(tensor, gf.complex128) if tensor.dtype.is_complex else gf.cast(tensor, gf.float64))
            count = int(np.prod(tensor.shape))
            weights = np.cos(np.arange(count, dtype=np.float64)).reshape(tensor.shape)
            total = gf.reduce_sum(part * weights) + total
    return total
