"""Memory taken over from other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphflow.errors import ModeError
from graphflow.ir.eager import EagerTensor
from graphflow.types import as_dtype


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> EagerTensor:
    """A tensor over the memory of `x`: an array of NumPy, PyTorch, JAX, CuPy or another library that speaks DLPack.

    Nothing is copied unless `copy` asks for it: let nobody write to `x` as long as the tensor is used.
    """
    if device not in (None, "cpu"):
        raise ModeError(f"no device {device!r}", rule='There is one device, "cpu".')
    array = np.from_dlpack(x, copy=copy)
    return EagerTensor(array, as_dtype(array.dtype), constant=True)
