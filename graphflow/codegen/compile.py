"""Source text to object code, by numba. Imported only when something is compiled: it is what imports numba."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, compiler, registry, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import _FunctionCompiler

from graphflow.codegen import numba_helpers
from graphflow.codegen.cache import REPORT
from graphflow.codegen.objects import c_library
from graphflow.errors import CompileError

# Reassociation and contraction are allowed; NaN, infinities and signed zeros keep their meaning.
FLAGS = {"reassoc", "contract"}

HELPERS = numba_helpers.HELPERS  # importing the module has told numba of them
_POINTER = types.CPointer(types.int64)
_ARGUMENTS = (_POINTER, _POINTER, types.int64, types.int64)  # buffers, dims, begin, end


class _KernelCompiler(_FunctionCompiler):
    """numba's compiler without its wrappers: they report exceptions through Python, and a kernel raises none."""

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_cpython_wrapper = True
        flags.no_cfunc_wrapper = True
        flags.no_compile = True  # the entry is added first
        flags.enable_pyobject = False
        return flags


@global_compiler_lock
def compile_library(text: str, name: str, path: str) -> tuple[Any, str]:
    """(numba's library, symbol) of the function `name` in `text`, which stands in the file `path`."""
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(text, path, "exec"), namespace)
    options = {"nopython": True, "error_model": "numpy", "fastmath": FLAGS}
    result = _KernelCompiler(namespace[name], registry.cpu_target, options, {}, compiler.Compiler).compile(_ARGUMENTS, types.void)
    symbol = f"entry_{name}"
    _add_entry(result, symbol)
    return result.library, symbol


def _add_entry(result: Any, symbol: str) -> None:
    """`void symbol(int64*, int64*, int64, int64)`: the kernel under the calling convention of C."""
    context, library = result.target_context, result.library
    module = library.create_ir_module(symbol)
    pointer, integer = ir.IntType(64).as_pointer(), ir.IntType(64)
    entry = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, integer, integer]), symbol)
    builder = ir.IRBuilder(entry.append_basic_block("entry"))
    native = cgutils.get_or_insert_function(
        module, context.call_conv.get_function_type(types.void, _ARGUMENTS), result.fndesc.llvm_func_name
    )
    context.call_conv.call_function(builder, native, types.void, _ARGUMENTS, entry.args)
    builder.ret_void()
    library.add_ir_module(module)
    library.finalize()


def compile_source(text: str, name: str, path: str, described: str) -> tuple[bytes, str]:
    """(object code, symbol) of the function `name` in `text`, which stands in the file `path`."""
    try:
        library, symbol = compile_library(text, name, path)
        library.get_pointer_to_function(symbol)  # makes the object code
        _, kind, (code, _) = library.serialize_using_object_code()
    except (numba.core.errors.NumbaError, AssertionError, NotImplementedError) as error:
        raise CompileError(
            f"the kernel of {described} could not be compiled",
            rule=f"Its source is {path}.\nnumba says: {str(error).strip()[:2000]}\n{REPORT}",
        ) from error
    assert kind == "object"
    missing = unresolved(library)
    if missing:
        raise CompileError(
            f"the kernel of {described} calls {', '.join(missing)}, which a process without numba does not have",
            rule=f"Its source is {path}.\n{REPORT}",
        )
    return code, symbol


def unresolved(library: Any) -> list[str]:
    """Functions that compiled code calls and that neither LLVM nor the C library has: linking them would abort the process."""
    names = [f.name for f in library._final_module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    return [name for name in names if not hasattr(c_library(), name)]


def inspect_llvm(text: str, name: str, path: str) -> str:
    """The optimised LLVM code of a kernel, for looking at."""
    return compile_library(text, name, path)[0].get_llvm_str()
