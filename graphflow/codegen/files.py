"""Files of the cache: written whole or not at all, behind a checksum."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file under another name, then rename it; into a temporary folder where its own is closed. Where it is now."""
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
