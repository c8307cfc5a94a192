"""Object code in this process, through LLVM's loader. Imported with the first kernel; needs no numba."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache, lru_cache
from typing import Any

import llvmlite.binding as llvm

_PC32 = 2  # the ELF relocation of x86-64 that is a 32-bit distance: R_X86_64_PC32


@lru_cache(maxsize=2)
def _engine(together: bool) -> Any:
    """LLVM's loader; `together` puts the parts of each object file side by side, in memory that it reserves at once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly("")
    module.triple = llvm.get_default_triple()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(module, machine, use_lmm=together)


def near_addresses() -> bool:
    """May code reach its constants by 32-bit distances here? It saves an instruction for each use of one."""
    return platform.machine() == "x86_64" and platform.system() == "Linux"


def is_self_contained(code: bytes) -> bool:
    """Does object code refer to nothing but its own parts, by 32-bit distances? Only then may they be near one another alone."""
    if not near_addresses():
        return False
    sections = llvm.ObjectFileRef.from_data(code).sections()
    relocations = [section.data() for section in sections if (section.name() or b"").startswith(b".rela")]
    kinds = {int.from_bytes(r[k + 8 : k + 12], "little") for r in relocations for k in range(0, len(r), 24)}
    return kinds <= {_PC32}


def add_object(code: bytes, symbol: str, together: bool) -> int:
    """The address of `symbol` after linking object code into this process; `together` if it is self-contained."""
    engine = _engine(together)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(symbol)
    assert address, f"{symbol} is missing in its object file"
    return address


def add_symbol(name: str, address: int) -> None:
    """Let object code that is loaded from now on refer to a function of this process by name."""
    llvm.add_symbol(name, address)


def machine_parts() -> dict[str, str]:
    """All of the machine that object code depends on."""
    return {
        "LLVM's version": ".".join(map(str, llvm.llvm_version_info)),
        "processor": f"{llvm.get_host_cpu_name()} ({platform.machine()}, {platform.system()})",
        "processor's features": host_features(),
    }


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
