# kernel 0 matmul_add_relu_0 (matmul): group 0, 1 units of parallel work
#   input: x  float32[x.0, 8]
#   input: w  float32[8, 4]
#   input: constant  float32[4]
#   output: relu  float32[x.0, 4]
#   dims[0] = gemm_f32(x.0, 4, 8)
#   dims[1] = tile_rows(1, x.0, 4, 8)
#   dims[2] = tile_columns(1, x.0, 4, 8)
#   dims[3] = x.0
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, gemm_f32, index_div, index_mod
from graphflow.codegen.vector_math import maximum_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    in2 = buffer_f32(buffers, 2)
    out3 = buffer_f32(buffers, 3)
    d0 = dims[0]
    d1 = dims[1]
    d2 = dims[2]
    d3 = dims[3]
    for unit in range(begin, end):
        across = index_div(4 + d2 - 1, d2)
        down = index_div(d3 + d1 - 1, d1)
        tile = index_mod(unit, across * down)
        row_start = index_div(tile, across) * d1
        column_start = index_mod(tile, across) * d2
        rows = min(d1, d3 - row_start)
        columns = min(d2, 4 - column_start)
        a = buffers[0] + 4 * (0 + row_start * 8)
        b = buffers[1] + 4 * (0 + column_start)
        c = buffers[3] + 4 * (0 + row_start * 4 + column_start)
        gemm_f32(d0, 111, 111, rows, columns, 8, float32(1.0), a, max(1, 8), b, max(1, 4), float32(0.0), c, max(1, 4))
        for i in range(row_start, row_start + rows):
            at = i * 4
            for j in range(column_start, column_start + columns):
                out3[at + j] = maximum_f32((out3[at + j] + in2[j]), float32(0))
