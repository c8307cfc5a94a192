"""What the inputs of a program are in a run, for those who go through it op by op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.ir.program import Program
from graphflow.ir.tensor import Tensor
from graphflow.runtime.executable import Executable
from graphflow.runtime.variables import Store


def input_values(program: Program, executable: Executable, feeds: Sequence[Any], store: Store, counter: int) -> dict[Tensor, Any]:
    """The values of the inputs of a program of an executable, as captured or optimised; `feeds` are in the executable's order."""
    given = dict(zip((t.name for t in executable.feeds), feeds, strict=True))
    found: dict[Tensor, Any] = {}
    for tensor in program.inputs:
        match tensor.op.name:
            case "placeholder":
                found[tensor] = given[tensor.name]
            case "variable":
                found[tensor] = store.value(tensor.attrs["handle"])
            case "run_counter":
                found[tensor] = np.uint32(counter & 0xFFFFFFFF)
    return found
