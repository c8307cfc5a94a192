"""Short rows: sums of a few terms each, many beside one another, run side by side in the lanes of vectors.

The squared distances of points [n, 1, 8] to centres [16, 8] are sums of 8 terms, a vector that is folded up for every result.
With the last two axes exchanged, sixteen results are two vectors, to which each term is added.
"""

from __future__ import annotations

from graphflow.ir.op import Access
from graphflow.ir.program import Program
from graphflow.ir.tensor import Tensor
from graphflow.ops.movement import reshape_, transpose_
from graphflow.passes.canonicalize_reductions import PRIMITIVES, reshaped
from graphflow.passes.rewrite import MAX_REWRITES, Fired, rewrite, rule
from graphflow.types import Shape, product

MOST_TERMS = 32  # longer rows keep vectors busy by themselves
LEAST_LANES = 8  # a vector of float32
MOST_ELEMENTS = 4096  # of an operand that is transposed: it stays in the first cache
MOST_COST = 8.0  # additions: what is reduced is computed again where something else reads it


@rule(*PRIMITIVES)
def short_rows_are_lanes(t: Tensor) -> Tensor | None:
    """sum(f(x[n, 1, k], y[l, k]), axis 2) -> sum(f(x[n, k, 1], transpose(y)), axis 1) for small k, and for every reduction"""
    (x,) = t.inputs
    if x.rank < 3 or t.attrs["axis"] != (x.rank - 1,):
        return None
    lanes, terms = x.shape[-2:]
    if not (isinstance(terms, int) and terms <= MOST_TERMS and isinstance(lanes, int) and lanes >= LEAST_LANES):
        return None
    exchanged = _Exchange(x.shape).value(x)
    return None if exchanged is None else reshaped(t.op(exchanged, axis=(x.rank - 2,), keepdims=False), t)


class _Exchange:
    """Tensors with their last two axes exchanged, as far as that costs next to nothing."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape  # of what is computed element by element; everything smaller is an operand
        self.known: dict[Tensor, Tensor | None] = {}
        self.cost = 0.0

    def value(self, x: Tensor) -> Tensor | None:
        if x not in self.known:
            self.known[x] = self.whole(x) if x.shape == self.shape else self.operand(x)
        return self.known[x]

    def whole(self, x: Tensor) -> Tensor | None:
        self.cost += x.op.cost
        if x.op.access is not Access.ELEMENTWISE or self.cost > MOST_COST:
            return None
        inputs = [self.value(operand) for operand in x.inputs]
        return None if None in inputs else x.op(*inputs, **x.attrs)

    def operand(self, x: Tensor) -> Tensor | None:
        if x.rank == 0:
            return x
        *outer, lanes, terms = (1, *x.shape) if x.rank == 1 else x.shape
        if lanes == 1 or terms == 1:
            return reshape_(x, shape=(*outer, terms, lanes))
        size = product(x.shape)
        if any(extent != 1 for extent in outer) or not isinstance(size, int) or size > MOST_ELEMENTS:
            return None
        return transpose_(x, perm=(*range(x.rank - 2), x.rank - 1, x.rank - 2))


def short_rows(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with reductions of few terms over the last axis made reductions over the last but one."""
    return rewrite(program, (short_rows_are_lanes,), limit=limit, fired=fired)
