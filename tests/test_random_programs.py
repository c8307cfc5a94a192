"""Random programs: compiled with everything on, with each switch off, and through NumPy's references, they agree."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.capture import capture
from graphflow.ir.evaluate import evaluate
from graphflow.options import SWITCHES, Options
from graphflow.passes import run_passes

ROWS, COLUMNS = 6, 4

UNARY = [
    gf.tanh,
    gf.sigmoid,
    gf.exp,
    gf.negative,
    gf.nn.relu,
    gf.abs,
    lambda x: x * 2.0,
    lambda x: 1.0 - x,
    lambda x: x * 1.0 + 0.0,
]
BINARY = [gf.add, gf.multiply, gf.subtract, gf.maximum, lambda x, y: gf.where(x > y, x, y * 0.5)]
REDUCE = [gf.reduce_sum, gf.reduce_max, gf.reduce_mean, gf.logsumexp]


@st.composite
def recipes(draw):
    """A list of steps; operands are counted back from the newest value, so that every recipe is a program."""
    count = draw(st.integers(3, 14))
    steps = []
    for _ in range(count):
        kind = draw(
            st.sampled_from(["unary", "unary", "binary", "binary", "reduce", "transpose", "slice", "softmax", "matmul", "concat"])
        )
        steps.append((kind, draw(st.integers(0, 99)), draw(st.integers(0, 99)), draw(st.integers(0, 99))))
    return steps, draw(st.lists(st.integers(0, 99), min_size=1, max_size=4)), draw(st.booleans())


def build(recipe, symbolic):
    """(placeholders, fetches) of a recipe: values have the shape [rows, columns] throughout, so that any two combine."""
    steps, wanted, with_gradient = recipe
    n = None if symbolic else ROWS
    x, y = gf.placeholder(gf.float64, [n, COLUMNS], name="x"), gf.placeholder(gf.float64, [COLUMNS], name="y")
    values = [x + y, x]
    for kind, a, b, which in steps:
        u, v = values[-1 - a % len(values)], values[-1 - b % len(values)]
        if kind == "unary":
            made = UNARY[which % len(UNARY)](u)
        elif kind == "binary":
            made = BINARY[which % len(BINARY)](u, v)
        elif kind == "reduce":
            made = v - REDUCE[which % len(REDUCE)](u, axis=which % 2, keepdims=True)
        elif kind == "transpose":
            made = gf.transpose(gf.tanh(gf.transpose(u))) + v
        elif kind == "slice":
            made = u[:, ::-1] * 0.5 + v
        elif kind == "softmax":
            made = gf.nn.softmax(u)
        elif kind == "matmul":
            made = gf.tanh(gf.matmul(u, gf.matmul(v, u, transpose_a=True)) * 0.1)
        else:
            made = gf.concat([u[:, :2], v[:, 2:]], axis=1)
        values.append(gf.clip_by_value(made, -8.0, 8.0))
    fetches = [values[-1 - k % len(values)] for k in wanted]
    if with_gradient:
        loss = gf.reduce_sum(gf.tanh(fetches[0]))
        fetches = [*fetches, loss, *gf.gradients(loss, [x, y], unconnected_gradients="zero")]
    return [x, y], fetches


def feed(inputs):
    rng = np.random.default_rng(5)
    return {inputs[0]: rng.normal(size=(ROWS, COLUMNS)), inputs[1]: rng.normal(size=COLUMNS)}


def agree(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("switch", ["", *(s for s in SWITCHES if s not in ("fusion", "inplace", "sequential"))])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(recipe=recipes())
def test_passes_keep_the_value(switch, recipe):
    with gf.Graph().as_default() as graph:
        inputs, fetches = build(recipe, symbolic=False)
        feeds = feed(inputs)
        program = capture(fetches, [], inputs, graph)
        optimized, _ = run_passes(program, Options(disable=frozenset([switch] if switch else []), verify=True))
        agree(evaluate(optimized.outputs, feeds), evaluate(fetches, feeds))


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(recipe=recipes(), symbolic=st.booleans())
def test_compiled_programs_equal_the_references(recipe, symbolic):
    with gf.Graph().as_default() as graph:
        inputs, fetches = build(recipe, symbolic)
        feeds = feed(inputs)
        expected = evaluate(fetches, feeds)
        with gf.Session(graph) as sess:
            agree(sess.run(fetches, feeds), expected)
            with gf.options(disable="inplace"):
                agree(sess.run(fetches, feeds), expected)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(recipe=recipes())
def test_programs_without_fusion_equal_the_references(recipe):
    with gf.Graph().as_default() as graph:
        inputs, fetches = build(recipe, symbolic=False)
        feeds = feed(inputs)
        with gf.options(disable="fusion"), gf.Session(graph) as sess:
            agree(sess.run(fetches, feeds), evaluate(fetches, feeds))
