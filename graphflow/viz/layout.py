"""A layered layout: sized boxes and arrows in, coordinates out. Pure arithmetic; knows nothing of graphs of ops.

Sugiyama's steps: ranks by longest path, long arrows through bends in the ranks between, order within a rank by barycentre,
coordinates by least squares that keep order and distance.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Key = Hashable
Edge = tuple[Key, Key]
Point = tuple[float, float]

SWEEPS = 12  # passes over the ranks that order them; more changed no picture that was looked at
SETTLES = 60  # passes that set coordinates, fewer where there is much to set
SETTLED = 400_000  # boxes and bends that are set in all, about two seconds
PULL = (1.0, 2.0, 8.0)  # of a piece of an arrow with no, one and two bends at its ends: Gansner et al. 1993, section 4
BEND_WIDTH = 6.0  # pixels an arrow takes in a rank that it crosses
CROSSING_LIMIT = 10_000  # arrows; above, crossings are not counted and the last order is taken


@dataclass(frozen=True)
class Layout:
    """Sizes and top left corners of the boxes, the bends of each arrow between its ends, and the size of it all."""

    sizes: Mapping[Key, Point]
    corners: dict[Key, Point]
    bends: dict[Edge, list[Point]]
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class _Bend:
    """Where a long arrow crosses a rank."""

    edge: Edge
    rank: int


@dataclass
class _Ranks:
    """The boxes and bends of each rank, in order, and who is above and below each."""

    rows: list[list[Key]]
    above: dict[Key, list[Key]] = field(default_factory=dict)
    below: dict[Key, list[Key]] = field(default_factory=dict)


def layered(sizes: Mapping[Key, Point], edges: Iterable[Edge], gap: Point = (24.0, 34.0)) -> Layout:
    """Where to draw boxes of the given (width, height) so that arrows lead downwards; `gap` is the space between them.

    An arrow that would close a cycle leads upwards; it changes nothing else.
    """
    edges = list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1]))
    rank = _rank(list(sizes), edges)
    ranks, bends = _with_bends(list(sizes), edges, rank)
    _order(ranks)
    widths = {item: sizes[item][0] if item in sizes else BEND_WIDTH for row in ranks.rows for item in row}
    centres = _centres(ranks, widths, gap[0])
    return _placed(sizes, ranks, bends, widths, centres, gap)


def _rank(keys: Sequence[Key], edges: Sequence[Edge]) -> dict[Key, int]:
    """The row of each box: one below the lowest box that leads to it; boxes nothing leads to stand above their first user."""
    users: dict[Key, list[Key]] = {key: [] for key in keys}
    for source, target in edges:
        users[source].append(target)
    order = _reverse_postorder(keys, users)
    place = {key: index for index, key in enumerate(order)}
    rank = dict.fromkeys(keys, 0)
    forward = {key: [user for user in users[key] if place[user] > place[key]] for key in keys}
    has_source = {user for key in keys for user in forward[key]}
    for key in order:
        for user in forward[key]:
            rank[user] = max(rank[user], rank[key] + 1)
    for key in keys:
        if key not in has_source and forward[key]:
            rank[key] = min(rank[user] for user in forward[key]) - 1
    return rank


def _reverse_postorder(keys: Sequence[Key], users: Mapping[Key, Sequence[Key]]) -> list[Key]:
    order: list[Key] = []
    seen: set[Key] = set()
    for root in reversed(keys):
        stack = [(root, iter(users[root]))] if root not in seen else []
        seen.add(root)
        while stack:
            key, rest = stack[-1]
            step = next((user for user in rest if user not in seen), None)
            if step is None:
                order.append(key)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(users[step])))
    return order[::-1]


def _with_bends(keys: Sequence[Key], edges: Sequence[Edge], rank: Mapping[Key, int]) -> tuple[_Ranks, dict[Edge, list[_Bend]]]:
    ranks = _Ranks([[] for _ in range(max(rank.values(), default=-1) + 1)])
    for key in keys:
        ranks.rows[rank[key]].append(key)
    bends: dict[Edge, list[_Bend]] = {}
    for source, target in edges:
        if rank[target] <= rank[source]:
            bends[source, target] = []
            continue
        chain = [_Bend((source, target), r) for r in range(rank[source] + 1, rank[target])]
        bends[source, target] = chain
        for bend in chain:
            ranks.rows[bend.rank].append(bend)
        path: list[Key] = [source, *chain, target]
        for upper, lower in pairwise(path):
            ranks.below.setdefault(upper, []).append(lower)
            ranks.above.setdefault(lower, []).append(upper)
    return ranks, bends


def _order(ranks: _Ranks) -> None:
    """Put each row in the order of the middle of its neighbours, down and up again; keep what crosses least."""
    best, fewest = [list(row) for row in ranks.rows], None
    small = sum(map(len, ranks.below.values())) <= CROSSING_LIMIT
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        rows = ranks.rows if down else ranks.rows[::-1]
        neighbours = ranks.above if down else ranks.below
        for fixed, row in pairwise(rows):
            place = {item: float(index) for index, item in enumerate(fixed)}
            row.sort(key=_barycentre(row, neighbours, place))
        crossings = _crossings(ranks) if small else -sweep
        if fewest is None or crossings < fewest:
            best, fewest = [list(row) for row in ranks.rows], crossings
    ranks.rows[:] = best


def _barycentre(
    row: Sequence[Key], neighbours: Mapping[Key, Sequence[Key]], place: Mapping[Key, float]
) -> Callable[[Key], float]:
    value: dict[Key, float] = {}
    for index, item in enumerate(row):
        near = [place[n] for n in neighbours.get(item, ()) if n in place]
        value[item] = sum(near) / len(near) if near else float(index)
    return value.__getitem__


def _crossings(ranks: _Ranks) -> int:
    total = 0
    for upper, lower in pairwise(ranks.rows):
        place = {item: index for index, item in enumerate(lower)}
        ends = [place[b] for a in upper for b in sorted((b for b in ranks.below.get(a, ()) if b in place), key=place.__getitem__)]
        seen: list[int] = []
        for end in ends:
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


def _centres(ranks: _Ranks, widths: Mapping[Key, float], gap: float) -> dict[Key, float]:
    """The horizontal middle of each box and bend."""
    centre: dict[Key, float] = {}
    for row in ranks.rows:
        x = 0.0
        for item in row:
            centre[item] = x + widths[item] / 2
            x += widths[item] + gap
    passes = max(6, min(SETTLES, SETTLED // max(1, len(centre))))
    for step in range(passes):
        down = step % 2 == 0
        for row in ranks.rows if down else ranks.rows[::-1]:
            wanted, weights = [], []
            for item in row:
                above, below = ranks.above.get(item, []), ranks.below.get(item, [])
                near = above + below if step > 1 else above if down else below
                pulls = [_pull(item, other) for other in near]
                weights.append(sum(pulls) or 1.0)
                wanted.append(sum(centre[n] * p for n, p in zip(near, pulls, strict=True)) / sum(pulls) if near else centre[item])
            centre.update(zip(row, settle(wanted, weights, [widths[item] for item in row], gap), strict=True))
    return centre


def _pull(a: Key, b: Key) -> float:
    """How much a piece of an arrow wants to be vertical: more, the more of its ends are bends."""
    return PULL[isinstance(a, _Bend) + isinstance(b, _Bend)]


def settle(wanted: Sequence[float], weights: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """The centres nearest to `wanted` (weighted least squares) that keep the order and leave `gap` between neighbours.

    Pool adjacent violators: neighbours that push each other move as one block.

    >>> settle([5.0, 5.0], [1.0, 1.0], [4.0, 4.0], 2.0)
    [2.0, 8.0]
    """
    offsets: list[float] = []
    x = 0.0
    for index, width in enumerate(widths):
        x += (widths[index - 1] / 2 + gap + width / 2) if index else 0.0
        offsets.append(x)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, many = blocks.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, count = total + heavy, count + many
        blocks.append((mean, total, count))
    shifts = [mean for mean, _, count in blocks for _ in range(count)]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]


def _placed(
    sizes: Mapping[Key, Point],
    ranks: _Ranks,
    bends: Mapping[Edge, Sequence[_Bend]],
    widths: Mapping[Key, float],
    centres: Mapping[Key, float],
    gap: Point,
) -> Layout:
    left = min((centres[item] - widths[item] / 2 for row in ranks.rows for item in row), default=0.0)
    right = max((centres[item] + widths[item] / 2 for row in ranks.rows for item in row), default=0.0)
    corners: dict[Key, Point] = {}
    middle: list[float] = []
    y = 0.0
    for row in ranks.rows:
        height = max((sizes[item][1] for item in row if item in sizes), default=0.0)
        for item in row:
            if item in sizes:
                corners[item] = (centres[item] - widths[item] / 2 - left, y + (height - sizes[item][1]) / 2)
        middle.append(y)
        middle.append(y + height)
        y += height + gap[1]
    points = {
        edge: [(centres[bend] - left, y) for bend in chain for y in middle[2 * bend.rank : 2 * bend.rank + 2]]
        for edge, chain in bends.items()
    }
    return Layout(sizes, corners, points, right - left, max(0.0, y - gap[1]))
