"""`custom_gradient`: a function whose gradient its author states, where that of its ops is not what is wanted.

What the function computes is ordinary graph; `with_gradient` passes it on, and knows how cotangents flow back. It is gone after
capture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from graphflow.errors import GradientError
from graphflow.ir.graph import name_scope
from graphflow.ir.op import Access
from graphflow.ir.program import Program, rebuild, toposort, with_bodies
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.control import tensors_of
from graphflow.ops.declare import op
from graphflow.ops.logic import identity
from graphflow.ops.structure import flatten, like, pack


class GradientRule:
    """A function from the cotangents of `results` to those of `arguments`, stated in terms of those very tensors."""

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any], results: Sequence[Tensor], name: str) -> None:
        self.function = function
        self.nests = tuple(arguments)
        self.arguments = [leaf for argument in arguments for leaf in flatten(argument)]
        self.results = list(results)
        self.name = name

    def cotangents(self, gs: Sequence[Tensor]) -> list[Any]:
        """A cotangent or None for each of `arguments`."""
        value = self.function(*gs)
        given = [value] if len(self.nests) == 1 else value
        if not isinstance(given, list | tuple) or len(given) != len(self.nests):
            count = len(given) if isinstance(given, list | tuple) else 1
            raise GradientError(
                f"{self.name}: its gradient returns {count} values for {len(self.nests)} arguments",
                operands={"result": self.results[0]},
                rule="It returns the cotangent of each argument, or None.",
            )
        try:
            return [
                leaf
                for nest, cotangent in zip(self.nests, given, strict=True)
                for leaf in ([None] * len(flatten(nest)) if cotangent is None else like(nest, cotangent))
            ]
        except (KeyError, TypeError, ValueError):
            raise GradientError(f"{self.name}: a cotangent has another structure than its argument") from None

    def __repr__(self) -> str:
        return f"the gradient of {self.name}"


def _passed_on(*operands, results, rule):  # type: ignore[no-untyped-def]
    return operands[:results] if results > 1 else operands[0]


@op(access=Access.OPAQUE, reference=_passed_on)
def with_gradient(*operands, results, rule):
    """The first `results` operands, whose cotangents `rule` turns into those of the others."""
    return operands[:results]


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that returns `result` where `function` returns `(result, grad)`, and whose gradient is `grad`.

    `grad(*cotangents)` is called with the cotangent of each leaf of `result`, zeros where nothing flows, and returns that of each
    argument: a tensor, a nest like the argument, or None. It may use arguments, results and whatever `function` computed.
    Gradients of higher order differentiate it, and a result that it uses has the gradient it states. No gradient flows to
    tensors that `function` reads without being given them.

        @gf.custom_gradient
        def log1pexp(x):
            e = gf.exp(x)
            return gf.log(1 + e), lambda g: g * (1 - 1 / (1 + e))
    """
    title = getattr(function, "__name__", "function")

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        with name_scope(title if title.isidentifier() else "custom_gradient"):
            given = [pack(arg, tensors_of(arg, title)) for arg in args]
            found = function(*given)
            if not isinstance(found, tuple) or len(found) != 2 or not callable(found[1]):
                raise GradientError(f"{title} returns no pair of a result and a function", rule="Return (result, grad).")
            return attach(found[0], given, found[1], title)

    return call


def attach(result: Any, arguments: Sequence[Any], function: Callable[..., Any], name: str) -> Any:
    """`result`, whose cotangents `function` turns into those of `arguments`: all of them nests of tensors."""
    results: list[Tensor] = []
    arguments = [pack(argument, tensors_of(argument, name)) for argument in arguments]
    leaves = [leaf for argument in arguments for leaf in flatten(argument)]
    for leaf in tensors_of(result, name):
        taken = leaf.op.name == "constant" or any(leaf is other for other in (*leaves, *results))
        results.append(identity(leaf) if taken else leaf)
    rule = GradientRule(function, arguments, results, name)
    found = with_gradient(*results, *leaves, results=len(results), rule=rule)
    return pack(result, found if isinstance(found, tuple) else [found])


# --- capture ----------------------------------------------------------------------------------------------------------------


def passing(node: Node, inputs: tuple[Tensor, ...], known: dict[Tensor, Tensor]) -> Sequence[Tensor]:
    """The results of `node` on other operands, without `with_gradient`, in bodies neither.

    `known` has what was found for the tensors of bodies: what two bodies share, they share afterwards.
    """
    if node.op is with_gradient:
        return inputs[: node.attrs["results"]]
    return rebuild(with_bodies(node, lambda body: _without(body, known)), inputs)


def _without(body: Program, known: dict[Tensor, Tensor]) -> Program:
    for node in toposort(body.outputs):
        if node.output not in known:
            known.update(zip(node.outputs, passing(node, tuple(known[t] for t in node.inputs), known), strict=True))
    outputs = tuple(known[t] for t in body.outputs)
    changed = any(a is not b for a, b in zip(outputs, body.outputs, strict=True))
    return Program(body.inputs, outputs, (), body.name) if changed else body


__all__ = ["custom_gradient"]
