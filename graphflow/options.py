"""All settings of graphflow. Each has a default, an environment variable, and a place in `gf.options(...)`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

from graphflow.errors import OptionError

# What `disable` may name: each pass by its file, fusion, writing over what dies, and loops and branches that are one kernel.
SWITCHES = (
    "control_flow", "constant_folding", "canonicalize", "cse", "stability", "hoisting", "short_rows", "sparse_updates",
    "fusion", "inplace", "sequential",
)  # fmt: skip


def _setting(default: Any, environment: str, text: str) -> Any:
    return field(default=default, metadata={"environment": environment, "text": text})


@dataclass(frozen=True)
class Options:
    """The settings in force; `docs/options.md` is generated from this class."""

    disable: frozenset[str] = _setting(
        frozenset(), "GRAPHFLOW_DISABLE", f"Passes to leave out, separated by commas: {', '.join(SWITCHES)}."
    )
    verify: bool = _setting(False, "GRAPHFLOW_VERIFY", "Check the whole program after every pass.")
    dump: str = _setting("", "GRAPHFLOW_DUMP", "Folder that receives the text of every stage of every program compiled.")
    cache: str = _setting("", "GRAPHFLOW_CACHE", "Folder of the cache; that of the user when empty.")
    nan_check: str = _setting(
        "",
        "GRAPHFLOW_NAN_CHECK",
        "Let runs fail at the first op that makes a NaN (nan), or a NaN or an infinity (all); see gf.debug.nan_check.",
    )
    target: str = _setting("cpu", "GRAPHFLOW_TARGET", "Where kernels run: cpu.")
    compiler: str = _setting(
        "llvm",
        "GRAPHFLOW_COMPILER",
        "What compiles the kernels' source: llvm (our own compiler, numba for what it does not know) or numba.",
    )
    tape_bytes: int = _setting(
        1 << 28,
        "GRAPHFLOW_TAPE_BYTES",
        "Bytes that a gradient may keep of the steps of one loop; beyond, it keeps checkpoints and runs steps again.",
    )
    max_rewrites: int = _setting(
        100, "GRAPHFLOW_MAX_REWRITES", "Rounds of rewriting before a pass is said to loop (RewriteLoopError)."
    )
    max_group: int = _setting(
        160, "GRAPHFLOW_MAX_GROUP", "Most ops one kernel may hold; larger groups are cut, as compile time grows with size."
    )


def parse(name: str, value: Any) -> Any:
    """The value of setting `name`, converted from a text if it is one; OptionError when it does not fit."""
    known = {f.name: f for f in fields(Options)}
    if name not in known:
        raise OptionError(f"no option {name!r}", rule=f"The options are {', '.join(known)}.")
    default = known[name].default
    if isinstance(default, frozenset):
        names = (
            frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else frozenset(value)
        )
        unknown = names - set(SWITCHES)
        if unknown:
            raise OptionError(
                f"cannot disable {', '.join(sorted(unknown))}", rule=f"What can be disabled: {', '.join(SWITCHES)}."
            )
        return names
    if isinstance(default, bool):
        return value.strip().lower() not in ("", "0", "false", "no") if isinstance(value, str) else bool(value)
    if isinstance(default, int):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise OptionError(f"option {name} takes a whole number, not {value!r}") from None
    return os.fspath(value)


def from_environment() -> Options:
    """The defaults, with what the environment sets."""
    found = {}
    for setting in fields(Options):
        text = os.environ.get(setting.metadata["environment"])
        if text is not None:
            found[setting.name] = parse(setting.name, text)
    return Options(**found)


class _Local(threading.local):
    """What `options(...)` has set in this thread."""

    options: Options | None = None


_defaults = from_environment()
_local = _Local()


def current() -> Options:
    """The options in force in this thread."""
    return _local.options or _defaults


@contextmanager
def options(**settings: Any) -> Iterator[Options]:
    """Settings for the programs compiled inside the block, in this thread.

    >>> with options(disable="fusion,cse") as used:
    ...     sorted(used.disable)
    ['cse', 'fusion']
    """
    before = _local.options
    _local.options = replace(current(), **{name: parse(name, value) for name, value in settings.items()})
    try:
        yield current()
    finally:
        _local.options = before
