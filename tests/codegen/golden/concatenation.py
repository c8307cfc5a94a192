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
        at = i0 * 5
        for i1 in range(5):
            if (i1 < 3):
                chosen = in0[i0 * 3 + i1]
            else:
                chosen = in1[-3 + i0 * 2 + i1]
            out2[at + i1] = chosen + float32(1.0)
