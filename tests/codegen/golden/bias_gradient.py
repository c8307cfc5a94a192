# kernel 0 reduce_sum_multiply_subtract_0 (column): group 0, 1 units of parallel work
#   input: b  float32[64]
#   input: g  float32[g.0, 64]
#   output: subtract  float32[64]
#   dims[0] = g.0
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, scratch_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    d0 = dims[0]
    reduce_sum_tile = scratch_f32(64, 4)
    for unit in range(begin, end):
        tile = unit
        start = tile * 64
        count = min(64, 64 - start)
        for lane in range(64):
            reduce_sum_tile[lane] = float32(0.0)
        for i0 in range(d0):
            at = i0 * 64
            for lane_1 in range(count):
                i1 = start + lane_1
                reduce_sum_tile[lane_1] = reduce_sum_tile[lane_1] + in1[at + i1]
        for lane_2 in range(count):
            i1_1 = start + lane_2
            out2[i1_1] = in0[i1_1] - (reduce_sum_tile[lane_2] * float32(0.5))
