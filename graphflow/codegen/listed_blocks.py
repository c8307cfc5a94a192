"""Register blocks whose rows lie anywhere: each row of A and of C is at an offset that a list gives.

That is what a convolution needs. The rows of A are pixels, which lie evenly only along one line of an image, and an image has
few; the depth runs over the lines of a window (`outer`) and along them (`inner`). A block may be narrower than its vectors: then
their loads and stores are masked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphflow.codegen.assembly import I32, I64, POINTER, VOID, Builder, Value, constant, constants, suffix
from graphflow.codegen.blocks import Block

AHEAD = 8  # rows of B that are asked for in advance: the filters of many output channels lie a page apart


class ListedBlock(Block):
    """Emits C[r] (+)= sum of A[r, o, i] B[o, i, :] for the rows that lists name. Addresses are int64 values, strides elements."""

    def __init__(self, builder: Builder, dtype: np.dtype, rows: int, vectors: int, wide: Value | None) -> None:
        super().__init__(builder, dtype, rows)
        self.vectors = vectors
        self.masks = None if wide is None else [self._mask(wide, v) for v in range(vectors)]

    def _mask(self, wide: Value, vector: int) -> Value:
        """Which lanes of a vector of a row are below `wide`."""
        lanes = self.shape.lanes
        positions = constants(I64, [vector * lanes + k for k in range(lanes)])
        return self.builder.compare("icmp slt", positions, self.builder.splat(wide, lanes))

    def listed(self, rows: Value, r: int) -> Value:
        """Entry r of the list of offsets at an address."""
        pointer = self.builder.cast("inttoptr", rows, POINTER)
        return self.builder.load(I64, self.builder.place(I64, pointer, constant(I64, r)))

    def load(self, base: Value, index: Value, vector: int) -> Value:
        if self.masks is None:
            return super().load(base, index, vector)
        pointer = self.place(base, index, vector * self.shape.lanes)
        zero = constants(self.number, [0.0] * self.shape.lanes)
        operands = [pointer, constant(I32, self.size), self.masks[vector], zero]
        return self.builder.intrinsic(f"llvm.masked.load.{suffix(self.vector)}.p0", self.vector, operands)

    def store(self, value: Value, base: Value, index: Value, vector: int) -> None:
        if self.masks is None:
            super().store(value, base, index, vector)
            return
        pointer = self.place(base, index, vector * self.shape.lanes)
        operands = [value, pointer, constant(I32, self.size), self.masks[vector]]
        self.builder.intrinsic(f"llvm.masked.store.{suffix(self.vector)}.p0", VOID, operands)

    def run(
        self, a: Value, a_rows: Value, a_outer: Value, a_inner: Value, b: Value, b_outer: Value,
        b_step: Value, outer: Value, inner: Value, accumulate: Value, c: Value, c_rows: Value,
    ) -> None:  # fmt: skip
        """The whole block; what stood in C is added where `accumulate` is not 0, and not read by the sum where it is."""
        builder, vectors = self.builder, self.vectors
        zero = constants(self.number, [0.0] * self.shape.lanes)
        pointers = [self.place(a, self.listed(a_rows, r)) for r in range(self.rows)]
        targets = [self.listed(c_rows, r) for r in range(self.rows)]
        adds = builder.compare("icmp ne", accumulate, constant(I64, 0))
        start = [builder.select(adds, self.load(c, target, v), zero) for target in targets for v in range(vectors)]

        def outer_step(o: Value, sums: Sequence[Value]) -> list[Value]:
            start_a, start_b = builder.mul(o, a_outer), builder.mul(o, b_outer)

            def step(k: Value, sums: Sequence[Value]) -> list[Value]:
                at = builder.add(start_b, builder.mul(k, b_step))
                of_b = [self.load(b, at, v) for v in range(vectors)]
                self.prefetch(b, builder.add(at, self.times(AHEAD, b_step)))
                column = builder.add(start_a, builder.mul(k, a_inner))
                return self.step(sums, of_b, lambda r: builder.place(self.number, pointers[r], column))

            return self.loop(inner, list(sums), step)

        sums = self.loop(outer, start, outer_step)
        for r, target in enumerate(targets):
            for v in range(vectors):
                self.store(sums[r * vectors + v], c, target, v)
