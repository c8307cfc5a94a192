"""What a caller feeds: values checked, and converted to arrays of the placeholders' dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import FeedError, GraphflowError
from graphflow.ir.tensor import Tensor
from graphflow.ops.state import Variable

_ALLOWED = {  # kinds of arrays that a dtype takes
    "bool": "b",
    "int": "biu",
    "uint": "biu",
    "float": "biufV",
    "complex": "biufcV",
}


def feed_array(tensor: Tensor, value: Any) -> np.ndarray:
    """A fed value as an array of the tensor's dtype; FeedError where it does not fit."""
    dtype = tensor.dtype
    if isinstance(value, Tensor | Variable):
        if isinstance(value, Tensor) and value.op.name == "constant":
            value = value.numpy()
        else:
            raise FeedError(
                f"placeholder {tensor.name} is fed a symbolic tensor",
                operands={"placeholder": tensor, "value": value},
                rule="Feed numbers or arrays; run the tensor first to get its value.",
            )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, GraphflowError) as error:
        raise _feed_error(tensor, value, f"is no array of numbers: {error}") from None
    kind = array.dtype.kind
    if kind not in "biufcV" or (kind == "V" and array.dtype.name != "bfloat16"):
        raise _feed_error(
            tensor, value, {"U": "is a text", "S": "is bytes", "O": "is an object array"}.get(kind, f"has dtype {array.dtype}")
        )
    if kind not in _ALLOWED[dtype.kind] and array.size:
        raise _feed_error(tensor, value, f"has dtype {array.dtype}, which {dtype} cannot hold without loss")
    if dtype.is_integer and kind in "iu" and array.dtype != dtype.numpy and array.size:
        low, high = int(array.min()), int(array.max())
        if low < int(dtype.min) or high > int(dtype.max):
            raise _feed_error(tensor, value, f"has values from {low} to {high}, outside the range of {dtype}")
    return np.require(array, dtype=dtype.numpy, requirements=["C", "A"])


def _feed_error(tensor: Tensor, value: Any, problem: str) -> FeedError:
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return FeedError(
        f"the value fed to {tensor.name} {problem}: {text}",
        operands={"placeholder": tensor},
        rule=f"It takes numbers of {tensor.dtype}; convert with numpy.asarray(value, {str(tensor.dtype)!r}).",
    )
