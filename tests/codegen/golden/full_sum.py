# kernel 0 multiply_reduce_sum_0 (chunk): group 0, (x.0 + 4095)//(4096) units of parallel work
#   input: x  float32[x.0]
#   output: multiply  float32[x.0]
#   output: partial_reduce_sum  float32[(x.0 + 4095)//(4096)]
#   dims[0] = x.0
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    d0 = dims[0]
    for unit in range(begin, end):
        start = unit * 4096
        stop = min(d0, start + 4096)
        reduce_sum = float32(0.0)
        for i0 in range(start, stop):
            in0_at = in0[i0]
            reduce_sum = reduce_sum + (in0_at * in0_at)
            out1[i0] = in0_at * float32(2.0)
        out2[unit] = reduce_sum


# kernel 1 multiply_reduce_sum_0_combine (row): group 0, 1 units of parallel work
#   input: partial_reduce_sum  float32[(x.0 + 4095)//(4096)]
#   output: reduce_sum  float32[]
#   dims[0] = (x.0 + 4095)//(4096)
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    d0 = dims[0]
    for row in range(begin, end):
        reduce_sum = float32(0.0)
        for unit in range(d0):
            reduce_sum = reduce_sum + in0[unit]
        out1[0] = reduce_sum
