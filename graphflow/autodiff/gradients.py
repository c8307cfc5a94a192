"""`gradients`: the derivative of tensors by tensors, as more graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.autodiff.backward import backward
from graphflow.errors import GradientError, ModeError, ShapeError
from graphflow.ir.eager import is_value
from graphflow.ir.graph import name_scope
from graphflow.ir.op import Access, convert_to_tensor, literal
from graphflow.ir.program import toposort
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.movement import broadcast_to
from graphflow.ops.state import Variable


def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    unconnected_gradients: str = "raise",
    name: str = "gradients",
) -> list[Any]:
    """The derivatives of the sum of `ys` by each of `xs`, in the order of `xs`; `grad_ys` weighs the elements of `ys`.

    `xs` and `ys` are tensors, variables, or nested lists of them. Where no `y` depends on an `x`, the entry is an error that
    says where the path breaks ("raise"), None ("none") or zeros ("zero").
    """
    if unconnected_gradients not in ("raise", "none", "zero"):
        raise GradientError(f"unconnected_gradients={unconnected_gradients!r}", rule="It is 'raise', 'none' or 'zero'.")
    targets = [tensor_of(y) for y in flatten(ys)]
    sources = [tensor_of(x) for x in flatten(xs)]
    computed = next((t for t in targets if is_value(t)), None)
    if computed is not None:
        raise ModeError(
            "gradients of an eager tensor: nothing is known of how it was computed",
            operands={"y": computed},
            rule="Compute it inside `with gf.GradientTape() as tape:` and use tape.gradient(y, xs).",
        )
    with name_scope(name):
        seeds = _seeds(targets, weights_of(ys, grad_ys))
        for source in sources:
            if not source.dtype.is_differentiable:
                raise GradientError(
                    f"gradients: {source.name} is {source.dtype}",
                    operands={"x": source},
                    rule="Derivatives are by floats or complex numbers.",
                )
        found = backward(nodes_between(sources, list(seeds)), seeds, sources)
        result = []
        for source, gradient in zip(sources, found, strict=True):
            if gradient is None and unconnected_gradients == "raise":
                raise _unconnected(source, list(seeds))
            if gradient is None and unconnected_gradients == "zero":
                gradient = broadcast_to(literal(0, source.dtype), source.shape)
            result.append(gradient)
    return result


def flatten(value: Any) -> list[Any]:
    """The leaves of nested lists and tuples."""
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in flatten(item)]
    return [value]


def weights_of(ys: Any, grad_ys: Any, what: str = "grad_ys", of: str = "ys", caller: str = "gradients") -> list[Any]:
    """The entry of `grad_ys` for each leaf of `ys`, whose structure it shares; None where there is none."""
    if not isinstance(ys, list | tuple):
        return [grad_ys]
    entries = [None] * len(ys) if grad_ys is None else grad_ys
    if not isinstance(entries, list | tuple) or len(entries) != len(ys):
        given = f"{len(entries)}" if isinstance(entries, list | tuple) else repr(entries)
        raise GradientError(f"{caller}: {given} {what} for {len(ys)} {of}", rule=f"{what} has an entry, or None, for each.")
    return [weight for y, entry in zip(ys, entries, strict=True) for weight in weights_of(y, entry, what, of, caller)]


def tensor_of(value: Any) -> Tensor:
    return value.value if isinstance(value, Variable) else convert_to_tensor(value)


def require_derivative(target: Tensor, caller: str) -> None:
    """GradientError for a `y` whose dtype has no derivative."""
    if not target.dtype.is_differentiable:
        raise GradientError(
            f"{caller}: {target.name} is {target.dtype}, which has no derivative",
            operands={"y": target},
            rule="Differentiate floats; a cast to an integer or a comparison ends every path.",
        )


def _seeds(targets: Sequence[Tensor], weights: Sequence[Any]) -> dict[Tensor, Tensor]:
    seeds: dict[Tensor, Tensor] = {}
    for target, weight in zip(targets, weights, strict=True):
        require_derivative(target, "gradients")
        seed = broadcast_to(literal(1, target.dtype), target.shape) if weight is None else convert_weight(weight, target)
        seeds[target] = seeds[target] + seed if target in seeds else seed
    return seeds


def convert_weight(weight: Any, target: Tensor, what: str = "grad_ys", of: str = "y", caller: str = "gradients") -> Tensor:
    """An entry of grad_ys, or a tangent, in the dtype and shape of the tensor it belongs to."""
    seed = tensor_of(weight) if isinstance(weight, Tensor | Variable) else convert_to_tensor(weight, target.dtype)
    if seed.dtype != target.dtype or seed.rank > target.rank:
        raise ShapeError(
            f"{caller}: a {what} of type {seed.type} for {'an' if of == 'x' else 'a'} {of} of type {target.type}",
            operands={what: seed, of: target},
            rule=f"A {what} has the dtype and the shape of its {of}.",
        )
    return seed if seed.shape == target.shape else broadcast_to(seed, target.shape)


def nodes_between(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> list[Node]:
    """The nodes on a path from a source to a target along which gradients flow, operands first."""
    reached: set[Tensor] = set(sources)
    kept = []
    for node in toposort(targets):
        if carries(node) and any(t in reached and t.dtype.is_differentiable for t in node.inputs):
            reached.update(node.outputs)
            kept.append(node)
    return kept


def carries(node: Node) -> bool:
    """Does a gradient flow through the node?"""
    return node.op.differentiable and bool(node.inputs) and any(t.dtype.is_differentiable for t in node.types)


def _unconnected(source: Tensor, targets: Sequence[Tensor]) -> GradientError:
    """The error for a source without gradient: no path at all, or the op at which each path ends."""
    above: dict[Node, bool] = {}
    order = toposort(targets)
    for node in order:
        above[node] = node is source.node or any(above[t.node] for t in node.inputs)
    shown = ", ".join(t.name for t in targets[:3])
    if not any(above[t.node] for t in targets):
        return GradientError(
            f"gradients: {shown} does not depend on {source.name}",
            operands={"x": source, **{f"y{i or ''}": t for i, t in enumerate(targets[:3])}},
            rule='Pass unconnected_gradients="none" or "zero" to allow it.',
        )
    reached = {source}
    barrier = None
    for node in order:
        if node is source.node or not any(t in reached for t in node.inputs):
            continue
        if carries(node) and flows(node, reached):
            reached.update(node.outputs)
        elif barrier is None:
            barrier = node
    if barrier is None:  # a loop or a branch, inside which the path ends
        barrier = next(node for node in reversed(order) if any(t in reached for t in node.inputs))
    kind = f"{barrier.op.name} has no gradient" + (f" to {barrier.type.dtype}" if barrier.op.name == "cast" else "")
    if barrier.op.access is Access.CONTROL:
        kind = (
            "no path through its bodies carries a gradient; that through a condition, an index or a cast to integers carries none"
        )
    return GradientError(
        f"gradients: the path from {source.name} to {shown} breaks at {barrier.name}: {kind}",
        operands={"x": source, "breaks at": barrier.output},
        rule='Pass unconnected_gradients="none" or "zero" to allow it.',
    )


def flows(node: Node, reached: set[Tensor]) -> bool:
    """Does a gradient flow from the node to one of the tensors reached?"""
    if node.op.vjp_all is not None or node.op.vjps is None:
        return node.op.vjp_all is not None
    pairs = zip(node.inputs, node.op.vjps, strict=True)
    return any(t in reached and vjp is not None and t.dtype.is_differentiable for t, vjp in pairs)
