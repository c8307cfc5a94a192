# kernel 0 scatter_add_0_check (check): group 0, index.0 units of parallel work
#   input: index  int32[index.0]
from numpy import int64

from graphflow.codegen.helpers import checked_index
from graphflow.codegen.intrinsics import buffer_i32, buffer_i64


def kernel(buffers, dims, begin, end):
    in0 = buffer_i32(buffers, 0)
    errors = buffer_i64(buffers, 1)
    for n0 in range(begin, end):
        checked_index(int64(in0[n0]), 5, errors, 1)


# kernel 1 scatter_add_0 (scatter): group 0, max(1, min(8, (3*index.0)//(1048576))) units of parallel work
#   input: index  int32[index.0]
#   output: gradients/scatter_add  float32[5, 3]
#   dims[0] = (max(1, min(8, (3*index.0)//(1048576))) + 4)//(max(1, min(8, (3*index.0)//(1048576))))
#   dims[1] = index.0
from numpy import float32, int64

from graphflow.codegen.intrinsics import buffer_f32, buffer_i32


def kernel(buffers, dims, begin, end):
    in0 = buffer_i32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    d0 = dims[0]
    d1 = dims[1]
    for unit in range(begin, end):
        start = unit * d0
        stop = min(5, start + d0)
        for at in range(start * 3, stop * 3):
            out1[at] = float32(0.0)
        for n0 in range(d1):
            cast = int64(in0[n0])
            at_1 = cast * 3
            if cast >= start and cast < stop:
                for j0 in range(3):
                    out1[at_1 + j0] = out1[at_1 + j0] + float32(1.0)


# kernel 2 gather_1 (map): group 1, index.0 units of parallel work
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
