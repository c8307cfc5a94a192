"""Effects: what a run does besides computing. Each is the token, a bool, of an op that does something.

At the top level an effect belongs to a run that fetches it, or that computes something built under `control_dependencies` on
it; in the body of a loop or a branch, to each run of it. What has to wait for effects passes through `after`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphflow.ir.eager import EagerTensor
from graphflow.ir.graph import current_effects
from graphflow.ir.op import Access
from graphflow.ir.program import bodies_of
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.declare import op
from graphflow.ops.state import Operation


@op(access=Access.OPAQUE, reference=lambda *operands: operands[-1], host=True, effect=True)
def after(*operands):
    """The last operand, known when the effects that the others stand for have happened."""
    return operands[-1]


@after.defvjp_all
def _(g, out, *operands):
    return [*(None for _ in operands[1:]), g]


def happens(token: Any) -> Operation | None:
    """The operation of an effect; one built in a body happens whenever that is run. None where it has happened already."""
    if isinstance(token, EagerTensor):
        return None
    noted(token)
    return Operation(token.node)


def noted(token: Tensor) -> None:
    """Let an effect be one of the body that is being built, if one is."""
    effects = current_effects()
    if effects is not None:
        effects.append(token)


def with_effects(values: Sequence[Tensor]) -> list[Tensor]:
    """The results of the body that is being built, known when the effects in it have happened."""
    effects = current_effects()
    return [after(*effects, value) for value in values] if effects else list(values)


def has_effect(node: Node) -> bool:
    """Does a node, or one in its bodies, do more than compute?"""
    return node.op.effect or any(has_effect(inner) for body in bodies_of(node) for inner in body.nodes)
