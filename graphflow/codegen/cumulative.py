"""Kernels of cumulative sums, products and extremes, and of the search in sorted sequences.

What is summed along the last axis has its sum in a register, row after row. Along any other axis a row is the one before and
one more, many columns beside one another; a unit of parallel work has COLUMNS of them.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.codegen import scalar
from graphflow.codegen.emit import Emitter, Source
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel
from graphflow.types import product

COLUMNS = 256  # of a unit: a few lines of the first cache, and vectors enough

_ALONG_ROWS = """\
for row in range(begin, end):
    at = row * {count}
    if {count} > 0:
        total = x[at]
        out[at] = total
        for k in range(at + 1, at + {count}):
            total = {next}
            out[k] = total
"""

_BELOW_ROWS = """\
for unit in range(begin, end):
    first = index_mod(unit, {blocks}) * {columns}
    width = min({columns}, {inner} - first)
    at = index_div(unit, {blocks}) * {count} * {inner} + first
    if {count} > 0:
        for j in range(at, at + width):
            out[j] = x[j]
    for k in range(1, {count}):
        before = at + (k - 1) * {inner}
        here = before + {inner}
        for j in range(width):
            out[here + j] = {below}
"""

_SEARCH = """\
for k in range(begin, end):
    value = values[k]
    first = {row}
    low = 0
    high = {size}
    while low < high:
        middle = index_div(low + high, 2)
        if {stays}:
            low = middle + 1
        else:
            high = middle
    out[k] = low
"""


def emit_cumulative(kernel: Kernel, root: Node) -> Source:
    """The elements along an axis combined one after another."""
    emitter = Emitter(kernel)
    (x,), axis = root.inputs, root.attrs["axis"]
    x_name, out_name = (emitter.params[id(b)] for b in kernel.operands)
    inner = product(x.shape[axis + 1 :])
    outer = product(x.shape[:axis])
    blocks = (inner + (COLUMNS - 1)) // COLUMNS
    combine = scalar.spelling(root.attrs["combine"], root.type.dtype)
    meanings = {
        "count": emitter.dim(x.shape[axis]),
        "next": combine.format("total", "x[k]"),
        "below": combine.format("out[before + j]", "x[here + j]"),
    }
    if inner != 1:
        meanings |= {"inner": emitter.dim(inner), "blocks": emitter.dim(blocks), "columns": str(COLUMNS)}
    emitter.line(f"x = {x_name}")
    emitter.line(f"out = {out_name}")
    for line in (_ALONG_ROWS if inner == 1 else _BELOW_ROWS).format(**meanings).splitlines():
        emitter.line(line)
    return Source(emitter.text(), tuple(emitter.dims), outer if inner == 1 else outer * blocks, kernel)


def emit_search(kernel: Kernel, root: Node) -> Source:
    """Half of what is left of the sequence after each comparison; NaN stands behind all numbers."""
    emitter = Emitter(kernel)
    sequence, values = root.inputs
    names = [emitter.params[id(b)] for b in kernel.operands]
    for name, given in zip(("sequence", "values", "out"), names, strict=True):
        emitter.line(f"{name} = {given}")
    here = "sequence[first + middle]"
    stays = f"{here} < value" if root.attrs["side"] == "left" else f"{here} <= value"
    if values.dtype.is_floating:
        unordered = f"{here} == {here} and value != value" if root.attrs["side"] == "left" else "value != value"
        stays = f"{stays} or ({unordered})"
    width = values.shape[-1] if sequence.rank > 1 else 1
    row = f"index_div(k, {emitter.dim(width)}) * {emitter.dim(sequence.shape[-1])}" if sequence.rank > 1 else "0"
    for line in _SEARCH.format(row=row, size=emitter.dim(sequence.shape[-1]), stays=stays).splitlines():
        emitter.line(line)
    return Source(emitter.text(), tuple(emitter.dims), product(values.shape), kernel)


CUMULATIVE: dict[str, Callable[[Kernel, Node], Source]] = {
    "cumulate": emit_cumulative,
    "cumulative_extreme": emit_cumulative,
    "searchsorted": emit_search,
}
