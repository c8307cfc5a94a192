# kernel 0 reduce_max_absolute_reduce_sum_divide_0 (row): group 0, x.0 units of parallel work
#   input: x  float32[x.0, 10]
#   output: softmax/divide  float32[x.0, 10]
from math import inf, nan

from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32
from graphflow.codegen.vector_math import exp_f32, maximum_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    for i0 in range(begin, end):
        reduce_max = float32(-inf)
        at = i0 * 10
        for i1 in range(10):
            in0_at = in0[at + i1]
            reduce_max = maximum_f32(reduce_max, in0_at)
        reduce_sum = float32(0.0)
        absolute = abs(reduce_max)
        equal = absolute == float32(inf)
        where = float32(0.0) if equal else reduce_max
        for i1_1 in range(10):
            in0_at_1 = in0[at + i1_1]
            exp = exp_f32((in0_at_1 - where))
            reduce_sum = reduce_sum + exp
            out1[at + i1_1] = exp
        for i1_2 in range(10):
            out1[at + i1_2] = out1[at + i1_2] / reduce_sum
