"""Kernels of the library ops, matrix products and scatters: the one place where a target and an op meet.

A matrix product is cut into tiles of the result, a tile a unit of parallel work: one call of our own product or of a
single-threaded BLAS by address, then the elementwise ops that follow it, while the tile is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphflow.codegen import scalar
from graphflow.codegen.attention import ATTENTION
from graphflow.codegen.convolution import PRODUCTS
from graphflow.codegen.cumulative import CUMULATIVE
from graphflow.codegen.depthwise import DEPTHWISE
from graphflow.codegen.emit import Emitter, Source
from graphflow.codegen.library_values import NARROW, LibraryValue
from graphflow.codegen.pooling import POOLS, emit_pool
from graphflow.codegen.scatter import emit_check, emit_scatter
from graphflow.codegen.sequential import emit_sequential
from graphflow.codegen.small_matrices import SMALL_MATRICES
from graphflow.codegen.sorting import SORTS
from graphflow.ir.scalar import Axis, as_index
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.ir import Kernel, Offset, Role, Store
from graphflow.loop.library import update_scale
from graphflow.loop.lower import flat_offset, merge_axes
from graphflow.ops.convolution import is_depthwise
from graphflow.ops.declare import broadcast_index
from graphflow.types import Shape, product


def emit_library(kernel: Kernel) -> Source:
    """The source of a library kernel."""
    root = kernel.group.root
    assert root is not None
    return _EMITTERS[kernel.form](kernel, root)


def emit_matmul(kernel: Kernel, root: Node) -> Source:
    """Tiles of C = op(A) op(B), with what follows C."""
    emitter = Emitter(kernel)
    a, b = root.inputs
    ta, tb = bool(root.attrs["transpose_a"]), bool(root.attrs["transpose_b"])
    m, n = root.type.shape[-2:]
    k = a.shape[-2] if ta else a.shape[-1]
    batch = root.type.shape[:-2]
    sizes = (product(batch), m, n, k)
    suffix, size = scalar.SUFFIX[root.type.dtype.name], root.type.dtype.itemsize
    raw = kernel.operands[-1]
    batch_axes, axes = list(kernel.rows[: len(batch)]), list(kernel.rows[len(batch) :])
    followers: Sequence[Store] = kernel.stages[0].stores
    if isinstance(n, int) and n <= NARROW:  # a line alone is too short to have several vectors on the way
        (axes,), _, followers = merge_axes([axes], [], followers)
    # `c + alpha * product` written over c: BLAS does that by itself.
    folded = kernel.roles[kernel.params.index(raw)] is Role.INOUT
    update = update_scale(kernel.group, root) if folded else None
    dim, line = emitter.dim, emitter.line
    emitter.count_uses([s.value for s in followers])
    address = dim(LibraryValue(f"gemm_{suffix}", (m, n, k)))
    with emitter.loop("for unit in range(begin, end):", (), ()):
        tile_rows, tile_columns = (dim(LibraryValue(name, sizes)) for name in ("tile_rows", "tile_columns"))
        line(f"across = index_div({dim(n)} + {tile_columns} - 1, {tile_columns})")
        line(f"down = index_div({dim(m)} + {tile_rows} - 1, {tile_rows})")
        line("tile = index_mod(unit, across * down)")
        if batch:
            line("matrix = index_div(unit, across * down)")
            emitter.unravel("matrix", batch_axes)
        line(f"row_start = index_div(tile, across) * {tile_rows}")
        line(f"column_start = index_mod(tile, across) * {tile_columns}")
        line(f"rows = min({tile_rows}, {dim(m)} - row_start)")
        line(f"columns = min({tile_columns}, {dim(n)} - column_start)")

        def place(operand: int, start: str) -> str:
            tensor, number = root.inputs[operand], kernel.params.index(kernel.operands[operand])
            offset = emitter.offset_text(batch_offset(tensor, batch_axes))
            return f"buffers[{number}] + {size} * ({offset} + {start})"

        lda, ldb = a.shape[-1], b.shape[-1]
        line(f"a = {place(0, 'row_start' if ta else f'row_start * {dim(lda)}')}")
        line(f"b = {place(1, f'column_start * {dim(ldb)}' if tb else 'column_start')}")
        c_offset = emitter.offset_text(flat_offset([*batch_axes, as_index(0), as_index(0)], root.type.shape))
        line(f"c = buffers[{kernel.params.index(raw)}] + {size} * ({c_offset} + row_start * {dim(n)} + column_start)")
        one, zero = scalar.literal(1.0, root.type.dtype), scalar.literal(0.0, root.type.dtype)
        alpha, beta = (one, zero) if update is None else (emitter.value(update), one)
        line(
            f"gemm_{suffix}({address}, {112 if ta else 111}, {112 if tb else 111}, rows, columns, {dim(k)}, {alpha}, "
            f"a, max(1, {dim(lda)}), b, max(1, {dim(ldb)}), {beta}, c, max(1, {dim(n)}))"
        )
        if followers and update is None:
            follow(emitter, axes, dim(n), followers)
    return Source(emitter.text(), tuple(emitter.dims), LibraryValue("tiles", sizes), kernel)


def follow(emitter: Emitter, axes: Sequence[Axis], width: str, followers: Sequence[Store]) -> None:
    """What follows a product, on a tile: `axes` are its columns behind those of its rows, or one for all its elements."""
    if len(axes) <= 1:
        names = ["j"] * len(axes)
        with emitter.loop(f"for j in range(row_start * {width}, (row_start + rows) * {width}):", axes, names):
            emitter.stores(followers)
        return
    with emitter.loop("for i in range(row_start, row_start + rows):", (), ()):
        emitter.unravel("i", axes[:-1])  # several where what follows runs over a view that splits the rows
        with emitter.loop("for j in range(column_start, column_start + columns):", axes[-1:], ["j"]):
            emitter.stores(followers)


def batch_offset(tensor: Tensor, batch_axes: Sequence[Axis]) -> Offset:
    """Where the matrix of a batch starts; axes of size 1 are read again and again."""
    batch_shape: Shape = tuple(a.extent for a in batch_axes)
    index = broadcast_index(tuple(batch_axes), tensor.shape[:-2], batch_shape)
    return flat_offset([*index, as_index(0), as_index(0)], tensor.shape)


def emit_convolution(kernel: Kernel, root: Node) -> Source:
    """A convolution or a gradient of one: as products, or channel by channel."""
    return (DEPTHWISE if is_depthwise(root) else PRODUCTS)[root.op.name](kernel, root)


_EMITTERS: dict[str, Callable[[Kernel, Node], Source]] = {
    "matmul": emit_matmul,
    "check": emit_check,
    "scatter": emit_scatter,
    "sequential": emit_sequential,
    **ATTENTION,
    **CUMULATIVE,
    **SMALL_MATRICES,
    **SORTS,
    **dict.fromkeys(PRODUCTS, emit_convolution),
    **dict.fromkeys(POOLS, emit_pool),
}
