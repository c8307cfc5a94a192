"""Every op and public function as compiled code, on all its samples at once: values, gradients, layouts, plain Python.

The reference is the same program through `ir.evaluate`, which other tests hold against NumPy and central differences.
"""

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ops import declare
from graphflow.types import as_dtype
from tests.ops.samples import COMPOSITIONS, WITHOUT_SAMPLES, samples_for

OPS = [op for op in declare.REGISTRY.values() if op.name not in WITHOUT_SAMPLES]
# ULPs are held by tests/codegen/test_vector_math.py; here a few operations in a row, and sums in another order.
TOLERANCE = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "complex64": 2e-5, "float64": 1e-11, "complex128": 1e-11}
# Functions whose result may jump where the operand's last bit changes, so that two right answers differ.
JUMPS = {"floordiv", "mod"}


def placeholders(sample, symbolic):
    return [
        gf.placeholder(as_dtype(x.dtype), [None] * x.ndim if symbolic else list(x.shape), name=f"x{k}")
        for k, x in enumerate(sample.operands)
    ]


def flat(result):
    return [t for t in (result if isinstance(result, list | tuple) else [result]) if isinstance(t, gf.Tensor)]


def agree(actual, expected, what):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape, what
    if actual.dtype.name not in TOLERANCE:
        np.testing.assert_array_equal(actual, expected, err_msg=what)
        return
    tolerance = TOLERANCE[actual.dtype.name]
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64
    scale = np.abs(expected.astype(wide))[np.isfinite(expected.astype(wide))].max(initial=1.0)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            actual.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance * min(scale, 1e3), err_msg=what
        )


def check(cases, symbolic):
    """Build (name, sample, build), run all at once as native code, compare with the references."""
    fetches, feeds, names = [], {}, []
    for name, sample, build in cases:
        made = placeholders(sample, symbolic)
        try:
            results = flat(build(*made))
        except gf.errors.ShapeError:
            assert symbolic, name
            continue
        feeds.update(zip(made, sample.operands, strict=True))
        if sample.gradient and not symbolic:
            real = [t for t in results if t.dtype.is_differentiable]
            sources = [x for x in made if x.dtype.is_differentiable]
            if real and sources:
                results = results + gf.gradients(real, sources, unconnected_gradients="zero")
        fetches += results
        names += [name] * len(results)
    expected = evaluate(fetches, feeds)
    with gf.Session() as sess:
        actual = sess.run(fetches, feeds)
    for name, a, e in zip(names, actual, expected, strict=True):
        agree(a, e, name)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_compiled_ops_equal_their_references(op):
    samples = [s for s in samples_for(op) if not (op.name in JUMPS and "special" in s.name)]
    check([(f"{op.name} {s}", s, lambda *xs, s=s: op(*xs, **s.attributes)) for s in samples], symbolic=False)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_compiled_functions_equal_their_references(name):
    check([(f"{name} {s}", s, s.build) for s in COMPOSITIONS[name]], symbolic=False)


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_functions_compiled_for_sizes_of_the_run(name):
    check([(f"{name} {s}", s, s.build) for s in COMPOSITIONS[name]], symbolic=True)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_operands_of_any_layout(op):
    """Operands that are not contiguous, read-only or of the other byte order give the same bits."""
    sample = max(samples_for(op), key=lambda s: min((x.size for x in s.operands), default=0))
    if not sample.operands:
        return
    made = placeholders(sample, symbolic=False)
    fetches = flat(op(*made, **sample.attributes))
    with gf.Session() as sess:
        plain = sess.run(fetches, dict(zip(made, sample.operands, strict=True)))
        for change in (
            lambda x: x.copy(order="F"),
            lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,
            lambda x: x.astype(x.dtype.newbyteorder()),
        ):
            feeds = {}
            for tensor, x in zip(made, sample.operands, strict=True):
                value = x if x.dtype.name == "bfloat16" else change(x)
                value.setflags(write=False)
                feeds[tensor] = value
            for a, b in zip(sess.run(fetches, feeds), plain, strict=True):
                assert np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
