# kernel 0 reduce_sum_multiply_subtract_0 (across): group 0, (g.0 + 511)//(512) units of parallel work
#   input: g  float32[g.0, 64]
#   output: partial_reduce_sum  float32[64*(g.0 + 511)//(512)]
#   dims[0] = g.0
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    d0 = dims[0]
    for unit in range(begin, end):
        for lane in range(unit * 64, unit * 64 + 64):
            out1[lane] = float32(0.0)
        start = unit * 512
        stop = min(d0, start + 512)
        at = unit * 64
        for i0 in range(start, stop):
            at_1 = i0 * 64
            for i1 in range(64):
                out1[at + i1] = out1[at + i1] + in0[at_1 + i1]


# kernel 1 reduce_sum_multiply_subtract_0_combine_1 (column): group 0, 1 units of parallel work
#   input: b  float32[64]
#   input: partial_reduce_sum  float32[64*(g.0 + 511)//(512)]
#   output: subtract  float32[64]
#   dims[0] = (g.0 + 511)//(512)
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, scratch_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    d0 = dims[0]
    reduce_sum_tile = scratch_f32(64, 4)
    for unit in range(begin, end):
        for lane in range(64):
            reduce_sum_tile[lane] = float32(0.0)
        for unit_1 in range(d0):
            at = unit_1 * 64
            for lane_1 in range(64):
                reduce_sum_tile[lane_1] = reduce_sum_tile[lane_1] + in1[at + lane_1]
        for lane_2 in range(64):
            out2[lane_2] = in0[lane_2] - (reduce_sum_tile[lane_2] * float32(0.5))
