"""Samples of the ops and functions of the array world: Python called back, cumulative sums, sorting, linear algebra, Fourier transforms."""

# ruff: noqa: E501 - a table, one sample a line
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import graphflow as gf
from tests.ops.compositions import f, row


def structural(Sample: Callable[..., Any]) -> dict[str, list[Any]]:
    """Samples of the primitive ops."""
    return {}


TABLE: dict[str, list[Any]] = {
    "numpy_function": [
        row(lambda x: gf.numpy_function(np.tanh, [x], x.dtype), (f(2, 3).astype("float32"),), np.tanh),
        row(lambda x: gf.numpy_function(lambda a: (a[:1], a + 1), [x], [x.dtype] * 2, shape=[[1], x.shape]), (f(3).astype("float32"),), lambda x: (x[:1], x + 1)),
    ],
    "py_function": [row(lambda x: gf.py_function(lambda a: a.T, [x], x.dtype, shape=[x.shape[1], x.shape[0]]), (f(2, 3).astype("float32"),), np.transpose)],
}  # fmt: skip

# Not differentiable, or not smooth at the sample.
FLAT = frozenset()
