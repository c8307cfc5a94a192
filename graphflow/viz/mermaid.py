"""Mermaid text, which web pages of repositories draw: whole where it is small, with scopes as single boxes where it is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphflow.viz.collapse import fitted
from graphflow.viz.picture import KINDS, Arrow, Box, Picture, shortened
from graphflow.viz.subject import picture

MOST_ARROWS, MOST_CHARACTERS = 500, 50_000  # what Mermaid draws unless its settings are changed
NAME_LIMIT = 60
LINKS = {"data": "-->", "control": "-.->", "update": "-.->|next value|", "body": "-.->"}


def to_mermaid(target: Any, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> str:
    """The graph as Mermaid text: a flow chart, collapsed until Mermaid's own limits allow it; parameters as of `picture`."""
    return mermaid_text(picture(target, stage, feeds))


def mermaid_text(drawn: Picture) -> str:
    """A picture as Mermaid text of at most 500 arrows and 50,000 characters."""
    arrows = MOST_ARROWS
    while True:
        text = _text(fitted(drawn, arrows, arrows))
        if len(text) <= MOST_CHARACTERS or arrows <= 2:
            return text
        arrows //= 2


def _text(drawn: Picture) -> str:
    ids = {box.key: f"n{index}" for index, box in enumerate(drawn.boxes)}
    lines = ["flowchart TB", f"  %% {_plain(str(drawn))}"]
    for index, band in enumerate(drawn.bands):
        inside = [f"    {_box(box, ids)}" for box in drawn.boxes if box.band == index]
        lines += [f'  subgraph band{index}["{_escape(band.name)}"]', *inside, "  end"] if inside else []
    lines += [f"  {_box(box, ids)}" for box in drawn.boxes if box.band is None]
    lines += [f"  {_link(arrow, ids)}" for arrow in drawn.arrows]
    for kind in dict.fromkeys(box.kind for box in drawn.boxes):
        _, fill, line = KINDS[kind]
        members = ",".join(ids[box.key] for box in drawn.boxes if box.kind == kind)
        lines += [f"  classDef {kind} fill:{fill},stroke:{line},color:#1c1c1c;", f"  class {members} {kind};"]
    return "\n".join(lines) + "\n"


def _box(box: Box, ids: Mapping[str, str]) -> str:
    texts = [box.name, "" if box.application == box.name else box.application, box.type, box.location]
    label = "<br/>".join(_escape(text) for text in texts if text)
    return f'{ids[box.key]}["{label}"]'


def _link(arrow: Arrow, ids: Mapping[str, str]) -> str:
    label = f'|"{_escape(arrow.type)}"|' if arrow.kind == "data" and arrow.type else ""
    return f"{ids[arrow.source]} {LINKS[arrow.kind]}{label} {ids[arrow.target]}"


def _escape(text: str) -> str:
    """Text inside a quoted label: all that Mermaid, or the HTML it makes, would take for something else as its number."""
    text = shortened(" ".join(text.split()), NAME_LIMIT)
    return re.sub(r'["#&<>`\\\\{}|]', lambda found: f"#{ord(found.group())};", text)


def _plain(text: str) -> str:
    """Text inside a comment."""
    return re.sub(r"[^\w .,:/()\[\]-]", "_", " ".join(text.split()))
