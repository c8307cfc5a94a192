"""The gradient of `with_gradient`: what its rule says, in terms of the tensors that stand for results and arguments now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.errors import GradientError
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.program import substituted
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import zeros_like
from graphflow.ops.custom_gradient import GradientRule, with_gradient


@with_gradient.defvjp_all
def _with_gradient_vjp(g: Any, out: Any, *operands: Tensor, results: int, rule: GradientRule) -> Sequence[Tensor | None]:
    """The cotangents of the arguments; nothing flows to the results, whose own ops are not differentiated."""
    outs, gs = (out, g) if isinstance(out, tuple) else ((out,), (g,))
    gs = tuple(zeros_like(t) if flow is None else flow for t, flow in zip(outs, gs, strict=True))
    arguments = operands[results:]
    found = rule.cotangents(gs)
    known = [k for k, cotangent in enumerate(found) if cotangent is not None and arguments[k].dtype.is_differentiable]
    stated = [checked(found[k], arguments[k], rule) for k in known]
    # a loop or a branch may have put other tensors in the places of those that the rule was stated with
    renamed = {**dict(zip(rule.arguments, arguments, strict=True)), **dict(zip(rule.results, outs, strict=True))}
    renamed.update((flow, flow) for flow in gs)
    flowing = dict(zip(known, substituted(stated, renamed), strict=True))
    return [*[None] * results, *(flowing.get(k) for k in range(len(arguments)))]


def checked(value: Any, argument: Tensor, rule: GradientRule) -> Tensor:
    """A cotangent of the dtype and rank of its argument."""
    cotangent = convert_to_tensor(value) if isinstance(value, Tensor) else convert_to_tensor(value, argument.dtype)
    if cotangent.dtype != argument.dtype or cotangent.rank > argument.rank:
        raise GradientError(
            f"{rule.name}: its gradient gives {cotangent.type} for an argument of type {argument.type}",
            operands={"argument": argument, "cotangent": cotangent},
            rule="A cotangent has the type of its argument.",
        )
    return cotangent
