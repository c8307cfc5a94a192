"""Random numbers: known answers of the generator, distributions, and what the numbers depend on."""

import math

import numpy as np
import pytest

import graphflow as gf
from graphflow.ir.evaluate import evaluate
from graphflow.ops.random import derive_key, threefry
from graphflow.ops.source import run_counter_tensor

# From the file kat_vectors of the Random123 distribution: key, counter, result of threefry2x32 with 20 rounds.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
COUNT = 40_000
BOUND = 5  # standard errors that a moment may be off


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_known_answers(key, counter, words):
    found = threefry(key, np.uint32(counter[0]), np.uint32(counter[1]))
    assert tuple(int(w) for w in found) == words


def draw(tensor, run=0):
    return evaluate([tensor], {run_counter_tensor(): np.uint32(run)})[0]


def distance(values, distribution):
    """Kolmogorov's distance from a distribution function."""
    ordered = np.sort(values.astype(float).ravel())
    ranks = np.arange(ordered.size + 1) / ordered.size
    exact = distribution(ordered)
    return max(np.abs(exact - ranks[1:]).max(), np.abs(exact - ranks[:-1]).max())


def normal_distribution(x):
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(x)


def truncated_distribution(x):
    low = normal_distribution(np.array([-2.0]))[0]
    return (normal_distribution(np.clip(x, -2, 2)) - low) / (1 - 2 * low)


LIMIT = 1.95 / math.sqrt(COUNT)  # exceeded with probability 0.001


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    assert distance(draw(gf.random.uniform([COUNT], dtype=dtype, seed=1)), lambda x: x) < LIMIT
    assert distance(draw(gf.random.uniform([COUNT], -3, 5, dtype, seed=2)), lambda x: (x + 3) / 8) < LIMIT
    assert distance(draw(gf.random.normal([COUNT], dtype=dtype, seed=3)), normal_distribution) < LIMIT
    assert distance(draw(gf.random.normal([COUNT], 2, 3, dtype, seed=4)), lambda x: normal_distribution((x - 2) / 3)) < LIMIT
    kept = draw(gf.random.truncated_normal([COUNT], dtype=dtype, seed=5))
    assert distance(kept, truncated_distribution) < LIMIT and np.abs(kept).max() <= 2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_units_are_below_one(dtype):
    values = draw(gf.random.uniform([COUNT], dtype=dtype)).astype(float)
    assert values.min() >= 0 and values.max() < 1 and abs(values.mean() - 0.5) < 0.01
    values = draw(gf.random.uniform([COUNT], 1, 2, dtype)).astype(float)
    assert values.min() >= 1 and values.max() < 2


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int32", -5, 6), ("int8", -128, 128), ("uint8", 0, 256), ("int64", -(2**63), 2**63), ("uint64", 7, 2**64)],
)
def test_integers(dtype, low, high):
    values = draw(gf.random.uniform([COUNT], low, high, dtype))
    assert values.dtype == dtype and int(values.min()) >= low and int(values.max()) < high
    assert distance(values, lambda x: (x - low + (0.5 if high - low < 1000 else 0)) / (high - low)) < 0.06


def test_numbers_of_different_ops_runs_and_elements_differ():
    a, b = gf.random.uniform([100]), gf.random.uniform([100])
    first, second, later = draw(a), draw(b), draw(a, run=1)
    assert len(np.unique(np.concatenate([first, second, later]))) > 295
    assert np.array_equal(draw(a), first)


def test_a_seed_repeats_and_an_unrelated_op_changes_nothing():
    def numbers(extra, seed=None, name=None, graph_seed=0):
        with gf.Graph().as_default():
            gf.set_random_seed(graph_seed)
            if extra:
                gf.random.normal([3], name="unrelated")
            return draw(gf.random.normal([4], seed=seed, name=name))

    assert np.array_equal(numbers(False, name="noise"), numbers(True, name="noise"))
    assert np.array_equal(numbers(False, seed=3), numbers(True, seed=3))
    assert not np.array_equal(numbers(False, seed=3), numbers(False, seed=4))
    assert not np.array_equal(numbers(False, seed=3), numbers(False, seed=3, graph_seed=1))


def test_keys_are_stable():
    """A change of these numbers changes every seeded result of every user."""
    assert derive_key(0, 1, "", 0) == derive_key(0, 1, "any", 0)
    assert derive_key(0, None, "a/", 0) != derive_key(0, None, "b/", 0)
    assert derive_key(0, 1, "", 0) == KEY_OF_SEED_1


KEY_OF_SEED_1 = (2034103613, 1906950161)


def test_symbolic_shapes_and_parameters_that_are_tensors():
    x = gf.placeholder(gf.float32, [None, 2], name="x")
    noise = gf.random.normal(x.shape, mean=x, stddev=0.0)
    value = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(evaluate([noise], {x: value})[0], value)
    assert gf.random.uniform([x.shape[0]], x[0, 0], x[0, 1]).shape == (x.shape[0],)
    assert gf.gradients(noise, x)[0].shape == x.shape


def test_dropout():
    x = gf.placeholder(gf.float32, [None, 50], name="x")
    y = gf.nn.dropout(x, 0.3, seed=2)
    (g,) = gf.gradients(y, x)
    value = np.full((40, 50), 2.0, np.float32)
    out, slope = evaluate([y, g], {x: value})
    np.testing.assert_allclose(np.unique(out), [0, 2 / 0.7], rtol=1e-6)
    np.testing.assert_allclose(slope, out / 2, rtol=1e-6)  # the same mask
    assert abs((out == 0).mean() - 0.3) < 0.05
    rate = gf.placeholder(gf.float32, [])
    assert not evaluate([gf.nn.dropout(x, rate)], {x: value, rate: 0.999})[0].all()


def test_initialisers():
    limit = math.sqrt(6 / 400)
    values = draw(gf.random.glorot_uniform([300, 100], seed=1))
    assert np.abs(values).max() <= limit and abs(values.std() - limit / math.sqrt(3)) < 0.01 * limit
    np.testing.assert_allclose(draw(gf.random.glorot_normal([300, 100])).std(), math.sqrt(2 / 400), rtol=0.02)
    np.testing.assert_allclose(draw(gf.random.he_normal([3, 3, 30, 100])).std(), math.sqrt(2 / 270), rtol=0.02)
    np.testing.assert_allclose(draw(gf.random.he_uniform([300, 100])).std(), math.sqrt(2 / 300), rtol=0.02)
    make = gf.random.he_normal_initializer(seed=4)
    np.testing.assert_array_equal(draw(make([5, 5])), draw(gf.random.he_normal([5, 5], seed=4)))
    with pytest.raises(gf.errors.ShapeError):
        gf.random.glorot_uniform([gf.placeholder(gf.float32, [None]).shape[0], 3])
