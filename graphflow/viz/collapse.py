"""Smaller pictures of the same: scopes as single boxes, and where there are no scopes, stretches of boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from graphflow.viz.picture import Arrow, Box, Picture, counted

SCOPE = "scope"  # the op of a box that stands for several


def fitted(drawn: Picture, boxes: int, arrows: int) -> Picture:
    """The most detailed picture that has at most so many boxes and arrows: outer scopes only, or stretches of boxes."""
    if fits(drawn, boxes, arrows):
        return drawn
    deepest = max((len(box.scope.split("/")) for box in drawn.boxes if box.scope), default=0)
    for depth in range(deepest, 0, -1):
        found = by_scope(drawn, depth)
        if fits(found, boxes, arrows):
            return found
    found, count = by_scope(drawn, 1) if deepest else drawn, boxes
    while count > 1:
        for keep in (SCOPE, ""):  # scopes stay as they are, if that is enough
            smaller = by_stretch(found, max(2, -(-len(found.boxes) // count)), keep)
            if fits(smaller, boxes, arrows):
                return smaller
        count //= 2
    return by_stretch(found, len(found.boxes), "")


def fits(drawn: Picture, boxes: int, arrows: int) -> bool:
    """Has the picture at most so many boxes and arrows?"""
    return len(drawn.boxes) <= boxes and len(drawn.arrows) <= arrows


def by_scope(drawn: Picture, depth: int) -> Picture:
    """Scopes below `depth` outer ones as one box each."""
    return merged(drawn, {box.key: "/".join(box.scope.split("/")[:depth]) or box.key for box in drawn.boxes})


def by_stretch(drawn: Picture, count: int, keep: str) -> Picture:
    """Each `count` boxes that follow one another as one box, but for those of op `keep`."""
    loose = [box.key for box in drawn.boxes if box.op != keep]
    names = {box.key: box.key for box in drawn.boxes}
    for start in range(0, len(loose), count):
        part = loose[start : start + count]
        names.update(dict.fromkeys(part, f"nodes {start + 1} to {start + len(part)}"))
    return merged(drawn, names)


def merged(drawn: Picture, names: Mapping[str, str]) -> Picture:
    """The picture with the boxes of one name as one box; a box whose name is its own key stays as it is."""
    members: dict[str, list[Box]] = {}
    for box in drawn.boxes:
        members.setdefault(names[box.key], []).append(box)
    boxes = [_box(name, found) for name, found in members.items()]
    joined: dict[tuple[str, str, str], list[Arrow]] = {}
    for arrow in drawn.arrows:
        source, target = names[arrow.source], names[arrow.target]
        if source != target:
            joined.setdefault((source, target, arrow.kind), []).append(arrow)
    arrows = [
        Arrow(source, target, found[0].type if len(found) == 1 else counted(len(found), "value"), -1, None, kind)
        for (source, target, kind), found in joined.items()
    ]
    return Picture(drawn.title, tuple(boxes), tuple(arrows), (), drawn.stage)


def _box(name: str, members: list[Box]) -> Box:
    if len(members) == 1 and members[0].key == name:
        return members[0]
    kind = Counter(box.kind for box in members).most_common(1)[0][0]
    ops = Counter(box.op for box in members).most_common(3)
    text = f"{counted(len(members), 'node')}: {', '.join(f'{count} {op}' for op, count in ops)}"
    return Box(name, name, SCOPE, text, "", "", kind, fetched=any(box.fetched for box in members))
