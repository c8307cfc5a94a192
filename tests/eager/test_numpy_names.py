"""gf.numpy: NumPy's names give NumPy's numbers, eagerly and in graphs, and NumPy's own functions find them."""

import numpy as np
import pytest

import graphflow as gf
from graphflow.numpy.dispatch import NAMES

A = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
B = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)

# Each is called with the module, NumPy or gf.numpy, and two arrays or tensors.
CALLS = {
    "sum": lambda n, a, b: n.sum(a, axis=(0, 1), keepdims=True),
    "sum of some": lambda n, a, b: n.sum(a, axis=0, where=b > 0, initial=1.0),
    "max": lambda n, a, b: n.max(a, axis=-1, initial=0.5),
    "mean": lambda n, a, b: n.mean(a, 0),
    "var": lambda n, a, b: n.var(a, axis=1, ddof=1),
    "std": lambda n, a, b: n.std(a),
    "average": lambda n, a, b: n.average(a, axis=1, weights=n.exp(b)),
    "argmin": lambda n, a, b: n.argmin(a),
    "all": lambda n, a, b: n.all(a > -5, axis=0),
    "clip": lambda n, a, b: n.clip(a, -0.5, 0.5),
    "divmod": lambda n, a, b: n.stack(n.divmod(a, b)),
    "where": lambda n, a, b: n.where(a > b, a, 0.0),
    "concatenate": lambda n, a, b: n.concatenate([a, b], axis=None),
    "hstack": lambda n, a, b: n.hstack([a, b]),
    "vstack": lambda n, a, b: n.vstack([a, b[0]]),
    "split": lambda n, a, b: n.split(a, [1, 3], axis=1)[1],
    "tile": lambda n, a, b: n.tile(a[0], (2, 2)),
    "repeat": lambda n, a, b: n.repeat(a, 2, axis=1),
    "moveaxis": lambda n, a, b: n.moveaxis(n.reshape(a, (3, 2, 2)), [0, 1], [-1, 0]),
    "transpose": lambda n, a, b: n.transpose(a),
    "roll": lambda n, a, b: n.roll(a, (1, -1), axis=(0, 1)),
    "pad": lambda n, a, b: n.pad(a, ((1, 0), (0, 2))),
    "take": lambda n, a, b: n.take(a, [2, 0], axis=1),
    "cumsum": lambda n, a, b: n.cumsum(a),
    "sort": lambda n, a, b: n.sort(a, axis=0),
    "argsort": lambda n, a, b: n.argsort(a),
    "diff": lambda n, a, b: n.diff(a, axis=0),
    "dot": lambda n, a, b: n.dot(a, b.T),
    "inner": lambda n, a, b: n.inner(a, b),
    "outer": lambda n, a, b: n.outer(a, b),
    "einsum": lambda n, a, b: n.einsum("ij,ij->i", a, b),
    "tensordot": lambda n, a, b: n.tensordot(a, b, axes=([0], [0])),
    "trace": lambda n, a, b: n.trace(n.matmul(a, b.T)),
    "triu": lambda n, a, b: n.triu(a, k=1),
    "logical_or": lambda n, a, b: n.logical_or(a, b > 0),
    "logaddexp": lambda n, a, b: n.logaddexp(a, b),
    "fmod": lambda n, a, b: n.fmod(a, b),
    "round": lambda n, a, b: n.round(a, 2),
    "nan_to_num": lambda n, a, b: n.nan_to_num(a / 0.0, nan=1.0, posinf=2.0),
    "isclose": lambda n, a, b: n.isclose(a, a + 1e-9),
    "linalg.norm": lambda n, a, b: n.linalg.norm(a, axis=1),
    "linalg.norm of a matrix": lambda n, a, b: n.linalg.norm(a, 2, axis=(0, 1)),
    "linalg.solve": lambda n, a, b: n.linalg.solve(n.matmul(a, a.T) + n.eye(3, dtype="float32"), b),
    "linalg.svd": lambda n, a, b: n.linalg.svd(a, full_matrices=False)[1],
    "fft.rfft": lambda n, a, b: n.fft.rfft(a, axis=0),
}


def calls_of(module):
    """What `module` computes; NumPy alone cannot know that what it makes from numbers is to be a tensor."""
    return {name: call for name, call in CALLS.items() if module is not np or "eye" not in call.__code__.co_names}


@pytest.mark.parametrize("module", [gf.numpy, np], ids=["names", "dispatch"])
@pytest.mark.parametrize("eager", [True, False], ids=["eager", "graph"])
def test_names_give_numpys_numbers(eager, module):
    calls = calls_of(module)
    with np.errstate(all="ignore"):
        wanted = {name: call(np, A, B) for name, call in calls.items()}
    if eager:
        with gf.eager():
            found = {name: call(module, gf.constant(A), gf.constant(B)) for name, call in calls.items()}
            assert all(isinstance(found[name], gf.Tensor) for name in calls if name != "isclose")  # its truths are NumPy's
    else:
        with gf.Graph().as_default(), gf.Session() as session:
            a, b = gf.placeholder(gf.float32, [3, 4]), gf.placeholder(gf.float32, [3, 4])
            found = session.run({name: call(module, a, b) for name, call in calls.items()}, {a: A, b: B})
    for name in calls:
        assert found[name].shape == wanted[name].shape, name
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-4, atol=1e-5, err_msg=name)


def test_every_name_is_numpys():
    missing = [name for name in NAMES if not hasattr(np, name)]
    assert missing == [], f"no function of NumPy: {missing}"
    for module in ("linalg", "fft"):
        ours, theirs = getattr(gf.numpy, module), getattr(np, module)
        assert [name for name in ours.__all__ if not hasattr(theirs, name)] == []


def test_what_is_made_has_the_dtype_asked_for():
    with gf.eager():
        n = gf.numpy
        assert n.arange(3).dtype == gf.int32 and n.zeros((2, 2)).dtype == gf.float32 and n.full(3, 2).tolist() == [2, 2, 2]
        assert n.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0] and n.asarray(A, "float64").dtype == gf.float64
        assert n.eye(2, 3, k=1).tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
