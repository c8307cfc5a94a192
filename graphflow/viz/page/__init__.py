"""The ledger's page: HTML, style and script of our own, written into one file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STYLE = "ledger.css"
LAYOUT = "layout.js"  # also what the worker runs
SCRIPTS = ("model.js", "graph.js", "panels.js", "ledger.js")


def page(data: Mapping[str, Any]) -> str:
    """The page of a ledger. Its policy allows the scripts and the style in it by their hashes, and no request at all.

    The data are JSON, deflated, in base64: no name in them can end an element or begin a script.
    """
    style, layout = _text(STYLE), _text(LAYOUT)
    script = "\n".join(_text(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_hash(layout)} {_hash(script)}; style-src {_hash(style)}; worker-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    packed = zlib.compress(json.dumps(data, separators=(",", ":")).encode("utf-8", "replace"), 9)
    filled = {
        "policy": escape(policy),
        "title": escape(f"{data['title']}: what graphflow did"),
        "style": style,
        "layout": layout,
        "script": script,
        "data": base64.b64encode(packed).decode(),
    }
    text = _text("ledger.html")
    for name, value in filled.items():
        text = text.replace(f"<!--{name}-->", value)
    return text


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
