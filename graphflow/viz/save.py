"""Pictures as files: DOT and SVG by ourselves, PNG and PDF through Graphviz where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphflow.errors import OptionError
from graphflow.viz.dot import dot_text
from graphflow.viz.picture import Group, picture
from graphflow.viz.svg import svg_text

GRAPHVIZ_SECONDS = 60  # a layout that takes longer is given up


def save(fetches: Any, path: str | os.PathLike[str], groups: Sequence[Group] | None = None, *, optimized: bool = True) -> Path:
    """The path of the picture of `fetches`, written as its ending says: `.dot` (or `.gv`), `.svg`, `.png` or `.pdf`.

    DOT and SVG need nothing else, and are the same on every machine. PNG and PDF are drawn by Graphviz's program `dot`;
    without it an OptionError names the remedy.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in (".dot", ".gv", ".svg", ".png", ".pdf"):
        raise OptionError(
            f"viz.save: no pictures of kind {ending or target.name!r}", rule="The endings are .dot, .svg, .png and .pdf."
        )
    drawn = picture(fetches, groups, optimized=optimized)
    if ending in (".dot", ".gv"):
        target.write_text(dot_text(drawn), encoding="utf-8")
        return target
    if ending == ".svg":
        target.write_text(svg_text(drawn), encoding="utf-8")
        return target
    rendered = _graphviz(dot_text(drawn), ending[1:])
    if rendered is None:
        raise OptionError(
            f"viz.save: {ending} pictures need Graphviz's program `dot`, which is not installed or failed",
            rule="Save as .svg or .dot, which need nothing, or install Graphviz (https://graphviz.org/download).",
        )
    target.write_bytes(rendered)
    return target


def _graphviz(text: str, form: str) -> bytes | None:
    """What Graphviz draws; None where it is missing, fails or takes too long."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, f"-T{form}"], input=text.encode("utf-8"), capture_output=True, timeout=GRAPHVIZ_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout or None
