"""Positions are computed in 32 bits where, and only where, their sizes show that they fit."""

import numpy as np
import pytest

import graphflow as gf


@pytest.fixture
def run():
    def run(fetch, feeds):
        with gf.Session() as sess:
            return sess.run(fetch, feeds), "\n".join(s.text for s in sess.executable(fetch, list(feeds)).sources)

    return run


@pytest.mark.parametrize("axis", [0, 1])
def test_argmin_runs_in_32_bits_and_finds_the_first(run, rng, axis):
    x = gf.placeholder(gf.float32, [40, 50], name="x")
    values = rng.integers(0, 9, (40, 50)).astype(np.float32)
    values[3, 7] = values[30, 2] = np.nan
    found, text = run(gf.argmin(x, axis=axis), {x: values})
    np.testing.assert_array_equal(found, values.argmin(axis))
    assert found.dtype == np.int64 and "int64(min" not in text and "int32(min" in text


def test_one_hot_of_a_position_compares_in_32_bits(run, rng):
    x = gf.placeholder(gf.float32, [None, 24], name="x")
    values = rng.normal(size=(30, 24)).astype(np.float32)
    found, text = run(gf.one_hot(gf.argmax(x, axis=1), 24), {x: values})
    np.testing.assert_array_equal(found, np.eye(24, dtype=np.float32)[values.argmax(1)])
    assert "int64" not in text.split("def kernel")[1]


def test_what_may_exceed_32_bits_stays_wide(run):
    positions = gf.cast(gf.range(30_000), gf.int64)
    found, _ = run([gf.reduce_max(positions * 100_000), gf.reduce_min(positions * -100_000)], {})
    assert [int(v) for v in found] == [2_999_900_000, -2_999_900_000]


def test_narrow_numbers_wrap_before_they_are_compared(run):
    x = gf.placeholder(gf.int8, [300], name="x")
    wrapped = gf.cast(gf.cast(gf.range(300), gf.int8) + gf.cast(x, gf.int8), gf.int64)
    found, _ = run(gf.equal(wrapped, gf.cast(gf.range(300), gf.int64)), {x: np.zeros(300, np.int8)})
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, np.arange(300).astype(np.int8) == np.arange(300))


def test_an_axis_that_only_a_run_knows_may_be_empty(run):
    """The least of no positions is the largest int64, as ever."""
    x = gf.placeholder(gf.float32, [None, 3], name="x")
    positions = gf.where(x > 0.0, gf.constant(5, gf.int64), gf.constant(7, gf.int64))
    found, _ = run(gf.reduce_min(positions, axis=0), {x: np.zeros((0, 3), np.float32)})
    np.testing.assert_array_equal(found, np.full(3, np.iinfo(np.int64).max))
