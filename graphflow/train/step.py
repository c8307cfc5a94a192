"""The global step: a variable that counts training steps."""

from __future__ import annotations

from graphflow.errors import GraphError
from graphflow.ir.graph import get_default_graph
from graphflow.ir.op import convert_to_tensor
from graphflow.ops.state import Variable, control_free
from graphflow.types import int64

NAME = "global_step"


def get_global_step() -> Variable | None:
    """The variable named `global_step` in the default graph; None if there is none."""
    for variable in get_default_graph().variables:
        if variable.name == NAME:
            if not variable.dtype.is_integer or variable.rank:
                raise GraphError("global_step is no integer scalar", operands={"variable": variable})
            return variable
    return None


def get_or_create_global_step() -> Variable:
    """The variable named `global_step` in the default graph, made (int64, 0, not trainable) if there is none."""
    found = get_global_step()
    if found is not None:
        return found
    graph = get_default_graph()
    with graph.as_default(), control_free():  # outside any name scope
        return Variable(convert_to_tensor(0, int64), trainable=False, name=NAME)
