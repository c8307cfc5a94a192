"""Source text to object code, by numba. Imported only when something is compiled: it is what imports numba."""

from __future__ import annotations

from typing import Any

import numba
from numba import cfunc, types

from graphflow.errors import CompileError

# Reassociation and contraction are allowed; NaN, infinities and signed zeros keep their meaning.
FLAGS = {"reassoc", "contract"}

_POINTER = types.CPointer(types.int64)
_SIGNATURE = types.void(_POINTER, _POINTER, types.int64, types.int64)  # (buffers, dims, begin, end)


def compile_source(text: str, name: str, path: str, described: str) -> tuple[bytes, str]:
    """(object code, symbol) of the function `name` in `text`, which stands in the file `path`."""
    namespace: dict[str, Any] = {"__name__": name}
    try:
        exec(compile(text, path, "exec"), namespace)
        function = cfunc(_SIGNATURE, error_model="numpy", fastmath=FLAGS)(namespace[name])
        library = function._library
        _, kind, (code, _) = library.serialize_using_object_code()
    except (numba.core.errors.NumbaError, AssertionError, NotImplementedError) as error:
        raise CompileError(
            f"the kernel of {described} could not be compiled",
            rule=f"Its source is {path}.\nnumba says: {str(error).strip()[:2000]}\nPlease report this: it is a fault of graphflow.",
        ) from error
    assert kind == "object"
    return code, function._wrapper_name


def inspect_llvm(text: str, name: str, path: str) -> str:
    """The optimised LLVM code of a kernel, for looking at."""
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(text, path, "exec"), namespace)
    return cfunc(_SIGNATURE, error_model="numpy", fastmath=FLAGS)(namespace[name]).inspect_llvm()
