"""Running a kernel's source as plain Python, without compiling it: out-of-bounds accesses become Python errors.

    run_in_python(source, [x, out], dims, extent)

The intrinsics have twins here that work on NumPy arrays; helpers such as `exp_f32` are called as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from graphflow.codegen.emit import Source, helper_modules
from graphflow.codegen.scalar import SUFFIX

_DTYPES = {
    suffix: np.dtype("bool" if name == "bool" else name) for name, suffix in SUFFIX.items() if name not in ("float16", "bfloat16")
}


class CheckedBuffer:
    """A flat array that refuses indices outside it, negative ones too; adding bytes to it gives an address inside it."""

    def __init__(self, array: np.ndarray, start: int = 0) -> None:
        self.array = array.reshape(-1)
        self.start = start

    def __len__(self) -> int:
        return len(self.array)

    def _at(self, index: int) -> int:
        if not 0 <= index < len(self.array):
            raise IndexError(f"index {index} is outside a buffer of {len(self.array)} elements")
        return int(index)

    def __getitem__(self, index: int) -> Any:
        return self.array[self._at(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self.array[self._at(index)] = value

    def __add__(self, size: int) -> CheckedBuffer:
        return CheckedBuffer(self.array, self.start + size // self.array.itemsize)


def _gemm(
    address: int,
    ta: int,
    tb: int,
    m: int,
    n: int,
    k: int,
    alpha: Any,
    a: Any,
    lda: int,
    b: Any,
    ldb: int,
    beta: Any,
    c: Any,
    ldc: int,
) -> None:
    def matrix(buffer: CheckedBuffer, rows: int, columns: int, leading: int) -> np.ndarray:
        buffer._at(buffer.start + max(0, (rows - 1) * leading + columns - 1))
        item = buffer.array.itemsize
        return np.lib.stride_tricks.as_strided(buffer.array[buffer.start :], (rows, columns), (leading * item, item))

    left = matrix(a, k, m, lda).T if ta == 112 else matrix(a, m, k, lda)
    right = matrix(b, n, k, ldb).T if tb == 112 else matrix(b, k, n, ldb)
    out = matrix(c, m, n, ldc)
    out[...] = alpha * (left @ right) + (beta * out if beta else 0)


def _listed(
    function: int, rows: int, columns: int, outer: int, inner: int, a: Any, a_rows: Any, a_outer: int, a_inner: int, b: Any,
    b_outer: int, b_step: int, accumulate: int, c: Any, c_rows: Any,
) -> None:  # fmt: skip
    for r in range(rows):
        for column in range(columns):
            total = c[c.start + c_rows[r] + column] if accumulate else 0
            for o in range(outer):
                for i in range(inner):
                    of_a = a[a.start + a_rows[r] + o * a_outer + i * a_inner]
                    total = total + of_a * b[b.start + o * b_outer + i * b_step + column]
            c[c.start + c_rows[r] + column] = total


def _namespace(names: Sequence[str]) -> dict[str, Any]:
    """The functions a kernel imports, as Python."""
    found: dict[str, Any] = {
        "index_div": lambda a, b: a // b,
        "index_mod": lambda a, b: a % b,
        "gemm_f32": _gemm,
        "gemm_f64": _gemm,
        "address": lambda buffer: buffer,
        "call_address": lambda address, *arguments: 0,
        "listed_f32": _listed,
        "listed_f64": _listed,
    }
    for suffix, dtype in _DTYPES.items():
        found[f"buffer_{suffix}"] = lambda buffers, number: buffers[number]
        found[f"scratch_{suffix}"] = lambda size, scope, dtype=dtype: CheckedBuffer(np.zeros(size, dtype))
        if dtype.kind in "iu":
            found[f"float_to_{suffix}"] = lambda x, dtype=dtype: _saturating(x, dtype)

    def checked_index(index: int, size: int, errors: CheckedBuffer, site: int) -> int:
        if 0 <= index < size:
            return int(index)
        if not errors[0]:
            errors[0], errors[1], errors[2] = site, index, size
        return 0

    found["checked_index"] = checked_index
    for name in names:
        if name not in found:
            found[name] = helper_named(name)
    return found


def _saturating(x: Any, dtype: np.dtype) -> Any:
    info = np.iinfo(dtype)
    return dtype.type(0) if np.isnan(x) else dtype.type(int(min(max(float(x), float(info.min)), float(info.max))))


def helper_named(name: str) -> Callable[..., Any]:
    """The helper of that name: a function of NumPy values."""
    for module, known in helper_modules().items():
        if name in known and module != "intrinsics":  # those have no Python of their own, only a twin in `_namespace`
            return getattr(import_module(f"graphflow.codegen.{module}"), name)
    raise KeyError(f"no helper {name}")


def run_in_python(source: Source, arrays: Sequence[np.ndarray], dims: Sequence[int], extent: int) -> np.ndarray:
    """Run a kernel over all its units on flat arrays, written in place; the error record, of which element 0 is 0."""
    imported = [n.strip() for line in re.findall(r"^from graphflow\S+ import (.*)$", source.text, re.M) for n in line.split(",")]
    namespace = _namespace(imported)
    exec(compile(re.sub(r"^from graphflow.*$", "", source.text, flags=re.M), "<kernel as Python>", "exec"), namespace)
    errors = np.zeros(8, np.int64)
    buffers = [CheckedBuffer(a) for a in arrays]
    if source.kernel.checks:
        buffers.append(CheckedBuffer(errors))
    with np.errstate(all="ignore"):
        namespace["kernel"](buffers, list(dims), 0, extent)
    return errors
