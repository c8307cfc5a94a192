# kernel 0 max_pool_0 (max_pool): group 0, 1 units of parallel work
#   input: x  float32[x.0, 5, 6, 3]
#   output: max_pool2d/max_pool  float32[x.0, 2, 3, 3]
from graphflow.codegen.intrinsics import buffer_f32, index_div, index_mod
from graphflow.codegen.vector_math import maximum_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    for unit in range(begin, end):
        i1 = index_mod(unit, 2)
        rest = index_div(unit, 2)
        o_0 = i1
        for o_1 in range(3):
            start_0 = o_0 * 2
            start_1 = o_1 * 2
            to = ((rest * 2 + o_0) * 3 + o_1) * 3
            at = ((rest * 5 + start_0) * 6 + start_1) * 3
            for j in range(3):
                x0 = in0[at + j]
                x1 = in0[at + 3 + j]
                x2 = in0[at + 18 + j]
                x3 = in0[at + 21 + j]
                largest = x0
                largest = maximum_f32(largest, x1)
                largest = maximum_f32(largest, x2)
                largest = maximum_f32(largest, x3)
                out1[to + j] = largest


# kernel 1 iota_multiply_subtract_cast_1 (map): group 1, 3 units of parallel work
#   output: avg_pool2d/cast_1  float32[3]
from numpy import float32, int64

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    out0 = buffer_f32(buffers, 0)
    for i0 in range(begin, end):
        multiply = int64((i0) * 2)
        out0[i0] = float32(int64(int64(min(int64(multiply + 2), 5)) - int64(max(int64(multiply + -1), 0))))


# kernel 2 iota_multiply_subtract_cast_2 (map): group 2, 3 units of parallel work
#   output: avg_pool2d/cast_2  float32[3]
from numpy import float32, int64

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    out0 = buffer_f32(buffers, 0)
    for i0 in range(begin, end):
        multiply = int64((i0) * 2)
        out0[i0] = float32(int64(int64(min(int64(multiply + 3), 6)) - int64(max(multiply, 0))))


# kernel 3 multiply_3 (map): group 3, 3 units of parallel work
#   input: avg_pool2d/cast_1  float32[3]
#   input: avg_pool2d/cast_2  float32[3]
#   output: avg_pool2d/multiply_3  float32[3, 3, 1]
from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    for i0 in range(begin, end):
        in0_at = in0[i0]
        at = i0 * 3
        for i1 in range(3):
            out2[at + i1] = in0_at * in1[i1]


# kernel 4 sum_pool_divide_4 (sum_pool): group 4, 1 units of parallel work
#   input: x  float32[x.0, 5, 6, 3]
#   input: avg_pool2d/multiply_3  float32[3, 3, 1]
#   output: avg_pool2d/divide  float32[x.0, 3, 3, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, index_div, index_mod


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    for unit in range(begin, end):
        i1 = index_mod(unit, 3)
        rest = index_div(unit, 3)
        o_0 = i1
        for o_1 in range(3):
            start_0 = o_0 * 2 - 1
            start_1 = o_1 * 2
            to = ((rest * 3 + o_0) * 3 + o_1) * 3
            first_0 = max(0 - start_0, 0)
            stop_0 = min(3, max(5 - start_0, 0))
            first_1 = max(0 - start_1, 0)
            stop_1 = min(3, max(6 - start_1, 0))
            if first_0 == 0 and stop_0 == 3 and first_1 == 0 and stop_1 == 3:
                at = ((rest * 5 + start_0) * 6 + start_1) * 3
                for j in range(3):
                    value = in0[at + j] + in0[at + 3 + j] + in0[at + 6 + j] + in0[at + 18 + j] + in0[at + 21 + j] + in0[at + 24 + j] + in0[at + 36 + j] + in0[at + 39 + j] + in0[at + 42 + j]
                    out2[to + j] = value
            else:
                for j in range(3):
                    out2[to + j] = float32(0.0)
                for k_0 in range(first_0, stop_0):
                    for k_1 in range(first_1, stop_1):
                        at = ((rest * 5 + start_0 + k_0) * 6 + start_1 + k_1) * 3
                        for j in range(3):
                            out2[to + j] = out2[to + j] + in0[at + j]
        for i2 in range(3):
            at = rest * 27 + i1 * 9 + i2 * 3
            in1_at = in1[i1 * 3 + i2]
            for i3 in range(3):
                out2[at + i3] = out2[at + i3] / in1_at


# kernel 5 divide_5 (map): group 5, 9*x.0 units of parallel work
#   input: avg_pool2d/multiply_3  float32[3, 3, 1]
#   output: gradients/divide  float32[x.0, 3, 3, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, index_div, index_mod


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    for row in range(begin, end):
        i12 = index_mod(row, 9)
        rest = index_div(row, 9)
        in0_at = in0[i12]
        divide = float32(1.0) / in0_at
        at = rest * 27 + i12 * 3
        for i3 in range(3):
            out1[at + i3] = divide


# kernel 6 sum_pool_gradient_6 (sum_pool_gradient): group 6, 1 units of parallel work
#   input: gradients/divide  float32[x.0, 3, 3, 3]
#   output: gradients/sum_pool_gradient  float32[x.0, 5, 6, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    for unit in range(begin, end):
        for j in range(90):
            out1[unit * 90 + j] = float32(0.0)
        for o_0 in range(3):
            for o_1 in range(3):
                start_0 = o_0 * 2 - 1
                start_1 = o_1 * 2
                to = ((unit * 3 + o_0) * 3 + o_1) * 3
                first_0 = max(0 - start_0, 0)
                stop_0 = min(3, max(5 - start_0, 0))
                first_1 = max(0 - start_1, 0)
                stop_1 = min(3, max(6 - start_1, 0))
                if first_0 == 0 and stop_0 == 3 and first_1 == 0 and stop_1 == 3:
                    at = ((unit * 5 + start_0) * 6 + start_1) * 3
                    for j in range(3):
                        value = in0[to + j]
                        out1[at + j] = out1[at + j] + (value)
                        out1[at + 3 + j] = out1[at + 3 + j] + (value)
                        out1[at + 6 + j] = out1[at + 6 + j] + (value)
                        out1[at + 18 + j] = out1[at + 18 + j] + (value)
                        out1[at + 21 + j] = out1[at + 21 + j] + (value)
                        out1[at + 24 + j] = out1[at + 24 + j] + (value)
                        out1[at + 36 + j] = out1[at + 36 + j] + (value)
                        out1[at + 39 + j] = out1[at + 39 + j] + (value)
                        out1[at + 42 + j] = out1[at + 42 + j] + (value)
                else:
                    for k_0 in range(first_0, stop_0):
                        for k_1 in range(first_1, stop_1):
                            at = ((unit * 5 + start_0 + k_0) * 6 + start_1 + k_1) * 3
                            for j in range(3):
                                out1[at + j] = out1[at + j] + (in0[to + j])


# kernel 7 multiply_7 (map): group 7, 18*x.0 units of parallel work
#   output: gradients/multiply  float32[x.0, 2, 3, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32


def kernel(buffers, dims, begin, end):
    out0 = buffer_f32(buffers, 0)
    multiply = float32(1.0) * float32(2.0)
    for i0123 in range(begin, end):
        out0[i0123] = multiply


# kernel 8 max_pool_gradient_add_8 (max_pool_gradient): group 8, 1 units of parallel work
#   input: x  float32[x.0, 5, 6, 3]
#   input: gradients/multiply  float32[x.0, 2, 3, 3]
#   input: gradients/sum_pool_gradient  float32[x.0, 5, 6, 3]
#   output: gradients/add  float32[x.0, 5, 6, 3]
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32
from graphflow.codegen.vector_math import maximum_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    in2 = buffer_f32(buffers, 2)
    out3 = buffer_f32(buffers, 3)
    for unit in range(begin, end):
        for j in range(90):
            out3[unit * 90 + j] = float32(0.0)
        for o_0 in range(2):
            for o_1 in range(3):
                start_0 = o_0 * 2
                start_1 = o_1 * 2
                to = ((unit * 2 + o_0) * 3 + o_1) * 3
                at = ((unit * 5 + start_0) * 6 + start_1) * 3
                for j in range(3):
                    x0 = in0[at + j]
                    x1 = in0[at + 3 + j]
                    x2 = in0[at + 18 + j]
                    x3 = in0[at + 21 + j]
                    largest = x0
                    largest = maximum_f32(largest, x1)
                    largest = maximum_f32(largest, x2)
                    largest = maximum_f32(largest, x3)
                    value = in1[to + j]
                    takes = (x0 == largest or x0 != x0)
                    found = takes
                    out3[at + j] = out3[at + j] + (value if takes else float32(0.0))
                    takes = (x1 == largest or x1 != x1) and not found
                    found = found or takes
                    out3[at + 3 + j] = out3[at + 3 + j] + (value if takes else float32(0.0))
                    takes = (x2 == largest or x2 != x2) and not found
                    found = found or takes
                    out3[at + 18 + j] = out3[at + 18 + j] + (value if takes else float32(0.0))
                    takes = (x3 == largest or x3 != x3) and not found
                    found = found or takes
                    out3[at + 21 + j] = out3[at + 21 + j] + (value if takes else float32(0.0))
        for i1 in range(5):
            for i2 in range(6):
                at = unit * 90 + i1 * 18 + i2 * 3
                for i3 in range(3):
                    out3[at + i3] = in2[at + i3] + out3[at + i3]
