"""What to keep of a computation so that certain values of it can be had again, at the least cost: a minimum cut.

Each value is kept, computed again, or not needed. Keeping costs what writing and reading it costs, computing again what its op
costs; what is computed again needs its operands, kept or computed again. With two vertices for a value, one for "is at hand"
and one for "is computed again", the cheapest choice is a minimum cut between what is lost and what is wanted.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable

from graphflow.ir.program import toposort
from graphflow.ir.tensor import Node, Tensor

UNBOUNDED = 1 << 60


def minimum_cut(
    wanted: Iterable[Tensor],
    lost: set[Tensor],
    cost_of_keeping: Callable[[Tensor], int],
    cost_again: Callable[[Node], int | None],
) -> list[Tensor]:
    """The tensors to keep so that all of `wanted` can be had at the least cost.

    `lost` tensors are gone unless they are kept; other inputs are at hand. `cost_again` is None for nodes that are not computed
    again: their results are kept, or what is made of them.
    """
    targets = list(dict.fromkeys(wanted))
    flow = Flow()
    tensors: dict[Tensor, None] = {}
    for node in toposort(targets):
        again = cost_again(node) if node.inputs else 0
        for tensor in node.outputs:
            tensors[tensor] = None
            flow.edge(("again", tensor), ("at hand", tensor), cost_of_keeping(tensor))
            if tensor in lost or again is None:
                flow.edge("lost", ("again", tensor), UNBOUNDED)
            elif again:
                flow.edge("lost", ("again", tensor), again)
            for operand in node.inputs:
                flow.edge(("at hand", operand), ("again", tensor), UNBOUNDED)
    for tensor in targets:
        flow.edge(("at hand", tensor), "wanted", UNBOUNDED)
    side = flow.cut("lost", "wanted")
    return [t for t in tensors if ("again", t) in side and ("at hand", t) not in side]


class Flow:
    """A network of capacities. Dinic, "Algorithm for solution of a problem of maximum flow in networks with power estimation",
    1970."""

    def __init__(self) -> None:
        self.left: dict[Hashable, dict[Hashable, int]] = {}

    def edge(self, a: Hashable, b: Hashable, capacity: int) -> None:
        self.left.setdefault(a, {})
        self.left.setdefault(b, {}).setdefault(a, 0)
        self.left[a][b] = min(UNBOUNDED, self.left[a].get(b, 0) + capacity)

    def cut(self, source: Hashable, sink: Hashable) -> set[Hashable]:
        """The vertices on the source's side of the minimum cut that is nearest to the source."""
        if source not in self.left or sink not in self.left:
            return set()
        while sink in (level := self.levels(source)):
            self.block(source, sink, level)
        return set(level)

    def levels(self, source: Hashable) -> dict[Hashable, int]:
        """The distance from the source of all that can be reached from it."""
        level: dict[Hashable, int] = {source: 0}
        waiting = deque([source])
        while waiting:
            vertex = waiting.popleft()
            for other, capacity in self.left[vertex].items():
                if capacity > 0 and other not in level:
                    level[other] = level[vertex] + 1
                    waiting.append(other)
        return level

    def block(self, source: Hashable, sink: Hashable, level: dict[Hashable, int]) -> None:
        """Send flow along shortest paths until each of them has a full edge."""
        edges = {vertex: list(self.left[vertex]) for vertex in level}
        tried = dict.fromkeys(level, 0)  # how many of a vertex's edges lead nowhere any more
        path = [source]
        while path:
            vertex = path[-1]
            if vertex == sink:
                steps = list(itertools.pairwise(path))
                amount = min(self.left[a][b] for a, b in steps)
                for a, b in steps:
                    self.left[a][b] -= amount
                    self.left[b][a] += amount
                full = next(k for k, (a, b) in enumerate(steps) if self.left[a][b] == 0)
                del path[full + 1 :]
                continue
            while tried[vertex] < len(edges[vertex]):
                other = edges[vertex][tried[vertex]]
                if self.left[vertex][other] > 0 and level.get(other, -1) == level[vertex] + 1:
                    path.append(other)
                    break
                tried[vertex] += 1
            else:
                path.pop()
                if path:
                    tried[path[-1]] += 1
