# kernel 0 convolution_add_greater_where_0 (convolution): group 0, 1 units of parallel work
#   input: x  float32[x.0, 4, 5, 2]
#   input: w  float32[3, 2, 2, 3]
#   input: constant  float32[3]
#   output: gradients/where  float32[x.0, 4, 3, 3]
#   output: relu  float32[x.0, 4, 3, 3]
#   dims[0] = share(4*x.0, 216, 3)
#   dims[1] = 4*x.0
#   dims[2] = listed_f32
from numpy import float32

from graphflow.codegen.intrinsics import address, buffer_f32, index_div, index_mod, listed_f32, scratch_i64
from graphflow.codegen.vector_math import maximum_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    in2 = buffer_f32(buffers, 2)
    out3 = buffer_f32(buffers, 3)
    out4 = buffer_f32(buffers, 4)
    d0 = dims[0]
    d1 = dims[1]
    d2 = dims[2]
    a_rows = scratch_i64(256, 6)
    c_rows = scratch_i64(256, 7)
    for unit in range(begin, end):
        first_item = unit * d0
        stop_item = min(d1, first_item + d0)
        i = 0
        while i < 3:
            start_1 = i * 2
            first_1 = max(0 - start_1, 0)
            stop_1 = min(2, max(5 - start_1, 0))
            count = 1
            if first_1 == 0 and stop_1 == 2:
                count = min(min(3, index_div(5, 2)) - i, 256)
            first_now_0 = 0
            stop_now_0 = 0
            rows = 0
            for item in range(first_item, stop_item + 1):
                there = min(item, stop_item - 1)
                i1 = index_mod(there, 4)
                rest = index_div(there, 4)
                start_0 = i1 - 1
                first_0 = max(0 - start_0, 0)
                stop_0 = min(3, max(4 - start_0, 0))
                if rows > 0 and (item == stop_item or rows + count > 256 or first_0 != first_now_0 or stop_0 != stop_now_0):
                    done = 0
                    if stop_1 - first_1 > 0 and stop_now_0 - first_now_0 > 0:
                        listed_f32(d2, rows, 3, stop_now_0 - first_now_0, (stop_1 - first_1) * 2, buffers[0] + 4 * (((0 * 4 + first_now_0) * 5 + first_1) * 2), address(a_rows), 10, 1, buffers[1] + 4 * (((0 * 3 + first_now_0) * 2 + first_1) * 6), 12, 3, done, buffers[3] + 4 * (0), address(c_rows))
                        done = 1
                    if done == 0:
                        for j in range(rows):
                            for c in range(3):
                                out3[c_rows[j] + c] = float32(0.0)
                    rows = 0
                first_now_0 = first_0
                stop_now_0 = stop_0
                if item < stop_item:
                    a_at = ((rest * 4 + start_0) * 5 + start_1) * 2
                    c_at = (item * 3 + i) * 3
                    for j in range(count):
                        a_rows[rows + j] = a_at + j * 4
                        c_rows[rows + j] = c_at + j * 3
                    rows = rows + count
            i = i + count
        for item in range(first_item, stop_item):
            i1_1 = index_mod(item, 4)
            rest_1 = index_div(item, 4)
            for i2 in range(3):
                at = rest_1 * 36 + i1_1 * 9 + i2 * 3
                for i3 in range(3):
                    out3_at = out3[at + i3]
                    relu = maximum_f32((out3_at + in2[i3]), float32(0))
                    out3[at + i3] = (relu + relu) if (relu > float32(0.0)) else float32(0.0)
                    out4[at + i3] = relu


# kernel 1 transpose_1 (map): group 1, 18 units of parallel work
#   input: w  float32[3, 2, 2, 3]
#   output: gradients/transpose  float32[3, 2, 3, 2]
from graphflow.codegen.intrinsics import buffer_f32, index_div, index_mod


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    for row in range(begin, end):
        i2 = index_mod(row, 3)
        rest = index_div(row, 3)
        at = rest * 6 + i2
        at_1 = rest * 6 + i2 * 2
        for i3 in range(2):
            out1[at_1 + i3] = in0[at + i3 * 3]


# kernel 2 convolution_input_gradient_2 (convolution_input_gradient): group 2, 1 units of parallel work
#   input: gradients/where  float32[x.0, 4, 3, 3]
#   input: gradients/transpose  float32[3, 2, 3, 2]
#   output: gradients/convolution_input_gradient  float32[x.0, 4, 5, 2]
#   dims[0] = share(4*x.0, 216, 3)
#   dims[1] = 4*x.0
#   dims[2] = listed_f32
from numpy import float32

from graphflow.codegen.intrinsics import address, buffer_f32, index_div, index_mod, listed_f32, scratch_i64


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    d0 = dims[0]
    d1 = dims[1]
    d2 = dims[2]
    a_rows = scratch_i64(256, 4)
    c_rows = scratch_i64(256, 5)
    for unit in range(begin, end):
        first_item = unit * d0
        stop_item = min(d1, first_item + d0)
        for j in range(first_item * 10, stop_item * 10):
            out2[j] = float32(0.0)
        for k_0 in range(3):
            for k_1 in range(2):
                shift_1 = k_1
                o_first_1 = index_div(max(0 - shift_1, 0) + 1, 2)
                o_stop_1 = min(3, index_div(max(6 - shift_1, 0), 2))
                for piece in range(index_div(max(o_stop_1 - o_first_1, 0) + 255, 256)):
                    o = o_first_1 + piece * 256
                    count = min(256, o_stop_1 - o)
                    rows = 0
                    for item in range(first_item, stop_item + 1):
                        if rows > 0 and (item == stop_item or rows + count > 256):
                            listed_f32(d2, rows, 2, 1, 3, buffers[0] + 4 * (0), address(a_rows), 0, 1, buffers[1] + 4 * (((0 * 3 + k_0) * 2 + k_1) * 6), 0, 2, 1, buffers[2] + 4 * (0), address(c_rows))
                            rows = 0
                        there = min(item, stop_item - 1)
                        i1 = index_mod(there, 4)
                        rest = index_div(there, 4)
                        from_0 = i1 - (k_0 - 1)
                        o_0 = index_div(max(from_0, 0), 1)
                        if item < stop_item and from_0 == o_0 and o_0 < 4:
                            a_at = ((rest * 4 + o_0) * 3 + o) * 3
                            c_at = (there * 5 + o * 2 + shift_1) * 2
                            for j in range(count):
                                a_rows[rows + j] = a_at + j * 3
                                c_rows[rows + j] = c_at + j * 4
                            rows = rows + count


# kernel 3 convolution_filter_gradient_3 (convolution_filter_gradient): group 3, 1 units of parallel work
#   input: x  float32[x.0, 4, 5, 2]
#   input: gradients/where  float32[x.0, 4, 3, 3]
#   output: partial_convolution_filter_gradient  float32[36*min(x.0, 8)]
#   dims[0] = share(min(x.0, 8), 12*(72*x.0)//(min(x.0, 8)) + 12)
#   dims[1] = min(x.0, 8)
#   dims[2] = x.0
#   dims[3] = lines_in_cache(4, 76)
#   dims[4] = listed_f32
from numpy import float32

from graphflow.codegen.intrinsics import address, buffer_f32, index_div, index_mod, listed_f32, scratch_i64


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    in1 = buffer_f32(buffers, 1)
    out2 = buffer_f32(buffers, 2)
    d0 = dims[0]
    d1 = dims[1]
    d2 = dims[2]
    d3 = dims[3]
    d4 = dims[4]
    a_rows = scratch_i64(256, 4)
    c_rows = scratch_i64(256, 5)
    for unit in range(begin, end):
        first_item = unit * d0
        stop_item = min(d1, first_item + d0)
        for item in range(first_item, stop_item):
            target = item * 36
            for j in range(target + 0 * 3, target + 12 * 3):
                out2[j] = float32(0.0)
            for image in range(index_div(item * d2, d1), index_div((item + 1) * d2, d1)):
                for part in range(index_div(4 + d3 - 1, d3)):
                    row = 0
                    while row < 12:
                        tap = index_div(row, 2)
                        rows = min(min(2 - index_mod(row, 2), 12 - row), 256)
                        k_1 = index_mod(tap, 2)
                        left_1 = index_div(tap, 2)
                        k_0 = left_1
                        left_0 = index_div(left_1, 3)
                        for j in range(rows):
                            c_rows[j] = target + (row + j) * 3
                            a_rows[j] = index_mod(row, 2) + j
                        shift_0 = k_0 - 1
                        o_first_0 = index_div(max(0 - shift_0, 0) + 0, 1)
                        o_stop_0 = min(4, index_div(max(4 - shift_0, 0), 1))
                        shift_1 = k_1
                        o_first_1 = index_div(max(0 - shift_1, 0) + 1, 2)
                        o_stop_1 = min(3, index_div(max(6 - shift_1, 0), 2))
                        o_first_0 = max(o_first_0, part * d3)
                        o_stop_0 = min(o_stop_0, (part + 1) * d3)
                        listed_f32(d4, rows, 3, max(o_stop_0 - o_first_0, 0), max(o_stop_1 - o_first_1, 0), buffers[0] + 4 * (((image * 4 + o_first_0 + shift_0) * 5 + o_first_1 * 2 + shift_1) * 2), address(a_rows), 10, 4, buffers[1] + 4 * (((image * 4 + o_first_0) * 3 + o_first_1) * 3), 9, 3, 1, buffers[2] + 4 * (0), address(c_rows))
                        row = row + rows


# kernel 4 convolution_filter_gradient_3_combine (column): group 3, 1 units of parallel work
#   input: partial_convolution_filter_gradient  float32[36*min(x.0, 8)]
#   output: gradients/convolution_filter_gradient  float32[3, 2, 2, 3]
#   dims[0] = min(x.0, 8)
from numpy import float32

from graphflow.codegen.intrinsics import buffer_f32, scratch_f32


def kernel(buffers, dims, begin, end):
    in0 = buffer_f32(buffers, 0)
    out1 = buffer_f32(buffers, 1)
    d0 = dims[0]
    convolution_filter_gradient_tile = scratch_f32(64, 3)
    for unit in range(begin, end):
        for lane in range(64):
            convolution_filter_gradient_tile[lane] = float32(0.0)
        for i0 in range(d0):
            at = i0 * 36
            for lane_1 in range(36):
                convolution_filter_gradient_tile[lane_1] = convolution_filter_gradient_tile[lane_1] + in0[at + lane_1]
        for lane_2 in range(36):
            out1[lane_2] = convolution_filter_gradient_tile[lane_2]
