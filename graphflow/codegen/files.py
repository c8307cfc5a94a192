"""Files of the cache: written whole or not at all, behind a checksum."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import lru_cache
from importlib import import_module
from pathlib import Path


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file under another name, then rename it; into a temporary folder where its own is closed. Where it is now."""
    own = f".{os.getpid()}-{threading.get_ident()}.tmp"  # no other thread writes under this name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(own)
        temporary.write_bytes(data)
    except OSError:
        path = _fallback_folder() / path.name
        temporary = path.with_suffix(own)
        temporary.write_bytes(data)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
    return path


@lru_cache(maxsize=1)
def _fallback_folder() -> Path:
    return Path(import_module("tempfile").mkdtemp(prefix="graphflow-"))  # imports much


def seal(magic: bytes, body: bytes) -> bytes:
    """A file's content: what it is, the checksum, the body."""
    return magic + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unseal(magic: bytes, path: Path) -> tuple[bytes | None, str | None]:
    """(body, None), or (None, what is wrong) for a damaged file, or (None, None) where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, str(error)
    if not data.startswith(magic):
        return None, "it is not a file of graphflow"
    checksum, _, body = data[len(magic) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        return None, "its checksum differs"
    return body, None
