"""Solutions of equations, differentiated by the implicit function theorem: by what they solve, not by how they were found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.autodiff.gradients import gradients
from graphflow.errors import ShapeError
from graphflow.ir.graph import name_scope
from graphflow.ir.tensor import Tensor
from graphflow.ops.control import map_fn, while_loop
from graphflow.ops.custom_gradient import attach
from graphflow.ops.elimination import LARGEST, identity_matrix, solve
from graphflow.ops.logic import identity, logical_and, stop_gradient
from graphflow.ops.movement import transpose
from graphflow.ops.reductions import reduce_sum
from graphflow.optimize.traced import Traced

Adjoint = Callable[[Tensor, Tensor, Tensor], Tensor]
MOST_DIRECTIONS = 1000  # of conjugate gradients


def implicit(residual: Traced, x: Tensor, adjoint: Adjoint | None = None) -> Tensor:
    """`x`, a vector for which the last result of `residual` is 0, as a function of all tensors that it reads.

    Of F(x(a), a) = 0 follows dF/dx dx/da = -dF/da. So a cotangent g of x is -transpose(dF/da) v for a, where
    transpose(dF/dx) v = g: `adjoint(x, F(x), g)` is v, by default by elimination.
    """
    with name_scope("implicit"):
        x = stop_gradient(x)
        read = residual.read
        if not read:
            return x

        def grad(g: Tensor) -> Any:
            # stand-ins, as what is read may depend on other tensors that are read: each gets its partial derivative
            own = [identity(t) for t in read]
            value = residual(x, dict(zip(read, own, strict=True)))[-1]
            found = gradients(value, own, -(adjoint or by_elimination)(x, value, g), unconnected_gradients="zero")
            return found if len(found) > 1 else found[0]

        return attach(x, read, grad, "implicit")


def by_elimination(x: Tensor, value: Tensor, g: Tensor) -> Tensor:
    """v with transpose(dF/dx) v = g, where `value` is F(x), of few equations."""
    size = x.shape[0]
    if not isinstance(size, int) or size > LARGEST:
        raise ShapeError(
            f"no implicit gradient of {size} unknowns",
            operands={"x": x},
            rule=f"Their number is known when the graph is built, and {LARGEST} at most.",
        )
    rows = map_fn(lambda unit: gradients(value, [x], unit, unconnected_gradients="zero")[0], identity_matrix(size, x.dtype))
    return solve(transpose(rows), g)


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
