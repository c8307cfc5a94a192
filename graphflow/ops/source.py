"""Ops without operands: constants, placeholders, variables, the run counter, and sizes as numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import ShapeError
from graphflow.ir import op as op_module
from graphflow.ir import scalar as s
from graphflow.ir.eager import EagerTensor
from graphflow.ir.graph import current_counter, get_default_graph, is_eager
from graphflow.ir.op import Access, apply, bind_attributes
from graphflow.ir.tensor import Literal, Tensor
from graphflow.ops.declare import check_size, op
from graphflow.types import AnySize, DType, TensorType, as_dtype, int64, symbol, uint32


@op(access=Access.SOURCE, reference=lambda *, value: value.array, differentiable=False)
def constant(*, value: Literal) -> TensorType:
    """A fixed array."""
    return TensorType(value.array.shape, as_dtype(value.array.dtype))


op_module.CONSTANT = constant


@op(access=Access.SOURCE, reference=None, differentiable=False)
def value(*, value: Tensor) -> TensorType:
    """An eager tensor that a function or the body of a loop reads while it is traced."""
    return value.type


op_module.VALUE = value


@op(access=Access.SOURCE, reference=None, differentiable=False)
def placeholder(*, dtype: DType, shape: tuple[AnySize, ...]) -> TensorType:
    """A value that a run is fed."""
    return TensorType(shape, dtype)


@op(access=Access.SOURCE, reference=None, differentiable=False)
def parameter(*, dtype: DType, shape: tuple[AnySize, ...]) -> TensorType:
    """An input of the body of a loop or a branch."""
    return TensorType(shape, dtype)


@op(access=Access.SOURCE, reference=None, differentiable=False)
def variable(*, dtype: DType, shape: tuple[int, ...], handle: Any) -> TensorType:
    """The value of a variable before the run."""
    return TensorType(shape, dtype)


@op(access=Access.SOURCE, reference=None, differentiable=False)
def run_counter() -> TensorType:
    """The number of earlier runs of the session that drew random numbers."""
    return TensorType((), uint32)


@op(access=Access.MOVEMENT, reference=lambda *, size: np.asarray(size, np.int64), differentiable=False)
def size_value(*, size: AnySize) -> TensorType:
    """A size as an int64 scalar."""
    return TensorType((), int64)


@size_value.element
def _(index, *, size):
    return s.as_index(size)


def _refused_reference(*, dtype, shape, text):  # type: ignore[no-untyped-def]
    raise ShapeError(text)


@op(access=Access.MOVEMENT, reference=_refused_reference, fails=True, differentiable=False)
def refused(*, dtype: DType, shape: tuple[AnySize, ...], text: str) -> TensorType:
    """What stands in the place of a branch whose sizes do not fit: a run that computes it fails."""
    return TensorType(shape, dtype)


@refused.element
def _(index, *, dtype, shape, text):
    return s.Call("cast", (s.Check(s.as_index(0), 0, None, 0),), dtype)  # no index fits


def make_placeholder(dtype: Any, shape: Sequence[int | str | AnySize | None] | None = None, name: str | None = None) -> Tensor:
    """A tensor that a run is fed, of `dtype` and `shape`.

    A size is a number, None for one that only a run knows, or a name: equal names are equal sizes. A new value for such a
    size compiles nothing.
    """
    graph = get_default_graph()
    wanted = as_dtype(dtype)
    if shape is None:
        raise ShapeError("placeholder: the shape is missing", rule="The rank must be known: [None, 64], or [] for a scalar.")
    if isinstance(shape, int | str) or not hasattr(shape, "__iter__"):
        raise ShapeError(f"placeholder: shape {shape!r} is no list of sizes", rule="Write [None, 64], or [] for a scalar.")
    unique = graph.unique_name(name or "placeholder")
    sizes: list[AnySize] = []
    fresh: list[int] = []
    for axis, size in enumerate(shape):
        if size is None:
            sizes.append(symbol(f"{unique}.{axis}"))
            fresh.append(axis)
        elif isinstance(size, str):
            sizes.append(graph.named_dim(size, symbol))
            fresh.append(axis)
        else:
            sizes.append(check_size(size))
    attributes = bind_attributes(placeholder, {"dtype": wanted, "shape": tuple(sizes)})
    types, _ = placeholder.infer((), dict(attributes))
    tensor = graph.add(placeholder, (), attributes, types, (), unique).output
    for size in sizes:
        for dim in getattr(size, "dims", ()):
            graph.add_dim_origin(dim, tensor)
    return tensor


_draws = itertools.count()  # of random numbers in eager mode, by all threads


def restart_draws() -> None:
    """Let eager random ops draw as they did at the start of the process."""
    global _draws
    _draws = itertools.count()


def next_draw() -> int:
    """The number of earlier draws of random numbers in eager mode, as a uint32; this one is counted."""
    return next(_draws) % 2**32


def run_counter_tensor() -> Tensor:
    """The run counter of the default graph, one node for all random ops; in the body of a loop, one that differs by the step."""
    counter = current_counter()
    if counter is not None:
        return counter()
    return counter_of_graph()


def counter_of_graph() -> Tensor:
    """The run counter of the default graph, in the body of a loop too; in eager mode the number of earlier draws."""
    if is_eager():
        return EagerTensor(np.asarray(next_draw(), np.uint32), uint32)
    graph = get_default_graph()
    found = getattr(graph, "_run_counter", None)
    if found is None:
        found = apply(run_counter, (), ())
        graph._run_counter = found  # type: ignore[attr-defined]
    return found
