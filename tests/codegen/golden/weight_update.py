# kernel 0 broadcast_to_0 (map): group 0, 4*x.0 units of parallel work
#   output: broadcast_to  float32[x.0, 4]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    out0 = buffer_f32(buffers, 0)
    for i01 in range(begin, end):
        out0[i01] = float32(1.0)


# kernel 1 matmul_multiply_subtract_1 (matmul): group 1, 1 units of parallel work
#   input: x  float32[x.0, 8]
#   input: broadcast_to  float32[x.0, 4]
#   input: w  float32[8, 4]
#   output: subtract  float32[8, 4]
#   dims[0] = gemm_f32(8, 4, x.0)
#   dims[1] = tile_rows(1, 8, 4, x.0)
#   dims[2] = tile_columns(1, 8, 4, x.0)
#   dims[3] = x.0
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, gemm_f32, index_div, index_mod


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
        down = index_div(8 + d1 - 1, d1)
        tile = index_mod(unit, across * down)
        row_start = index_div(tile, across) * d1
        column_start = index_mod(tile, across) * d2
        rows = min(d1, 8 - row_start)
        columns = min(d2, 4 - column_start)
        a = buffers[0] + 4 * (0 + row_start)
        b = buffers[1] + 4 * (0 + column_start)
        c = buffers[3] + 4 * (0 + row_start * 4 + column_start)
        gemm_f32(d0, 112, 111, rows, columns, d3, float32(1.0), a, max(1, 8), b, max(1, 4), float32(0.0), c, max(1, 4))
        for j in range(row_start * 4, (row_start + rows) * 4):
            out3[j] = in2[j] - (out3[j] * float32(0.10000000149011612))
