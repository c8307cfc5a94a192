"""Printing tensors while a program runs: an effect that calls Python back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.errors import DTypeError
from graphflow.ir.graph import next_node_number
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.declare import op
from graphflow.ops.effects import after, happens
from graphflow.ops.state import Operation
from graphflow.types import TensorType, bool_

# --- printing ---------------------------------------------------------------------------------------------------------------


def _print(*operands, parts, summarize, end, stream, limit, key):  # type: ignore[no-untyped-def]
    if limit is not None:
        _printed[key] = _printed.get(key, 0) + 1
        if _printed[key] > limit:
            return np.True_
    text = "".join(part if isinstance(part, str) else formatted(operands[part], summarize) for part in parts) + end
    if stream in ("stdout", "stderr"):
        target = getattr(sys, stream)
        target.write(text)
        target.flush()
    elif isinstance(stream, str):
        with Path(stream.removeprefix("file://")).open("a", encoding="utf-8") as file:
            file.write(text)
    elif hasattr(stream, "write"):
        stream.write(text)
    else:
        stream(text)
    return np.True_


_printed: dict[int, int] = {}  # how often an op with a limit was run


def formatted(array: np.ndarray, summarize: int = 3) -> str:
    """An array as text: of each axis the first and the last `summarize` elements, or all for -1."""
    if not array.shape:
        return str(array[()])
    if summarize < 0:
        return np.array2string(array, threshold=sys.maxsize)
    longest = max(array.shape, default=0)
    return np.array2string(array, threshold=0 if longest > 2 * summarize else sys.maxsize, edgeitems=summarize)


@op(access=Access.OPAQUE, reference=_print, host=True, effect=True, differentiable=False)
def print_(*operands, parts, summarize, end, stream, limit, key):
    """True, when the operands have been printed between the texts of `parts`; `key` tells equal calls apart."""
    return TensorType((), bool_)


def print_tensors(
    *inputs: Any, output_stream: Any = "stderr", summarize: int = 3, sep: str = " ", end: str = "\n", name: str | None = None
) -> Operation | None:
    """The operation that prints `inputs`: texts, tensors, and nests of them in lists, tuples and dicts.

    In the body of a loop or a branch it prints whenever that is run; elsewhere when a run fetches it, or computes something built
    under `gf.control_dependencies([it])`. `summarize` elements at each end of an axis are shown, all for -1. `output_stream` is
    "stdout", "stderr", sys.stdout, sys.stderr, "file://path", an object with `write`, or a function of a text.
    """
    return happens(_printing(inputs, None, output_stream, summarize, sep, end, name))


def Print(
    input_: Any,
    data: Sequence[Any],
    message: str | None = None,
    first_n: int | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Tensor:
    """`input_`; whenever it is computed, `message` and the values of `data` go to sys.stderr, `first_n` times at most."""
    parts = [message or "", *(part for k, x in enumerate(data) for part in ([" ", x] if k else [x]))]
    shown = 3 if summarize is None else summarize
    limit = first_n if first_n is not None and first_n >= 0 else None
    return after(_printing(parts, limit, "stderr", shown, "", "\n", name or "Print"), convert_to_tensor(input_))


def _printing(inputs: Sequence[Any], limit: int | None, stream: Any, summarize: int, sep: str, end: str, name: str | None) -> Any:
    operands: list[Tensor] = []
    parts: list[str | int] = []
    for k, item in enumerate(inputs):
        parts += [sep] if k and sep else []
        collect(item, operands, parts)
    stream = {id(sys.stdout): "stdout", id(sys.stderr): "stderr"}.get(id(stream), stream)
    return print_(
        *operands, parts=tuple(parts), summarize=summarize, end=end, stream=stream, limit=limit, key=next_node_number(), name=name
    )  # fmt: skip


def collect(item: Any, operands: list[Tensor], parts: list[str | int]) -> None:
    """Add an item to what is printed: texts as they are, tensors by their number among the operands."""
    if isinstance(item, str):
        parts.append(item)
    elif isinstance(item, Mapping):
        parts.append("{")
        for k, (key, value) in enumerate(item.items()):
            parts.append(f"{', ' if k else ''}{key!r}: ")
            collect(value, operands, parts)
        parts.append("}")
    elif isinstance(item, list | tuple) and not all(isinstance(x, int | float | bool) for x in item):
        parts.append("[" if isinstance(item, list) else "(")
        for k, value in enumerate(item):
            parts += [", "] if k else []
            collect(value, operands, parts)
        parts.append("]" if isinstance(item, list) else ")")
    elif isinstance(item, int | float | bool | list | tuple) or item is None:
        parts.append(str(item))
    else:
        try:
            operands.append(convert_to_tensor(item))
        except DTypeError:
            parts.append(str(item))
        else:
            parts.append(len(operands) - 1)
