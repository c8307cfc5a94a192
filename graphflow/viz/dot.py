"""DOT, the language of Graphviz: boxes named, typed and placed in the user's code, fusion groups as clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphflow.viz.picture import KINDS, Box, Picture, shortened
from graphflow.viz.subject import picture

LINE_LIMIT = 200  # characters of a line in a box
EDGES = {
    "control": 'style=dashed, color="#999999"',
    "update": 'style=dotted, color="#6a3d9a", constraint=false',
    "body": 'style=dashed, color="#2b7f86"',
}
CLUSTERS = {"library": ("#b8b8c8", "#eeeef6"), "body": ("#8fc4c8", "#f2fafa")}  # line and fill; of kernels:
KERNEL_CLUSTER = ("#c8c8c8", "#f6f6f6")


def to_dot(target: Any, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> str:
    """The graph as DOT text; the parameters are those of `picture`.

    Fusion groups, and the bodies of loops and branches, are clusters; the forward part and the gradient differ in colour.
    """
    return dot_text(picture(target, stage, feeds))


def dot_text(drawn: Picture) -> str:
    """A picture as DOT text."""
    ids = {box.key: f"n{index}" for index, box in enumerate(drawn.boxes)}
    lines = [
        "digraph graphflow {",
        f'  graph [label="{escape(f"{drawn.title}: {drawn.legend}")}", labelloc=t, fontname="Helvetica", rankdir=TB];',
        '  node [shape=box, style="filled,rounded", fontname="monospace", fontsize=10, margin="0.12,0.06"];',
        '  edge [color="#555555", arrowsize=0.7];',
    ]
    for index, band in enumerate(drawn.bands):
        label = "\n".join(shortened(part, LINE_LIMIT) for part in (band.name, band.remark) if part)
        lines.append(f"  subgraph cluster_{index} {{")
        line, fill = CLUSTERS.get(band.kind, KERNEL_CLUSTER)
        lines.append(
            f'    label="{escape(label)}"; labeljust=l; fontname="Helvetica"; fontsize=10; style="filled,rounded";'
            f' color="{line}"; fillcolor="{fill}";'
        )
        lines += [f"    {_node(box, ids)}" for box in drawn.boxes if box.band == index]
        lines.append("  }")
    lines += [f"  {_node(box, ids)}" for box in drawn.boxes if box.band is None]
    for arrow in drawn.arrows:
        settings = [f'tooltip="{escape(shortened(arrow.type, LINE_LIMIT))}"'] if arrow.type else []
        if arrow.output is not None:
            settings.append(f'taillabel="{arrow.output}", fontsize=9')
        if arrow.kind in EDGES:
            settings.append(EDGES[arrow.kind])
        lines.append(f"  {ids[arrow.source]} -> {ids[arrow.target]} [{', '.join(settings)}];")
    lines += _legend(drawn)
    lines.append("}")
    return "\n".join(lines) + "\n"


def _node(box: Box, ids: dict[str, str]) -> str:
    _, fill, line = KINDS[box.kind]
    texts = [box.name, *([box.application] if box.application != box.name else []), box.type, box.location]
    label = "\n".join(shortened(" ".join(text.split()), LINE_LIMIT) for text in texts if text)
    style = f'fillcolor="{fill}", color="{line}"' + (", penwidth=2.5" if box.fetched else "")
    return f'{ids[box.key]} [label="{escape(label)}", tooltip="{escape(shortened(box.location, LINE_LIMIT))}", {style}];'


def _legend(drawn: Picture) -> list[str]:
    used = [kind for kind in KINDS if any(box.kind == kind for box in drawn.boxes)]
    lines = ["  subgraph cluster_legend {", f'    label="{escape(drawn.legend)}"; fontsize=10; style=rounded;']
    for kind in used:
        text, fill, line = KINDS[kind]
        lines.append(f'    legend_{kind} [label="{text}", fillcolor="{fill}", color="{line}"];')
    return [*lines, "  }"]


def escape(text: str) -> str:
    """`text` inside a quoted string of DOT: quotes, backslashes and line ends, and what DOT would take for an entity."""
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", ""), ("\n", "\\n")):
        text = text.replace(plain, written)
    return text
