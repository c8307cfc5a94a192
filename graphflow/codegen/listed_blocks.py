"""Register blocks whose rows lie anywhere: each row of A and of C is at an offset that a list gives.

That is what a convolution needs. The rows of A are pixels, which lie evenly only along one line of an image, and an image has
few; the depth runs over the lines of a window (`outer`) and along them (`inner`). A block may be narrower than its vectors: then
their loads and stores are masked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from graphflow.codegen.blocks import I32, I64, Block

I1 = ir.IntType(1)
AHEAD = 8  # rows of B that are asked for in advance: the filters of many output channels lie a page apart


class ListedBlock(Block):
    """Emits C[r] (+)= sum of A[r, o, i] B[o, i, :] for the rows that lists name. Addresses are int64 values, strides elements."""

    def __init__(self, builder: ir.IRBuilder, dtype: np.dtype, rows: int, vectors: int, wide: ir.Value | None) -> None:
        super().__init__(builder, dtype, rows)
        self.vectors = vectors
        self.masks = None if wide is None else [self._mask(wide, v) for v in range(vectors)]

    def _mask(self, wide: ir.Value, vector: int) -> ir.Value:
        """Which lanes of a vector of a row are below `wide`."""
        lanes = self.shape.lanes
        positions = ir.Constant(ir.VectorType(I64, lanes), [vector * lanes + k for k in range(lanes)])
        undefined = ir.Constant(ir.VectorType(I64, lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, wide, ir.Constant(I32, 0))
        splat = self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))
        return self.builder.icmp_signed("<", positions, splat)

    def listed(self, rows: ir.Value, r: int) -> ir.Value:
        """Entry r of the list of offsets at an address."""
        pointer = self.builder.inttoptr(rows, I64.as_pointer())
        return self.builder.load(self.builder.gep(pointer, [ir.Constant(I64, r)]))

    def load(self, base: ir.Value, index: ir.Value, vector: int) -> ir.Value:
        if self.masks is None:
            return super().load(base, index, vector)
        pointer = self.place(base, index, vector * self.shape.lanes)
        zero = ir.Constant(self.vector, [0.0] * self.shape.lanes)
        function = self._masked("load", self.vector, [pointer.type, I32, self.masks[vector].type, self.vector])
        return self.builder.call(function, [pointer, ir.Constant(I32, self.size), self.masks[vector], zero])

    def store(self, value: ir.Value, base: ir.Value, index: ir.Value, vector: int) -> None:
        if self.masks is None:
            super().store(value, base, index, vector)
            return
        pointer = self.place(base, index, vector * self.shape.lanes)
        function = self._masked("store", ir.VoidType(), [self.vector, pointer.type, I32, self.masks[vector].type])
        self.builder.call(function, [value, pointer, ir.Constant(I32, self.size), self.masks[vector]])

    def _masked(self, what: str, result: ir.Type, operands: Sequence[ir.Type]) -> ir.Function:
        name = f"llvm.masked.{what}.v{self.shape.lanes}{'f32' if self.size == 4 else 'f64'}.p0"
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, operands), name)

    def run(
        self, a: ir.Value, a_rows: ir.Value, a_outer: ir.Value, a_inner: ir.Value, b: ir.Value, b_outer: ir.Value,
        b_step: ir.Value, outer: ir.Value, inner: ir.Value, accumulate: ir.Value, c: ir.Value, c_rows: ir.Value,
    ) -> None:  # fmt: skip
        """The whole block; what stood in C is added where `accumulate` is not 0, and not read by the sum where it is."""
        builder, vectors = self.builder, self.vectors
        zero = ir.Constant(self.vector, [0.0] * self.shape.lanes)
        pointers = [self.place(a, self.listed(a_rows, r)) for r in range(self.rows)]
        targets = [self.listed(c_rows, r) for r in range(self.rows)]
        adds = builder.icmp_signed("!=", accumulate, ir.Constant(I64, 0))
        start = [builder.select(adds, self.load(c, target, v), zero) for target in targets for v in range(vectors)]

        def outer_step(o: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            start_a, start_b = builder.mul(o, a_outer), builder.mul(o, b_outer)

            def step(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
                at = builder.add(start_b, builder.mul(k, b_step))
                of_b = [self.load(b, at, v) for v in range(vectors)]
                self.prefetch(b, builder.add(at, self.times(AHEAD, b_step)))
                column = builder.add(start_a, builder.mul(k, a_inner))
                return self.step(sums, of_b, lambda r: builder.gep(pointers[r], [column]))

            return self.loop(inner, list(sums), step)

        sums = self.loop(outer, start, outer_step)
        for r, target in enumerate(targets):
            for v in range(vectors):
                self.store(sums[r * vectors + v], c, target, v)
