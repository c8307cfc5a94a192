"""The few operations that numba's Python cannot spell: typed views of raw buffers, calls by address, atomics, unsigned division.

Kernels import them by name. Every load and store carries alias metadata that says "this buffer overlaps no other one of
this kernel", which is what lets LLVM vectorise loops over many buffers. Each intrinsic has a twin in `codegen.python` for
running a kernel's source without compiling it.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

I64, I8 = ir.IntType(64), ir.IntType(8)


class BufferType(types.Type):
    """A raw buffer of `dtype`; `scope` tells apart the buffers of one kernel."""

    def __init__(self, dtype: types.Type, scope: int) -> None:
        self.dtype = dtype
        self.scope = scope
        super().__init__(name=f"buffer({dtype}, {scope})")


@register_model(BufferType)
class BufferModel(models.OpaqueModel):
    """An address."""


@infer_global(operator.getitem)
class BufferGet(AbstractTemplate):
    """buffer[index]"""

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], BufferType) and isinstance(args[1], types.Integer):
            return signature(args[0].dtype, args[0], types.int64)
        return None


@infer_global(operator.setitem)
class BufferSet(AbstractTemplate):
    """buffer[index] = value"""

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 3 and isinstance(args[0], BufferType) and isinstance(args[1], types.Integer):
            return signature(types.none, args[0], types.int64, args[0].dtype)
        return None


def _alias_metadata(module: Any, scope: int) -> tuple[Any, Any]:
    """(the scope of one buffer, the scopes of all the others): up to MAX_SCOPES buffers a kernel are told apart."""
    cached = getattr(module, "_graphflow_scopes", None)
    if cached is None:
        domain = module.add_metadata(["graphflow kernel"])
        scopes = [module.add_metadata([f"buffer {i}", domain]) for i in range(MAX_SCOPES)]
        lists = [module.add_metadata([s]) for s in scopes]
        others = [module.add_metadata([s for j, s in enumerate(scopes) if j != i]) for i in range(MAX_SCOPES)]
        cached = module._graphflow_scopes = (lists, others)
    return cached[0][scope], cached[1][scope]


MAX_SCOPES = 48  # buffers beyond this number share the last scope and may alias one another


def _address(context: Any, builder: Any, buffer_type: BufferType, base: Any, index: Any) -> Any:
    storage = context.get_data_type(buffer_type.dtype)
    pointer = builder.bitcast(base, storage.as_pointer())
    return builder.gep(pointer, [index])


def _tag(builder: Any, instruction: Any, scope: int) -> None:
    own, others = _alias_metadata(builder.module, min(scope, MAX_SCOPES - 1))
    instruction.set_metadata("alias.scope", own)
    instruction.set_metadata("noalias", others)


@lower_builtin(operator.getitem, BufferType, types.Integer)
def _lower_get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    pointer = _address(context, builder, kind, args[0], args[1])
    loaded = builder.load(pointer)
    loaded.align = (
        context.get_abi_sizeof(pointer.type.pointee) if not isinstance(kind.dtype, types.Complex) else kind.dtype.bitwidth // 16
    )
    if not isinstance(kind.dtype, types.Complex):
        _tag(builder, loaded, kind.scope)
    if isinstance(kind.dtype, types.Boolean):
        return builder.icmp_unsigned("!=", loaded, ir.Constant(loaded.type, 0))
    return loaded


@lower_builtin(operator.setitem, BufferType, types.Integer, types.Any)
def _lower_set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    pointer = _address(context, builder, kind, args[0], args[1])
    value = args[2]
    if isinstance(kind.dtype, types.Boolean):
        value = builder.zext(value, I8)
    stored = builder.store(value, pointer)
    if not isinstance(kind.dtype, types.Complex):
        stored.align = context.get_abi_sizeof(pointer.type.pointee)
        _tag(builder, stored, kind.scope)
    else:
        stored.align = kind.dtype.bitwidth // 16
    return context.get_dummy_value()


def _view(dtype: types.Type) -> Any:
    @intrinsic(prefer_literal=True)
    def view(typing_context: Any, pointers: Any, number: Any) -> Any:
        """The buffer at `pointers[number]`."""
        if not isinstance(number, types.IntegerLiteral):
            return None
        kind = BufferType(dtype, number.literal_value)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            slot = builder.gep(args[0], [ir.Constant(I64, number.literal_value)])
            return builder.inttoptr(builder.load(slot), I8.as_pointer())

        return kind(pointers, number), generate

    return view


def _scratch(dtype: types.Type) -> Any:
    @intrinsic(prefer_literal=True)
    def scratch(typing_context: Any, size: Any, scope: Any) -> Any:
        """`size` elements on the stack of the calling thread."""
        if not (isinstance(size, types.IntegerLiteral) and isinstance(scope, types.IntegerLiteral)):
            return None
        kind = BufferType(dtype, scope.literal_value)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            storage = context.get_data_type(dtype)
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(storage, size.literal_value))
                memory.align = 64
            return builder.bitcast(memory, I8.as_pointer())

        return kind(size, scope), generate

    return scratch


buffer_b1, scratch_b1 = _view(types.boolean), _scratch(types.boolean)
buffer_i8, scratch_i8 = _view(types.int8), _scratch(types.int8)
buffer_i16, scratch_i16 = _view(types.int16), _scratch(types.int16)
buffer_i32, scratch_i32 = _view(types.int32), _scratch(types.int32)
buffer_i64, scratch_i64 = _view(types.int64), _scratch(types.int64)
buffer_u8, scratch_u8 = _view(types.uint8), _scratch(types.uint8)
buffer_u16, scratch_u16 = _view(types.uint16), _scratch(types.uint16)
buffer_u32, scratch_u32 = _view(types.uint32), _scratch(types.uint32)
buffer_u64, scratch_u64 = _view(types.uint64), _scratch(types.uint64)
buffer_f32, scratch_f32 = _view(types.float32), _scratch(types.float32)
buffer_f64, scratch_f64 = _view(types.float64), _scratch(types.float64)
buffer_c64, scratch_c64 = _view(types.complex64), _scratch(types.complex64)
buffer_c128, scratch_c128 = _view(types.complex128), _scratch(types.complex128)


def _unsigned(method: str) -> Any:
    @intrinsic
    def divide(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
            divisor = builder.select(builder.icmp_unsigned("==", args[1], zero), one, args[1])
            return getattr(builder, method)(args[0], divisor)

        return types.int64(types.int64, types.int64), generate

    return divide


index_div = _unsigned("udiv")  # of non-negative numbers; 0 as a divisor, the size of an empty axis, counts as 1
index_mod = _unsigned("urem")


@intrinsic
def call_kernel(typing_context: Any, address: Any, buffers: Any, dims: Any, begin: Any, end: Any) -> Any:
    """Call `void kernel(int64*, int64*, int64, int64)` at an address."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = ir.FunctionType(ir.VoidType(), [I64] * 4).as_pointer()
        builder.call(builder.inttoptr(args[0], function), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def call_address(typing_context: Any, address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Call `int64 function(int64 x 7)` at an address: a system function."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = ir.FunctionType(I64, [I64] * 7).as_pointer()
        return builder.call(builder.inttoptr(args[0], function), args[1:])

    return types.int64(*[types.int64] * 8), generate


def _gemm(dtype: types.Type, llvm: Any) -> Any:
    @intrinsic
    def gemm(
        typing_context: Any,
        address: Any,
        transpose_a: Any,
        transpose_b: Any,
        m: Any,
        n: Any,
        k: Any,
        alpha: Any,
        a: Any,
        lda: Any,
        b: Any,
        ldb: Any,
        beta: Any,
        c: Any,
        ldc: Any,
    ) -> Any:
        """C = alpha op(A) op(B) + beta C through a row-major `cblas_?gemm` at an address; A, B, C are addresses."""
        i = types.int64

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            i32, pointer = ir.IntType(32), I8.as_pointer()
            kinds = [i32, i32, i32, i32, i32, llvm, pointer, i32, pointer, i32, llvm, pointer, i32]
            values = [ir.Constant(i32, 101)]  # CblasRowMajor
            for value, kind in zip(args[1:], kinds, strict=True):
                if kind is i32:
                    value = builder.trunc(value, i32)
                elif kind is pointer:
                    value = builder.inttoptr(value, pointer)
                values.append(value)
            function = ir.FunctionType(ir.VoidType(), [i32, *kinds]).as_pointer()
            builder.call(builder.inttoptr(args[0], function), values)
            return context.get_dummy_value()

        return types.void(i, i, i, i, i, i, dtype, i, i, i, i, dtype, i, i), generate

    return gemm


gemm_f32, gemm_f64 = _gemm(types.float32, ir.FloatType()), _gemm(types.float64, ir.DoubleType())


@intrinsic
def address(typing_context: Any, buffer: Any) -> Any:
    """The address of a buffer."""
    if not isinstance(buffer, BufferType):
        return None
    return types.int64(buffer), lambda context, builder, signature, args: builder.ptrtoint(args[0], I64)


def _listed() -> Any:
    @intrinsic
    def listed(
        typing_context: Any, function: Any, rows: Any, columns: Any, outer: Any, inner: Any, a: Any, a_rows: Any, a_outer: Any,
        a_inner: Any, b: Any, b_outer: Any, b_step: Any, accumulate: Any, c: Any, c_rows: Any,
    ) -> Any:  # fmt: skip
        """A product with listed rows, `runtime.listed_product`, by address."""

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [I64] * (len(args) - 1)).as_pointer()
            builder.call(builder.inttoptr(args[0], kind), args[1:])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 15), generate

    return listed


listed_f32, listed_f64 = _listed(), _listed()


@intrinsic
def view_i64(typing_context: Any, address: Any) -> Any:
    """The int64s at an address."""
    return types.CPointer(types.int64)(types.int64), lambda c, builder, s, args: builder.inttoptr(args[0], I64.as_pointer())


@intrinsic
def load_i64(typing_context: Any, address: Any) -> Any:
    """The int64 at an address, read once (volatile in effect: acquire)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store_i64(typing_context: Any, address: Any, value: Any) -> Any:
    """Write an int64 at an address (release)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        builder.store_atomic(args[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add_i64(typing_context: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at an address; the value before (sequentially consistent)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def exchange_i64(typing_context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Write `value` at an address if `expected` stands there; the value before (sequentially consistent)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        return builder.extract_value(builder.cmpxchg(pointer, args[1], args[2], "seq_cst", "seq_cst"), 0)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """A hint that this is a waiting loop."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
