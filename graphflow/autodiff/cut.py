"""The fewest bytes to keep of a computation so that certain values of it can be had again: a minimum cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable

from graphflow.ir.program import toposort
from graphflow.ir.tensor import Node, Tensor

UNBOUNDED = 1 << 60


def minimum_cut(
    wanted: Iterable[Tensor], lost: set[Tensor], must_keep: Callable[[Node], bool], bytes_of: Callable[[Tensor], int]
) -> list[Tensor]:
    """The tensors to keep, of the least sum of `bytes_of`, from which all of `wanted` can be computed again.

    `lost` tensors are gone unless they are kept; other inputs are at hand. The results of nodes that `must_keep` are not
    computed again: they are kept, or whatever needs them.
    """
    targets = list(dict.fromkeys(wanted))
    flow = Flow()
    tensors: dict[Tensor, None] = {}
    for node in toposort(targets):
        dear = must_keep(node)
        for tensor in node.outputs:
            tensors[tensor] = None
            flow.edge(("in", tensor), ("out", tensor), bytes_of(tensor))
            if tensor in lost or (dear and node.inputs):
                flow.edge("source", ("in", tensor), UNBOUNDED)
            for operand in node.inputs:
                flow.edge(("out", operand), ("in", tensor), UNBOUNDED)
    for tensor in targets:
        flow.edge(("out", tensor), "sink", UNBOUNDED)
    near = flow.cut("source", "sink")
    return [t for t in tensors if ("in", t) in near and ("out", t) not in near]


class Flow:
    """A network of capacities; Edmonds, Karp, "Theoretical improvements in algorithmic efficiency for network flow", 1972."""

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
        while True:
            before = self.search(source, sink)
            if sink not in before:
                return set(before)
            path, vertex = [], sink
            while vertex != source:
                path.append((before[vertex], vertex))
                vertex = before[vertex]
            amount = min(self.left[a][b] for a, b in path)
            for a, b in path:
                self.left[a][b] -= amount
                self.left[b][a] += amount

    def search(self, source: Hashable, sink: Hashable) -> dict[Hashable, Hashable]:
        """What can be reached from the source, each with the vertex before it, breadth first, as far as the sink."""
        before: dict[Hashable, Hashable] = {source: source}
        waiting = deque([source])
        while waiting:
            vertex = waiting.popleft()
            for other, capacity in self.left[vertex].items():
                if capacity > 0 and other not in before:
                    before[other] = vertex
                    if other == sink:
                        return before
                    waiting.append(other)
        return before
