"""Pictures as files: the ending of the path says which format."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from graphflow.errors import OptionError
from graphflow.viz.dot import dot_text
from graphflow.viz.exchange import gexf_text, graphml_text, json_text
from graphflow.viz.mermaid import mermaid_text
from graphflow.viz.picture import Picture
from graphflow.viz.subject import picture, subject_of
from graphflow.viz.svg import svg_text
from graphflow.viz.tensorboard import to_tensorboard

GRAPHVIZ_SECONDS = 60  # a layout that takes longer is given up

TEXTS: Mapping[str, Callable[[Picture], str]] = {
    ".dot": dot_text,
    ".gv": dot_text,
    ".svg": svg_text,
    ".mmd": mermaid_text,
    ".mermaid": mermaid_text,
    ".graphml": graphml_text,
    ".gexf": gexf_text,
    ".json": json_text,
}
DRAWN = (".png", ".pdf")
OTHERS = (".html", ".onnx", ".tfevents")


def save(target: Any, path: str | os.PathLike[str], stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> Path:
    """The path of the picture of `target`, written as its ending says; `target`, `stage` and `feeds` are those of `picture`.

    `.svg`, `.dot` (or `.gv`), `.mmd` (Mermaid) and `.json` need nothing else, and are the same on every machine; `.html` is the
    ledger, a page of all stages. `.graphml` and `.gexf` are for graph tools. `.png` and `.pdf` are drawn by Graphviz's program
    `dot` or, without it, by the package cairosvg; `.tfevents` is for TensorBoard and needs its package, `.onnx` for Netron and
    needs onnx; an OptionError names what is missing.
    """
    path = Path(path)
    ending = ".tfevents" if "tfevents" in path.name else path.suffix.lower()
    if ending in TEXTS:
        path.write_text(TEXTS[ending](picture(target, stage, feeds)), encoding="utf-8")
    elif ending in DRAWN:
        path.write_bytes(_drawn(picture(target, stage, feeds), ending[1:]))
    elif ending == ".tfevents":
        to_tensorboard(target, path, stage, feeds)
    elif ending == ".onnx":
        path.write_bytes(import_module("graphflow.viz.onnx").onnx_bytes(subject_of(target).program_at(stage)))
    elif ending == ".html":
        import_module("graphflow.viz.ledger").ledger(target, feeds).save(path)
    else:
        raise OptionError(
            f"viz.save: no pictures of kind {ending or path.name!r}",
            rule=f"The endings are {', '.join((*TEXTS, *DRAWN, *OTHERS))}.",
        )
    return path


def _drawn(drawn: Picture, form: str) -> bytes:
    """The picture as PNG or PDF: by Graphviz, or from our own SVG by cairosvg."""
    found = _graphviz(dot_text(drawn), form)
    if found is not None:
        return found
    try:
        cairosvg = import_module("cairosvg")
    except (ImportError, OSError):  # OSError: its library is missing
        raise OptionError(
            f"viz.save: .{form} pictures need Graphviz's program `dot`, or the package cairosvg",
            rule="Save as .svg or .html, which need nothing, or install Graphviz (https://graphviz.org/download), or "
            "`pip install cairosvg`.",
        ) from None
    convert = cairosvg.svg2png if form == "png" else cairosvg.svg2pdf
    return convert(bytestring=svg_text(drawn).encode("utf-8"))


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
