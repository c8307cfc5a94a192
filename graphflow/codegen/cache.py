"""The kernel cache: source text in, address of native code out; in memory, then on disk, then compiled.

A kernel is one pair of files in the cache folder, named by the hash of its source: `k_<hash>.py`, which people read, and
`k_<hash>.o`, its object code behind a checksum. The folder's name is the hash of all else that object code depends on: the
helpers' source, the versions of numba and LLVM, the processor and its features. Files are written under another name and
renamed, so any number of processes may compile the same kernel at once; a file that does not check out is made anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graphflow.options import current as current_options

_MAGIC = b"graphflow object 1\n"
# The files whose text object code depends on: what kernels import, and how they are compiled.
_HELPERS = (
    *("tracing.py", "vector_math.py", "special_math.py", "integer_math.py", "bits.py"),
    *("direct.py", "blocks.py", "compile.py", "numba_helpers.py", "intrinsics.py", "helpers.py"),
    *("accuracy.py", "objects.py"),
)


@dataclass(frozen=True)
class CacheStats:
    """Kernels so far in this process: `compiled` by numba, `loaded` from the disk; `seconds` spent on either."""

    compiled: int = 0
    loaded: int = 0
    rebuilt: int = 0  # entries on disk that were damaged and made anew
    compile_seconds: float = 0.0
    load_seconds: float = 0.0
    folder: str = ""


@dataclass
class _Cache:
    lock: threading.RLock = field(default_factory=threading.RLock)
    addresses: dict[tuple[str, str], int] = field(default_factory=dict)
    stats: CacheStats = field(default_factory=CacheStats)


_cache = _Cache()


def _reset_lock_after_fork() -> None:
    _cache.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock_after_fork)


def stats() -> CacheStats:
    """What the kernel cache did so far in this process."""
    return replace(_cache.stats, folder=str(folder()))


@lru_cache(maxsize=1)
def environment_key() -> str:
    """The hash of everything but the source that object code depends on."""
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__).parent
    for name in _HELPERS:
        digest.update((here / name).read_bytes())
    for part in (version("numba"), *_objects().machine_parts()):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def _objects() -> Any:
    return import_module("graphflow.codegen.objects")  # LLVM takes 100 ms to import


def folder() -> Path:
    """Where kernels of this environment are kept."""
    root = current_options().cache
    return (Path(root) if root else _user_cache()) / f"{environment_key()}-{current_options().compiler}"


@lru_cache(maxsize=1)
def _user_cache() -> Path:
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("graphflow", appauthor=False))


def source_key(text: str) -> str:
    """The content hash that names a kernel."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def source_path(text: str) -> Path:
    """The file that holds, or would hold, a kernel's source."""
    return folder() / f"k_{source_key(text)}.py"


def load(text: str, described: str = "a kernel", compiler: str = "") -> int:
    """The address of the native code of `text`, whose entry is the function `kernel`; `described` names it in errors.

    `compiler` is "direct" for texts that only our own compiler knows, whatever the options say; "assembly" for LLVM assembly.
    """
    key = source_key(text)
    place = (str(folder()), key)
    found = _cache.addresses.get(place)
    if found is not None:
        return found
    with _cache.lock:
        found = _cache.addresses.get(place)
        if found is None:
            found = _cache.addresses[place] = _load(text, f"k_{key}", folder(), described, compiler)
        return found


def _load(text: str, name: str, place: Path, described: str, compiler: str) -> int:
    started = time.perf_counter()
    entry, problem = _read_object(place / f"{name}.o")
    if entry is not None:
        address = _objects().add_object(*entry)
        seconds = time.perf_counter() - started
        _cache.stats = replace(_cache.stats, loaded=_cache.stats.loaded + 1, load_seconds=_cache.stats.load_seconds + seconds)
        return address
    source = text.replace("def kernel(", f"def {name}(").replace("@kernel(", f"@{name}(")
    path = _write(place / (f"{name}.ll" if compiler == "assembly" else f"{name}.py"), source.encode())
    code, symbol = _compile(source, name, str(path), described, compiler)
    _write(place / f"{name}.o", _pack(code, symbol))
    address = _objects().add_object(code, symbol)
    seconds = time.perf_counter() - started
    _cache.stats = replace(
        _cache.stats,
        compiled=_cache.stats.compiled + 1,
        rebuilt=_cache.stats.rebuilt + (problem is not None),
        compile_seconds=_cache.stats.compile_seconds + seconds,
    )
    return address


def _compile(source: str, name: str, path: str, described: str, compiler: str) -> tuple[bytes, str]:
    """(object code, symbol): straight through LLVM where the source allows it, by numba where not."""
    direct = import_module("graphflow.codegen.direct")
    if compiler == "assembly":
        return direct.compile_assembly(source, name)
    if compiler == "direct":
        return direct.compile_source(source, name)
    if current_options().compiler == "llvm":
        try:
            return direct.compile_source(source, name)
        except direct.Unsupported:
            pass
    return import_module("graphflow.codegen.compile").compile_source(source, name, path, described)


def _pack(code: bytes, symbol: str) -> bytes:
    body = symbol.encode() + b"\n" + code
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _read_object(path: Path) -> tuple[tuple[bytes, str] | None, str | None]:
    """((object code, symbol), None), or (None, what is wrong) for a damaged file, or (None, None) where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, str(error)
    if not data.startswith(_MAGIC):
        return None, "not an object file of graphflow"
    checksum, _, body = data[len(_MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        return None, "checksum differs"
    symbol, _, code = body.partition(b"\n")
    return (code, symbol.decode()), None


def _write(path: Path, data: bytes) -> Path:
    """Write a whole file or none: under another name, then renamed; a temporary folder where this one is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    except OSError:
        fallback = _fallback_folder()
        path = fallback / path.name
        handle, temporary = tempfile.mkstemp(dir=fallback, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return path


@lru_cache(maxsize=1)
def _fallback_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="graphflow-"))


def clear(everything: bool = False) -> int:
    """Delete the kernels on disk of this environment, or of all; the number of files deleted."""
    place = folder().parent if everything else folder()
    files = [p for p in place.rglob("k_*") if p.suffix in (".py", ".ll", ".o", ".tmp")]
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)
