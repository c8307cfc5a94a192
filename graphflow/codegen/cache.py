"""The kernel cache: source text in, address of native code out; in memory, then on disk, then compiled.

A kernel is one pair of files in the cache folder, named by the hash of its source: `k_<hash>.py`, which people read, and
`k_<hash>.o`, its object code behind a checksum. The folder's name is the hash of all else that object code depends on: the
helpers' source, the versions of numba and LLVM, the processor and its features. Files are written under another name and
renamed, so any number of processes may compile the same kernel at once; a file that does not check out is made anew.
Launch programs are kept beside the kernels, by `runtime.programs`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.codegen.files import seal, unseal, write_whole
from graphflow.codegen.history import DESCRIPTION, Event, events, explain
from graphflow.codegen.jobs import Job
from graphflow.codegen.jobs import begin as begin_job
from graphflow.errors import CompileError, GraphflowError
from graphflow.options import current as current_options

if TYPE_CHECKING:
    from graphflow.codegen.backend import ObjectCode

__all__ = ["CacheStats", "clear", "explain", "folder", "load", "source_path", "stats"]

REPORT = "Please report this: it is a fault of graphflow."
_MAGIC = b"graphflow object 2\n"
# The files whose text object code depends on: what kernels import, and how they are compiled.
_HELPERS = (
    *("tracing.py", "vector_math.py", "special_math.py", "integer_math.py", "bits.py"),
    *(
        "direct.py",
        "lanes.py",
        "divergence.py",
        "blocks.py",
        "listed_blocks.py",
        "compile.py",
        "numba_helpers.py",
        "intrinsics.py",
        "helpers.py",
    ),
    *("accuracy.py", "assembly.py", "backend.py", "objects.py"),
)


@dataclass(frozen=True)
class CacheStats:
    """Kernels and programs so far in this process, compiled or loaded from the disk, and the seconds spent on kernels."""

    compiled: int = 0
    loaded: int = 0
    rebuilt: int = 0  # entries on disk that were damaged and made anew
    compile_seconds: float = 0.0
    load_seconds: float = 0.0
    programs_built: int = 0  # went through the passes
    programs_loaded: int = 0
    folder: str = ""


@dataclass
class _Cache:
    lock: threading.RLock = field(default_factory=threading.RLock)
    addresses: dict[tuple[str, str], int] = field(default_factory=dict)  # by folder and key
    making: dict[tuple[str, str], _Making] = field(default_factory=dict)
    stats: CacheStats = field(default_factory=CacheStats)


_cache = _Cache()


def _reset_lock_after_fork() -> None:
    _cache.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock_after_fork)


def stats() -> CacheStats:
    """What the cache did so far in this process."""
    return replace(_cache.stats, folder=str(folder()))


def record(event: Event) -> None:
    """Remember an event for `explain`, and count it."""
    names = {("kernel", "made"): "compiled", ("kernel", "disk"): "loaded"} | {
        ("program", "made"): "programs_built", ("program", "disk"): "programs_loaded"
    }  # fmt: skip
    events.append(event)
    name = names.get((event.kind, event.outcome))
    if name is None:
        return
    with _cache.lock:
        old = _cache.stats
        changes: dict[str, Any] = {name: getattr(old, name) + 1}
        if event.kind == "kernel":
            spent = "compile_seconds" if event.outcome == "made" else "load_seconds"
            changes[spent] = getattr(old, spent) + event.seconds
        if event.problem is not None:
            changes["rebuilt"] = old.rebuilt + 1
        _cache.stats = replace(old, **changes)


# --- where ------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Everything but the source that object code depends on."""
    here = Path(__file__).parent
    parts = {"kernel helpers' source": content_hash([here / name for name in _HELPERS])}
    parts["numba's version"] = _numba_version()
    return parts | _objects().machine_parts()


@lru_cache(maxsize=2)
def environment_key(compiler: str) -> str:
    """The name of the folder of an environment and a compiler."""
    digest = hashlib.blake2b(repr(sorted(environment().items())).encode(), digest_size=8)
    return f"{digest.hexdigest()}-{compiler}"


def content_hash(paths: list[Path]) -> str:
    """The hash of files' content."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _numba_version() -> str:
    """numba's version, without importing it or searching the metadata of packages, which takes 20 ms."""
    spec = find_spec("numba")
    if spec is None or spec.origin is None:
        return "none"
    path = Path(spec.origin).with_name("_version.py")
    return hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest() if path.exists() else "unknown"


def _objects() -> Any:
    return import_module("graphflow.codegen.objects")  # LLVM takes 40 ms to import


def folder() -> Path:
    """Where kernels and programs of this environment are kept."""
    options = current_options()
    return _root(options.cache) / environment_key(options.compiler)


@lru_cache(maxsize=4)
def _root(chosen: str) -> Path:
    if chosen:
        return Path(chosen)
    return Path(import_module("platformdirs").user_cache_dir("graphflow", appauthor=False))


def _folder_parts() -> dict[str, str]:
    """What the name of the folder in use is the hash of."""
    return {**environment(), "compiler": current_options().compiler}


def describe_folder(place: Path) -> None:
    """Write down what the name of a folder is the hash of, for `explain`."""
    path = place / DESCRIPTION
    if not path.exists():
        write_whole(path, json.dumps(_folder_parts()).encode())


def source_key(text: str) -> str:
    """The content hash that names a kernel."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def source_path(text: str) -> Path:
    """The file that holds, or would hold, a kernel's source."""
    return folder() / f"k_{source_key(text)}.py"


# --- kernels ----------------------------------------------------------------------------------------------------------------


@dataclass
class _Making:
    """A kernel that the cache does not have, on its way through the compiler."""

    name: str
    place: Path
    described: str
    source: str
    path: str
    problem: str | None  # with a file that was there
    job: Job | None = None  # None: numba compiles it, when it is asked for
    seconds: float = 0.0

    def compiled(self) -> tuple[ObjectCode, str]:
        """(object code, symbol): straight through LLVM where the source allows it, by numba where not."""
        try:
            if self.job is not None:
                code, symbol, seconds = self.job.result()
                self.seconds += seconds
                if code is not None:
                    return code, symbol
            started = time.perf_counter()
            numba = import_module("graphflow.codegen.compile")
            code, symbol = numba.compile_source(self.source, self.name, self.path, self.described)
        except GraphflowError:
            raise
        except Exception as error:  # of LLVM, or of numba
            raise CompileError(
                f"the kernel of {self.described} could not be compiled",
                rule=f"Its source is {self.path}.\nThe compiler says: {type(error).__name__}: {str(error)[:2000]}\n{REPORT}",
            ) from error
        self.seconds += time.perf_counter() - started
        return import_module("graphflow.codegen.backend").ObjectCode(code, _objects().is_self_contained(code)), symbol


def load(text: str, described: str = "a kernel", compiler: str = "") -> int:
    """The address of the native code of `text`, whose entry is the function `kernel`; `described` names it in errors.

    `compiler` is "direct" for texts that only our own compiler knows, whatever the options say; "assembly" for LLVM assembly.
    """
    key, place = source_key(text), folder()
    with _cache.lock:
        making = _cache.making.get((str(place), key))
        if making is None:
            address, problem = _find(key, place, described)
            if address is not None:
                return address
            making = _begin(text, key, place, described, compiler, problem)
    try:
        code, symbol = making.compiled()
        with _cache.lock:
            return _cache.addresses.get((str(place), key)) or _finish(making, key, code, symbol)
    finally:
        _cache.making.pop((str(place), key), None)


def begin(text: str, described: str = "a kernel", compiler: str = "") -> None:
    """Let a kernel that the cache does not have be compiled, while the caller goes on; `load` takes the same text."""
    key, place = source_key(text), folder()
    with _cache.lock:
        known = (str(place), key) in _cache.addresses or (str(place), key) in _cache.making
        if not known and not (place / f"k_{key}.o").exists():
            _begin(text, key, place, described, compiler, None)


def find(key: str, described: str = "a kernel") -> int | None:
    """The address of a kernel that is in memory or on disk; None where it would have to be compiled."""
    with _cache.lock:
        return _find(key, folder(), described)[0]


def _find(key: str, place: Path, described: str) -> tuple[int | None, str | None]:
    """(address, None), or (None, what is wrong with the file, if there is one)."""
    started = time.perf_counter()
    found = _cache.addresses.get((str(place), key))
    if found is not None:
        record(Event("kernel", f"k_{key}", described, "memory", 0.0, place, {}))
        return found, None
    body, problem = unseal(_MAGIC, place / f"k_{key}.o")
    if body is None:
        return None, problem
    head, _, code = body.partition(b"\n")
    symbol, together = head.decode().split()
    address = _cache.addresses[str(place), key] = _objects().add_object(code, symbol, bool(int(together)))
    record(Event("kernel", f"k_{key}", described, "disk", time.perf_counter() - started, place, {}))
    return address, None


def _begin(text: str, key: str, place: Path, described: str, compiler: str, problem: str | None) -> _Making:
    """Write down a kernel's source and give what the front end makes of it to LLVM."""
    started = time.perf_counter()
    name = f"k_{key}"
    source = text.replace("def kernel(", f"def {name}(").replace("@kernel(", f"@{name}(")
    path = write_whole(place / (f"{name}.ll" if compiler == "assembly" else f"{name}.py"), source.encode())
    making = _Making(name, place, described, source, str(path), problem)
    if compiler or current_options().compiler == "llvm":
        making.job = _job(source, name, compiler)
    making.seconds = time.perf_counter() - started
    _cache.making[str(place), key] = making
    return making


def _job(source: str, name: str, compiler: str) -> Job | None:
    """The job of LLVM: (object code or None, symbol, seconds); None where our compiler does not know the source."""
    backend, lanes = import_module("graphflow.codegen.backend"), import_module("graphflow.codegen.lanes")
    symbol = name if compiler == "assembly" else f"entry_{name}"
    try:
        compilation = backend.Compilation(source if compiler == "assembly" else lanes.assembly(source, name))
    except lanes.Unsupported as error:
        return failed(error) if compiler == "direct" else None
    except Exception as error:  # told by whoever asks for the kernel, with what it was for
        return failed(error)

    def work() -> tuple[ObjectCode | None, str, float]:
        started = time.perf_counter()
        try:
            code = compilation.run()
        except backend.MissingFunction:
            if compiler:
                raise
            code = None
        return code, symbol, time.perf_counter() - started

    return begin_job(work)


def failed(error: Exception) -> Job:
    """A job that has raised an error."""

    def work() -> Any:
        raise error

    return begin_job(work)


def _finish(making: _Making, key: str, code: ObjectCode, symbol: str) -> int:
    """Store object code and link it into this process: its address."""
    started = time.perf_counter()
    place = making.place
    head = f"{symbol} {code.together:d}\n".encode()
    write_whole(place / f"{making.name}.o", seal(_MAGIC, head + code.code))
    describe_folder(place)
    address = _cache.addresses[str(place), key] = _objects().add_object(code.code, symbol, code.together)
    seconds = making.seconds + time.perf_counter() - started
    parts = {**environment(), "compiler": current_options().compiler}
    record(Event("kernel", making.name, making.described, "made", seconds, place, parts, making.problem))
    return address


def clear(everything: bool = False) -> int:
    """Delete the kernels and programs on disk of this environment, or of all; the number of files deleted."""
    place = folder().parent if everything else folder()
    files = [p for p in place.rglob("[kp]_*") if p.suffix in (".py", ".ll", ".o", ".program", ".tmp")]
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)
