"""Sparse updates: `table - rate * scatter_add(indices, updates)` touches the rows it changes and no others.

The gradient of a gather is as large as the table, and nearly all zeros. Where a variable's next value is its value plus such
gradients, each read nowhere else, the updates are added to the variable itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.ir.graph import derived_from, scratch
from graphflow.ir.program import Program, consumers
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import add, multiply, negative, subtract
from graphflow.ops.indexing import scatter_add, scatter_add_to
from graphflow.passes.rewrite import MAX_REWRITES, Fired

Term = tuple[Tensor, tuple[Tensor, ...], bool]  # a scatter, the scalars it is multiplied by, and whether it is subtracted


def sparse_updates(program: Program, *, limit: int = MAX_REWRITES, fired: Fired | None = None) -> Program:
    """The program with dense sums of scatters and a variable replaced by `scatter_add_to` of the variable."""
    uses = {tensor: len(nodes) for tensor, nodes in consumers(program).items()}
    for tensor in program.results:
        uses[tensor] = uses.get(tensor, 0) + 1
    results = list(program.results)
    first = len(program.outputs)
    with scratch():
        for k, (variable, value) in enumerate(program.updates):
            terms = change_of(variable, value, uses)
            if terms is not None:
                with derived_from(value.node):
                    results[first + k] = accumulated(variable, terms)
    changed = any(a is not b for a, b in zip(results, program.results, strict=True))
    return program.with_results(results) if changed else program


def change_of(variable: Tensor, value: Tensor, uses: Mapping[Tensor, int]) -> list[Term] | None:
    """The terms of `value - variable`, if they are scatters that nothing else reads."""
    if value.op not in (add, subtract) or value.shape != variable.shape:
        return None
    a, b = value.inputs
    if a is variable:
        return terms_of(b, uses, (), value.op is subtract)
    return terms_of(a, uses, (), False) if b is variable and value.op is add else None


def terms_of(tensor: Tensor, uses: Mapping[Tensor, int], factors: tuple[Tensor, ...], minus: bool) -> list[Term] | None:
    """The scatters that a tensor is a sum of, each with its factors and sign; None where there is anything else."""
    if uses.get(tensor, 0) > 1:
        return None
    if tensor.op is scatter_add:
        return [(tensor, factors, minus)]
    if tensor.op is negative:
        return terms_of(tensor.inputs[0], uses, factors, not minus)
    if tensor.op is multiply:
        x, scale = tensor.inputs if tensor.inputs[1].rank == 0 else tensor.inputs[::-1]
        return terms_of(x, uses, (*factors, scale), minus) if scale.rank == 0 else None
    if tensor.op in (add, subtract):
        a, b = tensor.inputs
        if a.shape != b.shape:
            return None
        left = terms_of(a, uses, factors, minus)
        right = terms_of(b, uses, factors, minus != (tensor.op is subtract)) if left is not None else None
        return [*left, *right] if left is not None and right is not None else None
    return None


def accumulated(variable: Tensor, terms: list[Term]) -> Tensor:
    """The variable with all terms added, one after the other."""
    total = variable
    for scatter, factors, minus in terms:
        indices, updates = scatter.inputs
        for scale in factors:
            updates = multiply(updates, scale)
        updates = negative(updates) if minus else updates
        total = scatter_add_to(total, indices, updates, drop=scatter.attrs["drop"])
    return total
