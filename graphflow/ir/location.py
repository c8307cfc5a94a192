"""Where in the user's code a node was built."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True)
class SourceLocation:
    """A line of the user's code, printed `examples/mnist.py:12`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


@lru_cache(maxsize=1024)
def shown_path(path: str) -> str:
    """The path relative to the working directory where it lies below it."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return path if relative.startswith("..") else relative


def user_location() -> SourceLocation:
    """The innermost line of the calling stack that is outside graphflow."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return SourceLocation(frame.f_code.co_filename, frame.f_lineno)
