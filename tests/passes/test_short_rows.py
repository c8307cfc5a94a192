"""Sums of a few terms each, many beside one another, run side by side in the lanes of vectors."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.passes.short_rows import short_rows


def distances(points, centres, reduce=gf.reduce_sum, keepdims=False):
    return reduce(gf.square(points[:, None, :] - centres), axis=2, keepdims=keepdims)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("reduce", [gf.reduce_sum, gf.reduce_max, gf.reduce_prod])
def test_the_last_two_axes_are_exchanged(rng, reduce, keepdims):
    x, c = gf.placeholder(gf.float64, [None, 5], name="x"), gf.placeholder(gf.float64, [9, 5], name="c")
    fetch = distances(x, c, reduce, keepdims) * 2.0
    values = rng.normal(size=(7, 5)), rng.normal(size=(9, 5))
    with gf.Session() as sess:
        found = sess.run(fetch, dict(zip((x, c), values, strict=True)))
        (axes,) = [n.attrs["axis"] for n in sess.executable(fetch, [x, c]).program.nodes if n.op.name == reduce(x).op.name]
        names = [k.form for k in sess.executable(fetch, [x, c]).kernels]
    expected = getattr(np, {"reduce_sum": "sum", "reduce_max": "max", "reduce_prod": "prod"}[reduce.__name__])
    np.testing.assert_allclose(found, 2 * expected((values[0][:, None] - values[1]) ** 2, axis=2, keepdims=keepdims), rtol=1e-12)
    assert axes == (1,) and names == ["map", "map"]  # a transpose of the centres, once; sums in registers


@pytest.mark.parametrize(
    "shapes", [((7, 9, 5), (9, 5)), ((7, 1, 40), (9, 40)), ((7, 1, 5), (3, 5)), ((7, 1, 5), (2000, 5))],
    ids=["an operand is as large as what is reduced", "long rows", "few lanes", "much to transpose"],
)  # fmt: skip
def test_rows_stay_rows(program_of, shapes):
    a, b = (gf.placeholder(gf.float32, shape, name=name) for name, shape in zip("ab", shapes, strict=True))
    before = program_of(gf.reduce_sum(a * b, axis=2))
    assert short_rows(before) is before
