"""How notebooks show graphs, tensors and executables: as SVG, which needs no JavaScript."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from graphflow.viz.collapse import fitted
from graphflow.viz.subject import picture
from graphflow.viz.svg import svg_text

MOST_BOXES, MOST_ARROWS = 60, 160  # larger graphs are shown with their scopes as single boxes


def html(shown: Any) -> str:
    """The picture of something as HTML: SVG as an image, so that its style stays its own, in a frame that scrolls."""
    drawn = fitted(picture(shown, "built" if hasattr(shown, "node") else None), MOST_BOXES, MOST_ARROWS)
    data = base64.b64encode(svg_text(drawn).encode("utf-8", "replace")).decode()
    image = f'<img alt="{escape(str(drawn))}" style="max-width:none" src="data:image/svg+xml;base64,{data}">'
    return f'<div style="max-width:100%;max-height:640px;overflow:auto">{image}</div>'
