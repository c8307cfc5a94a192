"""Lowering of scatters: a kernel that checks all indices, then one that adds each slice of the updates to its row,
or puts it there.

What is added is computed there and then, by whatever expression the updates are. As every index is checked before anything
is written, the sum may be written over a variable: a table of which a step changes a few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from graphflow.ir.scalar import Axis, Call, Check, Expr, Load
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import storage
from graphflow.loop.ir import Buffer, FusionGroup, Item, Kernel, Offset, Role, Stage, Store
from graphflow.loop.lower import _Lowering, flat_offset, make_kernel, merge_axes
from graphflow.types import floordiv, int64, product, size_max, size_min

UNIT_ELEMENTS = 1 << 20  # added by one unit, at least: each walks all indices and takes those of its rows
MOST_UNITS = 8


def lower_scatter(group: FusionGroup, root: Node, buffers: Callable[[Tensor], Buffer]) -> list[Kernel]:
    """The kernels of a scatter: the check of its indices unless those outside are dropped, then the sum."""
    *base, indices, updates = root.inputs
    lowering = _Lowering(group, buffers)
    walked = tuple(Axis(f"n{k}", size) for k, size in enumerate(indices.shape))
    inner = tuple(Axis(f"j{k}", size) for k, size in enumerate(root.type.shape[1:]))
    row: Expr = Load(buffers(storage(indices)), (flat_offset(walked, indices.shape),), indices.dtype)
    if indices.dtype != int64:
        row = Call("cast", (row,), int64)
    out = buffers(root.output)
    place, dtype = flat_offset((row, *inner), root.type.shape), root.type.dtype
    total = lowering.inliner.value(updates, (*walked, *inner))
    if root.op.name != "scatter_set":
        total = Call("add", (Load(out, (place,), dtype), total), dtype)
    (outer, lanes), _, stores = merge_axes([list(walked), list(inner)], [], [Store(out, place, total)])
    units = size_max(1, size_min(MOST_UNITS, floordiv(product(updates.shape), UNIT_ELEMENTS)))
    kernel = make_kernel(group, "scatter", outer, [], lanes, [Stage((), tuple(stores))], [], units, ())
    operands = (*(buffers(storage(t)) for t in base), out)
    params = tuple(dict.fromkeys([*operands[:-1], *kernel.params]))
    roles = tuple(Role.OUTPUT if b is out else Role.INPUT for b in params)
    chunk = floordiv(root.type.shape[0] + units - 1, units)
    kernel = replace(kernel, params=params, roles=roles, operands=operands, chunk=chunk)
    if root.attrs["drop"]:
        return [kernel]
    return [checking_kernel(group, root, walked, row), kernel]


def checking_kernel(group: FusionGroup, root: Node, walked: Sequence[Axis], row: Expr) -> Kernel:
    """A kernel that reads all indices and records one that is outside; it writes nothing."""
    stores = [Store(Buffer("", int64, 0), Offset(0, ()), Check(row, root.type.shape[0], root, 0))]
    (axes,), _, stores = merge_axes([list(walked)], [], stores)
    extent = product([a.extent for a in axes])
    kernel = make_kernel(group, "check", axes, [], [], [Stage((), tuple(stores))], [], extent, (root,))
    return replace(kernel, params=kernel.params[:-1], roles=kernel.roles[:-1], name=f"{kernel.name}_check")


def checks_first(items: Sequence[Item]) -> list[Item]:
    """The rows, kernels that only check moved up to where what they check is known: then nothing need be taken back.

    Nothing moves into a loop or a branch, or out of one.
    """
    result: list[Item] = []
    for item in items:
        if not isinstance(item, Kernel) or item.form != "check":
            result.append(item)
            continue
        barriers = [k for k, o in enumerate(result) if not isinstance(o, Kernel) or any(writes(o, b) for b in item.params)]
        result.insert(1 + max(barriers, default=-1), item)
    return result


def writes(kernel: Kernel, buffer: Buffer) -> bool:
    return any(b is buffer and role is not Role.INPUT for b, role in zip(kernel.params, kernel.roles, strict=True))
