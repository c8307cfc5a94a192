# kernel 0 0 (map): group 0, 3*index.0 units of parallel work
#   output: gradients/broadcast_to  float32[index.0, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    out0 = buffer_f32(buffers, 0)
    for i01 in range(begin, end):
        out0[i01] = float32(1.0)


# kernel 1 scatter_add_1 (scatter_add): group 1, 1 units of parallel work
#   input: index  int32[index.0]
#   input: gradients/broadcast_to  float32[index.0, 3]
#   output: gradients/scatter_add  float32[5, 3]
#   dims[0] = index.0
from numpy import float32, int64

from graphflow.codegen.helpers import checked_index
from graphflow.codegen.intrinsics import buffer_f32, buffer_i32, buffer_i64


def kernel(buffers, dims, begin, end):
    in0 = buffer_i32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    errors = buffer_i64(buffers, 3)
    d0 = dims[0]
    for i in range(5):
        for j in range(begin, end):
            out2[i * 3 + j] = float32(0.0)
    for n in range(d0):
        place = checked_index(int64(in0[n]), 5, errors, 1)
        for j in range(begin, end):
            out2[place * 3 + j] = out2[place * 3 + j] + in1[n * 3 + j]


# kernel 2 gather_2 (map): group 2, index.0 units of parallel work
#   input: index  int32[index.0]
#   input: table  float32[5, 3]
#   output: gather  float32[index.0, 3]
from numpy import int64

from graphflow.codegen.helpers import checked_index
from graphflow.codegen.intrinsics import buffer_f32, buffer_i32, buffer_i64


def kernel(buffers, dims, begin, end):
    in0 = buffer_i32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    errors = buffer_i64(buffers, 3)
    for i0 in range(begin, end):
        in0_at = in0[i0]
        cast = int64(in0_at)
        index = checked_index(cast, 5, errors, 1)
        at = index * 3
        at_1 = i0 * 3
        for i1 in range(3):
            out2[at_1 + i1] = in1[at + i1]
