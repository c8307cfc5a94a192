"""Tracing: how one plain Python function is both LLVM code that loops inline and a function of NumPy values.

The helpers of vector maths (`vector_math`, `special_math`, `integer_math`) are written with Python's operators and with the
operations of this module (`select`, `fma`, `bits_of`, `convert`, ...), and `helper` makes them callable. Each is run in one of
two ways:

* Called from a kernel, the function is *traced* with `Traced` operands, whose operators emit LLVM instructions. Our own compiler
  (`direct`) traces it into the kernel; for numba (`numba_helpers`) it is traced once into a function of its own, which the
  kernel's library links. Nothing infers types inside, and the kernel's fast-math flags never reach the instructions, so
  compensated arithmetic stays as written. Literals take the type of the other operand.
* Called from Python, with or without NUMBA_DISABLE_JIT, it runs as it stands on NumPy scalars or arrays (`helper.py_func` is
  the helper itself). Both ways do the same IEEE operations, except that a polynomial step may be fused when compiled.

So a helper has no branch on a value (`select` computes both sides), and what it asks of `x.dtype` is settled while tracing:

    @helper  # the suffix says the type of the operand and of the result
    def relu_f32(x):
        return select(x > 0.0, x, 0.0 * x)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphflow.codegen.accuracy import ULP_BOUNDS
from graphflow.codegen.assembly import DOUBLE, FLOAT, I1, Builder, Value, constant, split, suffix, with_lanes

f32, f64 = np.dtype(np.float32), np.dtype(np.float64)
i8, i16, i32, i64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
u8, u16, u32, u64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
boolean = np.dtype(np.bool_)

DTYPES: dict[str, np.dtype] = {"f32": f32, "f64": f64, "i8": i8, "i16": i16, "i32": i32, "i64": i64}
DTYPES |= {"u8": u8, "u16": u16, "u32": u32, "u64": u64}
SIGNED_BITS = {f32: i32, f64: i64}  # the integer that holds a float's bits
UNSIGNED_BITS = {f32: u32, f64: u64}

Scalar = Any  # a Traced value, a NumPy scalar or a NumPy array


_TYPES = {f32: FLOAT, f64: DOUBLE, boolean: I1}


def llvm_type(dtype: np.dtype) -> str:
    """The LLVM type of a NumPy dtype; booleans are i1."""
    return _TYPES.get(dtype) or f"i{8 * dtype.itemsize}"


# Of floats, of signed and of unsigned integers.
_CONDITIONS = {
    "<": ("fcmp olt", "icmp slt", "icmp ult"),
    "<=": ("fcmp ole", "icmp sle", "icmp ule"),
    ">": ("fcmp ogt", "icmp sgt", "icmp ugt"),
    ">=": ("fcmp oge", "icmp sge", "icmp uge"),
    "==": ("fcmp oeq", "icmp eq", "icmp eq"),
    "!=": ("fcmp une", "icmp ne", "icmp ne"),
}


class Traced:
    """A value in LLVM code under construction: each Python operator on it emits one instruction."""

    __slots__ = ("builder", "dtype", "value")
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the operation to us

    def __init__(self, builder: Builder, value: Value, dtype: np.dtype) -> None:
        self.builder, self.value, self.dtype = builder, value, dtype

    def like(self, other: Any) -> Traced:
        """`other` as a value of this dtype: itself, or a constant made from a literal."""
        if isinstance(other, Traced):
            assert other.dtype == self.dtype, f"operands of {self.dtype} and {other.dtype}"
            return other
        assert not isinstance(other, np.generic) or other.dtype == self.dtype, f"operands of {self.dtype} and {other.dtype}"
        with np.errstate(over="ignore"):
            literal = np.array(other, self.dtype).item()
        return Traced(self.builder, constant(self.type_of(self.dtype), literal), self.dtype)

    def type_of(self, dtype: np.dtype) -> str:
        """The LLVM type of values of a dtype, as many side by side as here."""
        return with_lanes(llvm_type(dtype), split(self.value.type)[1])

    def cast(self, operation: str, dtype: np.dtype) -> Traced:
        """The result of LLVM's conversion."""
        return Traced(self.builder, self.builder.cast(operation, self.value, self.type_of(dtype)), dtype)

    def call(self, intrinsic: str, *others: Any, flags: tuple[str, ...] = ()) -> Traced:
        """The result of LLVM's intrinsic function, overloaded on this dtype alone."""
        operands = [self.value, *(self.like(other).value for other in others)]
        kind = self.value.type
        return Traced(self.builder, self.builder.intrinsic(f"llvm.{intrinsic}.{suffix(kind)}", kind, operands, flags), self.dtype)

    def arithmetic(self, other: Any, on_floats: str, on_signed: str, on_unsigned: str, swapped: bool = False) -> Traced:
        left, right = self.value, self.like(other).value
        if swapped:
            left, right = right, left
        operation = {"f": on_floats, "i": on_signed, "u": on_unsigned, "b": on_signed}[self.dtype.kind]
        return Traced(self.builder, self.builder.binary(operation, left, right), self.dtype)

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
        if self.dtype.kind == "f":
            return Traced(self.builder, self.builder.negative(self.value), self.dtype)
        return self.like(0) - self

    def __invert__(self) -> Traced:
        return Traced(self.builder, self.builder.not_(self.value), self.dtype)

    def __and__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "and", "and")

    def __or__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "or", "or")

    def __xor__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "xor", "xor")

    def __lshift__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "shl", "shl")

    def __rshift__(self, other: Any) -> Traced:
        return self.arithmetic(other, "", "ashr", "lshr")

    def compare(self, spelling: str, other: Any) -> Traced:
        """Ordered comparison (False for NaN), except `!=`."""
        condition = _CONDITIONS[spelling][{"f": 0, "i": 1}.get(self.dtype.kind, 2)]
        return Traced(self.builder, self.builder.compare(condition, self.value, self.like(other).value), boolean)

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


@dataclass(frozen=True)
class Helper:
    """A helper as compilers need it: all operands have `dtype`."""

    name: str
    call: Callable[..., Any]
    function: Callable[..., Any]
    operands: int
    dtype: np.dtype
    result: np.dtype


HELPERS: dict[str, Helper] = {}  # all that were made so far, by name


def helper(
    function: Callable[..., Any],
    name: str = "",
    *,
    operands: int = 0,
    dtype: np.dtype | None = None,
    result_dtype: np.dtype | None = None,
) -> Callable[..., Any]:
    """The function, callable on NumPy values and from kernels; its name's suffix says the operands' type, or else `dtype`.

    All operands have that type, and so has the result unless `result_dtype` says another.
    """
    name = name or function.__name__
    dtype = dtype or DTYPES[name.rpartition("_")[2]]

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
    HELPERS[name] = Helper(name, call, function, operands or function.__code__.co_argcount, dtype, result_dtype or dtype)
    return call


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
    return Traced(a.builder, a.builder.select(condition.value, a.value, b.value), a.dtype)


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
    """c0 + c1 x + c2 x**2 + ... by Horner's rule; by Estrin's where one result waits for another, as its chain is shorter."""
    if isinstance(x, Traced) and x.builder.short_chains:
        return estrin(x, [as_type(c, x.dtype) for c in coefficients])
    total = multiply_add(x, as_type(coefficients[-1], x.dtype), as_type(coefficients[-2], x.dtype))
    for coefficient in coefficients[-3::-1]:
        total = multiply_add(total, x, as_type(coefficient, x.dtype))
    return total


def estrin(x: Scalar, terms: Sequence[Any]) -> Scalar:
    """The same in pairs, and pairs of pairs. Estrin, "Organization of computer systems", 1960."""
    while len(terms) > 1:
        pairs = [multiply_add(x, b, a) for a, b in itertools.pairwise(terms)][::2]
        terms = [*pairs, *terms[2 * len(pairs) :]]
        x = x * x
    return terms[0]


def as_type(literal: float, dtype: np.dtype) -> Scalar:
    """The literal as a NumPy scalar of the dtype."""
    return dtype.type(literal)


def intrinsic(spelling: str, reference: Callable[..., Any], result: str, flags: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The operation that LLVM calls `spelling` and NumPy computes by `reference`; its docstring is `result`."""

    def operation(x: Scalar, *others: Scalar) -> Scalar:
        if is_traced(x, *others):
            first, *rest = same(x, *others)
            return first.call(spelling, *rest, flags=flags)
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
# Of two zeros either may come out, as in NumPy: to tell them apart took half the time, and a branch at the end of a reduction.
greater = intrinsic("maximum", np.maximum, "The greater operand, NaN if either is; reductions vectorise with it", ("nsz",))
lesser = intrinsic("minimum", np.minimum, "The lesser operand, NaN if either is; reductions vectorise with it", ("nsz",))


def bits_of(x: Scalar, signed: bool = True) -> Scalar:
    """The integer with the bits of a float."""
    dtype = (SIGNED_BITS if signed else UNSIGNED_BITS)[x.dtype]
    if is_traced(x):
        return x.cast("bitcast", dtype)
    return x.view(dtype)


def float_of(bits: Scalar) -> Scalar:
    """The float with the bits of an integer."""
    dtype = f32 if bits.dtype.itemsize == 4 else f64
    if is_traced(bits):
        return bits.cast("bitcast", dtype)
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
    return x.cast(spelling, dtype)
