"""LLVM assembly to object code, on any thread.

llvmlite lets one thread at a time into LLVM, as its users share one context. Here each module has a context and a machine of its
own and shares nothing, so the two calls that take long, LLVM's optimiser and its code generator, go past that lock.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from graphflow.codegen.objects import c_library, host_features, is_self_contained, near_addresses

REGISTER_BLOCK = "block_head"  # a label of loops that are vectors already
INLINE_BYTES = 256  # that LLVM fills or copies without calling the C library

_DECLARED = re.compile(r"^declare [^@\n]*@(?!llvm\.)\"?([\w.$]+)", re.M)
_FILLS_AND_COPIES = re.compile(r"call void @llvm\.mem(?:set|cpy|move)\b[^\n]*\bi64 (%?[\w.]+), i1 ")


class MissingFunction(Exception):
    """Code calls a function that the C library does not have: linking it would end the process."""


@dataclass(frozen=True)
class ObjectCode:
    """An object file; `together` if it refers to nothing but its own parts, which must then lie near one another."""

    code: bytes
    together: bool


class Compilation:
    """A module on its way from assembly to object code. Made by Python, `run` once, on any thread."""

    def __init__(self, assembly: str, side_by_side: bool = True) -> None:
        self._assembly = assembly
        self._side_by_side = side_by_side  # are single operations that are alike to become vectors?
        self._context = llvm.create_context()
        _contexts[id(self._context)] = self._context
        self._module = llvm.parse_assembly(assembly, self._context)
        self._module.verify()
        self._machine = _machine(near_addresses())
        written_out = REGISTER_BLOCK in assembly
        tuning = llvm.create_pipeline_tuning_options(speed_level=1 if written_out else 3)
        tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = tuning.loop_unrolling = not written_out
        tuning.slp_vectorization &= side_by_side
        self._builder = llvm.create_pass_builder(self._machine, tuning)
        self._passes = self._builder.getModulePassManager()

    def run(self) -> ObjectCode:
        """The object code; MissingFunction where it could not be linked."""
        try:
            optimized = self._optimize()
            if self._side_by_side and not self._is_valid():
                return Compilation(self._assembly, side_by_side=False).run()
            missing = [name for name in _DECLARED.findall(optimized) if not hasattr(c_library(), name)]
            if missing:
                raise MissingFunction(f"calls of {', '.join(missing)}")
            if not near_addresses() or calls_library(optimized):
                return ObjectCode(_emit(_machine(False), self._module), False)
            code = _emit(self._machine, self._module)
            if is_self_contained(code):
                return ObjectCode(code, True)
        finally:
            self._close()
        return Compilation(self._assembly, self._side_by_side).run_far()  # emitting has used the module up

    def run_far(self) -> ObjectCode:
        """The object code with addresses of any distance."""
        try:
            self._optimize()
            return ObjectCode(_emit(_machine(False), self._module), False)
        finally:
            self._close()

    def optimized(self) -> str:
        """The assembly after LLVM's pipeline, for looking at."""
        try:
            return self._optimize()
        finally:
            self._close()

    def _optimize(self) -> str:
        run = _unlocked("LLVMPY_RunNewModulePassManager")
        if run is None:
            self._passes.run(self._module, self._builder)
        else:
            run(self._passes, self._module, self._builder)
        return str(self._module)

    def _is_valid(self) -> bool:
        """Is the module in order after LLVM's pipeline?

        LLVM's superword pass may use a value before it is made (seen in 22.1, in long bodies of loops with many sums that are
        alike), at which code generation ends the process.
        """
        try:
            self._module.verify()
        except RuntimeError:
            return False
        return True

    def _close(self) -> None:
        for part in (self._passes, self._builder, self._module, self._machine, self._context):
            part.close()
        del _contexts[id(self._context)]


# Contexts of modules that are not closed yet: the garbage collector might otherwise take a context before what lies in it.
_contexts: dict[int, Any] = {}


def calls_library(optimized: str) -> bool:
    """Will the code of a module call the C library? Then the library is too far away for 32-bit distances."""
    if _DECLARED.search(optimized):
        return True
    return any(not size.isdigit() or int(size) > INLINE_BYTES for size in _FILLS_AND_COPIES.findall(optimized))


@lru_cache(maxsize=1)
def _host() -> str:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.get_host_cpu_name()


def _machine(near: bool) -> llvm.TargetMachine:
    """The host; `near` for code that reaches its constants by 32-bit distances."""
    static = llvm.get_default_triple().startswith("x86_64")
    host = _host()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=host, features=host_features(), opt=3, jit=True,
        reloc="pic" if near else "static" if static else "default", codemodel="small" if near else "jitdefault",
    )  # fmt: skip


def _unlocked(name: str) -> Callable[..., Any] | None:
    """A function of llvmlite's library without the lock around it; None in versions of llvmlite without this way in."""
    return getattr(getattr(ffi.lib, name, None), "_cfn", None)


def _emit(machine: llvm.TargetMachine, module: llvm.ModuleRef) -> bytes:
    """The object code of a module, which is used up."""
    emit = _unlocked("LLVMPY_TargetMachineEmitToMemory")
    if emit is None:
        return machine.emit_object(module)
    with ffi.OutputString() as problem:
        buffer = emit(machine, module, 1, problem)
        if not buffer:
            raise RuntimeError(str(problem))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
