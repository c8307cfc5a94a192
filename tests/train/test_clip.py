"""Clipping, against NumPy."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import GradientError


def evaluate(fetches):
    with gf.Session() as session:
        return session.run(fetches)


@pytest.mark.parametrize("limit", [0.5, 13.0, 100.0])
def test_clip_by_global_norm(limit):
    a, b = gf.constant([3.0, 4.0]), gf.constant([[12.0]])
    clipped, norm = gf.clip_by_global_norm([a, None, b], limit)
    assert clipped[1] is None
    scale = min(1.0, limit / 13)
    np.testing.assert_allclose(evaluate(norm), 13, rtol=1e-6)
    np.testing.assert_allclose(evaluate(clipped[0]), np.array([3, 4]) * scale, rtol=1e-6)
    np.testing.assert_allclose(evaluate(clipped[2]), [[12 * scale]], rtol=1e-6)


def test_a_known_norm_is_used():
    (clipped,), _ = gf.clip_by_global_norm([gf.constant([3.0])], 1.0, use_norm=gf.constant(6.0))
    np.testing.assert_allclose(evaluate(clipped), [0.5])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_infinite_norm_shows(bad):
    x = gf.placeholder(gf.float32, [2])
    (clipped,), _ = gf.clip_by_global_norm([x], 1.0)
    with gf.Session() as session:
        assert np.isnan(session.run(clipped, {x: [bad, 1.0]})).all()


@pytest.mark.parametrize("value", [[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
def test_clip_by_norm(value):
    length = np.linalg.norm(value)
    np.testing.assert_allclose(evaluate(gf.clip_by_norm(gf.constant(value), 1.0)), np.array(value) / max(1, length), rtol=1e-6)


def test_clip_by_norm_along_an_axis():
    value = gf.constant([[3.0, 4.0], [0.3, 0.4]])
    np.testing.assert_allclose(evaluate(gf.clip_by_norm(value, 1.0, axes=1)), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)


def test_clip_by_norm_has_a_gradient_at_0():
    x = gf.placeholder(gf.float32, [2])
    (slope,) = gf.gradients(gf.clip_by_norm(x, 1.0), [x])
    with gf.Session() as session:
        np.testing.assert_allclose(session.run(slope, {x: [0.0, 0.0]}), [1, 1])


def test_nothing_to_clip():
    with pytest.raises(GradientError, match="no tensor in the list"):
        gf.global_norm([None])
