"""The traced helpers as functions that numba-compiled kernels can call. Imported only where numba compiles something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import signature as numba_signature
from numba.core.typing.templates import ConcreteTemplate, infer, infer_global
from numba.extending import lower_builtin

from graphflow.codegen import bits, integer_math, special_math, vector_math
from graphflow.codegen.assembly import Builder, Function, Module
from graphflow.codegen.tracing import HELPERS, Helper, Traced, llvm_type

MODULES = (vector_math, special_math, integer_math, bits)  # importing them has made all helpers


class HelperLibrary:
    """One traced function, parsed once a process; has what numba asks of a code library that it links into a kernel's.

    numba's own library would optimise the function by itself first, and what suits a scalar need not suit a loop.
    """

    _reload_init: frozenset[str] = frozenset()

    def __init__(self, assembly: str) -> None:
        self.module = llvm.parse_assembly(assembly)
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
        function_type = ir.FunctionType(context.get_value_type(signature.return_type), [o.type for o in operands])
        if helper.name not in _libraries:
            _libraries[helper.name] = HelperLibrary(assembly_of(helper, builder.module.triple, builder.module.data_layout))
        library.add_linking_library(_libraries[helper.name])
        return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"graphflow_{helper.name}"), operands)


def assembly_of(helper: Helper, triple: str, layout: str) -> str:
    """A module with the function `graphflow_<name>`, to be inlined wherever it is called."""
    module = Module(triple, layout)
    result, parameters = llvm_type(helper.result), [llvm_type(helper.dtype)] * helper.operands
    emitted = Function(module, f"graphflow_{helper.name}", result, parameters, "linkonce_odr", "alwaysinline nounwind")
    builder = Builder(emitted, emitted.new_block("entry"))
    value = helper.function(*(Traced(builder, parameter, helper.dtype) for parameter in emitted.parameters)).value
    assert value.type == result, f"{helper.name} must return {result}, not {value.type}"
    builder.ret(value)
    return str(module)


for _helper in HELPERS.values():
    register(_helper)
