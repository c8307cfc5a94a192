"""The compiler of kernels' source: equal to numba on whole programs, and honest about what it does not know."""

import ast
import re

import numpy as np
import pytest

import graphflow as gf
from graphflow.codegen import direct
from graphflow.codegen.backend import Compilation
from graphflow.codegen.objects import is_self_contained, near_addresses
from tests.codegen.test_emit import CASES, as_list


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_both_compilers_agree(case, rng):
    feeds, fetches = case()
    values = {}
    for t in feeds:
        shape = [5 if not isinstance(d, int) else d for d in t.shape]
        values[t] = (rng.integers(0, 5, shape) if t.dtype.is_integer else rng.normal(size=shape)).astype(t.dtype.numpy)
    results = {}
    for compiler in ("llvm", "numba"):
        with gf.options(compiler=compiler), gf.Session() as sess:
            sess.run(gf.global_variables_initializer())
            results[compiler] = as_list(sess.run(fetches, values))
    for a, b in zip(results["llvm"], results["numba"], strict=True):
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-6, atol=1e-6)


def compiled(*lines):
    text = "def kernel(buffers, dims, begin, end):\n" + "\n".join("    " + line for line in lines)
    return Compilation(direct.assembly(text, "kernel")).run()


@pytest.mark.parametrize(
    "line",
    [
        "x = 'text'",
        "x = [1]",
        "x = y",
        "x = open(3)",
        "for i in range(0, 4, 2): pass",
        "x = dims[0] if begin else float32(1.0)",
        "import os",
        "x = begin ** 2",
    ],
)
def test_what_it_does_not_know_is_unsupported(line):
    with pytest.raises(direct.Unsupported):
        compiled(line)


def test_loops_vectorise():
    text = "\n".join(
        [
            "def kernel(buffers, dims, begin, end):",
            "    in0 = buffer_f32(buffers, 0)",
            "    out1 = buffer_f32(buffers, 1)",
            "    for i in range(begin, end):",
            "        out1[i] = exp_f32(in0[i]) * float32(2.0)",
        ]
    )
    code = Compilation(direct.assembly(text, "kernel")).optimized()
    assert " x float>" in code and "vector.memcheck" not in code


def test_a_loop_of_long_chains_computes_several_vectors_at_a_time():
    lines = ["in0 = buffer_f32(buffers, 0)", "out1 = buffer_f32(buffers, 1)", "for i in range(begin, end):"]
    lines.append("    out1[i] = tanh_f32(in0[i])")
    text = "def kernel(buffers, dims, begin, end):\n" + "\n".join("    " + line for line in lines)
    code = Compilation(direct.assembly(text, "kernel")).optimized()
    assert len(re.findall(r"= load <\d+ x float>", code)) >= direct.INTERLEAVE


@pytest.mark.parametrize("terms, vectors", [("d0", 4), ("64", 4), ("30", 2), ("16", 2), ("10", 1), ("3", 1)])
def test_a_short_loop_computes_as_many_vectors_at_a_time_as_it_has(terms, vectors):
    (loop,) = ast.parse(f"for i in range({terms}):\n    x[i] = exp_f32(x[i])").body
    assert direct.interleaving(loop.iter.args, loop.body) == [("llvm.loop.interleave.count", vectors)]


@pytest.mark.parametrize("terms, folded", [(30, True), (33, True), (32, False), (10, False), (200, False)])
def test_the_rest_of_a_short_sum_is_one_vector_more(terms, folded):
    (loop,) = ast.parse(f"for i in range({terms}):\n    y = exp_f64(x[i])\n    total = total + y").body
    asked = direct.interleaving(loop.iter.args, loop.body)
    assert (("llvm.loop.vectorize.predicate.enable", True) in asked) == folded
    assert asked[0] == ("llvm.loop.interleave.count", {10: 1}.get(terms, 4))


@pytest.mark.parametrize("terms", [4, 8, 64, 1000])
def test_sums_in_lanes_are_not_unrolled(terms):
    """LLVM would vectorise across the loop around them, and gather from several rows at once."""
    (sums,) = ast.parse(f"for k in range({terms}):\n    y = x[k]\n    tile[k] = tile[k] + y * y").body
    (copy,) = ast.parse(f"for k in range({terms}):\n    y[k] = x[k]").body
    assert direct.reduces(sums.iter.args, sums.body) == (8 <= terms <= 128)
    assert not direct.reduces(copy.iter.args, copy.body)


def test_code_that_calls_nothing_may_lie_anywhere():
    head = ["out0 = buffer_f32(buffers, 0)", "for i in range(begin, end):"]
    constants = compiled(*head, "    out0[i] = exp_f32(out0[i])")
    calls = compiled(*head, "    out0[i] = float32(0.0)")  # LLVM makes it a call of memset
    assert is_self_contained(constants.code) == constants.together == near_addresses()
    assert not calls.together


def test_complex_numbers_go_to_numba():
    x = gf.placeholder(gf.complex64, [3], name="x")
    with gf.Session() as sess:
        value = sess.run(gf.exp(x) * x, {x: np.array([1j, 2, 0], np.complex64)})
    np.testing.assert_allclose(value, np.exp([1j, 2, 0]) * [1j, 2, 0], rtol=1e-6)
