"""Emission of scatters: out[indices[n], j] += updates[n, j], and the check of the indices before it."""

from __future__ import annotations

from graphflow.codegen import scalar
from graphflow.codegen.emit import Emitter, Source
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel, Role
from graphflow.types import product


def emit_check(kernel: Kernel, root: Node) -> Source:
    """Record an index outside its axis."""
    emitter = Emitter(kernel)
    check = kernel.stages[0].stores[0].value
    with emitter.rows(kernel.rows):
        emitter.line(emitter.value(check, atom=False))
    return Source(emitter.text(), tuple(emitter.dims), kernel.extent, kernel)


def emit_scatter(kernel: Kernel, root: Node) -> Source:
    """Unit u has the rows from u * chunk on: it fills them with zeros or the base, then adds in the order of the indices."""
    emitter = Emitter(kernel)
    (store,) = kernel.stages[0].stores
    out = kernel.operands[-1]
    size, inner = root.type.shape[0], product(root.type.shape[1:])
    place = next(atom for atom, _ in store.offset.terms if atom not in kernel.lanes)
    dim, line = emitter.dim, emitter.line
    emitter.changing.add(id(out))
    emitter.count_uses([store.value, store.offset, place, place])  # the row is a local
    with emitter.loop("for unit in range(begin, end):", (), ()):
        line(f"start = unit * {dim(kernel.chunk)}")
        line(f"stop = min({dim(size)}, start + {dim(kernel.chunk)})")
        if kernel.roles[kernel.params.index(out)] is not Role.INOUT:
            at = emitter.fresh("at")
            line(f"for {at} in range(start * {dim(inner)}, stop * {dim(inner)}):")
            line(f"    {emitter.params[id(out)]}[{at}] = {first_value(emitter, kernel, at)}")
        with emitter.nest(kernel.rows):
            row = emitter.value(place)
            with emitter.loop(f"if {row} >= start and {row} < stop:", (), ()), emitter.nest(kernel.lanes):
                emitter.stores([store])
    return Source(emitter.text(), tuple(emitter.dims), kernel.extent, kernel)


def first_value(emitter: Emitter, kernel: Kernel, at: str) -> str:
    """What an element is before anything is added: that of the base, or 0."""
    *base, out = kernel.operands
    if base:
        return f"{emitter.params[id(base[0])]}[{at}]"
    zero = scalar.literal(0, out.dtype)
    half = {"float16": "f16", "bfloat16": "bf16"}.get(out.dtype.name)
    return f"store_{half}({zero})" if half else zero
