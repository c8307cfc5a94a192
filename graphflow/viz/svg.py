"""SVG without any other program: fusion groups as coloured bands, each laid out by itself, then laid out as boxes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from graphflow.viz.layout import Key, Layout, Point, layered
from graphflow.viz.picture import KINDS, Arrow, Box, Picture, shortened

FONT = 11.0  # pixels
CHARACTER = 0.64 * FONT  # the width of one in the fonts named in STYLE, which have 0.60, and a little for rounding
LINE = 14.0  # from line to line
TEXT_LIMIT = 44  # characters of a line in a box; the whole text is in its tooltip
NAME_LIMIT = 32  # characters of a name or a path
REMARK_LIMIT = 160  # characters of the reason in a band's heading
INSIDE = 9.0  # between a frame and its text
BAND_INSIDE = 12.0  # between a band and its boxes
INNER_GAP = (18.0, 26.0)  # between boxes in a band
OUTER_GAP = (28.0, 38.0)  # between bands
MARGIN = 20.0  # around the picture
HEADING = 30.0  # height of the title
KEY_HEIGHT = 34.0  # height of the legend
STUBS_ABOVE = 150  # boxes: in larger pictures, some arrows only begin and end (`stub_arrows`)
MANY_READERS = 12  # of one box: its arrows are then among those
STUB = 12.0  # pixels of such a beginning or end

STYLE = """\
text { font-family: "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 11px; fill: #1c1c1c; }
.name { font-weight: bold; } .where { fill: #6b6b6b; } .title { font-size: 14px; font-weight: bold; }
.band { stroke: #c3c3cc; } .remark { fill: #55555f; }
.data { fill: none; stroke: #5a5a5a; stroke-width: 1.1; } .control { fill: none; stroke: #9a9a9a; stroke-dasharray: 5 3; }
.update { fill: none; stroke: #6a3d9a; stroke-dasharray: 1.5 3; stroke-width: 1.4; }
.body { fill: none; stroke: #2b7f86; stroke-dasharray: 6 3; }"""
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
BAND_FILL = {"library": "#eceaf6", "body": "#f0f9f9"}
KERNEL_FILL = "#f5f5f7"


@dataclass(frozen=True)
class _Drawing:
    """A picture with everything placed."""

    picture: Picture
    units: Mapping[str, Key]  # what stands for a box on the outside: its band, or itself
    frames: dict[str, Point]  # sizes of the boxes
    heads: list[list[tuple[str, str]]]  # the heading of each band
    inner: list[Layout]  # of each band
    outer: Layout  # of bands and of boxes outside bands
    corners: dict[str, Point]  # of the boxes
    bands: dict[int, Point]  # corners of the bands
    stubs: frozenset[Arrow]  # of which only both ends are drawn


def svg_text(drawn: Picture) -> str:
    """A picture as SVG text."""
    drawing = _place(drawn)
    width = max(drawing.outer.width, _legend_width(drawn)) + 2 * MARGIN
    height = drawing.outer.height + 2 * MARGIN + HEADING + KEY_HEIGHT
    size = f'width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{STYLE}</style>",
        _markers(),
        f'<rect {size} fill="#ffffff"/>',
        _text(MARGIN, MARGIN + 12, f"{drawn.title}: {drawn.legend}", "title"),
        *(_band_svg(drawing, index) for index in drawing.bands),
        *(_arrow_svg(drawing, arrow) for arrow in drawn.arrows),
        *(_band_head(drawing, index) for index in drawing.bands),  # over the arrows: they must not hide it
        *(_box_svg(box, drawing.corners[box.key], drawing.frames[box.key]) for box in drawn.boxes),
        _legend_svg(drawn, height - MARGIN - 8),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# --- sizes ----------------------------------------------------------------------------------------------------------------


def text_width(text: str) -> float:
    """Pixels that `text` takes; East Asian wide characters count twice, combining ones not at all."""
    cells = sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return cells * CHARACTER


def _clipped(text: str, limit: int) -> str:
    return shortened(" ".join(text.split()), limit)


def _lines(box: Box) -> list[tuple[str, str]]:
    """(text, class) of the lines in a box."""
    application = box.application if box.application != box.name else ""
    rows = [(box.name, "name"), (application, ""), (box.type, ""), (box.location, "where")]
    return [(_end_of(text) if kind else _clipped(text, TEXT_LIMIT), kind) for text, kind in rows if text]


def _end_of(text: str) -> str:
    """The end of a name or a path, which says more than its beginning."""
    text = " ".join(text.split())
    return text if len(text) <= NAME_LIMIT else "…" + text[-NAME_LIMIT + 1 :]


def _frame_size(box: Box) -> Point:
    rows = _lines(box)
    return max(text_width(text) for text, _ in rows) + 2 * INSIDE, LINE * len(rows) + INSIDE


def _heading(drawn: Picture, index: int, width: float) -> list[tuple[str, str]]:
    """The heading of a band: its name, and the reason why it ends where it does, broken into lines that fit."""
    band = drawn.bands[index]
    name = _clipped(band.name + (" (library)" if band.library else ""), NAME_LIMIT * 2)
    room = max(len(name), int(max(width, 220) / CHARACTER))
    rows = [(name, "name")]
    line = ""
    for word in _clipped(band.remark, REMARK_LIMIT).split():
        if line and len(line) + 1 + len(word) > room:
            rows.append((line, "remark"))
            line = word
        else:
            line = f"{line} {word}".strip()
    return rows + ([(line, "remark")] if line else [])


# --- layout ---------------------------------------------------------------------------------------------------------------


def _place(drawn: Picture) -> _Drawing:
    """The insides of the bands first, then the bands as boxes among the boxes that are in none."""
    frames = {box.key: _frame_size(box) for box in drawn.boxes}
    stubs = stub_arrows(drawn)
    units: dict[str, Key] = {box.key: box.key if box.band is None else box.band for box in drawn.boxes}
    flows = [arrow for arrow in drawn.arrows if arrow.kind != "update" and arrow not in stubs]  # updates lead back up
    inner, heads = [], []
    for index in range(len(drawn.bands)):
        inside: dict[Key, Point] = {box.key: frames[box.key] for box in drawn.boxes if box.band == index}
        inner.append(
            layered(inside, [(a.source, a.target) for a in flows if a.source in inside and a.target in inside], INNER_GAP)
        )
        heads.append(_heading(drawn, index, inner[-1].width))
    sizes: dict[Key, Point] = {}
    for box in drawn.boxes:
        sizes[units[box.key]] = frames[box.key] if box.band is None else _band_size(inner[box.band], heads[box.band])
    outer = layered(sizes, [(units[a.source], units[a.target]) for a in flows], OUTER_GAP)
    corners: dict[str, Point] = {}
    bands: dict[int, Point] = {}
    for key, (left, top) in outer.corners.items():
        x, y = left + MARGIN, top + MARGIN + HEADING
        if not isinstance(key, int):
            corners[str(key)] = (x, y)
            continue
        bands[key] = (x, y)
        for name, (inside_x, inside_y) in inner[key].corners.items():
            corners[str(name)] = (x + BAND_INSIDE + inside_x, y + BAND_INSIDE + LINE * len(heads[key]) + inside_y)
    return _Drawing(drawn, units, frames, heads, inner, outer, corners, bands, stubs)


def stub_arrows(drawn: Picture) -> frozenset[Arrow]:
    """The arrows of a large picture that are not led from box to box: from forward boxes to gradients, and of what many read.

    Drawn whole, they cross everything, and laying out a picture of 800 boxes takes 25 times as long.
    """
    if len(drawn.boxes) <= STUBS_ABOVE:
        return frozenset()
    gradients = {box.key for box in drawn.boxes if box.kind == "gradient"}
    readers = Counter(arrow.source for arrow in drawn.arrows if arrow.kind == "data")

    def far(arrow: Arrow) -> bool:
        return (arrow.target in gradients and arrow.source not in gradients) or readers[arrow.source] > MANY_READERS

    return frozenset(arrow for arrow in drawn.arrows if arrow.kind == "data" and far(arrow))


def _band_size(layout: Layout, head: list[tuple[str, str]]) -> Point:
    width = max(layout.width, max(text_width(text) for text, _ in head))
    return width + 2 * BAND_INSIDE, layout.height + 2 * BAND_INSIDE + LINE * len(head)


# --- SVG ------------------------------------------------------------------------------------------------------------------


def _markers() -> str:
    tips = {"data": "#5a5a5a", "control": "#9a9a9a", "update": "#6a3d9a", "body": "#2b7f86"}
    shapes = "".join(
        f'<marker id="tip_{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0.8 L8 4 L0 7.2 z" fill="{colour}"/></marker>'
        for kind, colour in tips.items()
    )
    return f"<defs>{shapes}</defs>"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}>{_xml(text)}</text>'


def _xml(text: str) -> str:
    """Text inside XML."""
    return escape(xml_characters(text))


def xml_characters(text: str) -> str:
    """The text, with characters that XML does not have shown as a box."""
    return _NOT_XML.sub("\ufffd", text)


def _band_svg(drawing: _Drawing, index: int) -> str:
    band, (x, y), (width, height) = drawing.picture.bands[index], drawing.bands[index], drawing.outer.sizes[index]
    return (
        f'<rect class="band" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" '
        f'fill="{BAND_FILL.get(band.kind, KERNEL_FILL)}"><title>{_xml(chr(10).join((band.name, *band.remarks)))}</title></rect>'
    )


def _band_head(drawing: _Drawing, index: int) -> str:
    fill = BAND_FILL.get(drawing.picture.bands[index].kind, KERNEL_FILL)
    x, y = drawing.bands[index][0] + INSIDE, drawing.bands[index][1] + LINE
    parts = []
    for text, kind in drawing.heads[index]:
        parts.append(
            f'<rect x="{x - 2:.1f}" y="{y - 11:.1f}" width="{text_width(text) + 4:.1f}" height="{LINE:.1f}" fill="{fill}" '
            f'fill-opacity="0.85"/>{_text(x, y, text, kind)}'
        )
        y += LINE
    return "".join(parts)


def _box_svg(box: Box, corner: Point, size: Point) -> str:
    _, fill, line = KINDS[box.kind]
    dashes = ' stroke-dasharray="6 2"' if box.kind == "gradient" else ""  # told apart without colours too
    frame = (
        f'<rect x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="5" fill="{fill}" '
        f'stroke="{line}" stroke-width="{2.6 if box.fetched else 1.1}"{dashes}/>'
    )
    x, y = corner[0] + INSIDE, corner[1] + LINE
    rows = "".join(_text(x, y + LINE * k, text, kind) for k, (text, kind) in enumerate(_lines(box)))
    whole = "\n".join(text for text in (box.name, box.application, box.type, box.location, _numbers(box)) if text)
    return f"<g><title>{_xml(whole)}</title>{frame}{rows}</g>"


def _numbers(box: Box) -> str:
    known = ((box.bytes, "bytes"), (box.flops, "operations"))
    return ", ".join(f"{number:,} {unit}" for number, unit in known if number)


def _arrow_svg(drawing: _Drawing, arrow: Arrow) -> str:
    (x0, y0), (w0, h0) = drawing.corners[arrow.source], drawing.frames[arrow.source]
    (x1, y1), (w1, h1) = drawing.corners[arrow.target], drawing.frames[arrow.target]
    if arrow in drawing.stubs:
        path = f"M{x0 + w0 / 2:.1f} {y0 + h0:.1f} v{STUB:.0f} M{x1 + w1 / 2:.1f} {y1 - STUB:.1f} v{STUB - 2:.0f}"
    elif arrow.kind == "update":
        path = _side_path((x0, y0), (w0, h0), (x1, y1), (w1, h1))
    else:
        path = _curve([(x0 + w0 / 2, y0 + h0), *_bends(drawing, arrow), (x1 + w1 / 2, y1 - 2)])
    label = "" if arrow.output is None else _text(x0 + w0 / 2 + 4, y0 + h0 + 11, f":{arrow.output}", "where")
    tooltip = f"<title>{_xml(f'{arrow.source} to {arrow.target}: {arrow.type or arrow.kind}')}</title>"
    return f'<path class="{arrow.kind}" d="{path}" marker-end="url(#tip_{arrow.kind})">{tooltip}</path>{label}'


def _bends(drawing: _Drawing, arrow: Arrow) -> list[Point]:
    a, b = drawing.units[arrow.source], drawing.units[arrow.target]
    if isinstance(a, int) and a == b:
        x, y = drawing.bands[a][0] + BAND_INSIDE, drawing.bands[a][1] + BAND_INSIDE + LINE * len(drawing.heads[a])
        found = drawing.inner[a].bends.get((arrow.source, arrow.target), [])
    else:
        x, y = MARGIN, MARGIN + HEADING
        found = drawing.outer.bends.get((a, b), [])
    return [(x + bend_x, y + bend_y) for bend_x, bend_y in found]


def _curve(points: Sequence[Point]) -> str:
    """A smooth line through the points that leaves and arrives vertically."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = (y1 - y0) * 0.45
        parts.append(f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}")
    return " ".join(parts)


def _side_path(corner0: Point, size0: Point, corner1: Point, size1: Point) -> str:
    """A line from the side of one box to the side of another, usually upwards."""
    right = corner0[0] + size0[0] / 2 >= corner1[0] + size1[0] / 2
    x0 = corner0[0] if right else corner0[0] + size0[0]
    x1 = corner1[0] + size1[0] + 2 if right else corner1[0] - 2
    y0, y1 = corner0[1] + size0[1] / 2, corner1[1] + size1[1] / 2
    reach = 40.0 if right else -40.0
    return f"M{x0:.1f} {y0:.1f} C{x0 - reach:.1f} {y0:.1f} {x1 + reach:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"


def _legend_items(drawn: Picture) -> list[tuple[str, str]]:
    items = [(kind, KINDS[kind][0]) for kind in KINDS if any(box.kind == kind for box in drawn.boxes)]
    if any(band.kind in ("loop", "control") for band in drawn.bands):
        items.append(("group", "one kernel"))
    if any(band.library for band in drawn.bands):
        items.append(("library", "library call"))
    if any(band.kind == "body" for band in drawn.bands):
        items.append(("body", "body of a loop or branch"))
    if any(box.fetched for box in drawn.boxes):
        items.append(("fetched", "fetched"))
    return items


def _legend_width(drawn: Picture) -> float:
    key = sum(text_width(text) + 40 for _, text in _legend_items(drawn))
    return max(key, text_width(f"{drawn.title}: {drawn.legend}") * 14 / FONT)


def _legend_svg(drawn: Picture, y: float) -> str:
    x, parts = MARGIN, []
    for kind, text in _legend_items(drawn):
        if kind in KINDS:
            _, fill, line = KINDS[kind]
            style = f'fill="{fill}" stroke="{line}"' + (' stroke-dasharray="6 2"' if kind == "gradient" else "")
        elif kind == "fetched":
            style = 'fill="#ffffff" stroke="#1f5fa8" stroke-width="2.6"'
        else:
            style = f'class="band" fill="{BAND_FILL.get(kind, KERNEL_FILL)}"'
        parts.append(f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="18" height="12" rx="3" {style}/>{_text(x + 24, y, text)}')
        x += text_width(text) + 40
    return "".join(parts)
