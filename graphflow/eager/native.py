"""Ops that run as native code in eager mode: loops and branches, and library ops whose NumPy reference is there to be read.

Such an application is compiled once for its types; first axes are symbols, so that another batch size compiles nothing. Loops
and branches are compiled for their sizes, which decide how they are compiled; the cache of programs finds one that is traced
again.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphflow.capture import capture
from graphflow.compiler import compile_program
from graphflow.ir.eager import Run
from graphflow.ir.graph import Graph, changed_state
from graphflow.ir.op import Access, Op, apply, bind_attributes
from graphflow.ir.tensor import Tensor
from graphflow.ops.source import make_placeholder
from graphflow.options import current as current_options
from graphflow.runtime.variables import VariableStore
from graphflow.types import DType, TensorType

LISTED = frozenset(["matmul", "with_gradient"])  # library ops whose reference is as fast
SMALL = 4096  # operands and results of fewer elements are not worth compiling for
COSTLY = 50  # additions: an element of a result made from nothing, a random one, that costs as much is worth it
ELEMENTARY = 7  # additions: from where NumPy's elementwise function is slower than ours


def native_run(op: Op, operands: Sequence[Tensor], attrs: Mapping[str, Any], types: Sequence[TensorType], reference: Run) -> Run:
    """A function of arrays that computes `op`: native code, or its NumPy `reference`. Sizes alone decide which."""
    if op.access is Access.CONTROL:
        return compiled(op, attrs, [(t.dtype, t.shape) for t in operands])
    if op.by_dtype and len(operands) == 1 and op.cost >= ELEMENTARY and operands[0].dtype.is_floating:
        return elementary(op, attrs, operands[0].dtype, reference)
    if sum(map(size_of, operands)) + sum(map(size_of, types)) < SMALL:
        return reference
    if op.access is Access.OPAQUE and op.name not in LISTED and not op.host:
        return compiled(op, attrs, [(t.dtype, (None, *t.shape[1:]) if t.rank > 1 else t.shape) for t in operands])
    if op.cost >= COSTLY and op.access is Access.MOVEMENT:
        return compiled(op, attrs, [(t.dtype, t.shape) for t in operands])
    return reference


def elementary(op: Op, attrs: Mapping[str, Any], dtype: DType, reference: Run) -> Run:
    """An elementwise function of one array: a kernel for large ones, compiled when the first of these comes."""
    kernel = functools.cache(lambda: compiled(op, attrs, [(dtype, (None,))]))

    def run(array: np.ndarray) -> Any:
        return reference(array) if array.size < SMALL else kernel()(array.reshape(-1)).reshape(array.shape)

    return run


def size_of(tensor: Tensor | TensorType) -> int:
    """The number of elements, as far as it is known."""
    return math.prod(size for size in tensor.shape if isinstance(size, int))


def compiled(op: Op, attrs: Mapping[str, Any], types: Sequence[tuple[DType, Sequence[Any]]]) -> Run:
    """The executable of an application to operands of these dtypes and shapes, as a function of arrays."""
    with Graph().as_default() as graph, changed_state(recorders=(), body=None, control=(), detached=False):
        feeds = [make_placeholder(dtype, shape) for dtype, shape in types]
        result = apply(op, tuple(feeds), bind_attributes(op, attrs))
        fetched = result if isinstance(result, tuple) else (result,)
        program = capture(fetched, (), feeds, graph, op.name)
        executable = compile_program(program, current_options(), graph)
    single = len(fetched) == 1
    store = VariableStore()

    def run(*arrays: np.ndarray) -> Any:
        whole = [np.require(a, requirements="C") for a in arrays]
        found = executable.bind(tuple([a.shape for a in whole])).run(whole, store)
        return found[0] if single else found

    return run
