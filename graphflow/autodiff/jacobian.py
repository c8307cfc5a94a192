"""Jacobian matrices of few rows."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.autodiff.gradients import gradients
from graphflow.errors import ShapeError
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import stack


def jacobian(y: Tensor, xs: Sequence[Tensor]) -> list[Tensor]:
    """The derivatives of a vector `y` by each of `xs`, of shape `y.shape + x.shape`; zeros where `y` does not depend on `x`.

    The number of elements of `y` is known: each is differentiated by itself.
    """
    if y.rank != 1 or not isinstance(y.shape[0], int):
        raise ShapeError(f"no Jacobian of {y.type}", operands={"y": y}, rule="It is of a vector of known size.")
    rows = [gradients(element, list(xs), unconnected_gradients="zero") for element in elements(y)]
    return [stack(column) for column in zip(*rows, strict=True)]


def elements(vector: Tensor) -> list[Tensor]:
    """The elements of a vector of known size as scalars; of a concatenation, those of its parts: no more is differentiated."""
    if vector.op.name == "concat":
        return [element for part in vector.inputs for element in elements(part)]
    if vector.op.name == "reshape" and vector.inputs[0].rank == 0:
        return [vector.inputs[0]]
    return [vector[i] for i in range(vector.shape[0])]  # type: ignore[arg-type]
