"""Lowering of the gradient by a convolution's filters: sums over parts of the batch, which can run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphflow.ir.scalar import Accumulator, Load
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.inline import storage
from graphflow.loop.ir import Buffer, FusionGroup, Kernel, Reduction, Role, Stage
from graphflow.loop.lower import _Lowering, flat_offset, identity_of, make_kernel, row_kernel, store_of
from graphflow.ops.convolution import is_depthwise
from graphflow.types import AnySize, DType, size_min, static_size

WHOLE_FLOPS = 8_000_000  # of a filter gradient below which the batch stays whole
MOST_PARTS = 8  # of a batch: units of parallel work
PART_BYTES = 1 << 20  # of filters of which each part of the batch has sums of its own


def batch_parts(root: Node) -> AnySize:
    """In how many parts of the batch a filter gradient is summed; depends on the sizes only. 1 where the filters are large."""
    size = static_size(root.type.shape)
    if is_depthwise(root) or size is None or size * root.type.dtype.itemsize > PART_BYTES:
        return 1
    batch, pixels = root.inputs[0].shape[0], static_size(root.inputs[1].shape[:-1])
    if pixels is not None and 2 * pixels * size <= WHOLE_FLOPS:
        return 1
    return size_min(batch, MOST_PARTS)


def lower_in_parts(
    group: FusionGroup,
    parts: AnySize,
    buffers: Callable[[Tensor], Buffer],
    scratch: Callable[[str, DType, AnySize], Buffer],
) -> list[Kernel]:
    """A filter gradient as sums over parts of the batch, and a kernel that adds these up in order, with what follows."""
    root = group.root
    assert root is not None
    partial = scratch(f"partial_{root.name.split('/')[-1]}", root.type.dtype, parts * root.type.size)
    summed = replace(group, shape=(parts, *root.type.shape), axes=(0,), root=None)
    lowering = _Lowering(summed, buffers)
    lowering.inside.discard(root.output)
    sums = Accumulator(0, root.type.dtype)
    part = Load(partial, (flat_offset(lowering.domain, summed.shape),), root.type.dtype)
    lowering.reductions.append(Reduction(sums, "add", identity_of("add", root.type.dtype), part, root))
    lowering.accumulators[root.output] = sums
    combine = row_kernel(summed, lowering, [store_of(lowering, tensor) for tensor in group.outputs], ())
    first = make_kernel(group, root.op.name, lowering.domain[1:], [], [], [Stage((), ())], [], 1, ())
    operands = (*(buffers(storage(t)) for t in root.inputs), partial)
    params = tuple(dict.fromkeys(operands))
    roles = tuple(Role.OUTPUT if b is partial else Role.INPUT for b in params)
    return [replace(first, params=params, roles=roles, operands=operands), replace(combine, name=f"{combine.name}_combine")]
