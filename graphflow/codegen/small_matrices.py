"""Kernels of linear algebra on small matrices of known size: Cholesky factors, triangular systems, elimination.

A matrix is a unit of parallel work. The innermost loops run along rows, so that they vectorise; that of `cholesky` has the factor
transposed until the end. A matrix that cannot be factored is noted in the error record, and ends the run.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.codegen import scalar
from graphflow.codegen.emit import Emitter, Source
from graphflow.codegen.library_values import INDEFINITE, SINGULAR
from graphflow.ir.scalar import Axis, as_index
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.ir import Kernel
from graphflow.loop.lower import flat_offset
from graphflow.ops.declare import broadcast_index
from graphflow.types import product

_CHOLESKY = """\
for i in range({n}):
    for k in range(i, {n}):
        out[to + i * {n} + k] = a[at + k * {n} + i]
for j in range({n}):
    line = to + j * {n}
    pivot = out[line + j]
    if pivot <= NUMBER(0.0):
        errors[0] = {site}
        errors[1] = unit
        errors[2] = {indefinite}
    root = {sqrt}
    for k in range(j, {n}):
        out[line + k] = out[line + k] / root
    for i in range(j + 1, {n}):
        here = to + i * {n}
        factor = out[line + i]
        for k in range(i, {n}):
            out[here + k] = out[here + k] - factor * out[line + k]
for i in range({n}):
    for k in range(i + 1, {n}):
        out[to + k * {n} + i] = out[to + i * {n} + k]
        out[to + i * {n} + k] = NUMBER(0.0)
"""

_TRIANGULAR = """\
for k in range({n} * {columns}):
    out[to + k] = b[of_b + k]
for step in range({n}):
    i = {row}
    line = to + i * {columns}
    for before in range(step):
        k = {earlier}
        factor = a[{element}]
        solved = to + k * {columns}
        for c in range({columns}):
            out[line + c] = out[line + c] - factor * out[solved + c]
    pivot = a[at + i * {n} + i]
    if pivot == NUMBER(0.0):
        errors[0] = {site}
        errors[1] = unit
        errors[2] = {singular}
    for c in range({columns}):
        out[line + c] = out[line + c] / pivot
"""

# Elimination with partial pivoting. Golub and Van Loan, "Matrix Computations", section 3.4.
_ELIMINATION = """\
for k in range({n} * {n}):
    left[k] = a[at + k]
for k in range({n} * {columns}):
    out[to + k] = {right}
{identity}
for j in range({n}):
    chosen = j
    best = abs(left[j * {n} + j])
    for i in range(j + 1, {n}):
        other = abs(left[i * {n} + j])
        if other > best:
            best = other
            chosen = i
    if best == NUMBER(0.0):
        errors[0] = {site}
        errors[1] = unit
        errors[2] = {singular}
    if chosen != j:
        for k in range(j, {n}):
            moved = left[j * {n} + k]
            left[j * {n} + k] = left[chosen * {n} + k]
            left[chosen * {n} + k] = moved
        for c in range({columns}):
            taken = out[to + j * {columns} + c]
            out[to + j * {columns} + c] = out[to + chosen * {columns} + c]
            out[to + chosen * {columns} + c] = taken
    line = to + j * {columns}
    pivot = left[j * {n} + j]
    for i in range(j + 1, {n}):
        factor = left[i * {n} + j] / pivot
        for k in range(j + 1, {n}):
            left[i * {n} + k] = left[i * {n} + k] - factor * left[j * {n} + k]
        here = to + i * {columns}
        for c in range({columns}):
            out[here + c] = out[here + c] - factor * out[line + c]
for step in range({n}):
    i = {n} - 1 - step
    line = to + i * {columns}
    for k in range(i + 1, {n}):
        factor = left[i * {n} + k]
        solved = to + k * {columns}
        for c in range({columns}):
            out[line + c] = out[line + c] - factor * out[solved + c]
    pivot = left[i * {n} + i]
    for c in range({columns}):
        out[line + c] = out[line + c] / pivot
"""


def emit_cholesky(kernel: Kernel, root: Node) -> Source:
    """a = L L^T, row by row of L^T."""
    code = _Code(kernel, root, ("a", "out"))
    return code.source(_CHOLESKY, {"sqrt": scalar.spelling("sqrt", root.type.dtype).format("pivot")})


def emit_triangular(kernel: Kernel, root: Node) -> Source:
    """Each row of the result less what those before it contribute."""
    code = _Code(kernel, root, ("a", "b", "out"))
    n, turned = code.n, root.attrs["adjoint"]
    downwards = root.attrs["lower"] != turned
    return code.source(
        _TRIANGULAR,
        {
            "row": "step" if downwards else f"{n} - 1 - step",
            "earlier": "before" if downwards else f"{n} - 1 - before",
            "element": f"at + k * {n} + i" if turned else f"at + i * {n} + k",
        },
    )


def emit_elimination(kernel: Kernel, root: Node) -> Source:
    """The solutions for the columns of a matrix; for those of the identity, which are the inverse."""
    inverse = root.op.name == "inv"
    code = _Code(kernel, root, ("a", "out") if inverse else ("a", "b", "out"))
    zero, one = (scalar.literal(value, root.type.dtype) for value in (0.0, 1.0))
    suffix, scope = scalar.SUFFIX[root.type.dtype.name], len(kernel.params) + 1
    code.emitter.line(f"left = scratch_{suffix}({code.n * code.n}, {scope})")
    ones = f"for k in range({code.n}):\n    out[to + k * {code.n} + k] = {one}"
    return code.source(_ELIMINATION, {"right": zero if inverse else "b[of_b + k]", "identity": ones if inverse else ""})


class _Code:
    """The text of one kernel: its operands by name, then what is done for each matrix."""

    def __init__(self, kernel: Kernel, root: Node, names: tuple[str, ...]) -> None:
        self.kernel, self.root = kernel, root
        self.emitter = Emitter(kernel)
        self.n = root.inputs[0].shape[-1]
        assert isinstance(self.n, int)
        for name, buffer in zip(names, kernel.operands, strict=True):
            self.emitter.line(f"{name} = {self.emitter.params[id(buffer)]}")

    def source(self, text: str, meanings: dict[str, str]) -> Source:
        """`text` for each matrix of the batch, of which operands may have fewer."""
        emitter, root = self.emitter, self.root
        batch = [Axis(f"m{k}", size) for k, size in enumerate(root.type.shape[:-2])]
        numbers = {
            "n": str(self.n),
            "columns": emitter.dim(root.type.shape[-1]),
            "site": str(emitter.sites[id(root)] + 1),
            "singular": str(SINGULAR),
            "indefinite": str(INDEFINITE),
        }
        with emitter.loop("for unit in range(begin, end):", (), ()):
            emitter.unravel("unit", batch)
            for name, operand in zip(("at", "of_b"), root.inputs, strict=False):
                emitter.line(f"{name} = {self.matrix(operand, batch)}")
            emitter.line(f"to = unit * {self.n} * {numbers['columns']}")
            filled = text.format(**numbers, **meanings).replace("NUMBER", scalar.constructor(root.type.dtype))
            for line in filled.splitlines():
                if line:
                    emitter.line(line)
        return Source(emitter.text(), tuple(emitter.dims), product([a.extent for a in batch]), self.kernel)

    def matrix(self, operand: Tensor, batch: list[Axis]) -> str:
        """Where the matrix of an operand begins; axes of size 1 are read again and again."""
        index = broadcast_index(tuple(batch), operand.shape[:-2], tuple(a.extent for a in batch))
        return self.emitter.offset_text(flat_offset([*index, as_index(0), as_index(0)], operand.shape))


SMALL_MATRICES: dict[str, Callable[[Kernel, Node], Source]] = {
    "cholesky": emit_cholesky,
    "triangular_solve": emit_triangular,
    "solve": emit_elimination,
    "inv": emit_elimination,
}
