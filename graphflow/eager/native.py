"""Ops that run as native code in eager mode: loops and branches, and library ops whose NumPy reference is there to be read.

Such an application is compiled once for its types; first axes are symbols, so that another batch size compiles nothing. Loops
and branches are compiled for their sizes, which decide how they are compiled; the cache of programs finds one that is traced
again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.capture import capture
from graphflow.compiler import compile_program
from graphflow.ir.graph import Graph, changed_state
from graphflow.ir.op import Access, Op, apply, bind_attributes
from graphflow.ir.tensor import Tensor
from graphflow.ops.source import make_placeholder
from graphflow.options import current as current_options
from graphflow.runtime.variables import VariableStore
from graphflow.types import TensorType

LISTED = frozenset(["matmul", "with_gradient"])  # library ops whose reference is as fast
SMALL = 4096  # operands and results of fewer elements are not worth compiling for
COSTLY = 50  # additions: an element that costs more is computed by native code

Run = Callable[..., Any]


def native_run(op: Op, operands: Sequence[Tensor], attrs: Mapping[str, Any], types: Sequence[TensorType]) -> Run | None:
    """A function of arrays that computes `op` as native code; None where its NumPy reference is to run."""
    if op.access is Access.CONTROL:
        return compiled(op, operands, attrs, [t.shape for t in operands])
    if sum(map(size_of, operands)) + sum(map(size_of, types)) < SMALL:
        return None
    if op.access is Access.OPAQUE and op.name not in LISTED and not op.host:
        return compiled(op, operands, attrs, [(None, *t.shape[1:]) if t.rank > 1 else t.shape for t in operands])
    if op.cost >= COSTLY and op.access is Access.MOVEMENT:
        return compiled(op, operands, attrs, [t.shape for t in operands])
    return None


def size_of(tensor: Tensor | TensorType) -> int:
    """The number of elements, as far as it is known."""
    return math.prod(size for size in tensor.shape if isinstance(size, int))


def compiled(op: Op, operands: Sequence[Tensor], attrs: Mapping[str, Any], shapes: Sequence[Sequence[Any]]) -> Run:
    """The executable of one application, as a function of arrays."""
    with Graph().as_default() as graph, changed_state(recorders=(), body=None, control=()):
        feeds = [make_placeholder(t.dtype, shape) for t, shape in zip(operands, shapes, strict=True)]
        result = apply(op, tuple(feeds), bind_attributes(op, attrs))
        fetched = result if isinstance(result, tuple) else (result,)
        program = capture(fetched, (), feeds, graph, op.name)
        executable = compile_program(program, current_options(), graph)
    single = len(fetched) == 1
    store = VariableStore()

    def run(*arrays: np.ndarray) -> Any:
        found = executable.bind(tuple([a.shape for a in arrays])).run([*arrays], store)
        return found[0] if single else found

    return run
