"""How wide the vectors of a kernel's code are, as LLVM left it."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from importlib import import_module

_VECTOR = re.compile(r"= (?:fadd|fsub|fmul|fdiv|fcmp|fneg|load|call[^<]*|add|sub|mul|select[^<]*) (?:\w+ )*<(\d+) x (\w+)>")


@lru_cache(maxsize=4096)
def vector_width(source: str) -> tuple[int, str] | None:
    """(elements, their type) of the vectors that a kernel's code works on most; None where it works on single numbers.

    The kernel goes through LLVM once more for it, some tens of milliseconds.
    """
    direct, backend = import_module("graphflow.codegen.direct"), import_module("graphflow.codegen.backend")
    try:
        text = backend.Compilation(direct.assembly(source.replace("def kernel(", "def shown("), "shown")).optimized()
    except direct.Unsupported:
        text = import_module("graphflow.codegen.compile").inspect_llvm(source, "kernel", "kernel.py")
    found = Counter((int(width), type_) for width, type_ in _VECTOR.findall(text) if type_ != "i1")
    return max(found, key=lambda key: (found[key] * key[0], key)) if found else None
