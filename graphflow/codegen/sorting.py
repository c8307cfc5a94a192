"""Kernels of sorting: a row is a unit of parallel work, wherever its axis is.

Few elements are kept in order while the row goes by: each new one moves those behind it. Otherwise runs of RUN elements are put
in order in the same way, and merged, twice as long each time, from one part of working space to the other. Both keep equal
elements in their order, and hold NaN the largest.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.codegen.emit import Emitter, Source
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel
from graphflow.ops.sorting import kept_in_order
from graphflow.types import product

RUN = 16  # elements that are put in order one by one: moving them costs less than merging them

_FEW = """\
filled = 0
for k in range({n}):
    value = x[{from} + k * {inner}]
    place = filled
    if filled == {count}:
        other = out[{to} + ({count} - 1) * {inner}]
        if {earlier}:
            place = {count} - 1
    else:
        filled = filled + 1
    if place < {count}:
        moving = 1
        while moving == 1:
            moving = 0
            if place > 0:
                other = out[{to} + (place - 1) * {inner}]
                if {earlier}:
                    out[{to} + place * {inner}] = other
                    at[{to} + place * {inner}] = at[{to} + (place - 1) * {inner}]
                    place = place - 1
                    moving = 1
        out[{to} + place * {inner}] = value
        at[{to} + place * {inner}] = k
"""

_RUNS = """\
base = row * {n}
for k in range({n}):
    value = x[{from} + k * {inner}]
    place = base + k
    first = base + index_div(k, {run}) * {run}
    moving = 1
    while moving == 1:
        moving = 0
        if place > first:
            other = keys_0[place - 1]
            if {earlier}:
                keys_0[place] = other
                places_0[place] = places_0[place - 1]
                place = place - 1
                moving = 1
    keys_0[place] = value
    places_0[place] = k
width = {run}
turn = 0
while width < {n}:
    start = 0
    while start < {n}:
        middle = base + min({n}, start + width)
        stop = base + min({n}, start + 2 * width)
        left = base + start
        right = middle
        if turn == 0:
{merge_0}
        else:
{merge_1}
        start = start + 2 * width
    turn = 1 - turn
    width = 2 * width
if turn == 0:
    for k in range({count}):
        out[{to} + k * {inner}] = keys_0[base + k]
        at[{to} + k * {inner}] = places_0[base + k]
else:
    for k in range({count}):
        out[{to} + k * {inner}] = keys_1[base + k]
        at[{to} + k * {inner}] = places_1[base + k]
"""

_MERGE = """\
for k in range(base + start, stop):
    taken = 0
    if left >= middle:
        taken = 1
    elif right < stop:
        value = keys_{a}[right]
        other = keys_{a}[left]
        if {earlier}:
            taken = 1
    if taken == 1:
        keys_{b}[k] = keys_{a}[right]
        places_{b}[k] = places_{a}[right]
        right = right + 1
    else:
        keys_{b}[k] = keys_{a}[left]
        places_{b}[k] = places_{a}[left]
        left = left + 1
"""


def emit_sort(kernel: Kernel, root: Node) -> Source:
    """The first elements in order, and where they were."""
    emitter = Emitter(kernel)
    (x,), axis, count = root.inputs, root.attrs["axis"], root.attrs["count"]
    names = ("x", "out", "at", "keys_0", "keys_1", "places_0", "places_1")
    for name, buffer in zip(names, kernel.operands, strict=False):
        emitter.line(f"{name} = {emitter.params[id(buffer)]}")
    earlier = "value > other" if root.attrs["descending"] else "value < other"
    if x.dtype.is_floating:
        nan, number = ("value", "other") if root.attrs["descending"] else ("other", "value")
        earlier += f" or ({nan} != {nan} and {number} == {number})"
    size, inner = x.shape[axis], product(x.shape[axis + 1 :])
    n, columns, wanted = emitter.dim(size), emitter.dim(inner), emitter.dim(count)
    place = "row * {0}" if inner == 1 else f"index_div(row, {columns}) * {{0}} * {columns} + index_mod(row, {columns})"
    meanings = {"n": n, "inner": columns, "count": wanted, "earlier": earlier, "from": "begins", "to": "ends", "run": str(RUN)}
    for name, (a, b) in (("merge_0", (0, 1)), ("merge_1", (1, 0))):
        merging = _MERGE.format(a=a, b=b, earlier=earlier)
        meanings[name] = "\n".join(" " * 12 + line for line in merging.splitlines())
    with emitter.loop("for row in range(begin, end):", (), ()):
        emitter.line(f"begins = {place.format(n)}")
        emitter.line(f"ends = {place.format(wanted)}")
        for line in (_FEW if kept_in_order(count, size) else _RUNS).format(**meanings).splitlines():
            emitter.line(line)
    rows = product(x.shape[:axis]) * inner if count != 0 else 0
    return Source(emitter.text(), tuple(emitter.dims), rows, kernel)


SORTS: dict[str, Callable[[Kernel, Node], Source]] = {"sort": emit_sort}
