"""The command `graphflow`: what is installed, what is in the cache, pictures and profiles of scripts."""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import graphflow as gf
from graphflow.codegen import cache
from graphflow.codegen.history import DESCRIPTION
from graphflow.codegen.objects import machine_parts
from graphflow.errors import GraphflowError, OptionError
from graphflow.options import current as current_options
from graphflow.profiler.text import columns
from graphflow.runtime import blas, native

_PACKAGES = ("numpy", "numba", "llvmlite", "networkx", "ml_dtypes", "scipy-openblas32", "tensorboard")
_SHOWN_FEATURES = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512bf16", "amx-tile", "neon", "sve")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 where it failed."""
    parser = argparse.ArgumentParser(prog="graphflow", description="A static-graph compiler: what it has, and what it did.")
    parser.add_argument("--version", action="version", version=gf.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="versions, processor, threads, matrix products, cache").set_defaults(run=_info)

    kept = commands.add_parser("cache", help="the kernels and programs on disk")
    actions = kept.add_subparsers(dest="action", required=True, metavar="action")
    actions.add_parser("ls", help="what is there, by environment").set_defaults(run=_list)
    clear = actions.add_parser("clear", help="delete what is there for this environment")
    clear.add_argument("--all", action="store_true", help="for all environments")
    clear.set_defaults(run=_clear)
    explain = actions.add_parser("explain", help="run a script, and say for each kernel and program where it came from, and why")
    _add_script(explain)
    explain.set_defaults(run=_explain)

    drawn = commands.add_parser("viz", help="run a script and draw its largest program, or draw a graph saved as JSON")
    drawn.add_argument("-o", "--output", required=True, metavar="FILE", help="its ending says the format: .svg, .html, .dot, ...")
    drawn.add_argument("--stage", help="built, a pass, optimized, groups, kernels or launches")
    drawn.add_argument("--graph", action="store_true", help="draw the whole default graph as it was built")
    _add_script(drawn)
    drawn.set_defaults(run=_viz)

    profiled = commands.add_parser("profile", help="run a script, and say where the time of its runs went")
    profiled.add_argument("-o", "--output", metavar="FOLDER", help="also save tables, trace and flame graph here")
    _add_script(profiled)
    profiled.set_defaults(run=_profile)

    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except GraphflowError as error:
        print(f"graphflow {chosen.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _add_script(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", help="a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script gets as its arguments")


@contextmanager
def _script(chosen: argparse.Namespace) -> Iterator[str]:
    """The path of the script, while Python has its arguments and imports from its folder."""
    if not Path(chosen.script).is_file():
        raise OptionError(f"there is no file {chosen.script}")
    before, sys.argv = sys.argv, [chosen.script, *chosen.arguments]
    sys.path.insert(0, str(Path(chosen.script).resolve().parent))
    try:
        yield chosen.script
    finally:
        sys.argv = before
        sys.path.pop(0)


def _run(chosen: argparse.Namespace) -> None:
    """Run the script as Python would; its exit ends it alone."""
    with _script(chosen) as path:
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                raise


# --- commands ---------------------------------------------------------------------------------------------------------------


def info() -> dict[str, str]:
    """What `graphflow info` prints."""
    parts = machine_parts()
    features = {f[1:] for f in parts["processor's features"].split(",") if f.startswith("+")}
    found = cache.stats()
    kernels, programs, size = _content(Path(found.folder))
    return {
        "graphflow": gf.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})",
        **{name: _version(name) for name in _PACKAGES},
        "LLVM": parts["LLVM's version"],
        "processor": parts["processor"],
        "features": " ".join(f for f in _SHOWN_FEATURES if f in features) or "none of note",
        "threads": f"{gf.get_num_threads()} of {os.cpu_count()} processors",
        "memory": f"{native.physical_memory():,} bytes",
        "matrix products": f"own; large ones: {blas.description()}",
        "devices": "cpu",
        "cache": found.folder,
        "in the cache": f"{kernels} kernels, {programs} programs, {size:,} bytes",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _info(chosen: argparse.Namespace) -> None:
    print(columns(list(info().items()), left=(0, 1)))


def _content(folder: Path) -> tuple[int, int, int]:
    """(kernels, programs, bytes) in a folder of the cache."""
    files = [p for p in folder.glob("[kp]_*") if p.is_file()] if folder.is_dir() else []
    kinds = [p.suffix for p in files]
    return kinds.count(".o"), kinds.count(".program"), sum(p.stat().st_size for p in files)


def _list(chosen: argparse.Namespace) -> None:
    current = cache.folder()
    rows = [("environment", "kernels", "programs", "bytes", "last used", "")]
    for folder in sorted(current.parent.iterdir()) if current.parent.is_dir() else []:
        kernels, programs, size = _content(folder)
        if not folder.is_dir() or not kernels + programs:
            continue
        days = (time.time() - max(p.stat().st_mtime for p in folder.iterdir())) / 86400
        note = "this one" if folder == current else _difference(folder)
        rows.append((folder.name, f"{kernels:,}", f"{programs:,}", f"{size:,}", f"{days:.1f} days ago", note))
    print(current.parent)
    print(columns(rows, left=(0, 5)) if len(rows) > 1 else "nothing")


def _difference(folder: Path) -> str:
    """In what an environment differs from that of this process."""
    try:
        parts = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        return "of a version that did not describe itself"
    now = {**cache.environment(), "compiler": current_options().compiler}
    return "other " + ", ".join(name for name in now if parts.get(name) != now[name])


def _clear(chosen: argparse.Namespace) -> None:
    print(f"{cache.clear(everything=chosen.all)} files deleted from {cache.folder().parent if chosen.all else cache.folder()}")


def _explain(chosen: argparse.Namespace) -> None:
    _run(chosen)
    print(cache.explain())


def _viz(chosen: argparse.Namespace) -> None:
    path = gf.viz.save(_subject(chosen), chosen.output, chosen.stage)
    print(path)


def _subject(chosen: argparse.Namespace) -> Any:
    """What is drawn: a saved graph, the default graph of a script, or the largest of the programs that it compiled."""
    if chosen.script.endswith(".json"):
        return gf.viz.from_json(Path(chosen.script).read_text(encoding="utf-8"))
    with gf.profile() as found:  # which keeps the programs
        _run(chosen)
    programs = [binding.executable for binding in found.recorder.bindings]
    if chosen.graph or not programs:
        return gf.get_default_graph()
    return max(programs, key=lambda e: len(e.built.all_nodes))


def _profile(chosen: argparse.Namespace) -> None:
    with gf.profile(chosen.output) as found:
        _run(chosen)
    print(found)
