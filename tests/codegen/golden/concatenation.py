# kernel 0 concat_add_0 (map): group 0, x.0 units of parallel work
#   input: x  float32[x.0, 3]
#   input: y  float32[y.0, 2]
#   output: add  float32[x.0, 5]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    for i0 in range(begin, end):
        at = i0 * 3
        at_1 = i0 * 5
        for i1 in range(3):
            out2[at_1 + i1] = in0[at + i1] + float32(1.0)
        at_2 = i0 * 2 - 3
        for i1_1 in range(3, 5):
            out2[at_1 + i1_1] = in1[at_2 + i1_1] + float32(1.0)
