"""Linear equations of few unknowns, solved by Gaussian elimination that is written out.

A row is chosen by its pivot and moved by `where`, so the elimination is a graph of a fixed form: it is compiled into the loop it
stands in, and differentiated as any graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphflow.errors import ShapeError
from graphflow.ir.op import literal
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import absolute
from graphflow.ops.array import concat, range_
from graphflow.ops.custom_gradient import custom_gradient
from graphflow.ops.linalg import matmul
from graphflow.ops.logic import equal, where
from graphflow.ops.movement import reshape, transpose
from graphflow.ops.reductions import argmax, reduce_sum
from graphflow.types import AnySize, DType, int64

LARGEST = 32  # unknowns; the graph of an elimination grows with their number, its arithmetic with the third power


@dataclass(frozen=True)
class Step:
    """One step of an elimination: which row was the pivot's, by what the others were multiplied, and the pivot's row."""

    chosen: Tensor  # bool[k, 1], of the k rows that were left
    factors: Tensor  # [k - 1, 1]
    row: Tensor  # [k], from the diagonal to the right


def factored(a: Tensor) -> Callable[[Tensor], Tensor]:
    """The function that gives x with a x = b for vectors or matrices `b`; a matrix `a` of known size that is factored once.

    Partial pivoting: Golub and Van Loan, "Matrix Computations", section 3.4. A singular matrix gives infinities or NaN.
    """
    n = a.shape[0] if a.rank == 2 else None
    if not isinstance(n, int) or a.shape[1] != n or n > LARGEST:
        raise ShapeError(
            f"no elimination of a matrix {a.type}",
            operands={"a": a},
            rule=f"It is a square matrix of known size, of {LARGEST} rows at most.",
        )
    steps, left = [], a
    for k in range(n, 0, -1):
        column = left[:, 0]
        chosen = reshape(equal(range_(k, dtype=int64), argmax(absolute(column), 0)), (k, 1))
        row, others = split(left, chosen)
        factors = others[:, :1] / row[0]
        left = others[:, 1:] - factors * row[1:]
        steps.append(Step(chosen, factors, row))

    def solve(b: Tensor) -> Tensor:
        right, left = [], reshape(b, (n, -1))
        for step in steps:
            row, others = split(left, step.chosen)
            right.append(row)
            left = others - step.factors * row
        x = reshape(right[-1] / steps[-1].row[0], (1, -1))
        for step, value in zip(steps[-2::-1], right[-2::-1], strict=True):
            known = reduce_sum(reshape(step.row[1:], (-1, 1)) * x, 0)
            x = concat([reshape((value - known) / step.row[0], (1, -1)), x])
        return reshape(x, b.shape)

    return solve


def split(rows: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen row, and the others, among which the first stands in its place."""
    return reduce_sum(where(chosen, rows, 0.0), 0), where(chosen[1:], rows[:1], rows[1:])


@custom_gradient
def solve(a: Tensor, b: Tensor) -> Any:
    """x with a x = b, for a small matrix `a` of known size and a vector `b`.

    Its gradient is of the same kind: of a x = b follows da x + a dx = db, so a cotangent g of x is transpose(a)**-1 g for b.
    """
    x = factored(a)(b)

    def grad(g: Tensor) -> tuple[Tensor, Tensor]:
        of_b = solve(transpose(a), g)
        return -reshape(of_b, (-1, 1)) * x, of_b

    return x, grad


@custom_gradient
def inverse(a: Tensor) -> Any:
    """The inverse of a small matrix of known size, for many products with it: their gradients are products as well.

    Of a a**-1 = 1 follows d(a**-1) = -a**-1 da a**-1.
    """
    found = factored(a)(identity_matrix(a.shape[0], a.dtype))  # type: ignore[arg-type]

    def grad(g: Tensor) -> Tensor:
        turned = transpose(found)
        return -matmul(matmul(turned, g), turned)

    return found, grad


def identity_matrix(size: AnySize, dtype: DType) -> Tensor:
    """Ones on the diagonal, zeros beside it."""
    numbers = range_(size)
    return where(equal(reshape(numbers, (-1, 1)), numbers), literal(1, dtype), 0.0)
