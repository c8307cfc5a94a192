"""Directions of descent: what a method remembers of its steps, and where it goes next."""

from __future__ import annotations

from typing import Any, Protocol

from graphflow.errors import ShapeError
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import concat, zeros
from graphflow.ops.control import scan
from graphflow.ops.elimination import identity_matrix
from graphflow.ops.logic import where
from graphflow.ops.movement import reshape
from graphflow.ops.reductions import reduce_sum

HISTORY = 10  # steps that L-BFGS remembers


class Direction(Protocol):
    """A method: `start` makes a memory, `direction` is downhill, `learn` remembers a step and the change of the gradient."""

    curvature: float  # of the Wolfe conditions
    newton: bool  # has the direction a length, so that a step of 1 is tried first?

    def start(self, x: Tensor) -> Any: ...

    def direction(self, memory: Any, gradient: Tensor) -> Tensor: ...

    def learn(self, memory: Any, step: Tensor, change: Tensor, first: Tensor) -> Any: ...


class GradientDescent:
    """Against the gradient."""

    curvature, newton = 0.1, False

    def start(self, x: Tensor) -> Any:
        return ()

    def direction(self, memory: Any, gradient: Tensor) -> Tensor:
        return -gradient

    def learn(self, memory: Any, step: Tensor, change: Tensor, first: Tensor) -> Any:
        return memory


class BFGS:
    """An approximation of the inverse Hessian matrix; Nocedal and Wright, algorithm 6.1."""

    curvature, newton = 0.9, True

    def start(self, x: Tensor) -> Tensor:
        size = x.shape[0]
        if not isinstance(size, int):
            raise ShapeError(f"minimize: bfgs of {size} variables", operands={"x0": x}, rule='Use method="l-bfgs".')
        return identity_matrix(size, x.dtype)

    def direction(self, memory: Tensor, gradient: Tensor) -> Tensor:
        return -times(memory, gradient)

    def learn(self, memory: Tensor, step: Tensor, change: Tensor, first: Tensor) -> Tensor:
        s, y = step, change
        sy = reduce_sum(s * y)
        start = where(first, sy / reduce_sum(y * y), 1.0) * memory  # equation 6.20
        hy = times(start, y)
        sy_hy = (sy + reduce_sum(y * hy)) / sy
        updated = start + (sy_hy * outer(s, s) - outer(hy, s) - outer(s, hy)) / sy  # equation 6.17, multiplied out
        return where(sy > 0.0, updated, memory)


class LBFGS:
    """The last steps and changes of the gradient; Nocedal and Wright, algorithms 7.4 and 7.5."""

    curvature, newton = 0.9, True

    def start(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        none = zeros((HISTORY, x.shape[0]), x.dtype)
        return none, none, zeros((HISTORY,), x.dtype)

    def direction(self, memory: tuple[Tensor, Tensor, Tensor], gradient: Tensor) -> Tensor:
        _, changes, weights = memory  # weights: 1 / sy, and 0 where nothing is remembered yet

        def back(q: Tensor, row: Any) -> tuple[Tensor, Tensor]:
            s, y, weight = row
            share = weight * reduce_sum(s * q)
            return q - share * y, share

        def forth(r: Tensor, row: Any) -> tuple[Tensor, None]:
            s, y, weight, share = row
            return r + (share - weight * reduce_sum(y * r)) * s, None

        shares, q = scan(back, memory, gradient, reverse=True)
        known = weights[-1] > 0.0
        scale = where(known, 1.0 / where(known, weights[-1] * reduce_sum(changes[-1] * changes[-1]), 1.0), 1.0)
        return -scan(forth, (*memory, shares), scale * q)[1]

    def learn(self, memory: Any, step: Tensor, change: Tensor, first: Tensor) -> Any:
        sy = reduce_sum(step * change)
        useful = sy > 0.0
        rows = (step, change, 1.0 / where(useful, sy, 1.0))
        return tuple(
            where(useful, concat([stack[1:], reshape(row, (1, *row.shape))]), stack)
            for stack, row in zip(memory, rows, strict=True)
        )


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    return reduce_sum(matrix * vector, 1)


def outer(a: Tensor, b: Tensor) -> Tensor:
    return reshape(a, (-1, 1)) * b


METHODS: dict[str, Direction] = {"bfgs": BFGS(), "l-bfgs": LBFGS(), "gradient-descent": GradientDescent()}
