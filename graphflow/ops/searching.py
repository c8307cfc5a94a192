"""Searching and counting: positions in sorted sequences, membership, counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.cumulative import is_narrow
from graphflow.ops.declare import composition, op, require_equal
from graphflow.ops.linalg import pair
from graphflow.ops.logic import cast, equal, logical_not, not_equal
from graphflow.ops.movement import reshape
from graphflow.ops.reductions import reduce_any, reduce_sum
from graphflow.types import as_dtype, int64


def _search(sequence: np.ndarray, values: np.ndarray, *, side: Literal["left", "right"]) -> np.ndarray:
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, values, side), np.int64)
    rows = zip(sequence.reshape(-1, sequence.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True)
    return np.array([np.searchsorted(row, of_row, side) for row, of_row in rows], np.int64).reshape(values.shape)


@op(access=Access.OPAQUE, reference=_search, common=("sequence", "values"), host=is_narrow, differentiable=False, cost=20)
def searchsorted_(sequence, values, *, side):
    """Where in the sorted `sequence` each of `values` would stand: how many are below it, or not above it for side "right"."""
    if sequence.dtype != values.dtype or sequence.dtype.is_complex:
        raise DTypeError(f"dtypes are {sequence.dtype} and {values.dtype}", rule="They share one dtype, of numbers in an order.")
    if not sequence.rank or (sequence.rank > 1 and sequence.rank != values.rank):
        raise ShapeError(f"ranks are {sequence.rank} and {values.rank}", rule="One sequence, or one for each row of values.")
    if sequence.rank > 1:
        for a, b in zip(sequence.shape[:-1], values.shape[:-1], strict=True):
            require_equal(a, b, "numbers of sequences and of rows of values differ")
    return values.with_dtype(int64)


@composition
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = int64) -> Tensor:
    """Where in `sorted_sequence` each of `values` would have to be put to keep its order: before equal elements, or behind them.

    The sequence is a vector, or has a row for each row of `values`. NaN stands behind all numbers.
    """
    if side not in ("left", "right"):
        raise DTypeError(f"side {side!r}", rule='It is "left" or "right".')
    sequence, wanted = pair(sorted_sequence, values)
    return cast(searchsorted_(sequence, wanted, side=side), as_dtype(out_type))


@composition
def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = int64) -> Tensor:
    """How many elements along `axis` are not 0, or not False."""
    x = convert_to_tensor(x)
    return reduce_sum(cast(x if x.dtype.is_bool else not_equal(x, 0), as_dtype(dtype)), axis, keepdims)


@composition
def isin(x: Any, values: Any, invert: bool = False) -> Tensor:
    """Elementwise: is x among `values`? Or is it not, where `invert`."""
    x, values = pair(x, values)
    found = reduce_any(equal(reshape(x, (*x.shape, 1)), reshape(values, (-1,))), -1)
    return logical_not(found) if invert else found
