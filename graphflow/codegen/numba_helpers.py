"""The traced helpers as functions that numba-compiled kernels can call. Imported only where numba compiles something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import signature as numba_signature
from numba.core.typing.templates import ConcreteTemplate, infer, infer_global
from numba.extending import lower_builtin

from graphflow.codegen import bits, integer_math, special_math, vector_math
from graphflow.codegen.tracing import HELPERS, Helper, Traced, llvm_type

MODULES = (vector_math, special_math, integer_math, bits)  # importing them has made all helpers


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


_libraries: dict[str, HelperLibrary] = {}  # by the helper's name


def register(helper: Helper) -> None:
    """Tell numba the type of a helper and how to emit a call of it."""
    operand_types = (types.__dict__[helper.dtype.name],) * helper.operands

    class Typing(ConcreteTemplate):
        key = helper.call
        cases = [numba_signature(types.__dict__[helper.result.name], *operand_types)]  # noqa: RUF012 (numba's protocol)

    infer(Typing)
    infer_global(helper.call, types.Function(Typing))

    @lower_builtin(helper.call, *operand_types)
    def lowering_rule(context: Any, builder: ir.IRBuilder, signature: Any, operands: Sequence[ir.Value]) -> ir.Value:
        library = context.active_code_library
        function_type = ir.FunctionType(llvm_type(helper.result), [llvm_type(helper.dtype)] * helper.operands)
        if helper.name not in _libraries:
            module = library.create_ir_module(f"graphflow.{helper.name}")
            emit_function(module, helper.name, helper.function, function_type, helper.dtype)
            _libraries[helper.name] = HelperLibrary(module)
        library.add_linking_library(_libraries[helper.name])
        return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"graphflow_{helper.name}"), operands)


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


for _helper in HELPERS.values():
    register(_helper)
