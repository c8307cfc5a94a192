"""Object code in this process, through LLVM's loader. Imported with the first kernel; needs no numba."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache, lru_cache
from typing import Any

import llvmlite.binding as llvm


@lru_cache(maxsize=1)
def _engine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly("")
    module.triple = llvm.get_default_triple()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(module, machine)


def add_object(code: bytes, symbol: str) -> int:
    """The address of `symbol` after linking object code into this process."""
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    assert address, f"{symbol} is missing in its object file"
    return address


def add_symbol(name: str, address: int) -> None:
    """Let object code that is loaded from now on refer to a function of this process by name."""
    llvm.add_symbol(name, address)


def machine_parts() -> tuple[Any, ...]:
    """All of the machine that object code depends on."""
    return llvm.llvm_version_info, llvm.get_host_cpu_name(), host_features(), platform.machine(), platform.system()


@cache
def c_library() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)


@cache
def host_features() -> str:
    """The processor's features as LLVM spells them; none where LLVM cannot tell."""
    try:
        return llvm.get_host_cpu_features().flatten()
    except RuntimeError:
        return ""
