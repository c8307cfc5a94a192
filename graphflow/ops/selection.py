"""Selections whose size depends on values: what is not 0, what is different, what a mask takes.

A graph has sizes before it has values, so these take tensors whose values are known: eager tensors and constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import ShapeError
from graphflow.ir.eager import EagerTensor
from graphflow.ir.op import constant, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import check_axis
from graphflow.ops.indexing import gather
from graphflow.ops.movement import reshape
from graphflow.types import product


def values_of(x: Tensor, title: str, instead: str) -> np.ndarray:
    """The values of `x`; ShapeError in a graph."""
    if isinstance(x, EagerTensor):
        return x.numpy()
    raise ShapeError(
        f"{title}: how many elements it gives depends on values",
        operands={"x": x},
        rule=f"A graph has sizes before it has values. {instead} In eager mode the values are known.",
    )


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """For each axis the positions of the elements that are not 0. In a graph an error: their number depends on values."""
    found = values_of(convert_to_tensor(x), "nonzero", "Use gf.where(mask, x, 0), or gf.top_k for a known number.")
    return tuple(constant(places.astype(np.int64)) for places in np.nonzero(found))


def unique(x: Any, out_idx: Any = np.int64) -> tuple[Tensor, Tensor]:
    """(the different elements of a vector in the order in which they come, for each element which one it is).

    In a graph that is an error: how many there are depends on values.
    """
    x = convert_to_tensor(x)
    found = values_of(x, "unique", "Use gf.sort(x), in which equal elements stand side by side.")
    if found.ndim != 1:
        raise ShapeError(f"unique: its rank is {found.ndim}", operands={"x": x}, rule="It takes a vector: gf.reshape(x, [-1]).")
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return gather(x, np.asarray(first[order], np.int64)), constant(numbers[inverse], out_idx)


def boolean_mask(tensor: Any, mask: Any, axis: int = 0) -> Tensor:
    """The elements of `tensor` where `mask`, which covers some axes from `axis` on, is True; those axes become one.

    In a graph that is an error: how many there are depends on values.
    """
    x, mask = convert_to_tensor(tensor), convert_to_tensor(mask)
    chosen = values_of(mask, "boolean_mask", "Use gf.where(mask, x, 0).")
    axis = check_axis(axis, x.rank + (not mask.rank))
    covered = x.shape[axis : axis + mask.rank]
    if chosen.dtype != np.bool_ or tuple(covered) != chosen.shape:
        raise ShapeError(f"boolean_mask: a mask {mask.type} on axes {list(covered)}", operands={"tensor": x, "mask": mask})
    flat = reshape(x, (*x.shape[:axis], product(covered), *x.shape[axis + mask.rank :]))
    return gather(flat, np.flatnonzero(chosen), axis=axis)
