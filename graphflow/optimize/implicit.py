"""Solutions of equations, differentiated by the implicit function theorem: by what they solve, not by how they were found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.autodiff.control import substituted
from graphflow.autodiff.gradients import gradients
from graphflow.autodiff.jacobian import jacobian
from graphflow.errors import ShapeError
from graphflow.ir.graph import name_scope, next_node_number
from graphflow.ir.program import toposort
from graphflow.ir.tensor import Tensor
from graphflow.ops.control import parameter_like, while_loop
from graphflow.ops.custom_gradient import attach
from graphflow.ops.elimination import LARGEST, solve
from graphflow.ops.logic import identity, logical_and, stop_gradient
from graphflow.ops.movement import transpose
from graphflow.ops.reductions import reduce_sum

Function = Callable[[Tensor], Tensor]  # from a vector to a vector
Adjoint = Callable[[Tensor, Tensor, Tensor], Tensor]
MOST_DIRECTIONS = 1000  # of conjugate gradients


def implicit(residual: Function, x: Tensor, adjoint: Adjoint | None = None) -> Tensor:
    """`x`, a vector with residual(x) = 0, as a function of all tensors that `residual` reads beside its argument.

    Of F(x(a), a) = 0 follows dF/dx dx/da = -dF/da. So a cotangent g of x is -transpose(dF/da) v for a, where
    transpose(dF/dx) v = g: `adjoint(x, F(x), g)` is v, by default by elimination.
    """
    with name_scope("implicit"):
        before = next_node_number()
        argument = parameter_like(x, name="x")
        value = residual(argument)
        read = read_from_outside(value, argument, before)
        x = stop_gradient(x)
        if not read:
            return x

        def grad(g: Tensor) -> Any:
            # stand-ins, as what is read may depend on other tensors that are read: each gets its partial derivative
            own = [identity(t) for t in read]
            (here,) = substituted([value], {argument: x, **dict(zip(read, own, strict=True))})
            found = gradients(here, own, -(adjoint or by_elimination)(x, here, g), unconnected_gradients="zero")
            return found if len(found) > 1 else found[0]

        return attach(x, read, grad, "implicit")


def read_from_outside(value: Tensor, argument: Tensor, before: int) -> list[Tensor]:
    """The differentiable tensors other than `argument` that a function called after node number `before` read."""
    found: dict[Tensor, None] = {}
    for node in toposort([value]):
        if node.number > before:
            found.update((t, None) for t in node.inputs or node.outputs if t.node.number < before or not t.inputs)
    return [t for t in found if t.dtype.is_differentiable and t.op.name != "constant" and t is not argument]


def by_elimination(x: Tensor, value: Tensor, g: Tensor) -> Tensor:
    """v with transpose(dF/dx) v = g, where `value` is F(x), of few equations."""
    size = x.shape[0]
    if not isinstance(size, int) or size > LARGEST:
        raise ShapeError(
            f"no implicit gradient of {size} unknowns",
            operands={"x": x},
            rule=f"Their number is known when the graph is built, and {LARGEST} at most.",
        )
    (matrix,) = jacobian(value, [x])
    return solve(transpose(matrix), g)


def by_conjugate_gradients(x: Tensor, value: Tensor, g: Tensor) -> Tensor:
    """v with dF/dx v = g for a symmetric positive definite dF/dx; Hestenes and Stiefel, 1952."""
    tolerance = x.dtype.epsilon**2 * reduce_sum(g * g)

    def step(v: Tensor, r: Tensor, p: Tensor, rr: Tensor) -> tuple[Tensor, ...]:
        (image,) = gradients(value, [x], p, unconnected_gradients="zero")
        length = rr / reduce_sum(p * image)
        r = r - length * image
        following = reduce_sum(r * r)
        return v + length * p, r, r + following / rr * p, following

    start = (g * 0.0, g, g, reduce_sum(g * g))
    return while_loop(lambda v, r, p, rr: logical_and(rr > tolerance, rr > 0.0), step, start, MOST_DIRECTIONS)[0]
