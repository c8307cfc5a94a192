"""Limits on the length of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphflow.errors import GradientError
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.math import is_finite, maximum, sqrt, where
from graphflow.ops.reductions import reduce_sum


def global_norm(tensors: Sequence[Any]) -> Tensor:
    """The Euclidean length of all elements of all `tensors` together; entries that are None count as nothing."""
    return sqrt(_sum_of_squares(tensors, "global_norm"))


def clip_by_norm(tensor: Any, clip_norm: Any, axes: Any = None) -> Tensor:
    """The tensor, scaled down where its Euclidean length (along `axes`, by default of all elements) exceeds `clip_norm`."""
    tensor = convert_to_tensor(tensor)
    squares = reduce_sum(tensor * tensor, axis=axes, keepdims=True)
    # The larger of the squares, not of the roots: the root of 0 has no derivative.
    return tensor * (clip_norm / sqrt(maximum(squares, clip_norm * clip_norm)))


def clip_by_global_norm(tensors: Sequence[Any], clip_norm: Any, use_norm: Any = None) -> tuple[list[Tensor | None], Tensor]:
    """(the tensors scaled so that their common length is at most `clip_norm`, the length before).

    Entries that are None stay None. An infinite or NaN length makes every result NaN, so that it shows. `use_norm` is the
    length, if it is known. Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
    """
    norm = global_norm(tensors) if use_norm is None else convert_to_tensor(use_norm)
    scale = where(is_finite(norm), clip_norm / maximum(norm, clip_norm), math.nan)
    return [None if t is None else convert_to_tensor(t) * scale for t in tensors], norm


def _sum_of_squares(tensors: Sequence[Any], name: str) -> Tensor:
    total: Any = None
    for item in tensors:
        if item is None:
            continue
        tensor = convert_to_tensor(item)
        squares = reduce_sum(tensor * tensor)
        total = squares if total is None else total + squares
    if total is None:
        raise GradientError(f"{name}: there is no tensor in the list", rule="At least one entry must be a tensor.")
    return total
