"""Nests of tensors as one vector, which is what solvers compute with."""

from __future__ import annotations

from typing import Any

from graphflow.errors import DTypeError
from graphflow.ir.op import as_tensor_or_none, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.array import concat
from graphflow.ops.control import returned
from graphflow.ops.movement import reshape
from graphflow.ops.structure import flatten, pack
from graphflow.types import AnySize, DType, Shape, float32


class Raveled:
    """The leaves of a nest, floats of one dtype, as `vector`; `unravel` makes nests like it of other vectors."""

    def __init__(self, nest: Any, what: str, dtype: DType | None = None) -> None:
        given = [as_tensor_or_none(leaf) for leaf in flatten(nest)]
        known = [t for t in given if t is not None]
        wanted = dtype or next((t.dtype for t in known), float32)
        self.nest = nest
        self.leaves = [
            t if t is not None else convert_to_tensor(leaf, wanted) for t, leaf in zip(given, flatten(nest), strict=True)
        ]
        self.dtype = wanted
        for leaf in self.leaves:
            if leaf.dtype != self.dtype or not leaf.dtype.is_floating:
                raise DTypeError(
                    f"{what} is {leaf.dtype}" + (f", not {self.dtype}" if self.dtype.is_floating else ""),
                    operands={what: leaf},
                    rule="It is a float, or a nest of floats of one dtype.",
                )
        if not self.leaves:
            raise DTypeError(f"{what} is empty", rule="It has one tensor at least.")
        self.vector = joined(self.leaves)

    @property
    def size(self) -> AnySize:
        """The number of elements."""
        return self.vector.shape[0]

    def unravel(self, vectors: Tensor) -> Any:
        """The nest of a vector; of a stack of vectors, the nest of the stacks of its leaves."""
        stack: Shape = vectors.shape[:-1]
        if len(self.leaves) == 1:
            return pack(self.nest, [reshape(vectors, (*stack, *self.leaves[0].shape))])
        parts: list[Tensor] = []
        start: AnySize = 0
        for leaf in self.leaves:
            stop = start + leaf.type.size
            parts.append(reshape(vectors[..., start:stop], (*stack, *leaf.shape)))
            start = stop
        return pack(self.nest, parts)

    def ravel(self, nest: Any, what: str) -> Tensor:
        """A nest of the same structure, dtype and shapes as a vector; TypeRuleError where it is another."""
        return joined(returned(nest, self.nest, [leaf.type for leaf in self.leaves], self.leaves, what))


def joined(leaves: list[Tensor]) -> Tensor:
    """The elements of tensors, one after the other."""
    parts = [leaf if leaf.rank == 1 else reshape(leaf, (-1,)) for leaf in leaves]
    return parts[0] if len(parts) == 1 else concat(parts)
