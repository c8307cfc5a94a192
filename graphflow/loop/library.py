"""Lowering of the library groups: a product or a convolution with the elementwise ops that follow it, a scatter.

The node itself is a library call; what follows is lowered like any elementwise kernel, over the tile just computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphflow.ir.scalar import Const, Expr
from graphflow.ir.tensor import Node, Tensor
from graphflow.loop.convolution import batch_parts, lower_in_parts
from graphflow.loop.inline import scalar_constant, storage
from graphflow.loop.ir import Buffer, FusionGroup, Kernel, Role, Stage
from graphflow.loop.lower import _Lowering, checks_of, make_kernel, store_of
from graphflow.loop.partition import COMPUTED_INSIDE
from graphflow.loop.scatter import lower_scatter
from graphflow.ops.sorting import kept_in_order
from graphflow.types import AnySize, DType, int64


def lower_library(
    group: FusionGroup, buffers: Callable[[Tensor], Buffer], scratch: Callable[[str, DType, AnySize], Buffer]
) -> list[Kernel]:
    """The kernels of a library group: its node, then its elementwise followers as stores."""
    root = group.root
    assert root is not None
    if root.op.name in COMPUTED_INSIDE:
        return lower_scatter(group, root, buffers)
    if root.op.name == "convolution_filter_gradient" and (parts := batch_parts(root)) != 1:
        return lower_in_parts(group, parts, buffers, scratch)
    raw = raw_result(group, root, buffers, scratch)
    inner = lambda tensor: raw if tensor is root.output else buffers(tensor)  # noqa: E731
    lowering = _Lowering(group, inner)
    followers = [store_of(lowering, tensor) for tensor in group.outputs if tensor.node is not root]
    others = [
        buffers(t) if t in group.outputs else scratch(f"{root.name.split('/')[-1]}_{t.index}", t.dtype, t.type.size)
        for t in root.outputs[1:]
    ]
    space = working_space(root, scratch)
    operands = (*(buffers(storage(t)) for t in root.inputs), raw, *others, *space)
    stages = [Stage((), tuple(followers))]
    kernel = make_kernel(group, root.op.name, lowering.domain, [], [], stages, [], 1, checks_of([s.value for s in followers]))
    if root.op.fails:
        kernel = replace(kernel, checks=(root,))
    results = [raw, *others, *space]
    params = list(dict.fromkeys([*operands[: len(root.inputs)], *kernel.params, *results]))
    written = {id(s.buffer) for s in followers} | {id(b) for b in results}
    roles = tuple(Role.OUTPUT if id(b) in written else Role.INPUT for b in params)
    return [replace(kernel, params=tuple(params), roles=roles, operands=operands)]


def working_space(root: Node, scratch: Callable[[str, DType, AnySize], Buffer]) -> list[Buffer]:
    """What else the kernel writes to: of a sort that merges, two copies of the elements and of where they were."""
    if root.op.name != "sort" or kept_in_order(root.attrs["count"], root.inputs[0].shape[root.attrs["axis"]]):
        return []
    (x,) = root.inputs
    return [
        scratch(f"{kind}_{k}", dtype, x.type.size) for kind, dtype in (("keys", x.dtype), ("places", int64)) for k in range(2)
    ]


def raw_result(
    group: FusionGroup, root: Node, buffers: Callable[[Tensor], Buffer], scratch: Callable[[str, DType, AnySize], Buffer]
) -> Buffer:
    """Where the library call writes: the node's own buffer, or that of a follower of the same size and dtype."""
    if root.output in group.outputs:
        return buffers(root.output)
    for tensor in group.outputs:
        if tensor.node is not root and tensor.dtype == root.type.dtype and tensor.type.size == root.type.size:
            return buffers(tensor)
    return scratch(f"{root.name.split('/')[-1]}_raw", root.type.dtype, root.type.size)


def update_scale(group: FusionGroup, root: Node) -> Expr | None:
    """The scale of the product in `c ± scale * product`, if the group's one output has this form."""
    output = group.outputs[0].node
    if output.op.name not in ("add", "subtract") or len(output.inputs) != 2:
        return None
    c, change = output.inputs
    if change is not root.output and not _is_scaled(change, root):
        if output.op.name == "subtract":
            return None
        c, change = change, c
        if change is not root.output and not _is_scaled(change, root):
            return None
    if c.shape != root.type.shape or storage(c).node in group.members:
        return None
    sign = -1.0 if output.op.name == "subtract" else 1.0
    dtype = root.type.dtype
    if change is root.output:
        return Const(sign, dtype)
    factor = next(scalar_constant(t) for t in change.inputs if t is not root.output)
    assert factor is not None
    return Const(sign * factor.value, dtype)


def _is_scaled(tensor: Tensor, root: Node) -> bool:
    return (
        tensor.op.name == "multiply"
        and root.output in tensor.inputs
        and tensor.shape == root.type.shape
        and any(scalar_constant(t) is not None for t in tensor.inputs)
    )
