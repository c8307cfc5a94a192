"""How scalar functions are spelled in a kernel: index arithmetic and casts here, everything else in the op's own block."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from graphflow.ops.declare import REGISTRY
from graphflow.types import DType

SUFFIX = {
    "bool": "b1", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "uint16": "u16",
    "uint32": "u32", "uint64": "u64", "float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128",
    "float16": "u16", "bfloat16": "u16",
}  # fmt: skip

INDEX = {
    "index_add": "{0} + {1}",
    "index_mul": "{0} * {1}",
    "index_div": "index_div({0}, {1})",
    "index_mod": "index_mod({0}, {1})",
    "threefry": "threefry_{4}({0}, {1}, {2}, {3})",
}
SHORT = {  # what `loop.critical_path` makes of divisions and sums
    "quotient": "quotient_{t}({0}, {1}, {2})",
    "multiply_add": "multiply_add_{t}({0}, {1}, {2})",
}


def spelling(fn: str, dtype: DType) -> str:
    """The text of a scalar function on operands of `dtype`, with `{0}`, `{1}` for them."""
    if fn in INDEX:
        return INDEX[fn]
    template = SHORT.get(fn) or _template(fn, dtype.kind)
    return template.replace("{t}", SUFFIX[dtype.compute.name]).replace("{T}", constructor(dtype))


@cache
def _template(fn: str, kind: str) -> str:
    scalar = REGISTRY[fn].scalar
    if isinstance(scalar, str):
        return scalar
    assert scalar is not None and kind in scalar, f"{fn} has no spelling for {kind}"
    return scalar[kind]


def constructor(dtype: DType) -> str:
    """The name that makes a scalar of `dtype` in a kernel: `float32`."""
    return "bool" if dtype.is_bool else dtype.compute.name


def literal(value: Any, dtype: DType) -> str:
    """A typed number: `float32(0.5)`, `True`, `float64(inf)`."""
    if dtype.is_bool:
        return str(bool(value))
    name = constructor(dtype)
    if dtype.is_complex:
        number = complex(value)
        return (
            f"{name}(complex({number.real!r}, {number.imag!r}))"
            if all(map(math.isfinite, (number.real, number.imag)))
            else (f"{name}(complex({_real(number.real)}, {_real(number.imag)}))")
        )
    if dtype.is_floating:
        return f"{name}({_real(float(value))})"
    if name == "int64" and -(2**31) <= int(value) < 2**31:
        return str(int(value))
    return f"{name}({int(value)})"


def _real(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)


def cast(value: str, source: DType, target: DType) -> str:
    """The text of a conversion between dtypes."""
    source, target = source.compute, target.compute
    if source == target:
        return value
    if target.is_bool:
        return f"{value} != {literal(0, source)}"
    if source.is_complex and not target.is_complex:
        value = f"{value}.real"
    if target.is_complex:
        part = "float32" if target.name == "complex64" else "float64"
        return (
            f"{constructor(target)}({value})"
            if source.is_complex
            else f"{constructor(target)}(complex({part}({value}), {part}(0)))"
        )
    if source.is_floating and target.is_integer:
        return f"float_to_{SUFFIX[target.name]}({value})"
    return f"{constructor(target)}({value})"


def helper_names(text: str) -> set[str]:
    """The names a source text calls."""
    return set(re.findall(r"\b([a-z][a-z0-9_]*)\(", text))
