"""Vector maths: scalar functions that a numba kernel calls in a loop and that LLVM inlines and vectorises.

libm is scalar, and a call of it stops vectorisation; these functions are straight-line arithmetic instead: range reduction by
rounding, a polynomial, an exponent put together from bits, `select` for special values; no branch and no call (integer powers
alone have a loop inside). Each public function is named after its operation and the type it takes and returns: `exp_f32`,
`exp_f64`, `mod_i64`.

How they run. Each helper is one plain Python function, and it is run in one of two ways:

* Called from numba-compiled code (`njit`, `cfunc`), the function is *traced* once with `Traced` operands, whose operators emit
  LLVM instructions into a function of its own (`alwaysinline`, no fast-math flags), which the kernel's library then links. numba
  infers no types inside (about 9 ms an operation saved: a helper costs 1-3 ms), and the flags of the kernel never reach the
  instructions, so compensated arithmetic stays as written. Literals take the type of the other operand.
* Called from Python, with or without NUMBA_DISABLE_JIT, it runs as it stands on NumPy scalars or arrays (`helper.py_func` is
  the helper itself). Both ways do the same IEEE operations, except that a polynomial step may be fused when compiled.

Bounds in units in the last place (ULP), as measured and as tested, are in `ULP_BOUNDS`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import signature as numba_signature
from numba.core.typing.templates import ConcreteTemplate, infer, infer_global
from numba.extending import lower_builtin

f32, f64 = np.dtype(np.float32), np.dtype(np.float64)
i8, i16, i32, i64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
u8, u16, u32, u64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
boolean = np.dtype(np.bool_)

DTYPES: dict[str, np.dtype] = {"f32": f32, "f64": f64, "i8": i8, "i16": i16, "i32": i32, "i64": i64}
DTYPES |= {"u8": u8, "u16": u16, "u32": u32, "u64": u64}
SIGNED_BITS = {f32: i32, f64: i64}  # the integer that holds a float's bits
UNSIGNED_BITS = {f32: u32, f64: u64}

Scalar = Any  # a Traced value, a NumPy scalar or a NumPy array


ULP_BOUNDS = {  # largest error in units in the last place; for x < 0, lgamma and digamma have at least those of 1.0
    "exp_f32": 1.1, "exp_f64": 1.1,
    "exp2_f32": 1.1, "exp2_f64": 1.2,
    "expm1_f32": 1.6, "expm1_f64": 2.2,
    "log_f32": 1.0, "log_f64": 1.0,
    "log2_f32": 1.1, "log2_f64": 1.0,
    "log10_f32": 1.0, "log10_f64": 1.0,
    "log1p_f32": 1.5, "log1p_f64": 1.5,
    "tanh_f32": 1.5, "tanh_f64": 1.5,
    "sigmoid_f32": 2.3, "sigmoid_f64": 2.4,
    "softplus_f32": 1.8, "softplus_f64": 2.1,
    "sinh_f32": 2.4, "sinh_f64": 2.6,
    "cosh_f32": 1.7, "cosh_f64": 1.7,
    "asinh_f32": 1.9, "asinh_f64": 1.9,
    "acosh_f32": 2.0, "acosh_f64": 2.1,
    "atanh_f32": 2.4, "atanh_f64": 2.1,
    "sin_f32": 1.6, "sin_f64": 1.0,
    "cos_f32": 1.6, "cos_f64": 1.0,
    "tan_f32": 0.7, "tan_f64": 2.3,
    "asin_f32": 2.0, "asin_f64": 1.5,
    "acos_f32": 1.4, "acos_f64": 1.4,
    "atan_f32": 2.0, "atan_f64": 2.1,
    "atan2_f32": 2.3, "atan2_f64": 2.3,
    "pow_f32": 0.6, "pow_f64": 1.2,
    "cbrt_f32": 0.6, "cbrt_f64": 0.6,
    "sqrt_f32": 0.5, "sqrt_f64": 0.5,
    "rsqrt_f32": 1.5, "rsqrt_f64": 1.5,
    "erf_f32": 1.2, "erf_f64": 1.2,
    "erfc_f32": 3.0, "erfc_f64": 3.0,
    "erfinv_f32": 0.6, "erfinv_f64": 1.8,
    "lgamma_f32": 0.6, "lgamma_f64": 8.0,
    "digamma_f32": 0.6, "digamma_f64": 8.0,
}  # fmt: skip


# --- tracing ----------------------------------------------------------------------------------------------------------------


def llvm_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of a NumPy dtype; booleans are i1."""
    if dtype == f32:
        return ir.FloatType()
    if dtype == f64:
        return ir.DoubleType()
    return ir.IntType(1 if dtype == boolean else 8 * dtype.itemsize)


class Traced:
    """A value in LLVM code under construction: each Python operator on it emits one instruction."""

    __slots__ = ("builder", "dtype", "value")
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the operation to us

    def __init__(self, builder: ir.IRBuilder, value: ir.Value, dtype: np.dtype) -> None:
        self.builder, self.value, self.dtype = builder, value, dtype

    def like(self, other: Any) -> Traced:
        """`other` as a value of this dtype: itself, or a constant made from a literal."""
        if isinstance(other, Traced):
            assert other.dtype == self.dtype, f"operands of {self.dtype} and {other.dtype}"
            return other
        assert not isinstance(other, np.generic) or other.dtype == self.dtype, f"operands of {self.dtype} and {other.dtype}"
        with np.errstate(over="ignore"):
            constant = np.array(other, self.dtype).item()
        return Traced(self.builder, ir.Constant(llvm_type(self.dtype), constant), self.dtype)

    def emit(self, spelling: str, *operands: ir.Value, dtype: np.dtype | None = None) -> Traced:
        """The result of the builder's method `spelling`."""
        return Traced(self.builder, getattr(self.builder, spelling)(*operands), dtype or self.dtype)

    def call(self, intrinsic: str, *others: Any) -> Traced:
        """The result of LLVM's intrinsic function, overloaded on this dtype alone."""
        operands = [self.value, *(self.like(other).value for other in others)]
        function = self.builder.module.declare_intrinsic(
            f"llvm.{intrinsic}", [llvm_type(self.dtype)], ir.FunctionType(operands[0].type, [operands[0].type] * len(operands))
        )
        return Traced(self.builder, self.builder.call(function, operands), self.dtype)

    def arithmetic(self, other: Any, on_floats: str, on_signed: str, on_unsigned: str, swapped: bool = False) -> Traced:
        left, right = self.value, self.like(other).value
        if swapped:
            left, right = right, left
        return self.emit({"f": on_floats, "i": on_signed, "u": on_unsigned, "b": on_signed}[self.dtype.kind], left, right)

    def __add__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fadd", "add", "add")

    def __radd__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fadd", "add", "add", swapped=True)

    def __sub__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fsub", "sub", "sub")

    def __rsub__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fsub", "sub", "sub", swapped=True)

    def __mul__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fmul", "mul", "mul")

    def __rmul__(self, other: Any) -> Traced:
        return self.arithmetic(other, "fmul", "mul", "mul", swapped=True)

    def __truediv__(self, other: Any) -> Traced:
        assert self.dtype.kind == "f"
        return self.arithmetic(other, "fdiv", "", "")

    def __rtruediv__(self, other: Any) -> Traced:
        assert self.dtype.kind == "f"
        return self.arithmetic(other, "fdiv", "", "", swapped=True)

    def __neg__(self) -> Traced:
        return self.emit("fneg" if self.dtype.kind == "f" else "neg", self.value)

    def __invert__(self) -> Traced:
        return self.emit("not_", self.value)

    def __and__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "and_", "and_")

    def __or__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "or_", "or_")

    def __xor__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "xor", "xor")

    def __lshift__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "shl", "shl")

    def __rshift__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "ashr", "lshr")

    def compare(self, spelling: str, other: Any) -> Traced:
        """Ordered comparison (False for NaN), except `!=`."""
        right = self.like(other).value
        if self.dtype.kind == "f":
            method = self.builder.fcmp_unordered if spelling == "!=" else self.builder.fcmp_ordered
        else:
            method = self.builder.icmp_signed if self.dtype.kind == "i" else self.builder.icmp_unsigned
        return Traced(self.builder, method(spelling, self.value, right), boolean)

    def __lt__(self, other: Any) -> Traced:
        return self.compare("<", other)

    def __le__(self, other: Any) -> Traced:
        return self.compare("<=", other)

    def __gt__(self, other: Any) -> Traced:
        return self.compare(">", other)

    def __ge__(self, other: Any) -> Traced:
        return self.compare(">=", other)

    def __eq__(self, other: Any) -> Traced:  # type: ignore[override]
        return self.compare("==", other)

    def __ne__(self, other: Any) -> Traced:  # type: ignore[override]
        return self.compare("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a traced value has no truth: use select(condition, a, b) in place of a branch")


def is_traced(*operands: Any) -> bool:
    return any(isinstance(operand, Traced) for operand in operands)


class HelperLibrary:
    """One traced function, parsed once a process; has what numba asks of a code library that it links into a kernel's.

    numba's own library would optimise the function by itself first, and what suits a scalar need not suit a loop.
    """

    _reload_init: frozenset[str] = frozenset()

    def __init__(self, module: ir.Module) -> None:
        self.module = llvm.parse_assembly(str(module))
        self.module.verify()

    def _ensure_finalized(self) -> None:
        pass

    def _get_module_for_linking(self) -> llvm.ModuleRef:
        return self.module


_helper_libraries: dict[str, HelperLibrary] = {}  # by the helper's name


def helper(
    function: Callable[..., Any], name: str = "", *, operands: int = 0, result_dtype: np.dtype | None = None
) -> Callable[..., Any]:
    """The function, callable from Python on NumPy values and from numba-compiled code; its name's suffix says the operands' type.

    All operands have that type, and so has the result unless `result_dtype` says another.
    """
    name = name or function.__name__
    dtype = DTYPES[name.rpartition("_")[2]]
    result = result_dtype or dtype
    count = operands or function.__code__.co_argcount
    operand_types = (types.__dict__[dtype.name],) * count
    result_type = types.__dict__[result.name]

    @functools.wraps(function)
    def call(*operands: Any) -> Any:
        if is_traced(*operands):
            return function(*operands)
        with np.errstate(all="ignore"):
            return function(*(np.asarray(operand, dtype)[()] for operand in operands))

    call.__name__ = call.__qualname__ = name
    if name in ULP_BOUNDS:
        call.__doc__ = f"{function.__doc__} Within {ULP_BOUNDS[name]} ULP."
    call.py_func = call  # type: ignore[attr-defined]

    class Typing(ConcreteTemplate):
        key = call
        cases = [numba_signature(result_type, *operand_types)]  # noqa: RUF012 (numba's protocol)

    infer(Typing)
    infer_global(call, types.Function(Typing))

    @lower_builtin(call, *operand_types)
    def lowering_rule(context: Any, builder: ir.IRBuilder, signature: Any, operands: Sequence[ir.Value]) -> ir.Value:
        kernel_library = context.active_code_library
        function_type = ir.FunctionType(llvm_type(result), [llvm_type(dtype)] * count)
        if name not in _helper_libraries:
            module = kernel_library.create_ir_module(f"graphflow.{name}")
            emit_function(module, name, function, function_type, dtype)
            _helper_libraries[name] = HelperLibrary(module)
        kernel_library.add_linking_library(_helper_libraries[name])
        return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"graphflow_{name}"), operands)

    return call


def emit_function(module: ir.Module, name: str, function: Callable[..., Any], type_: ir.FunctionType, dtype: np.dtype) -> None:
    """Trace `function` into the module as `graphflow_<name>`, to be inlined wherever it is called."""
    emitted = ir.Function(module, type_, f"graphflow_{name}")
    emitted.linkage = "linkonce_odr"
    emitted.attributes.add("alwaysinline")
    emitted.attributes.add("nounwind")
    builder = ir.IRBuilder(emitted.append_basic_block("entry"))
    result = function(*(Traced(builder, argument, dtype) for argument in emitted.args))
    assert result.value.type == type_.return_type, f"{name} must return {type_.return_type}, not {result.dtype}"
    builder.ret(result.value)


# --- operations that Python has no operator for: each is LLVM when traced, NumPy otherwise ----------------------------------


def select(condition: Scalar, a: Scalar, b: Scalar) -> Scalar:
    """`a` where the condition holds, else `b`; both are computed."""
    if not is_traced(condition):
        return np.asarray(np.where(condition, a, b))[()]
    if isinstance(a, Traced):
        a, b = a, a.like(b)
    elif isinstance(b, Traced):
        a, b = b.like(a), b
    else:
        dtype = np.asarray(a).dtype
        witness = Traced(condition.builder, condition.value, dtype)
        a, b = witness.like(a), witness.like(b)
    return a.emit("select", condition.value, a.value, b.value)


def fma(a: Scalar, b: Scalar, c: Scalar) -> Scalar:
    """a*b + c with one rounding."""
    if is_traced(a, b, c):
        a, b, c = same(a, b, c)
        return a.call("fma", b, c)
    a, b, c = np.broadcast_arrays(a, b, c)
    dtype = next(operand.dtype for operand in (a, b, c) if operand.dtype in (f32, f64))
    dtype = f32 if any(operand.dtype == f32 for operand in (a, b, c)) else dtype
    if dtype == f32:
        return (a.astype(f64) * b.astype(f64) + c.astype(f64)).astype(f32)[()]
    return fma_float64(a, b, c)[()]


def fma_float64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a*b + c in NumPy float64 from an exact product (Veltkamp, Dekker): the correctly rounded sum up to a double rounding."""
    product = a * b
    total = product + c
    a_high = a * 134217729.0 - (a * 134217729.0 - a)
    b_high = b * 134217729.0 - (b * 134217729.0 - b)
    a_low, b_low = a - a_high, b - b_high
    product_error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    virtual = total - product
    sum_error = (product - (total - virtual)) + (c - virtual)
    correction = sum_error + product_error
    return np.where(np.isfinite(correction) & (correction != 0), total + correction, total)


def multiply_add(a: Scalar, b: Scalar, c: Scalar) -> Scalar:
    """a*b + c, rounded once where the machine has the instruction and twice where not: for polynomials."""
    if is_traced(a, b, c):
        a, b, c = same(a, b, c)
        return a.call("fmuladd", b, c)
    return a * b + c


def same(*operands: Any) -> list[Traced]:
    """The operands, literals among them made constants of the type of the others."""
    witness = next(operand for operand in operands if isinstance(operand, Traced))
    return [witness.like(operand) for operand in operands]


def polynomial(x: Scalar, coefficients: Sequence[float]) -> Scalar:
    """c0 + c1 x + c2 x**2 + ... by Horner's rule."""
    total = multiply_add(x, as_type(coefficients[-1], x.dtype), as_type(coefficients[-2], x.dtype))
    for coefficient in coefficients[-3::-1]:
        total = multiply_add(total, x, as_type(coefficient, x.dtype))
    return total


def as_type(literal: float, dtype: np.dtype) -> Scalar:
    """The literal as a NumPy scalar of the dtype."""
    return dtype.type(literal)


def intrinsic(spelling: str, reference: Callable[..., Any], result: str) -> Callable[..., Any]:
    """The operation that LLVM calls `spelling` and NumPy computes by `reference`; its docstring is `result`."""

    def operation(x: Scalar, *others: Scalar) -> Scalar:
        if is_traced(x, *others):
            first, *rest = same(x, *others)
            return first.call(spelling, *rest)
        return reference(x, *others)

    operation.__doc__ = f"{result}: llvm.{spelling}."
    return operation


absolute = intrinsic("fabs", np.abs, "The operand without its sign")
square_root = intrinsic("sqrt", np.sqrt, "Square root, correctly rounded")
round_down = intrinsic("floor", np.floor, "The largest integer not above the operand")
round_up = intrinsic("ceil", np.ceil, "The smallest integer not below the operand")
round_to_zero = intrinsic("trunc", np.trunc, "The operand without its fraction")
round_to_even = intrinsic("roundeven", np.rint, "The nearest integer, the even one of two")
with_sign_of = intrinsic("copysign", np.copysign, "The first operand's magnitude with the second's sign")
greater = intrinsic("maximum", np.maximum, "The greater operand, NaN if either is (0.0 > -0.0); reductions vectorise with it")
lesser = intrinsic("minimum", np.minimum, "The lesser operand, NaN if either is (-0.0 < 0.0); reductions vectorise with it")


def bits_of(x: Scalar, signed: bool = True) -> Scalar:
    """The integer with the bits of a float."""
    dtype = (SIGNED_BITS if signed else UNSIGNED_BITS)[x.dtype]
    if is_traced(x):
        return x.emit("bitcast", x.value, llvm_type(dtype), dtype=dtype)
    return x.view(dtype)


def float_of(bits: Scalar) -> Scalar:
    """The float with the bits of an integer."""
    dtype = f32 if bits.dtype.itemsize == 4 else f64
    if is_traced(bits):
        return bits.emit("bitcast", bits.value, llvm_type(dtype), dtype=dtype)
    return bits.view(dtype)


def convert(x: Scalar, dtype: np.dtype) -> Scalar:
    """x in another type, floats to integers towards zero."""
    if not is_traced(x):
        return x.astype(dtype)
    if x.dtype.kind == "f" and dtype.kind == "f":
        spelling = "fpext" if dtype.itemsize > x.dtype.itemsize else "fptrunc"
    elif x.dtype.kind == "f":
        spelling = "fptosi" if dtype.kind == "i" else "fptoui"
    elif dtype.kind == "f":
        spelling = "sitofp" if x.dtype.kind == "i" else "uitofp"
    elif dtype.itemsize > x.dtype.itemsize or x.dtype == boolean:
        spelling = "sext" if x.dtype.kind == "i" else "zext"
    else:
        spelling = "trunc"
    if spelling == "trunc" and dtype.itemsize == x.dtype.itemsize:
        return Traced(x.builder, x.value, dtype)
    return x.emit(spelling, x.value, llvm_type(dtype), dtype=dtype)


# --- constants that differ between float32 and float64 ----------------------------------------------------------------------

inf, nan = math.inf, math.nan
LN2 = math.log(2)

FORMAT = {  # the type's own numbers
    f32: SimpleNamespace(
        fraction_bits=23, bias=127, magic=1.5 * 2.0**23, smallest_normal=2.0**-126, fraction_mask=0x007FFFFF,
        exponent_mask=-0x00800000, one=0x3F800000, root_half=0x3F3504F3,
        half_range=64, least_exponential=-104.0, greatest_exponential=89.0, epsilon=2.0**-23,
    ),
    f64: SimpleNamespace(
        fraction_bits=52, bias=1023, magic=1.5 * 2.0**52, smallest_normal=2.0**-1022, fraction_mask=0x000FFFFFFFFFFFFF,
        exponent_mask=-0x0010000000000000, one=0x3FF0000000000000, root_half=0x3FE6A09E667F3BCD,
        half_range=512, least_exponential=-746.0, greatest_exponential=710.0, epsilon=2.0**-52,
    ),
}  # fmt: skip

LN2_PARTS = {f32: (0.693359375, -2.12194440e-4), f64: (0.6931471803691238, 1.9082149292705877e-10)}  # k * high is exact
EXP_TAIL = {  # (e**r - 1 - r) / r**2 on [-ln2/2, ln2/2]: own minimax fits, errors 2**-28 and 2**-57 of e**r
    f32: (0.5, 0.1666652, 0.041666422, 0.008368815, 0.0013938848),
    f64: (
        0.5000000000000013, 0.1666666666666669, 0.04166666666651436, 0.008333333333311448, 0.0013888888947245132,
        0.00019841269908787537, 2.480148973766169e-05, 2.755722359506277e-06, 2.7631344988465723e-07, 2.5115644775554117e-08,
    ),
}  # fmt: skip
LOG_TAIL_F32 = (  # (log(1+f) - f + f**2/2) / f**3 on [sqrt(1/2)-1, sqrt(2)-1]: own minimax fit, error 2**-27 of log(1+f)
    0.33333316, -0.2500081, 0.20002297, -0.16624549, 0.14181106, -0.13128819, 0.12881711, -0.07859008,
)  # fmt: skip
ATANH_TAIL = (  # (2 atanh(s) - 2s) / s**3 as a polynomial in s**2 up to 0.0295: own minimax fit, error 2**-58
    0.6666666666666735, 0.39999999999410396, 0.2857142874339236, 0.22222198464416448, 0.18183570276517094, 0.15313890763009866,
    0.14797622810951302,
)  # fmt: skip


# --- exponentials -----------------------------------------------------------------------------------------------------------


def at_most(x: Scalar, bound: float) -> Scalar:
    """min(x, bound); NaN stays NaN."""
    return select(x > bound, as_type(bound, x.dtype), x)


def at_least(x: Scalar, bound: float) -> Scalar:
    """max(x, bound); NaN stays NaN."""
    return select(x < bound, as_type(bound, x.dtype), x)


def reduce_by_ln2(x: Scalar) -> tuple[Scalar, Scalar]:
    """(t, r): x = k ln2 + r with |r| <= ln2/2; the low bits of t's fraction are the integer k."""
    magic = FORMAT[x.dtype].magic  # adding it rounds to an integer and leaves that integer in the low bits
    high, low = LN2_PARTS[x.dtype]
    t = fma(x, as_type(1 / LN2, x.dtype), magic)
    k = t - as_type(magic, x.dtype)
    return t, fma(k, -low, fma(k, -high, x))


def exponential_less_one(r: Scalar) -> Scalar:
    """e**r - 1 for |r| <= ln2/2, relatively accurate."""
    return fma(r * r, polynomial(r, EXP_TAIL[r.dtype]), r)


def power_of_two(t: Scalar, offset: int) -> Scalar:
    """2**(k + offset) for the k in the low bits of t (see `reduce_by_ln2`); no check of the range."""
    number = FORMAT[t.dtype]
    return float_of((bits_of(t) << number.fraction_bits) + ((number.bias + offset) << number.fraction_bits))


def scale(p: Scalar, t: Scalar, negative: Scalar) -> Scalar:
    """p * 2**k for p in (1/2, 2): two factors, so that subnormal results round once and large ones become infinite."""
    number = FORMAT[t.dtype]
    bits = SIGNED_BITS[t.dtype].type
    low, high = ((number.bias + offset) << number.fraction_bits for offset in (number.half_range, -number.half_range))
    first = float_of((bits_of(t) << number.fraction_bits) + select(negative, bits(low), bits(high)))
    second = select(negative, as_type(2.0**-number.half_range, t.dtype), as_type(2.0**number.half_range, t.dtype))
    return p * first * second


def exponential(x: Scalar) -> Scalar:
    """e**x. x = k ln2 + r (Cody & Waite), a polynomial in r, 2**k from exponent bits in two factors."""
    number = FORMAT[x.dtype]
    x = at_most(at_least(x, number.least_exponential), number.greatest_exponential)
    t, r = reduce_by_ln2(x)
    return scale(1.0 + exponential_less_one(r), t, x < 0.0)


def exponential_of_negative(x: Scalar) -> Scalar:
    """e**x for x <= 0."""
    number = FORMAT[x.dtype]
    t, r = reduce_by_ln2(at_least(x, number.least_exponential))
    return (1.0 + exponential_less_one(r)) * power_of_two(t, number.half_range) * 2.0**-number.half_range


exp_f32, exp_f64 = helper(exponential, "exp_f32"), helper(exponential, "exp_f64")


def exponential_minus_one(x: Scalar) -> Scalar:
    """e**x - 1. 2**k (e**r - 1) + (2**k - 1) with one rounding; tiny x is returned as it is."""
    number = FORMAT[x.dtype]
    t, r = reduce_by_ln2(at_most(at_least(x, -40.0), number.greatest_exponential))
    half = power_of_two(t, -1)
    result = fma(half, exponential_less_one(r), half - 0.5) * 2.0
    return select(absolute(x) < number.epsilon / 4, x, result)


expm1_f32, expm1_f64 = helper(exponential_minus_one, "expm1_f32"), helper(exponential_minus_one, "expm1_f64")


TANH_INNER_LIMIT = 0.55  # below, an odd polynomial; above, 2 / (e**(2|x|) + 1) is small enough to be taken from 1
TANH_TAIL = {  # (tanh(x) / x - 1) / x**2 as a polynomial in x**2 on [0, 0.56]: own minimax fits, errors 2**-30 and 2**-55
    f32: (-0.33333316, 0.13332528, -0.053844694, 0.021035502, -0.0062174792),
    f64: (
        -0.33333333333331955, 0.1333333333311755, -0.05396825385101136, 0.021869485376914855, -0.008863186487045104,
        0.003591655119058539, -0.0014528977955725348, 0.0005781916850132421, -0.00020875989195820907, 4.995667866045454e-05,
    ),
}  # fmt: skip


def hyperbolic_tangent(x: Scalar) -> Scalar:
    """Hyperbolic tangent: an odd polynomial inside, 1 - 2 / (e**(2|x|) + 1) outside."""
    a = absolute(x)
    t, r = reduce_by_ln2(2.0 * at_most(a, 22.0))
    outer = 1.0 - 2.0 / (power_of_two(t, 0) * (1.0 + exponential_less_one(r)) + 1.0)
    inner = fma(a * (a * a), polynomial(a * a, TANH_TAIL[x.dtype]), a)
    return with_sign_of(select(a < TANH_INNER_LIMIT, inner, outer), x)


tanh_f32, tanh_f64 = helper(hyperbolic_tangent, "tanh_f32"), helper(hyperbolic_tangent, "tanh_f64")


def logistic(x: Scalar) -> Scalar:
    """1 / (1 + e**-x); from e**-|x|, so that small results keep their accuracy."""
    e = exponential_of_negative(-absolute(x))
    return select(x < 0.0, e, as_type(1.0, x.dtype)) / (1.0 + e)


sigmoid_f32, sigmoid_f64 = helper(logistic, "sigmoid_f32"), helper(logistic, "sigmoid_f64")


# --- logarithms -------------------------------------------------------------------------------------------------------------


def log_tail(f: Scalar) -> Scalar:
    """log(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2)]."""
    if f.dtype == f32:
        return (f * f) * multiply_add(f, polynomial(f, LOG_TAIL_F32), -0.5)
    s = f / (2.0 + f)  # log(1 + f) = 2 atanh(s); Cephes and fdlibm write it as f less a correction
    z = s * s
    half_square = 0.5 * f * f
    return s * (half_square + z * polynomial(z, ATANH_TAIL)) - half_square


def split_exponent(x: Scalar) -> tuple[Scalar, Scalar]:
    """(biased, m): x = m 2**(biased - bias) with m in [sqrt(1/2), sqrt(2)), for positive normal x; biased is a float."""
    number = FORMAT[x.dtype]
    shifted = bits_of(x, signed=False) + (number.one - number.root_half)
    m = float_of((shifted & number.fraction_mask) + number.root_half)
    return exponent_as_float(shifted), m


def exponent_as_float(shifted: Scalar) -> Scalar:
    """The exponent field of unsigned bits, as a float."""
    if shifted.dtype == u32:
        return convert(convert(shifted >> 23, i32), f32)
    return float_of((shifted >> 52) | 0x4330000000000000) - 2.0**52  # AVX2 converts no 64-bit integers


def natural_logarithm(x: Scalar) -> Scalar:
    """Natural logarithm. x = 2**e (1 + f), polynomial in f or (float64, as fdlibm) in f / (2 + f), e ln2 in two parts."""
    number = FORMAT[x.dtype]
    high, low = LN2_PARTS[x.dtype]
    subnormal = x < number.smallest_normal
    biased, m = split_exponent(select(subnormal, x * 2.0**number.fraction_bits, x))
    e = biased - select(subnormal, as_type(number.bias + number.fraction_bits, x.dtype), as_type(number.bias, x.dtype))
    f = m - 1.0
    result = fma(e, as_type(high, x.dtype), f + fma(e, as_type(low, x.dtype), log_tail(f)))
    return logarithm_domain(x, x, result)


def logarithm_domain(x: Scalar, argument: Scalar, result: Scalar) -> Scalar:
    """The result where argument > 0, -inf at 0, NaN below, and x itself where x is infinite."""
    outside = select(argument == 0.0, as_type(-inf, x.dtype), as_type(nan, x.dtype))
    return select(argument > 0.0, select(x < inf, result, x), outside)


log_f32, log_f64 = helper(natural_logarithm, "log_f32"), helper(natural_logarithm, "log_f64")


def logarithm_of_one_plus(x: Scalar) -> Scalar:
    """log(1 + x): f = x 2**-e + (2**-e - 1) for the e of the rounded 1 + x, one rounding, so that no correction is needed."""
    number = FORMAT[x.dtype]
    high, low = LN2_PARTS[x.dtype]
    shifted = bits_of(1.0 + x) + (number.one - number.root_half)
    e = exponent_as_float(convert(shifted, UNSIGNED_BITS[x.dtype])) - float(number.bias)
    smallest_integer = SIGNED_BITS[x.dtype].type(-(2 ** (8 * x.dtype.itemsize - 1)))
    quadruple = float_of(smallest_integer - (shifted & number.exponent_mask))  # 4 * 2**-e, normal for every e
    f = fma(0.25 * x, quadruple, multiply_add(quadruple, as_type(0.25, x.dtype), -1.0))
    result = fma(e, as_type(high, x.dtype), f + fma(e, as_type(low, x.dtype), log_tail(f)))
    result = select(absolute(x) < number.epsilon / 4, x, result)
    return logarithm_domain(x, 1.0 + x, result)


log1p_f32, log1p_f64 = helper(logarithm_of_one_plus, "log1p_f32"), helper(logarithm_of_one_plus, "log1p_f64")


# --- exponentials and logarithms of other bases, and what is built from both ------------------------------------------------


def exponential_base_two(x: Scalar) -> Scalar:
    """2**x. The integer part goes to the exponent exactly, the rest as in e**x."""
    number = FORMAT[x.dtype]
    x = at_most(at_least(x, number.least_exponential / LN2), number.greatest_exponential / LN2)
    t = x + as_type(number.magic, x.dtype)
    r = (x - (t - as_type(number.magic, x.dtype))) * as_type(LN2, x.dtype)
    return scale(1.0 + exponential_less_one(r), t, x < 0.0)


exp2_f32, exp2_f64 = helper(exponential_base_two, "exp2_f32"), helper(exponential_base_two, "exp2_f64")


LOG_FACTORS = {  # 1/log(base) in two parts, log(2)/log(base) in two parts, the first of each short enough for an exact product
    (f32, 2): (1.4426950216293335, 1.9259629911266175e-08, 1.0, 0.0),
    (f32, 10): (0.4342944920063019, -1.0103050052231683e-08, 0.301025390625, 4.605039066518657e-06),
    (f64, 2): (1.4426950408889634, 2.0355273740931033e-17, 1.0, 0.0),
    (f64, 10): (0.4342944819032518, 1.098319650216765e-17, 0.30102999566361177, 3.694239077158931e-13),
}


def logarithm(x: Scalar, base: int) -> Scalar:
    """log(x) / log(base): the product of f and 1/log(base) is taken with its rounding error."""
    number = FORMAT[x.dtype]
    factor, factor_low, exponent_factor, exponent_factor_low = LOG_FACTORS[x.dtype, base]
    subnormal = x < number.smallest_normal
    biased, m = split_exponent(select(subnormal, x * 2.0**number.fraction_bits, x))
    e = biased - select(subnormal, as_type(number.bias + number.fraction_bits, x.dtype), as_type(number.bias, x.dtype))
    f = m - 1.0
    product = f * as_type(factor, x.dtype)
    error = fma(f, as_type(factor, x.dtype), -product) + f * as_type(factor_low, x.dtype)
    low = fma(log_tail(f), as_type(factor, x.dtype), error)
    if exponent_factor_low:
        low = fma(e, as_type(exponent_factor_low, x.dtype), low)
    return logarithm_domain(x, x, fma(e, as_type(exponent_factor, x.dtype), product + low))


@helper
def log2_f32(x: Scalar) -> Scalar:
    """Logarithm to base 2. Exact for powers of two."""
    return logarithm(x, 2)


@helper
def log2_f64(x: Scalar) -> Scalar:
    """Logarithm to base 2. Exact for powers of two."""
    return logarithm(x, 2)


@helper
def log10_f32(x: Scalar) -> Scalar:
    """Logarithm to base 10."""
    return logarithm(x, 10)


@helper
def log10_f64(x: Scalar) -> Scalar:
    """Logarithm to base 10."""
    return logarithm(x, 10)


def log_one_plus_fraction(y: Scalar) -> Scalar:
    """log(1 + y) for 0 <= y <= 1."""
    small = y < 0.41421354
    f = select(small, y, fma(y, as_type(0.5, y.dtype), -0.5))
    return (f + log_tail(f)) + select(small, as_type(0.0, y.dtype), as_type(LN2, y.dtype))


def soft_plus(x: Scalar) -> Scalar:
    """log(1 + e**x) = max(x, 0) + log(1 + e**-|x|)."""
    return at_least(x, 0.0) + log_one_plus_fraction(exponential_of_negative(-absolute(x)))


softplus_f32, softplus_f64 = helper(soft_plus, "softplus_f32"), helper(soft_plus, "softplus_f64")


def half_exponential_minus_one(x: Scalar) -> Scalar:
    """(e**x - 1) / 2 for x >= 0; infinite only where that is too large."""
    t, r = reduce_by_ln2(at_most(x, FORMAT[x.dtype].greatest_exponential + 0.55))
    eighth = power_of_two(t, -3)
    return fma(eighth, exponential_less_one(r), eighth - 0.125) * 4.0


def hyperbolic_sine(x: Scalar) -> Scalar:
    """Hyperbolic sine: (m + m / (m + 1)) / 2 with m = e**|x| - 1."""
    half = half_exponential_minus_one(absolute(x))
    result = half + at_most(half, 2.0 ** FORMAT[x.dtype].half_range) / (2.0 * half + 1.0)  # at_most: no inf / inf
    return select(absolute(x) < math.sqrt(FORMAT[x.dtype].epsilon), x, with_sign_of(result, x))


sinh_f32, sinh_f64 = helper(hyperbolic_sine, "sinh_f32"), helper(hyperbolic_sine, "sinh_f64")


def hyperbolic_cosine(x: Scalar) -> Scalar:
    """Hyperbolic cosine: e/2 + 1/(2e) with e = e**|x|."""
    half = half_exponential_minus_one(absolute(x)) + 0.5
    return half + 0.25 / half


cosh_f32, cosh_f64 = helper(hyperbolic_cosine, "cosh_f32"), helper(hyperbolic_cosine, "cosh_f64")


def inverse_hyperbolic_sine(x: Scalar) -> Scalar:
    """Inverse hyperbolic sine: log(1 + (a + a**2 / (1 + sqrt(a**2 + 1)))) with a = |x|; log(2a) for large a."""
    a = absolute(x)
    large = a > 1 / FORMAT[x.dtype].epsilon
    square = a * a
    argument = select(large, a, a + square / (1.0 + square_root(square + 1.0)))
    result = logarithm_of_one_plus(argument) + select(large, as_type(LN2, x.dtype), as_type(0.0, x.dtype))
    return with_sign_of(result, x)


asinh_f32, asinh_f64 = helper(inverse_hyperbolic_sine, "asinh_f32"), helper(inverse_hyperbolic_sine, "asinh_f64")


def inverse_hyperbolic_cosine(x: Scalar) -> Scalar:
    """Inverse hyperbolic cosine: log(1 + (d + sqrt(2d + d**2))) with d = x - 1; log(2x) for large x."""
    large = x > 1 / FORMAT[x.dtype].epsilon
    d = x - 1.0
    argument = select(large, x, d + square_root(fma(d, d, 2.0 * d)))
    result = logarithm_of_one_plus(argument) + select(large, as_type(LN2, x.dtype), as_type(0.0, x.dtype))
    return select(x >= 1.0, result, as_type(nan, x.dtype))


acosh_f32, acosh_f64 = helper(inverse_hyperbolic_cosine, "acosh_f32"), helper(inverse_hyperbolic_cosine, "acosh_f64")


def inverse_hyperbolic_tangent(x: Scalar) -> Scalar:
    """Inverse hyperbolic tangent: log(1 + 2a / (1 - a)) / 2 with a = |x|."""
    a = absolute(x)
    result = 0.5 * logarithm_of_one_plus((a + a) / (1.0 - a))
    return select(a < FORMAT[x.dtype].epsilon, x, with_sign_of(result, x))


atanh_f32, atanh_f64 = helper(inverse_hyperbolic_tangent, "atanh_f32"), helper(inverse_hyperbolic_tangent, "atanh_f64")


# --- sine, cosine, tangent --------------------------------------------------------------------------------------------------

TWO_OVER_PI_BITS = 1280
TWO_OVER_PI = int(  # floor(2/pi * 2**1280)
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921cfe1deb1cb129a73ee88235f5"
    "2ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d"
    "7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6babf0cfbc209af4361d",
    16,
)


def quarter_turns(shift: int, widths: Sequence[int]) -> list[float]:
    """2**shift * 2/pi less its multiples of 4, cut into floats of so many bits each."""
    below = TWO_OVER_PI_BITS - shift  # bits after the binary point
    remaining = TWO_OVER_PI if shift == 0 else TWO_OVER_PI % (1 << (below + 2))
    position = below if shift == 0 else below + 2  # value < 2**(position - below)
    parts = []
    for width in widths:
        position -= width
        part = remaining >> position
        remaining -= part << position
        parts.append(math.ldexp(part, position - below))
    return parts


SIN_TAIL = {  # (sin(r) - r) / r**3 as a polynomial in r**2 on [0, pi/4]: own minimax fits, errors 2**-28 and 2**-57 of sin(r)
    f32: (-0.16666655, 0.00833219, -0.0001951838),
    f64: (
        -0.16666666666666632, 0.008333333333322255, -0.00019841269829675568, 2.755731364437293e-06, -2.50507504220957e-08,
        1.5896335998032462e-10,
    ),
}  # fmt: skip
COS_TAIL = {  # (cos(r) - 1 + r**2 / 2) / r**4 as a polynomial in r**2 on [0, pi/4]: own minimax fits, errors 2**-33 and 2**-59
    f32: (0.041666646, -0.0013887308, 2.4432125e-05),
    f64: (
        0.041666666666666595, -0.0013888888888873904, 2.480158728933939e-05, -2.755731430959519e-07, 2.0875717271060823e-09,
        -1.1359327492830321e-11,
    ),
}  # fmt: skip

FLOAT32_WINDOWS = (0, 27, 54, 81)  # |x| = y * 2**shift with y < 2**50; from the second on, y is an integer
FLOAT32_WINDOW_PARTS = [quarter_turns(shift, (29, 29, 53)) for shift in FLOAT32_WINDOWS]
FLOAT64_WINDOW_STEP = 16  # bits; y < 2**69
FLOAT64_WINDOW_PARTS = [quarter_turns(shift, (53, 53, 53, 53)) for shift in range(0, 1024 - 53, FLOAT64_WINDOW_STEP)]
PI_HALF, PI_HALF_LOW = 1.5707963267948966, 6.123233995736766e-17


def less_multiples_of_four(x: Scalar) -> Scalar:
    """x - 4n in [-2, 2], exactly."""
    return x - 4.0 * round_to_even(0.25 * x)


def quadrant_f32(x: Scalar) -> tuple[Scalar, Scalar]:
    """(n, r): x = (n + 4m) pi/2 + r with |r| <= pi/4 for some integer m; n is an int32 of which two bits count, r a float64.

    |x| = y 2**shift with y of 24 bits, so y times 29 bits of 2/pi is exact in float64, and multiples of four are dropped before
    they could cost accuracy (the idea of Payne & Hanek); four windows of 2/pi cover all of float32.
    """
    wide = convert(x, f64)
    magnitude = absolute(wide)
    factor, high, middle, low = (as_type(value, f64) for value in (1.0, *FLOAT32_WINDOW_PARTS[0]))
    for shift, parts in zip(FLOAT32_WINDOWS[1:], FLOAT32_WINDOW_PARTS[1:], strict=True):
        beyond = magnitude >= 2.0 ** (shift + 23)
        factor, high, middle, low = (
            select(beyond, as_type(later, f64), earlier)
            for later, earlier in zip((2.0**-shift, *parts), (factor, high, middle, low), strict=True)
        )
    y = wide * factor
    first = less_multiples_of_four(y * high)
    second = less_multiples_of_four(y * middle)
    n = round_to_even(first + second)
    turns = (first - n) + second + y * low
    bits = bits_of(n + FORMAT[f64].magic)
    return convert(bits, i32), turns * PI_HALF


def two_sum(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, e): s is the rounded a + b and e its error (Knuth)."""
    s = a + b
    virtual = s - a
    return s, (a - (s - virtual)) + (b - virtual)


def fast_two_sum(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, e): s is the rounded a + b and e its error, for |a| >= |b| (Dekker)."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(p, e): p is the rounded a * b and e its error."""
    p = a * b
    return p, fma(a, b, -p)


def table_entry(name: str, values: Sequence[float], index: Scalar) -> Scalar:
    """values[index] for a table of float64 constants; a loop over it becomes a gather."""
    if not is_traced(index):
        return np.asarray(values)[index]
    builder = index.builder
    table_type = ir.ArrayType(ir.DoubleType(), len(values))
    if name not in builder.module.globals:
        table = ir.GlobalVariable(builder.module, table_type, name)
        table.linkage, table.global_constant, table.unnamed_addr = "internal", True, True
        table.initializer = ir.Constant(table_type, list(values))
    address = builder.gep(builder.module.globals[name], [ir.Constant(ir.IntType(64), 0), index.value], inbounds=True)
    return Traced(builder, builder.load(address), f64)


def quadrant_f64(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, r, tail): x = (n + 4m) pi/2 + r + tail, with |r| <= pi/4, for all of float64.

    As `quadrant_f32`, with 212 bits of 2/pi from a table of windows 16 bits apart, and with products and sums that keep their
    errors: the closest that a float64 comes to a multiple of pi/2 is 2**-61, to which 117 bits after the point are needed.
    """
    shifted = (bits_of(x, signed=False) >> 52) & 0x7FF
    beyond = select(shifted > 1023 + 52, shifted - (1023 + 52), as_type(0, u64))
    index = beyond >> 4
    index = select(shifted == 2047, as_type(0, u64), index)
    y = x * float_of((as_type(1023, u64) - (index << 4)) << 52)
    parts = [
        table_entry(f"graphflow_quarter_turns_{place}", [row[place] for row in FLOAT64_WINDOW_PARTS], index) for place in range(4)
    ]
    a, b = two_product(y, parts[0])
    c, d = two_product(y, parts[1])
    e, g = two_product(y, parts[2])
    a, b, c = less_multiples_of_four(a), less_multiples_of_four(b), less_multiples_of_four(c)
    a, b = two_sum(a, b)
    n = round_to_even(a)
    a, b = two_sum(a - n, b)
    a, c = two_sum(a, c)
    k = round_to_even(a)
    n = n + k
    c, d = two_sum(b + c, d)
    e, f = two_sum(d, e)
    a, c = two_sum(a - k, c)
    c, e = two_sum(c, e)
    high, low = fast_two_sum(a, c)
    high, low = fast_two_sum(high, low + (e + (f + (g + y * parts[3]))))
    r, error = two_product(high, as_type(PI_HALF, f64))
    tail = fma(high, as_type(PI_HALF_LOW, f64), fma(low, as_type(PI_HALF, f64), error))
    return bits_of(n + FORMAT[f64].magic), r, tail


def sine_on_quadrant(r: Scalar, tail: Scalar | None = None) -> Scalar:
    """sin(r + tail) for |r| <= pi/4."""
    z = r * r
    cube = z * r
    value = polynomial(z, SIN_TAIL[r.dtype])
    if tail is None:
        return fma(cube, value, r)
    return r + fma(cube, value, fma(-0.5 * z, tail, tail))


def cosine_on_quadrant(r: Scalar, tail: Scalar | None = None) -> Scalar:
    """cos(r + tail) for |r| <= pi/4."""
    z = r * r
    half = 0.5 * z
    leading = 1.0 - half
    rest = fma(z * z, polynomial(z, COS_TAIL[r.dtype]), (1.0 - leading) - half)
    return leading + (rest if tail is None else rest - r * tail)


def flip_sign(x: Scalar, quadrants: Scalar) -> Scalar:
    """-x where bit 1 of `quadrants` is set."""
    bits = bits_of(x)
    sign = (quadrants & 2) << (8 * x.dtype.itemsize - 2)
    return float_of(bits ^ sign)


def reduced(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(n, sin(r), cos(r)) for x = n pi/2 + r."""
    if x.dtype == f32:
        n, r = quadrant_f32(x)
        r = convert(r, f32)
        return n, sine_on_quadrant(r), cosine_on_quadrant(r)
    n, r, tail = quadrant_f64(x)
    return n, sine_on_quadrant(r, tail), cosine_on_quadrant(r, tail)


def sine(x: Scalar) -> Scalar:
    """Sine, for every x. Reduction modulo pi/2 in exact pieces (Payne & Hanek's idea: `quadrant_f32`, `quadrant_f64`)."""
    n, s, c = reduced(x)
    return select(absolute(x) < FORMAT[x.dtype].epsilon, x, flip_sign(select((n & 1) == 0, s, c), n))


sin_f32, sin_f64 = helper(sine, "sin_f32"), helper(sine, "sin_f64")


def cosine(x: Scalar) -> Scalar:
    """Cosine, for every x; as the sine."""
    n, s, c = reduced(x)
    return flip_sign(select((n & 1) == 0, c, s), n + 1)


cos_f32, cos_f64 = helper(cosine, "cos_f32"), helper(cosine, "cos_f64")


def odd_over_even(n: Scalar, s: Scalar, c: Scalar) -> Scalar:
    """tan(n pi/2 + r) from sin(r) and cos(r)."""
    even = (n & 1) == 0
    return select(even, s, -c) / select(even, c, s)


@helper
def tan_f32(x: Scalar) -> Scalar:
    """Tangent, for every x: sine over cosine after the reduction of the sine, in float64 with polynomials for float32."""
    n, r = quadrant_f32(x)
    z = r * r
    s = fma(r * z, polynomial(z, SIN_TAIL[f32]), r)
    c = fma(z * z, polynomial(z, COS_TAIL[f32]), 1.0 - 0.5 * z)
    return select(absolute(x) < FORMAT[f32].epsilon, x, convert(odd_over_even(n, s, c), f32))


@helper
def tan_f64(x: Scalar) -> Scalar:
    """Tangent, for every x: sine over cosine after the reduction of the sine."""
    return select(absolute(x) < FORMAT[f64].epsilon, x, odd_over_even(*reduced(x)))


# --- inverse sine, cosine, tangent ------------------------------------------------------------------------------------------

PI_HALF_PARTS = {f32: (1.5707963705062866, -4.3711390001862426e-08), f64: (PI_HALF, PI_HALF_LOW)}
ASIN_TAIL = {  # (asin(s) - s) / s**3 as a polynomial in s**2 up to 1/4: own minimax fits, errors 2**-28 and 2**-56 of asin(s)
    f32: (0.16666754, 0.074952506, 0.045476392, 0.024149645, 0.04221706),
    f64: (
        0.16666666666665375, 0.07500000000344752, 0.04464285682204775, 0.030381959391708995, 0.022371752040665105,
        0.01735979397110173, 0.013884367656619651, 0.012174827045294727, 0.00650402255887824, 0.01959296624405487,
        -0.01632454447551851, 0.03198022756139862,
    ),
}  # fmt: skip
ATAN_TAIL = {  # (atan(t) - t) / t**3 as a polynomial in t**2, t up to tan(pi/8): own minimax fits, errors 2**-31 and 2**-55
    f32: (-0.33333316, 0.19998531, -0.14244463, 0.10599703, -0.06091314),
    f64: (
        -0.33333333333330184, 0.1999999999909637, -0.14285714195813232, 0.11111106673498601, -0.09090782814095745,
        0.07690073128000709, -0.06641156354250971, 0.05692690098173619, -0.04359444031213188, 0.021263124951395516,
    ),
}  # fmt: skip


def inverse_sine(x: Scalar) -> Scalar:
    """Inverse sine. s + s**3 P(s**2) for |x| <= 1/2; pi/2 - 2 asin(sqrt((1 - |x|) / 2)) beyond."""
    a = absolute(x)
    outer = a > 0.5
    z = select(outer, 0.5 * (1.0 - a), a * a)
    s = select(outer, square_root(z), a)
    tail = s * z * polynomial(z, ASIN_TAIL[x.dtype])
    high, low = (as_type(part, x.dtype) for part in PI_HALF_PARTS[x.dtype])
    result = select(outer, (high - 2.0 * s) + (low - 2.0 * tail), s + tail)
    if x.dtype == f64:  # the square root's own error is worth a digit here
        correction = fma(-s, s, z) / (s + s + FORMAT[f64].smallest_normal)
        result = select(outer, high - (2.0 * s + (2.0 * (tail + correction) - low)), result)
    return with_sign_of(result, x)


asin_f32, asin_f64 = helper(inverse_sine, "asin_f32"), helper(inverse_sine, "asin_f64")


def inverse_cosine(x: Scalar) -> Scalar:
    """Inverse cosine. pi/2 - asin(x) for |x| <= 1/2; from asin(sqrt((1 - |x|) / 2)) beyond."""
    a = absolute(x)
    outer = a > 0.5
    z = select(outer, 0.5 * (1.0 - a), a * a)
    s = select(outer, square_root(z), x)
    tail = s * z * polynomial(z, ASIN_TAIL[x.dtype])
    high, low = (as_type(part, x.dtype) for part in PI_HALF_PARTS[x.dtype])
    inner = high - (s - (low - tail))
    near_one = 2.0 * (s + tail)
    near_minus_one = 2.0 * (high - (s - (low - tail)))
    return select(outer, select(x < 0.0, near_minus_one, near_one), inner)


acos_f32, acos_f64 = helper(inverse_cosine, "acos_f32"), helper(inverse_cosine, "acos_f64")


def angle(numerator: Scalar, denominator: Scalar, start: Scalar, start_low: Scalar) -> Scalar:
    """start + atan(numerator / denominator), for quotients up to tan(pi/8)."""
    t = numerator / denominator
    z = t * t
    return start + (t + fma(t * z, polynomial(z, ATAN_TAIL[t.dtype]), start_low))


def inverse_tangent(x: Scalar) -> Scalar:
    """Inverse tangent. From pi/2, pi/4 or 0 and one quotient of at most tan(pi/8) (Cephes's ranges)."""
    a = absolute(x)
    constant = functools.partial(as_type, dtype=x.dtype)
    steep, middle = a > 2.414213562373095, a > 0.4142135623730950
    high, low = PI_HALF_PARTS[x.dtype]
    numerator = select(steep, constant(-1.0), select(middle, a - 1.0, a))
    denominator = select(steep, a, select(middle, a + 1.0, constant(1.0)))
    start = select(steep, constant(high), select(middle, constant(high / 2), constant(0.0)))
    start_low = select(steep, constant(low), select(middle, constant(low / 2), constant(0.0)))
    return with_sign_of(angle(numerator, denominator, start, start_low), x)


atan_f32, atan_f64 = helper(inverse_tangent, "atan_f32"), helper(inverse_tangent, "atan_f64")


def inverse_tangent_of_quotient(y: Scalar, x: Scalar) -> Scalar:
    """The angle of the point (x, y), from -pi to pi, with C's special values."""
    constant = functools.partial(as_type, dtype=x.dtype)
    number = FORMAT[x.dtype]
    high, low = PI_HALF_PARTS[x.dtype]
    a, b = absolute(y), absolute(x)
    both_infinite = (a == inf) & (b == inf)
    a, b = select(both_infinite, constant(1.0), a), select(both_infinite, constant(1.0), b)
    swap = a > b
    small, large = select(swap, b, a), select(swap, a, b)
    lift = select(large < 2.0**-number.half_range, constant(2.0**number.half_range), constant(1.0))
    factor = select(large > 2.0 ** (number.bias - 1), constant(0.25), lift)  # neither the sum nor a product leaves the range
    small, large = small * factor, large * factor
    middle = small > large * 0.4142135623730950
    numerator = select(middle, small - large, small)
    denominator = select(middle, small + large, select(large == 0.0, constant(1.0), large))
    start, start_low = select(middle, constant(high / 2), constant(0.0)), select(middle, constant(low / 2), constant(0.0))
    first = angle(numerator, denominator, start, start_low)
    first = select(swap, constant(high) - (first - low), first)
    left = bits_of(x) < 0
    result = select(left, constant(2 * high) - (first - 2 * low), first)
    return with_sign_of(result, y)


atan2_f32, atan2_f64 = helper(inverse_tangent_of_quotient, "atan2_f32"), helper(inverse_tangent_of_quotient, "atan2_f64")


# --- powers and roots -------------------------------------------------------------------------------------------------------


def power_domain(x: Scalar, y: Scalar, magnitude: Scalar) -> Scalar:
    """x**y from |x|**y: signs and the special values of C's pow."""
    constant = functools.partial(as_type, dtype=x.dtype)
    half = 0.5 * y
    whole = round_to_zero(y) == y
    odd = whole & (round_to_zero(half) != half) & (absolute(y) < inf)
    negative = bits_of(x) < 0
    result = select(negative & odd, -magnitude, magnitude)
    result = select((x < 0.0) & ~whole & (x > -inf), constant(nan), result)
    result = select((absolute(x) == 1.0) & (absolute(y) == inf), constant(1.0), result)
    return select((y == 0.0) | (x == 1.0), constant(1.0), result)


LOG2_TAIL = (0.9617966939259756, 0.5770780163555853, 0.4121985831111324, 0.3205988979753252, 0.2623081892525388)
# 2/ln2 * (1/3, 1/5, ...): atanh's series, cut after s**11 and so within 2**-36 on the interval, for float32 alone


@helper
def pow_f32(x: Scalar, y: Scalar) -> Scalar:
    """x**y, with C's special values. 2**(y log2|x|) in float64 with polynomials that suffice for float32."""
    a = absolute(x)
    wide = convert(a, f64)
    shifted = bits_of(wide, signed=False) + (FORMAT[f64].one - FORMAT[f64].root_half)
    e = exponent_as_float(shifted) - 1023.0
    m = float_of((shifted & FORMAT[f64].fraction_mask) + FORMAT[f64].root_half)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    log2 = e + s * (2 / LN2 + z * polynomial(z, LOG2_TAIL))
    log2 = select(a > 0.0, select(a < inf, log2, wide), as_type(-inf, f64))
    log2 = select(a == a, log2, as_type(nan, f64))
    product = at_most(at_least(convert(y, f64) * log2, -200.0), 200.0)
    t = product + FORMAT[f64].magic
    r = (product - (t - FORMAT[f64].magic)) * LN2
    power = polynomial(r, (1.0, 1.0, 0.5, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320)) * power_of_two(t, 0)
    return power_domain(x, y, convert(power, f32))


@helper
def pow_f64(x: Scalar, y: Scalar) -> Scalar:
    """x**y, with C's special values. log2|x| and its product with y as unevaluated sums of two numbers."""
    a = absolute(x)
    subnormal = a < FORMAT[f64].smallest_normal
    biased, m = split_exponent(select(subnormal, a * 2.0**52, a))
    e = biased - select(subnormal, as_type(1075.0, f64), as_type(1023.0, f64))
    log2, log2_low = logarithm_in_two_parts(m)
    log2, carry = fast_two_sum_or_first(e, log2)
    log2_low = log2_low + carry
    log2, log2_low = fast_two_sum(log2, log2_low)
    log2 = select(a > 0.0, select(a < inf, log2, a), as_type(-inf, f64))
    log2 = select(a == a, log2, as_type(nan, f64))
    product, error = two_product(y, log2)
    error = fma(y, log2_low, error)
    product = at_most(at_least(product, -1100.0), 1100.0)
    t = product + FORMAT[f64].magic
    fraction = product - (t - FORMAT[f64].magic)
    error = select(absolute(error) < 1.0, error, as_type(0.0, f64))  # where it is not, the result is 0, infinite or NaN
    r = fraction * LN2
    r_low = fma(fraction, as_type(LN2, f64), -r) + fma(fraction, as_type(2.3190468138462996e-17, f64), error * LN2)
    grown = exponential_less_one(r)
    power = 1.0 + fma(r_low, 1.0 + grown, grown)
    return power_domain(x, y, scale(power, t, product < 0.0))


def fast_two_sum_or_first(e: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    """(s, error) of e + b for an integer e and |b| < 1; the order of magnitudes holds unless e is 0, where the error is 0."""
    s = e + b
    return s, b - (s - e)


def logarithm_in_two_parts(m: Scalar) -> tuple[Scalar, Scalar]:
    """(high, low): log2(m) for m in [sqrt(1/2), sqrt(2)), to about 2**-66 of its value.

    With s = (m - 1) / (m + 1), log(m) = 2s + 2/3 s**3 + s**5 P(s**2); the first two terms in two parts each.
    """
    numerator, (denominator, denominator_low) = m - 1.0, two_sum(m, as_type(1.0, f64))
    s = numerator / denominator
    s_low = (fma(-s, denominator, numerator) - s * denominator_low) / denominator
    z, z_low = two_product(s, s)
    z_low = fma(s + s, s_low, z_low)
    # the factor of s: 2 + z (2/3 + z P(z))
    third, third_low = 0.6666666666666666, 3.700743415417188e-17
    rest = z * polynomial(z, ATANH_REST)
    inner, inner_low = fast_two_sum(as_type(third, f64), rest)
    inner_low = inner_low + third_low
    term, term_low = two_product(z, inner)
    term_low = fma(z, inner_low, fma(z_low, inner, term_low))
    factor, factor_low = fast_two_sum(as_type(2.0, f64), term)
    factor_low = factor_low + term_low
    log, log_low = two_product(s, factor)
    log_low = fma(s, factor_low, fma(s_low, factor, log_low))
    log, log_low = fast_two_sum(log, log_low)
    inverse, inverse_low = 1 / LN2, 2.0355273740931033e-17
    high, low = two_product(log, as_type(inverse, f64))
    return fast_two_sum(high, fma(log, as_type(inverse_low, f64), fma(log_low, as_type(inverse, f64), low)))


ATANH_REST = (  # (2 atanh(s) - 2s - 2/3 s**3) / s**5 as a polynomial in s**2: own minimax fit, error 2**-66 of the logarithm
    0.3999999999999998, 0.28571428571445234, 0.2222222221750729, 0.18181818873842118, 0.15384556632955748, 0.13336326501642012,
    0.116746353116249, 0.11990531248683192,
)  # fmt: skip


def cube_root(x: Scalar) -> Scalar:
    """cbrt(x): |x| = m 8**q with m in [1, 8), a cubic in m, Halley's steps, a last correction by the residual."""
    number = FORMAT[x.dtype]
    a = absolute(x)
    tiny = a < number.smallest_normal
    lift = 3 * (number.fraction_bits // 3 + 1)
    lifted = bits_of(select(tiny, a * 2.0**lift, a), signed=False)
    exponent = exponent_as_float(lifted) - number.bias
    q = round_down(exponent * as_type(1 / 3, x.dtype) + as_type(1 / 6, x.dtype))
    left_over = exponent - 3.0 * q
    m = float_of((lifted & number.fraction_mask) | number.one)
    m = m * select(left_over > 1.5, as_type(4.0, x.dtype), select(left_over > 0.5, as_type(2.0, x.dtype), as_type(1.0, x.dtype)))
    root = polynomial(m, (0.681873468979402, 0.3643027418140179, -0.04324357102850201, 0.0023078689811443535))
    for _ in range(1 if x.dtype == f32 else 2):  # Halley: each step trebles the 7.6 bits
        cube = root * root * root
        root = root - root * (cube - m) / (2.0 * cube + m)
    square = root * root
    residual = fma(square, root, -m) + fma(root, root, -square) * root
    root = root - residual / (3.0 * square)
    shift = q - select(tiny, as_type(lift // 3, x.dtype), as_type(0.0, x.dtype))
    result = root * power_of_two(shift + as_type(number.magic, x.dtype), 0)
    return select((a > 0.0) & (a < inf), with_sign_of(result, x), x + x)


cbrt_f32, cbrt_f64 = helper(cube_root, "cbrt_f32"), helper(cube_root, "cbrt_f64")


sqrt_f32, sqrt_f64 = helper(square_root, "sqrt_f32"), helper(square_root, "sqrt_f64")


def reciprocal_square_root(x: Scalar) -> Scalar:
    """1 / sqrt(x): two correctly rounded instructions."""
    return 1.0 / square_root(x)


rsqrt_f32, rsqrt_f64 = helper(reciprocal_square_root, "rsqrt_f32"), helper(reciprocal_square_root, "rsqrt_f64")


# --- error function ---------------------------------------------------------------------------------------------------------

ERF_TAIL = {  # erf(x) / x - 1 as a polynomial in x**2, for |x| < ERF_INNER: own minimax fits, errors 2**-30 and 2**-56
    f32: (0.12837917, -0.3761263, 0.11283625, -0.026855666, 0.0051922193, -0.0008047684, 7.98878e-05),
    f64: (
        0.12837916709551256, -0.37612638903183543, 0.11283791670945154, -0.02686617064325955, 0.00522397760728112,
        -0.000854832598263164, 0.00012055295102651158, -1.4924740363318881e-05, 1.6447463309055572e-06, -1.620875016281208e-07,
        1.3721096645546294e-08, -7.797613151334532e-10,
    ),
}  # fmt: skip
ERF_INNER = {f32: 0.9375, f64: 1.0}
ERFC_CENTRE = {f32: 2.0, f64: 4.0}
ERFC_FACTOR = {  # (1 + 2x) e**(x**2) erfc(x) as a polynomial in (x - centre) / (x + centre): own minimax fits, 2**-26, 2**-54
    f32: (
        1.2769784, -0.092763916, -0.16603094, 0.1640546, -0.05420753, -0.008057997, 0.008640121, 0.0013139944, -0.0012375546,
        -0.00040419967,
    ),
    f64: (
        1.2329951186255526, -0.13962111684056322, 0.015379652102607345, 0.06809705425476699, -0.10103906603561905,
        0.09373283499608928, -0.06633036582717772, 0.037167515567690074, -0.01619773388881613, 0.005031969769739727,
        -0.0007577744063508635, -0.00019925592605409863, 0.00015062627315019648, -2.4400535178491235e-05, -1.123404249988014e-05,
        5.709533724905428e-06, 3.1352557236188504e-07, -8.204679992174872e-07, 5.535624741567523e-08, 1.0167443681887857e-07,
        -8.063226922255013e-09, -8.4072135156773e-09,
    ),
}  # fmt: skip
ERFC_VANISHES = {f32: 10.1, f64: 27.3}


def complement_of_error_function(a: Scalar) -> Scalar:
    """erfc(a) for a >= 0: e**(-a**2) with the square in two parts, times a polynomial over 1 + 2a."""
    number = FORMAT[a.dtype]
    a = at_most(a, ERFC_VANISHES[a.dtype])
    square, square_low = two_product(a, a)
    t, r = reduce_by_ln2(-square)
    centre = ERFC_CENTRE[a.dtype]
    denominator = a + centre
    factor = polynomial((a - centre) / denominator, ERFC_FACTOR[a.dtype]) / (1.0 + 2.0 * a)
    grown = exponential_less_one(r)
    power = 1.0 + fma(-square_low, 1.0 + grown, grown)
    return (power * factor) * power_of_two(t, number.half_range) * 2.0**-number.half_range


def inner_error_function(x: Scalar) -> Scalar:
    """erf(x) for |x| < ERF_INNER."""
    return fma(x, polynomial(x * x, ERF_TAIL[x.dtype]), x)


ERF_OUTER_F32 = (  # -log(erfc(x)) / x on [0.9, 4]: own minimax fit, error 2**-30 of erf(x)
    1.128641, 0.6351813, 0.10618793, -0.023720466, 0.0036230506, -0.00031809162, 1.0766273e-05,
)  # fmt: skip


@helper
def erf_f32(x: Scalar) -> Scalar:
    """Error function: an odd polynomial inside, 1 - e**P(|x|) outside."""
    a = at_most(absolute(x), 4.0)
    t, r = reduce_by_ln2(-a * polynomial(a, ERF_OUTER_F32))
    outer = 1.0 - power_of_two(t, 0) * (1.0 + exponential_less_one(r))
    return select(a < ERF_INNER[f32], inner_error_function(x), with_sign_of(outer, x))


@helper
def erf_f64(x: Scalar) -> Scalar:
    """Error function: an odd polynomial inside, 1 - erfc(|x|) outside."""
    a = absolute(x)
    outer = with_sign_of(1.0 - complement_of_error_function(a), x)
    return select(a < ERF_INNER[f64], inner_error_function(x), outer)


def complementary_error_function(x: Scalar) -> Scalar:
    """1 - erf(x): e**(-x**2) times a polynomial over 1 + 2x (the form of Shepherd & Laframboise)."""
    outer = complement_of_error_function(absolute(x))
    return select(absolute(x) < 0.25, 1.0 - inner_error_function(x), select(x < 0.0, 2.0 - outer, outer))


erfc_f32, erfc_f64 = helper(complementary_error_function, "erfc_f32"), helper(complementary_error_function, "erfc_f64")


ERFINV_INNER = (  # erfinv(x) / x as a polynomial in w - 5/2, w = -log(1 - x**2) up to 5: own fit, error 2**-27
    1.5014093588286097, 0.24664029610078533, -0.004177384243261247, -0.00125276367593121, 0.00021834229771560255,
    -4.95055160643456e-06, -3.46213652574027e-06, 4.6340213306686387e-07, 2.31860118981858e-08, -8.592048560059046e-09,
)  # fmt: skip
ERFINV_OUTER = (  # the same in sqrt(w) - 4, w up to 38: own fit, error 2**-22
    3.839783937901595, 1.0094930059404002, 0.0012565669767612715, -0.0008668121246871286, 0.0003331048118111539,
    -0.00012415969028936716, 3.934078998241904e-05, -2.4159226191264175e-05, 2.8349567563929546e-05, -1.453673411286855e-05,
    7.087670400844345e-07, 1.4719657471674832e-06, -3.139023650147469e-07,
)  # fmt: skip


def inverse_error_function(x: Scalar) -> Scalar:
    """Inverse error function: Giles's form, then one of Halley's steps, on erfc where the residual of erf would cancel."""
    a = absolute(x)
    w = -logarithm_of_one_plus(-a * a)
    w = select(a > 0.5, -natural_logarithm((1.0 - a) * (1.0 + a)), w)
    z = a * select(w < 5.0, polynomial(w - 2.5, ERFINV_INNER), polynomial(square_root(w) - 4.0, ERFINV_OUTER))
    residual = select(a > 0.75, (1.0 - a) - complement_of_error_function(z), inner_error_function(z) - a)
    newton = residual * exponential(z * z) * (math.sqrt(math.pi) / 2)
    z = z - newton / (1.0 + z * newton)
    result = select(a == 1.0, as_type(inf, x.dtype), select(a < 1.0, z, as_type(nan, x.dtype)))
    return select(a < 2.0**-500, x * (math.sqrt(math.pi) / 2), with_sign_of(result, x))


@helper
def erfinv_f32(x: Scalar) -> Scalar:
    """Inverse error function, by way of float64."""
    return convert(inverse_error_function(convert(x, f64)), f32)


erfinv_f64 = helper(inverse_error_function, "erfinv_f64")


# --- gamma function ---------------------------------------------------------------------------------------------------------

LGAMMA_CENTRE = (  # log(gamma(x)) / ((x - 1) (x - 2)) as a polynomial in x - 3/2 on [1, 2]: own minimax fit, error 2**-55
    0.4831289505409809, -0.1459598959143058, 0.06291140107458205, -0.031308487501087556, 0.016797098628941964,
    -0.009425622442416301, 0.005446457958529663, -0.003212074297821404, 0.0019229132083841399, -0.0011644100390571486,
    0.0007115654257450071, -0.0004380487841813248, 0.0002708923057812019, -0.00016848797349897635, 0.00010772624257596126,
    -6.824383482075685e-05, 3.496592499255196e-05, -2.087476961313892e-05, 2.8361045534700456e-05, -1.9043898216899554e-05,
)  # fmt: skip
DIGAMMA_ROOT, DIGAMMA_ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17
DIGAMMA_CENTRE = (  # digamma(x) / (x - root) as a polynomial in x - 3/2 on [1, 2]: own minimax fit, error 2**-53
    0.951055876031833, -0.4236274212814607, 0.2405424842407739, -0.1484049230538503, 0.0949887244549844, -0.06192213327813219,
    0.040760833810201576, -0.026975796555028544, 0.01790725249733006, -0.011908222387566801, 0.007926943779751375,
    -0.0052799073849468916, 0.003519014298602712, -0.002345739848123422, 0.0015565872241882694, -0.0010351885116059,
    0.0007234782818072657, -0.0004899846281549143, 0.0002269472385312927, -0.00013763411847199673, 0.0002599138946651731,
    -0.00018368370991179772,
)  # fmt: skip
LGAMMA_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)  # Stirling's, in 1/x**2
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)  # in 1/x**2
GAMMA_SHIFTS = 9  # an argument below 10 goes down to [1, 2) in so many steps; above, the series are exact enough


def log_gamma_of_positive(x: Scalar) -> Scalar:
    """log(gamma(x)) for x > 0: Stirling's series from 10 on; below, the logarithm of the factors down to [1, 2)."""
    constant = functools.partial(as_type, dtype=x.dtype)
    large, fraction = x >= 10.0, x < 1.0
    y, product = select(fraction, constant(1.0), x), select(fraction, x, constant(1.0))
    for _ in range(GAMMA_SHIFTS - 1):
        above = y >= 2.0
        y = select(above, y - 1.0, y)
        product = select(above, product * y, product)
    log = natural_logarithm(select(large, x, product))
    d = select(fraction, x, y - 1.0)  # the place in [1, 2), less 1: x + 1 would be rounded
    near = d * (d - 1.0) * polynomial(d - 0.5, LGAMMA_CENTRE)
    inverse = 1.0 / x
    series = inverse * polynomial(inverse * inverse, LGAMMA_SERIES)
    far = (x - 0.5) * (log - 1.0) + (series + (0.5 * math.log(2 * math.pi) - 0.5))
    return select(x < inf, select(large, far, near + select(fraction, -log, log)), x)


def sine_and_cosine_of_pi(x: Scalar) -> tuple[Scalar, Scalar]:
    """(sin(pi x), cos(pi x)) up to a common sign, the argument reduced exactly."""
    k = round_to_even(2.0 * x)
    r = (x - 0.5 * k) * math.pi
    odd = k - 2.0 * round_down(0.5 * k) == 1.0
    s, c = sine_on_quadrant(r), cosine_on_quadrant(r)
    return select(odd, c, s), select(odd, -s, c)


def log_gamma(x: Scalar) -> Scalar:
    """log|gamma(x)|, by reflection for negative x; infinite at 0, -1, -2, ..."""
    a = absolute(x)
    positive = log_gamma_of_positive(a)
    s, _ = sine_and_cosine_of_pi(a)
    reflected = -natural_logarithm(absolute(s) * a * (1 / math.pi)) - positive
    reflected = select(a == round_down(a), as_type(inf, x.dtype), reflected)
    reflected = select(a < 2.0**-60, -natural_logarithm(a), reflected)
    return select((x > 0.0) | (x != x), positive, reflected)


@helper
def lgamma_f32(x: Scalar) -> Scalar:
    """log|gamma(x)|, by way of float64."""
    return convert(log_gamma(convert(x, f64)), f32)


@helper
def lgamma_f64(x: Scalar) -> Scalar:
    """log|gamma(x)|: a polynomial on [1, 2], steps down to there below 10, Stirling's series beyond, reflection below 0."""
    return log_gamma(x)


def digamma_of_positive(x: Scalar) -> Scalar:
    """digamma(x) for x > 0: the asymptotic series from 10 on; below, the sum of reciprocals on the way to [1, 2)."""
    constant = functools.partial(as_type, dtype=x.dtype)
    large, fraction = x >= 10.0, x < 1.0
    y = select(fraction, constant(1.0), x)
    numerator, denominator = select(fraction, constant(-1.0), constant(0.0)), select(fraction, x, constant(1.0))
    for _ in range(GAMMA_SHIFTS - 1):
        above = y >= 2.0
        y = select(above, y - 1.0, y)
        numerator = select(above, numerator * y + denominator, numerator)
        denominator = select(above, denominator * y, denominator)
    d = select(fraction, x, y - 1.0)  # the place in [1, 2), less 1: x + 1 would be rounded
    near = ((d - (DIGAMMA_ROOT - 1.0)) - DIGAMMA_ROOT_LOW) * polynomial(d - 0.5, DIGAMMA_CENTRE) + numerator / denominator
    inverse = 1.0 / x
    square = inverse * inverse
    far = natural_logarithm(x) - (0.5 * inverse + square * polynomial(square, DIGAMMA_SERIES))
    return select(large, far, near)


def di_gamma(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)); by reflection for negative x; NaN at -1, -2, ..., infinite at 0."""
    negative = x < 0.0
    positive = digamma_of_positive(select(negative, 1.0 - x, x))
    s, c = sine_and_cosine_of_pi(x)
    reflected = select(x == round_down(x), as_type(nan, x.dtype), positive - math.pi * c / s)
    return select(x == 0.0, with_sign_of(as_type(inf, x.dtype), -x), select(negative, reflected, positive))


@helper
def digamma_f32(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)), by way of float64."""
    return convert(di_gamma(convert(x, f64)), f32)


@helper
def digamma_f64(x: Scalar) -> Scalar:
    """The derivative of log(gamma(x)): a polynomial on [1, 2], steps down to there below 10, the asymptotic series beyond."""
    return di_gamma(x)


# --- rounding, comparing, remainders ----------------------------------------------------------------------------------------


floor_f32, floor_f64 = helper(round_down, "floor_f32"), helper(round_down, "floor_f64")


ceil_f32, ceil_f64 = helper(round_up, "ceil_f32"), helper(round_up, "ceil_f64")


trunc_f32, trunc_f64 = helper(round_to_zero, "trunc_f32"), helper(round_to_zero, "trunc_f64")


round_f32, round_f64 = helper(round_to_even, "round_f32"), helper(round_to_even, "round_f64")


maximum_f32, maximum_f64 = helper(greater, "maximum_f32", operands=2), helper(greater, "maximum_f64", operands=2)


minimum_f32, minimum_f64 = helper(lesser, "minimum_f32", operands=2), helper(lesser, "minimum_f64", operands=2)


abs_f32, abs_f64 = helper(absolute, "abs_f32"), helper(absolute, "abs_f64")


copysign_f32, copysign_f64 = helper(with_sign_of, "copysign_f32", operands=2), helper(with_sign_of, "copysign_f64", operands=2)


def sign_of(x: Scalar) -> Scalar:
    """1, -1 or 0; NaN for NaN."""
    one = as_type(1.0, x.dtype)
    return select(x > 0.0, one, select(x < 0.0, -one, select(x == 0.0, as_type(0.0, x.dtype), x)))


sign_f32, sign_f64 = helper(sign_of, "sign_f32"), helper(sign_of, "sign_f64")


def floored_remainder(x: Scalar, y: Scalar) -> Scalar:
    """np.mod: x - floor(x / y) y with the sign of y, exact for |x / y| < 2**100 (beyond, 0): two steps of 50 bits each."""
    remainder = x
    for _ in range(2):
        quotient = round_to_zero(remainder / y)
        remainder = select(absolute(quotient) < inf, fma(-quotient, y, remainder), remainder)
    remainder = select((absolute(y) == inf) & (absolute(x) < inf), x, remainder)
    remainder = select((absolute(x) < inf) & (absolute(y) > 0.0), remainder, as_type(nan, x.dtype))
    remainder = select(absolute(remainder) > absolute(y), as_type(0.0, x.dtype), remainder)  # a quotient beyond 2**100
    wrong = (remainder != 0.0) & ((remainder < 0.0) != (y < 0.0))
    return select(remainder == 0.0, with_sign_of(remainder, y), select(wrong, remainder + y, remainder))


@helper
def mod_f32(x: Scalar, y: Scalar) -> Scalar:
    """np.mod(x, y): the remainder with the sign of y, by way of float64."""
    return convert(floored_remainder(convert(x, f64), convert(y, f64)), f32)


@helper
def mod_f64(x: Scalar, y: Scalar) -> Scalar:
    """np.mod(x, y): the remainder with the sign of y."""
    return floored_remainder(x, y)


# --- bits -------------------------------------------------------------------------------------------------------------------


bits_of_f32 = helper(bits_of, "bits_of_f32", operands=1, result_dtype=i32)
bits_of_f64 = helper(bits_of, "bits_of_f64", operands=1, result_dtype=i64)
float_of_i32 = helper(float_of, "float_of_i32", result_dtype=f32)
float_of_i64 = helper(float_of, "float_of_i64", result_dtype=f64)


# --- integers ---------------------------------------------------------------------------------------------------------------


def unsigned(dtype: np.dtype) -> np.dtype:
    """The unsigned integer of the same size."""
    return np.dtype(f"u{dtype.itemsize}")


def floored_quotient(x: Scalar, y: Scalar) -> Scalar:
    """x // y as NumPy has it: towards minus infinity, 0 for y == 0, the least integer // -1 is itself.

    Up to 32 bits the quotient comes from a float division, which is exact enough and, unlike an integer division, vectorises.
    """
    if not is_traced(x):
        return np.floor_divide(x, y)
    special = y == 0
    if x.dtype.kind == "i":
        special = special | (y == -1)
    divisor = select(special, as_type(1, x.dtype), y)
    if x.dtype.itemsize == 8:
        quotient = floored_quotient_64(x, divisor)
    elif x.dtype.itemsize == 4:
        bits = bits_of(round_down(convert(x, f64) / convert(divisor, f64)) + FORMAT[f64].magic)
        quotient = convert(bits, x.dtype)
    else:
        quotient = convert(convert(round_down(convert(x, f32) / convert(divisor, f32)), i32), x.dtype)
    if x.dtype.kind == "i":
        quotient = select(special, -x, quotient)
    return select(y == 0, as_type(0, x.dtype), quotient)


def floored_quotient_64(x: Traced, divisor: Traced) -> Traced:
    """x // divisor by the machine's division, for divisors that cannot trap."""
    quotient = x.arithmetic(divisor, "", "sdiv", "udiv")
    if x.dtype.kind == "u":
        return quotient
    remainder = x - quotient * divisor
    below = (remainder != 0) & ((remainder ^ divisor) < 0)
    return select(below, quotient - 1, quotient)


def floored_integer_remainder(x: Scalar, y: Scalar) -> Scalar:
    """x % y as NumPy has it: the sign of y, 0 for y == 0."""
    if not is_traced(x):
        return np.remainder(x, y)
    return select(y == 0, as_type(0, x.dtype), x - floored_quotient(x, y) * y)


def integer_power(x: Scalar, y: Scalar) -> Scalar:
    """x**y, wrapping around; for a negative exponent what truncation leaves: 0, or 1 and -1 for the bases 1 and -1."""
    dtype = x.dtype
    base, exponent = convert(x, unsigned(dtype)), convert(y, unsigned(dtype))
    if dtype.kind == "u":
        return power_by_squaring(base, exponent)
    positive = convert(power_by_squaring(base, select(y < 0, as_type(0, unsigned(dtype)), exponent)), dtype)
    one, zero = as_type(1, dtype), as_type(0, dtype)
    of_minus_one = select((y & 1) == 0, one, -one)
    return select(y < 0, select(x == 1, one, select(x == -1, of_minus_one, zero)), positive)


def power_by_squaring(base: Scalar, exponent: Scalar) -> Scalar:
    """base**exponent for unsigned integers: the one function here with a loop, as long as the exponent has bits."""
    if not is_traced(base):
        result = np.ones_like(base * exponent)
        while np.any(exponent != 0):
            result = np.where((exponent & base.dtype.type(1)) != 0, result * base, result)
            base, exponent = base * base, exponent >> base.dtype.type(1)
        return result[()]
    builder, dtype = base.builder, base.dtype
    before = builder.block
    loop, after = builder.append_basic_block("square"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    nodes = [builder.phi(llvm_type(dtype)) for _ in range(3)]
    result, square, rest = (Traced(builder, node, dtype) for node in nodes)
    next_values = (select((rest & 1) == 0, result, result * square), square * square, rest >> 1)
    for node, first, following in zip(nodes, (base.like(1), base, exponent), next_values, strict=True):
        node.add_incoming(first.value, before)
        node.add_incoming(following.value, loop)
    builder.cbranch((next_values[2] != 0).value, loop, after)
    builder.position_at_end(after)
    return next_values[0]


floordiv_i8 = helper(floored_quotient, "floordiv_i8")
floordiv_i16 = helper(floored_quotient, "floordiv_i16")
floordiv_i32 = helper(floored_quotient, "floordiv_i32")
floordiv_i64 = helper(floored_quotient, "floordiv_i64")
floordiv_u8 = helper(floored_quotient, "floordiv_u8")
floordiv_u16 = helper(floored_quotient, "floordiv_u16")
floordiv_u32 = helper(floored_quotient, "floordiv_u32")
floordiv_u64 = helper(floored_quotient, "floordiv_u64")
mod_i8 = helper(floored_integer_remainder, "mod_i8")
mod_i16 = helper(floored_integer_remainder, "mod_i16")
mod_i32 = helper(floored_integer_remainder, "mod_i32")
mod_i64 = helper(floored_integer_remainder, "mod_i64")
mod_u8 = helper(floored_integer_remainder, "mod_u8")
mod_u16 = helper(floored_integer_remainder, "mod_u16")
mod_u32 = helper(floored_integer_remainder, "mod_u32")
mod_u64 = helper(floored_integer_remainder, "mod_u64")
pow_i8 = helper(integer_power, "pow_i8")
pow_i16 = helper(integer_power, "pow_i16")
pow_i32 = helper(integer_power, "pow_i32")
pow_i64 = helper(integer_power, "pow_i64")
pow_u8 = helper(integer_power, "pow_u8")
pow_u16 = helper(integer_power, "pow_u16")
pow_u32 = helper(integer_power, "pow_u32")
pow_u64 = helper(integer_power, "pow_u64")
