"""gf.array_api: promotion, assignment that tapes follow, masks, and the array-API paths of SciPy and scikit-learn.

The standard's own suite is run by hand: docs/arrays.md says how, tests/array_api/skips.txt what is left out.
"""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import graphflow as gf
import graphflow.array_api as xp
from graphflow.errors import DTypeError, ModeError


def test_promotion_is_the_standards():
    x, n = xp.asarray([1.0, 2.0]), xp.asarray([1, 2], dtype=xp.int8)
    assert (x + xp.asarray(1.0, dtype=xp.float64)).dtype == xp.float64
    assert (n + xp.asarray(1, dtype=xp.uint8)).dtype == xp.int16
    assert (x * 1j).dtype == xp.complex64 and (2 * x).dtype == xp.float32
    assert xp.sum(n).dtype == xp.int32 and xp.mean(x, axis=0).shape == ()
    for mixed in (lambda: x + n, lambda: n + 1.5, lambda: n + xp.asarray(1, dtype=xp.uint64)):
        with pytest.raises(DTypeError):
            mixed()
    with pytest.raises(OverflowError):
        n + 300


@pytest.mark.parametrize("eager", [False, True])
def test_arrays_run_as_called_in_either_mode_and_graphflow_takes_them(eager):
    with gf.eager() if eager else gf.Graph().as_default():
        x = xp.asarray([0.0, 1.0])
        y = xp.exp(x) + xp.zeros(2)
        assert isinstance(y, xp.Array) and y.__array_namespace__() is xp
        np.testing.assert_allclose(y, np.exp([0.0, 1.0]), rtol=1e-6)
        assert float(gf.reduce_sum(x)) == 1.0
        assert isinstance(np.exp(x), xp.Array) and isinstance(np.ones(2) * xp.asarray([1.0, 2.0], dtype=xp.float64), xp.Array)
        assert gf.constant(1.0).__array_namespace__() is xp
    with gf.Graph().as_default(), pytest.raises(ModeError, match=r"gf\.numpy"):
        xp.exp(gf.placeholder(gf.float32, []))


def test_assignment_gives_an_array_another_value_and_tapes_follow():
    z = xp.asarray([1.0, 2.0, 3.0])
    with gf.GradientTape() as tape:
        tape.watch(z)
        squares = z * z
        q = seen = z + 0.0
        q[1] = squares[2]
        q[xp.asarray([True, False, False])] = 7.0
        q *= 2.0
        y = xp.sum(q * squares)
    assert seen is q
    np.testing.assert_allclose(tape.gradient(y, z), 2 * np.array([7 * 2 * 1, 3**2 * 2 * 2, 2 * 3 * 2**2 + 3 * 3**2], float))
    with pytest.raises(DTypeError):
        xp.asarray([1, 2])[0] = 1.5


KEYS = [
    (slice(None), 1), (..., None), ([2, 0],), (slice(1, None), [True, False, True, False]), (np.array([[0, 2], [1, 1]]), 0),
    (-1, slice(None, None, -2)), (np.eye(3, 4, dtype=bool),), (True,), (),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_elements_are_those_of_numpy(key):
    a = np.arange(12.0).reshape(3, 4)
    ours = tuple(xp.asarray(k) if isinstance(k, np.ndarray) else k for k in key)
    x = xp.asarray(a)
    np.testing.assert_array_equal(x[ours], a[key])
    b = a.copy()
    b[key], x[ours] = -1.0, -1.0
    np.testing.assert_array_equal(x, b)


def test_copies_and_pickles_do_not_share_changes():
    x = xp.asarray([1.0, 2.0])
    others = [copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), xp.asarray(x, copy=True), x[:]]
    x[0] = 5.0
    assert all(float(other[0]) == 1.0 for other in others)
    assert repr(x) == "Array([5., 2.], dtype=float32, device=cpu)"


def test_derivatives_go_through_the_namespace():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    x = xp.asarray(a)
    with gf.GradientTape() as tape:
        tape.watch(x)
        y = xp.linalg.det(x) + xp.sum(xp.real(xp.fft.fft(xp.sort(xp.cumulative_sum(x, axis=1)))))
    by_hand = np.array([[3.0, -1.0], [-1.0, 2.0]]) + [[2.0, 0.0], [2.0, 0.0]]
    np.testing.assert_allclose(tape.gradient(y, x), by_hand, atol=1e-12)


_ELSEWHERE = """
import sys
import numpy as np
import graphflow.array_api as xp

a = np.random.default_rng(0).normal(size=(20, 4))
x, labels = xp.asarray(a), (a[:, 0] > 0).astype(np.int64)

def same(found, wanted):
    assert isinstance(found, xp.Array), type(found)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)

if sys.argv[1] == "scipy":
    from scipy import fft, integrate, special
    for of in (lambda v: special.logsumexp(v, axis=1), lambda v: special.softmax(v, axis=1), lambda v: fft.rfft(v, axis=0),
               lambda v: special.gammaln(v * v), lambda v: integrate.cumulative_trapezoid(v, axis=0)):
        same(of(x), of(a))
else:
    from sklearn import config_context
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import r2_score
    from sklearn.preprocessing import StandardScaler
    for of in (lambda v, y: StandardScaler().fit_transform(v),
               lambda v, y: abs(PCA(2, svd_solver="full").fit_transform(v)),
               lambda v, y: LinearDiscriminantAnalysis().fit(v, y).predict(v)):
        wanted = of(a, labels)
        with config_context(array_api_dispatch=True):
            same(of(x, xp.asarray(labels)), wanted)
    with config_context(array_api_dispatch=True):
        assert abs(r2_score(x[:, 0], x[:, 1]) - r2_score(a[:, 0], a[:, 1])) < 1e-9
"""


@pytest.mark.parametrize("library", ["scipy", "sklearn"])
def test_array_api_paths_of(library):
    pytest.importorskip(library)
    if library == "sklearn":
        pytest.importorskip("array_api_compat")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ELSEWHERE, library],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
