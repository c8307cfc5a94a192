"""Random bodies of loops and branches, nested: sessions agree with the references, gradients with central differences."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.ir.evaluate import evaluate

ROWS, STEP = 4, 1e-6

UNARY = [gf.tanh, gf.sin, lambda x: x * 0.7 + 0.1, lambda x: gf.square(x) * 0.3, lambda x: gf.exp(gf.tanh(x)) * 0.4]
BINARY = [
    lambda x, y: x + 0.5 * y,
    lambda x, y: x * gf.cos(y),
    lambda x, y: gf.where(x > y, x, y * 0.5),
    lambda x, y: gf.reduce_sum(x * y) * 0.1 + x,
]


@st.composite
def bodies(draw, depth=2):
    """A tree: each entry is (kind, numbers, bodies inside); operands are counted back from the newest value."""
    kinds = ["unary", "binary", "binary"] + (["scan", "while", "bounded", "cond", "map"] if depth else [])
    found = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        inner = [draw(bodies(depth - 1)) for _ in range({"cond": 2}.get(kind, 1))] if kind not in ("unary", "binary") else []
        found.append((kind, [draw(st.integers(0, 9)) for _ in range(3)], inner))
    return found


def run(steps, values, rows, count):
    """The last value of a body in terms of vectors of two; `rows` are the elements of scans, `count` is an integer."""
    values = list(values)
    for kind, (a, b, which), inner in steps:
        u, v = values[-1 - a % len(values)], values[-1 - b % len(values)]
        go = count + which % 3
        match kind:
            case "unary":
                made = UNARY[which % len(UNARY)](u)
            case "binary":
                made = BINARY[which % len(BINARY)](u, v)
            case "scan":
                stacked, (made, _) = gf.scan(
                    lambda s, r, inner=inner, values=values: (
                        (run(inner[0], [*values[-2:], s[0], s[0] + r], rows, s[1]), s[1] + 1),
                        s[0] * r,
                    ),
                    rows,
                    (u, go),
                    reverse=which % 2 == 1,
                )
                made = made + 0.1 * gf.reduce_sum(stacked, 0)
            case "while" | "bounded":
                bound = {"maximum_iterations": 6} if kind == "bounded" else {}
                made = gf.while_loop(
                    lambda k, s, u=u, which=which: gf.logical_and(k < 3 + which % 3, gf.reduce_sum(gf.abs(s)) < 4.0),
                    lambda k, s, inner=inner, values=values: (k + 1, run(inner[0], [*values[-2:], s], rows, k) * 1.2 + 0.05),
                    (0, u),
                    **bound,
                )[1]
            case "cond":
                made = gf.cond(
                    gf.reduce_sum(u) > 0.1 * which if which % 2 else go > 1,
                    lambda inner=inner, values=values: run(inner[0], values, rows, go),  # noqa: B023
                    lambda inner=inner, values=values: run(inner[1], values, rows, go),  # noqa: B023
                )
            case _:
                lanes = gf.map_fn(lambda r, inner=inner, values=values: run(inner[0], [*values[-2:], r], rows, go), rows)  # noqa: B023
                made = gf.reduce_mean(lanes, 0)
        values.append(gf.clip_by_value(made, -3.0, 3.0))
    return values[-1]


def build(steps, symbolic, dtype):
    x, w = gf.placeholder(dtype, [2], name="x"), gf.placeholder(dtype, [2], name="w")
    rows, count = gf.placeholder(dtype, [None if symbolic else ROWS, 2], name="rows"), gf.placeholder(gf.int32, [], name="count")
    y = gf.reduce_sum(gf.tanh(run(steps, [w, x], rows, count)) * gf.constant([1.0, 0.7], dtype))
    rng = np.random.default_rng(3)
    feeds = {x: rng.normal(size=2), w: rng.normal(size=2), rows: rng.normal(size=(ROWS, 2)), count: 1}
    return y, [x, w, rows], {k: np.asarray(v, k.dtype.numpy) for k, v in feeds.items()}


SETTINGS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=40, **SETTINGS)
@given(steps=bodies(), symbolic=st.booleans(), tape_bytes=st.sampled_from([1 << 16, 200]))
def test_gradients_equal_central_differences(steps, symbolic, tape_bytes):
    """In one direction, where the function is smooth: both sides of it have nearly one slope."""
    with gf.Graph().as_default():
        y, sources, feeds = build(steps, symbolic, gf.float64)
        rng = np.random.default_rng(4)
        directions = [rng.normal(size=feeds[s].shape) for s in sources]
        with gf.options(tape_bytes=tape_bytes):
            found = gf.gradients(y, sources, unconnected_gradients="zero")
        tangent = gf.jvp(y, sources, directions)
        at, *gradients, slope = evaluate([y, *found, tangent], feeds)
        total = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
        np.testing.assert_allclose(slope, total, rtol=1e-9, atol=1e-12)
        moved = [{**feeds, **{s: feeds[s] + h * d for s, d in zip(sources, directions, strict=True)}} for h in (STEP, -STEP)]
        high, low = (evaluate([y], m)[0] for m in moved)
        if abs((high - at) - (at - low)) < 1e-9:
            np.testing.assert_allclose(total, (high - low) / (2 * STEP), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=8, **SETTINGS)
@given(steps=bodies(), symbolic=st.booleans())
def test_sessions_equal_the_references(dtype, steps, symbolic):
    with gf.Graph().as_default() as graph:
        y, sources, feeds = build(steps, symbolic, gf.as_dtype(dtype))
        with gf.options(tape_bytes=1 << 16):
            fetches = [y, *gf.gradients(y, sources, unconnected_gradients="zero")]
        expected = evaluate(fetches, feeds)
        tolerance = {"float64": 1e-9, "float32": 2e-4}[dtype]
        with gf.Session(graph) as session:
            for found, wanted in zip(session.run(fetches, feeds), expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
