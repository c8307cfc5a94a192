"""Samples of the ops and functions of the array world: Python called back, cumulative sums, sorting, linear algebra, Fourier transforms."""

# ruff: noqa: E501 - a table, one sample a line
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

import graphflow as gf
from tests.ops.compositions import f, i, row

Array = np.ndarray


def c(*shape: int, seed: int = 0) -> Array:
    return f(*shape, seed=seed) + 1j * f(*shape, seed=seed + 100)


def single(x: Array) -> Array:
    return x.astype("complex64" if x.dtype.kind == "c" else "float32")


def h(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def positive(x: Any) -> Any:
    """A positive definite matrix of any: its own product with its adjoint, and some of the diagonal."""
    if isinstance(x, Array):
        return x @ h(x) + np.eye(x.shape[-1], dtype=x.dtype)
    return gf.matmul(x, gf.linalg.adjoint(x)) + gf.eye(x.shape[-2], dtype=x.dtype)


def regular(x: Any) -> Any:
    """A matrix far from singular."""
    return x + (3 * np.eye(x.shape[-1], dtype=x.dtype) if isinstance(x, Array) else 3 * gf.eye(x.shape[-1], dtype=x.dtype))


# --- primitives -----------------------------------------------------------------------------------------------------------

_ZEROS = np.array([[2.0, 0.0, 3.0, 0.5], [0.0, 1.0, 0.0, 2.0], [1.5, -2.0, 1.0, 3.0]])
_TIES = np.array([[3.0, 1.0, 3.0, -2.0], [0.5, 0.5, 0.5, 0.5]])
_MANY = np.where(np.abs(f(3, 100)) > 1.9, np.nan, np.round(f(3, 100), 1))
_NAN = np.array([[1.0, np.nan, -np.inf, 2.0], [np.inf, 0.0, np.nan, -0.0]])
_SINGULAR = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.5]]) @ np.diag([1.0, 1.0, 0.0])


def structural(Sample: Callable[..., Any]) -> dict[str, list[Any]]:
    """Samples of the primitive ops."""

    def both(op: str, arrays: list[Array], **attributes: Any) -> list[Any]:
        """In double precision with a gradient, in single without one."""
        rows = [Sample(f"{x.dtype}{list(x.shape)} {attributes}", (x,), attributes, gradient=True) for x in arrays]
        return rows + [Sample(f"single {attributes}", (single(arrays[0]),), attributes)]

    return {
        "nextafter": [
            Sample("float64", (f(3, 1), f(4)), {}),
            Sample("float32", (np.float32([0, -0.0, np.inf, np.nan, 1]), np.float32([1, 1, 0, 1, -np.inf])), {}),
        ],
        "cumulate": [
            *(s for axis in (0, 1) for s in both("cumulate", [f(3, 4)], axis=axis, combine="add")),
            *(s for axis in (0, 1) for s in both("cumulate", [f(3, 4), c(2, 3)], axis=axis, combine="multiply")),
            *(Sample(f"zeros {axis}", (_ZEROS,), {"axis": axis, "combine": "multiply"}, gradient=True, second=False) for axis in (0, 1)),
            *(Sample(f"cube {axis}", (f(2, 3, 4),), {"axis": axis, "combine": "add"}, gradient=True) for axis in (0, 1, 2)),
            Sample("nothing", (f(0, 3),), {"axis": 0, "combine": "add"}, gradient=True),
            Sample("columns of several units", (f(2, 3, 300),), {"axis": 1, "combine": "add"}),
            Sample("int8", (i(100, 100, 3, dtype="int8"),), {"axis": 0, "combine": "add"}),
            Sample("float16", (f(5).astype("float16"),), {"axis": 0, "combine": "add"}),
            Sample("special", (_NAN,), {"axis": 1, "combine": "add"}),
        ],
        "cumulative_extreme": [
            Sample(f"{combine} {x.dtype} {axis}", (x,), {"axis": axis, "combine": combine})
            for combine in ("maximum", "minimum")
            for x, axis in ((f(3, 4), 0), (_NAN, 1), (i([3, 1], [2, 7]), 0), (f(2, 0), 1))
        ],
        "sort": [
            *(
                Sample(f"{x.dtype}{list(x.shape)} {axis} {down}", (x,), {"axis": axis, "descending": down, "count": x.shape[axis]}, gradient=x.dtype == "float64" and bool(np.isfinite(x).all()))
                for x, axis in ((f(2, 3, 2), 1), (f(5), 0), (f(3, 0), 0), (_NAN, 1), (i([3, 1, 3], [2, 7, 2]), 0), (np.uint8([[200, 3, 200]]), 1), (f(6).astype("float16"), 0), (f(7) > 0, 0))
                for down in (False, True)
            ),
            Sample("ties", (_TIES,), {"axis": 1, "descending": True, "count": 4}),
            Sample("first", (f(3, 4),), {"axis": 0, "descending": True, "count": 2}, gradient=True),
            Sample("none", (f(3, 4),), {"axis": 1, "descending": False, "count": 0}),
            *(
                Sample(f"merged {x.shape} {axis} {count} {down}", (x,), {"axis": axis, "descending": down, "count": count})
                for x, axis, count in ((_MANY, 1, 100), (_MANY.T, 0, 70), (_MANY, 1, 5), (np.resize(_MANY, (2, 200)), 1, 40), (np.round(f(100) * 3).astype("int32"), 0, 100))
                for down in (False, True)
            ),
        ],
        "searchsorted": [
            Sample(f"{name} {side}", (a, v), {"side": side})
            for side in ("left", "right")
            for name, a, v in (
                ("vector", np.sort(f(6)), f(2, 3)), ("equal", i(1, 2, 2, 5), i(0, 1, 2, 3, 9)), ("rows", np.sort(f(2, 5)), f(2, 3, seed=1)),
                ("nan", np.array([0.0, np.inf, np.nan]), np.array([np.nan, 1.0, np.inf])), ("nothing", f(0), f(3)), ("scalar", np.sort(f(4)), f()),
            )
        ],
        "triangular_solve": [
            Sample(f"{name} {lower} {adjoint}", (regular(a), b), {"lower": lower, "adjoint": adjoint}, gradient=True)
            for name, a, b in (("matrix", f(3, 3), f(3, 2)), ("batch", f(2, 3, 3), f(3, 1)), ("complex", c(2, 2), c(2, 3)))
            for lower in (False, True)
            for adjoint in (False, True)
        ] + [Sample("float32", (single(regular(f(3, 3))), single(f(3, 2))), {"lower": True, "adjoint": False})],
        "cholesky": [Sample(name, (positive(x),), {}) for name, x in (("matrix", f(3, 3)), ("batch", f(2, 3, 3)), ("complex", c(3, 3)), ("float32", single(f(3, 3))), ("large", f(65, 65)), ("1", f(1, 1)), ("0", f(0, 0)))],
        "solve": [
            Sample("matrix", (regular(f(3, 3)), f(3, 2)), {}, gradient=True),
            Sample("batch", (regular(f(2, 3, 3)), f(3, 2)), {}, gradient=True),
            Sample("complex", (regular(c(2, 2)), c(2, 3)), {}, gradient=True),
            Sample("float32", (single(regular(f(3, 3))), single(f(3, 1))), {}),
            Sample("pivots", (np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [-3.0, 1.0, 0.0]]), f(3, 5)), {}, gradient=True),
        ],
        "inv": both("inv", [regular(f(3, 3)), regular(f(2, 2, 2)), regular(c(2, 2))]),
        "det": [*both("det", [f(3, 3), f(2, 2, 2), c(2, 2), f(1, 1)]), Sample("singular", (_SINGULAR,), {}, gradient=True, second=False)],
        "adjugate": both("adjugate", [regular(f(3, 3)), regular(c(2, 2)), regular(f(2, 2, 2))]),
        "slogdet": both("slogdet", [regular(f(3, 3)), f(2, 2, 2), regular(c(2, 2))]) + [Sample("singular", (np.zeros((2, 2)),), {})],
        "qr": [
            *both("qr", [regular(f(3, 3)), f(2, 2, 4), c(2, 3)], complete=True),
            *both("qr", [f(2, 3, 2), c(3, 2)], complete=False),
            Sample("all columns", (f(4, 2),), {"complete": True}),
        ],
        "eigh": [*both("eigh", [f(1, 1)]), Sample("matrix", (positive(f(3, 3)),), {}), Sample("complex", (positive(c(3, 3)),), {})],
        "svd": [
            *both("svd", [f(3, 3), f(4, 2), f(2, 2, 3)], full=False),
            *(Sample(f"complex {full}", (c(3, 2),), {"full": full}) for full in (False, True)),
            Sample("all", (f(4, 2),), {"full": True}),
        ],
        "pinv": both("pinv", [f(3, 3), f(4, 2), f(2, 2, 3), c(3, 2)], rtol=None) + [Sample("singular", (_SINGULAR,), {"rtol": 1e-6})],
        "expm": both("expm", [f(3, 3), f(2, 2, 2), c(2, 2), f(2, 2) * 6]) + [Sample("special", (_NAN[:, :2],), {})],
        "dft": [s for inverse, axes in ((False, (1,)), (True, (0, 1))) for s in both("dft", [c(3, 4)], axes=axes, inverse=inverse)]
        + [Sample("1", (c(1, 1),), {"axes": (0,), "inverse": False}, gradient=True)],
        "rdft": [s for axis in (0, 1) for s in both("rdft", [f(3, 4), f(5, 1)], axis=axis)],
        "irdft": [s for size, axis in ((1, 0), (4, 1), (5, 0)) for s in both("irdft", [c(size // 2 + 1, size // 2 + 1)], axis=axis, size=size)],
    }  # fmt: skip


# --- functions ------------------------------------------------------------------------------------------------------------

_L, _F = gf.linalg, gf.fft
_X, _CUBE = f(3, 4), f(2, 3, 4)
_SPECIAL = np.array([np.inf, -np.inf, np.nan, 0.0, 1.0])


def _exclusive(x: Array, axis: int, reverse: bool, function: Callable[..., Array], first: float) -> Array:
    """All but each element itself, from the beginning or from the end."""
    x = np.flip(x, axis) if reverse else x
    begin = np.full_like(np.take(x, [0], axis), first)
    found = np.concatenate([begin, np.delete(function(x, axis=axis), -1, axis)], axis)
    return np.flip(found, axis) if reverse else found


def _reverse(x: Array, axis: int, function: Callable[..., Array]) -> Array:
    return np.flip(function(np.flip(x, axis), axis=axis), axis)


def _top(x: Array, k: int) -> tuple[Array, Array]:
    order = np.argsort(-x, -1, kind="stable")[..., :k]
    return np.take_along_axis(x, order, -1), order.astype("int32")


def _ffts(function: Callable[..., Any], reference: Callable[..., Any], *arrays: Array, two: bool = False) -> list[Any]:
    """Sizes, axes, factors."""
    settings: list[dict[str, Any]] = [{"n": 3}, {"n": 7, "axis": 0, "norm": "forward"}, {"norm": "ortho"}]
    if two:
        settings = [{}, {"s": (3, 5), "axes": (1, 0), "norm": "ortho"}]
    return [row(function, (x,), lambda x, s=s: reference(x, **s), **s) for x in arrays for s in settings]


def _norms() -> list[Any]:
    orders = [2, 1, 2.5, 0, np.inf, -np.inf, -1]
    rows = [row(_L.vector_norm, (f(4) + 3,), lambda x, o=o: np.asarray(np.linalg.norm(x, o)), ord=o) for o in orders]
    rows += [
        row(_L.vector_norm, (x,), lambda x, k=k: np.linalg.norm(x, 1.5, 1, k), axis=1, keepdims=k, ord=1.5)
        for x in (_X, c(2, 3))
        for k in (False, True)
    ]
    return [*rows, row(_L.vector_norm, (_CUBE,), lambda x: np.abs(x).max((0, 2)), axis=(0, 2), ord=np.inf)]


def _search() -> list[Any]:
    a = np.sort(f(6))
    return [row(gf.searchsorted, (a, _X), np.searchsorted),
            row(gf.searchsorted, (a, _X), lambda a, x: np.searchsorted(a, x, "right").astype("int32"), side="right", out_type=gf.int32)]  # fmt: skip


TABLE: dict[str, list[Any]] = {
    "numpy_function": [
        row(lambda x: gf.numpy_function(np.tanh, [x], x.dtype), (single(f(2, 3)),), np.tanh),
        row(lambda x: gf.numpy_function(lambda a: (a[:1], a + 1), [x], [x.dtype] * 2, shape=[[1], x.shape]), (single(f(3)),), lambda x: (x[:1], x + 1)),
    ],
    "py_function": [row(lambda x: gf.py_function(lambda a: a.T, [x], x.dtype, shape=[x.shape[1], x.shape[0]]), (single(f(2, 3)),), np.transpose)],
    "signbit": [row(gf.signbit, (x,), np.signbit) for x in (_SPECIAL, np.array([-0.0, 0.0]), i(-1, 0, 3))],
    "cumsum": [row(gf.cumsum, (x,), lambda x, a=a: np.cumsum(x, a), axis=a) for x in (_X, c(2, 3), _CUBE) for a in (0, -1)]
    + [row(gf.cumsum, (_X,), lambda x, a=a: _reverse(x, a, np.cumsum), axis=a, reverse=True) for a in (0, 1)]
    + [row(gf.cumsum, (_X,), lambda x, r=r: _exclusive(x, 1, r, np.cumsum, 0), axis=1, exclusive=True, reverse=r) for r in (False, True)],
    "cumprod": [row(gf.cumprod, (x,), lambda x, a=a: np.cumprod(x, a), axis=a) for x in (_X, c(2, 3)) for a in (0, -1)]
    + [row(gf.cumprod, (_X,), lambda x, r=r: _exclusive(x, 1, r, np.cumprod, 1), axis=1, exclusive=True, reverse=r) for r in (False, True)],
    "cummax": [row(gf.cummax, (x,), lambda x, a=a: np.maximum.accumulate(x, a), axis=a) for x in (_X, i([3, 1, 4], [1, 5, 2]), _NAN) for a in (0, 1)],
    "cummin": [row(gf.cummin, (x,), lambda x, a=a: np.minimum.accumulate(x, a), axis=a) for x in (_X, i([3, 1, 4], [1, 5, 2]), _NAN) for a in (0, 1)],
    "sort": [row(gf.sort, (x,), lambda x, a=a: np.sort(x, a), axis=a) for x in (_X, _CUBE, _NAN) for a in (0, -1)]
    + [row(gf.sort, (_X,), lambda x: -np.sort(-x), direction="DESCENDING")],
    "argsort": [row(gf.argsort, (x,), lambda x, a=a: np.argsort(x, a, kind="stable"), axis=a) for x in (_X, _TIES, _NAN) for a in (0, -1)]
    + [row(gf.argsort, (_TIES,), lambda x: np.argsort(-x, -1, kind="stable"), direction="DESCENDING")],
    "top_k": [row(gf.top_k, (x,), lambda x, k=k: _top(x, k), k) for x in (_X, f(5)) for k in (1, 3)] + [row(gf.top_k, (i([3, 1, 3], [2, 2, 2]),), lambda x: _top(x, 2), 2)],
    "searchsorted": _search(),
    "count_nonzero": [row(gf.count_nonzero, (x,), lambda x, a=a: np.asarray(np.count_nonzero(x, a)), axis=a) for x, a in ((i([0, 1], [2, 0]), 0), (_X > 0, None), (_ZEROS, 1), (np.zeros((0, 2)), 0))],
    "isin": [row(gf.isin, (i([1, 2], [3, 4]), i(2, 4, 9)), lambda x, v, n=n: np.isin(x, v, invert=n), invert=n) for n in (False, True)] + [row(gf.isin, (_X, np.zeros((0,))), np.isin)],
    "take_along_axis": [
        row(gf.take_along_axis, (_X, i([0, 3], [1, 1], [2, 0])), lambda x, n: np.take_along_axis(x, n, -1)),
        row(gf.take_along_axis, (_CUBE, i([[2, 0, 1, 1]])), lambda x, n: np.take_along_axis(x, n, 1), axis=1),
        row(gf.take_along_axis, (f(4), i(3, 3, 0)), lambda x, n: x[n]),
        row(lambda x: gf.take_along_axis(x, [[-1], [0], [-2]], 1), (_X,), lambda x: np.take_along_axis(x, i([-1], [0], [-2]), 1)),
    ],
    "roll": [row(gf.roll, (_X,), lambda x, s=s, a=a: np.roll(x, s, a), s, a) for s, a in ((1, 0), (-1, 1), (5, -1), (2, None), ((1, 2), (0, 1)), (0, 0))] + [row(gf.roll, (f(0, 2),), lambda x: x, 1, 0)],
    "diff": [row(gf.diff, (_X,), lambda x, n=n, a=a: np.diff(x, n, a), n=n, axis=a) for n, a in ((0, 0), (1, -1), (2, 0))]
    + [row(lambda x, p: gf.diff(x, prepend=p, append=p), (_X, f(3, 1)), lambda x, p: np.diff(x, prepend=p, append=p)), row(gf.diff, (_X > 0,), np.diff)],
    "repeat": [row(gf.repeat, (f(2, 3),), lambda x, a=a: np.repeat(x, 2, a), 2, a) for a in (None, 0, 1)]
    + [row(gf.repeat, (f(2, 3),), lambda x: np.repeat(x, [2, 0, 1], 1), [2, 0, 1], 1), row(gf.repeat, (f(2, 3),), lambda x: np.repeat(x, [2, 3], 0), [2, 3], 0),
       row(lambda x, n: gf.repeat(x, n, 0, total_repeat_length=5), (f(3, 2), i(2, 0, 3)), lambda x, n: np.repeat(x, n, 0)),
       row(lambda x, n: gf.repeat(x, n, 0, total_repeat_length=4), (f(3, 2), i(1, 1, 0)), lambda x, n: x[[0, 1, 2, 2]])],
    "linspace": [
        ("numbers", (), lambda: gf.linspace(0.0, 1.0, 5), lambda: np.linspace(0, 1, 5, dtype="float32")),
        ("whole numbers", (), lambda: gf.linspace(2, 8, 4), lambda: np.linspace(2, 8, 4)),
        ("open", (), lambda: gf.linspace(0.0, 1.0, 4, endpoint=False), lambda: np.linspace(0, 1, 4, endpoint=False, dtype="float32")),
        ("one", (), lambda: gf.linspace(3.0, 1.0, 1), lambda: np.float32([3])), ("none", (), lambda: gf.linspace(3.0, 1.0, 0), lambda: np.zeros(0, "float32")),
        row(gf.linspace, (f(3), f(2, 1)), lambda a, b: np.linspace(a, b, 4), 4), row(gf.linspace, (f(3), f(2, 1)), lambda a, b: np.linspace(a, b, 3, axis=-1), 3, -1),
    ],
    "meshgrid": [row(gf.meshgrid, (f(2), f(3)), lambda *x, n=n: tuple(np.meshgrid(*x, indexing=n)), indexing=n) for n in ("xy", "ij")]
    + [row(gf.meshgrid, (f(2), f(3), f(1)), lambda *x: tuple(np.meshgrid(*x)))],
    "broadcast_arrays": [row(lambda *x: gf.broadcast_arrays(*x), (f(2, 1), f(3), f()), lambda *x: tuple(np.broadcast_arrays(*x)))],
    "eye": [("square", (), lambda: gf.eye(3), lambda: np.eye(3, dtype="float32")), ("wide", (), lambda: gf.eye(2, 3, dtype=gf.int32, k=1), lambda: np.eye(2, 3, 1, "int32")),
            ("batch", (), lambda: gf.eye(2, batch_shape=[3], dtype=gf.bool), lambda: np.broadcast_to(np.eye(2, dtype=bool), (3, 2, 2)))],
    "tril": [row(gf.tril, (x,), lambda x, k=k: np.tril(x, k), k=k) for x, k in ((_X, -1), (_CUBE, 0), (_X > 0, 2))],
    "triu": [row(gf.triu, (x,), lambda x, k=k: np.triu(x, k), k=k) for x, k in ((_X, -1), (_CUBE, 0), (i([1, 2], [3, 4]), 1))],
    "band_part": [row(_L.band_part, (_X,), lambda x, a=a, b=b: np.tril(np.triu(x, -a if a >= 0 else -9), b if b >= 0 else 9), a, b) for a, b in ((0, 0), (1, -1), (-1, 1), (-1, -1))],
    "diag_part": [row(_L.diag_part, (x,), lambda x, k=k: np.diagonal(x, k, -2, -1), k=k) for x, k in ((_X, -1), (_CUBE, 0), (f(4, 2), 1), (c(2, 2), 0), (_X, 5))],
    "diagonal": [row(_L.diagonal, (_CUBE,), lambda x, a=a: np.diagonal(x, *a), *a) for a in ((0, -2, -1), (1, 0, 2), (-1, 2, 0))],
    "diag": [row(_L.diag, (f(3),), lambda x, k=k: np.diag(x, k), k=k) for k in (-2, 0, 1)] + [row(_L.diag, (f(2, 2),), lambda x: np.stack([np.diag(x[0]), np.diag(x[1])])), row(_L.diag, (f(2) > 0,), np.diag)],
    "trace": [row(_L.trace, (x,), lambda x, k=k: np.asarray(np.trace(x, k, -2, -1)), offset=k) for x, k in ((_X, 0), (_CUBE, 1), (c(2, 2), 0))],
    "adjoint": [row(_L.adjoint, (x,), h) for x in (_CUBE, c(2, 3))],
    "matrix_transpose": [row(_L.matrix_transpose, (x,), lambda x: np.swapaxes(x, -1, -2)) for x in (_CUBE, c(2, 3))],
    "outer": [row(_L.outer, (f(3), f(2)), np.outer), row(_L.outer, (c(2), c(3)), np.outer)],
    "vecdot": [row(_L.vecdot, (a, b), np.linalg.vecdot) for a, b in ((_X, f(3, 4, seed=1)), (_CUBE, f(4)), (c(2, 3), c(3)))] + [row(_L.vecdot, (f(3, 2), f(3, 1)), lambda a, b: np.linalg.vecdot(a, b, axis=-2), axis=-2)],
    "cross": [row(_L.cross, (f(3), f(2, 3)), np.linalg.cross), row(_L.cross, (f(3, 2), f(3, 2, seed=1)), lambda a, b: np.linalg.cross(a, b, axis=0), axis=0)],
    "kron": [row(_L.kron, (f(2, 3), f(3, 2)), np.kron), row(_L.kron, (f(2), f(2, 2)), np.kron), row(_L.kron, (c(2), c(2)), np.kron)],
    "vector_norm": _norms(),
    "matrix_norm": [row(_L.matrix_norm, (x,), lambda x, o=o, k=k: np.linalg.norm(x, o, (-2, -1), k), ord=o, keepdims=k)
                    for x, o, k in [(_X, o, False) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)] + [(_CUBE, "nuc", True), (_CUBE, 1, True), (c(2, 3), 2, False)]],
    "triangular_solve": [
        row(_L.triangular_solve, (regular(f(3, 3)), f(3)), lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True)),
        row(_L.triangular_solve, (regular(c(2, 2)), c(2, 3)), lambda a, b: scipy.linalg.solve_triangular(a, b, trans=2), lower=False, adjoint=True),
    ],
    "solve": [row(_L.solve, (regular(f(3, 3)), f(3)), np.linalg.solve), row(_L.solve, (regular(f(2, 3, 3)), f(2, 3, 1)), np.linalg.solve),
              row(_L.solve, (regular(c(2, 2)), c(2, 2)), lambda a, b: np.linalg.solve(h(a), b), adjoint=True)],
    "cholesky_solve": [row(lambda x, b: _L.cholesky_solve(_L.cholesky(positive(x)), b), (x, b), lambda x, b: np.linalg.solve(positive(x), b)) for x, b in ((f(3, 3), f(3)), (f(2, 3, 3), f(2, 3, 2)), (c(2, 2), c(2, 1)))],
    "logdet": [row(lambda x: _L.logdet(positive(x)), (x,), lambda x: np.linalg.slogdet(positive(x))[1]) for x in (f(3, 3), f(2, 3, 3), c(2, 2))],
    "qr": [row(lambda x: gf.matmul(*_L.qr(gf.ensure_shape(x, [4, 3]))), (f(4, 3),), lambda x: x), row(lambda x: _L.qr(gf.ensure_shape(x, [3, 3]), full_matrices=True)[1], (regular(f(3, 3)),), lambda x: np.linalg.qr(x)[1])],
    "svd": [
        row(lambda x: (lambda s, u, v: u @ (s[..., :, None] * _L.adjoint(v)))(*_L.svd(x)), (x,), lambda x: x) for x in (f(3, 4), f(2, 3, 2))
    ] + [
        row(lambda x: _L.svd(x, compute_uv=False), (f(3, 4),), lambda x: np.linalg.svd(x, compute_uv=False)),
        # For complex numbers what does not depend on phases.
        row(lambda x: (lambda s, u, v: u @ (gf.cast(gf.exp(s), x.dtype)[..., :, None] * _L.adjoint(v)))(*_L.svd(x)), (c(3, 2),), lambda x: (lambda u, s, v: u @ np.diag(np.exp(s)) @ v)(*np.linalg.svd(x, full_matrices=False))),
    ],
    "svdvals": [row(_L.svdvals, (x,), lambda x: np.linalg.svd(x, compute_uv=False)) for x in (_X, _CUBE, c(2, 3))],
    "eigvalsh": [row(lambda x: _L.eigvalsh(positive(x)), (x,), lambda x: np.linalg.eigvalsh(positive(x))) for x in (f(3, 3), f(2, 3, 3), c(3, 3))]
    + [row(lambda x: (lambda w, v: v @ (gf.cast(gf.sqrt(w), x.dtype)[..., :, None] * _L.adjoint(v)))(*_L.eigh(positive(x))), (x,), lambda x: scipy.linalg.sqrtm(positive(x))) for x in (f(3, 3), c(3, 3))],
    "pinv": [row(_L.pinv, (x,), np.linalg.pinv) for x in (_X, f(2, 3, 2), c(3, 2))] + [row(_L.pinv, (single(np.diag([1.0, 1e-3])),), lambda x: single(np.diag([1.0, 0.0])), 0.01)],
    "lstsq": [row(_L.lstsq, (f(4, 2), f(4)), lambda a, b: np.linalg.lstsq(a, b)[0]), row(_L.lstsq, (f(2, 3), f(2, 2)), lambda a, b: np.linalg.lstsq(a, b)[0])],
    "matrix_rank": [row(_L.matrix_rank, (x,), lambda x: np.asarray(np.linalg.matrix_rank(x))) for x in (_X, _SINGULAR, np.zeros((2, 2, 2)), single(f(2, 3)))],
    "matrix_power": [row(_L.matrix_power, (regular(x),), lambda x, n=n: np.linalg.matrix_power(x, n), n) for x, n in ((f(2, 3, 3), -2), (f(2, 2), 0), (c(2, 2), 1), (f(2, 2), 5))],
    "fft": _ffts(_F.fft, np.fft.fft, c(3, 4)) + [row(_F.fft, (x,), np.fft.fft) for x in (single(c(5)), single(f(4)), i(1, 2, 3))],
    "ifft": _ffts(_F.ifft, np.fft.ifft, c(3, 4)) + [row(_F.ifft, (single(c(5)),), np.fft.ifft)],
    "fftn": _ffts(_F.fftn, np.fft.fftn, c(3, 4), two=True),
    "ifftn": _ffts(_F.ifftn, np.fft.ifftn, c(3, 4), two=True),
    "fft2": [row(_F.fft2, (c(2, 3, 4),), np.fft.fft2)],
    "ifft2": [row(_F.ifft2, (c(2, 3, 4),), np.fft.ifft2)],
    "rfft": _ffts(_F.rfft, np.fft.rfft, f(4, 5)) + [row(_F.rfft, (x,), np.fft.rfft) for x in (single(f(4)), i(1, 2, 3))],
    "irfft": _ffts(_F.irfft, np.fft.irfft, c(3, 4)) + [row(_F.irfft, (x,), np.fft.irfft) for x in (single(c(5)), f(4))],
    "rfftn": _ffts(_F.rfftn, np.fft.rfftn, f(3, 4), two=True),
    "irfftn": _ffts(_F.irfftn, np.fft.irfftn, c(3, 4), two=True),
    "hfft": _ffts(_F.hfft, np.fft.hfft, c(3, 4)),
    "ihfft": _ffts(_F.ihfft, np.fft.ihfft, f(3, 4)),
    "fftfreq": [(str(n), (), lambda n=n: _F.fftfreq(n, 0.5, gf.float64), lambda n=n: np.fft.fftfreq(n, 0.5)) for n in (1, 4, 5)],
    "rfftfreq": [(str(n), (), lambda n=n: _F.rfftfreq(n, 0.5), lambda n=n: np.fft.rfftfreq(n, 0.5).astype("float32")) for n in (1, 4, 5)],
    "fftshift": [row(_F.fftshift, (f(3, 4),), lambda x, a=a: np.fft.fftshift(x, a), axes=a) for a in (None, 0, (1,))],
    "ifftshift": [row(_F.ifftshift, (f(3, 4),), lambda x, a=a: np.fft.ifftshift(x, a), axes=a) for a in (None, 0, (1,))],
}  # fmt: skip

# Not differentiable, or not smooth at the sample.
FLAT = frozenset(["argsort", "searchsorted", "count_nonzero", "isin", "signbit", "matrix_rank", "eye", "fftfreq", "rfftfreq"])
