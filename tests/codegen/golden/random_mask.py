# kernel 0 random_bits_right_shift_greater_equal_where_0 (map): group 0, x.0 units of parallel work
#   input: dropout/mask/run_counter  uint32[]
#   input: x  bfloat16[x.0, 4]
#   output: dropout/where  bfloat16[x.0, 4]
#   dims[0] = argument(2941808986)
#   dims[1] = argument(333397024)
from numpy import float32, uint32

from graphflow.codegen.bits import load_bf16, store_bf16, threefry_0
from graphflow.codegen.intrinsics import buffer_u16, buffer_u32


def kernel(buffers, dims, begin, end):
    in0 = buffer_u32(buffers, 0)
    in1 = buffer_u16(buffers, 1)
    out2 = buffer_u16(buffers, 2)
    d0 = dims[0]
    d1 = dims[1]
    in0_at = in0[0]
    for i0 in range(begin, end):
        index = i0 * 4
        at = i0 * 4
        for i1 in range(4):
            right_shift = uint32((threefry_0(uint32(d0), uint32(d1), uint32((index + i1)), in0_at) >> uint32(8)) if uint32(8) < uint32(64) else uint32(0))
            where = (load_bf16(in1[at + i1]) * float32(2.0)) if ((float32(right_shift) * float32(5.960464477539063e-08)) >= float32(0.5)) else float32(0.0)
            out2[at + i1] = store_bf16(where)
