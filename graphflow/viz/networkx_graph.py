"""The graph as a networkx graph, for analysis and for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graphflow.viz.picture import Group, picture

if TYPE_CHECKING:
    import networkx


def to_networkx(fetches: Any, groups: Sequence[Group] | None = None, *, optimized: bool = True) -> networkx.MultiDiGraph:
    """The graph below `fetches` as a networkx MultiDiGraph; the parameters are those of `to_dot`.

    Nodes are keyed by name and have `name`, `op`, `application`, `type`, `location`, `kind` (placeholder, variable,
    constant, forward, gradient, update), `group` (the fusion group's name or None) and `fetched`. Edges have `type`,
    `operand` (the position, -1 where the edge is no operand), `output` (which result, None where there is one) and `kind`
    (data, control, update). The update edges lead back to variables; the data edges have no cycle.
    """
    import networkx  # only here: importing graphflow does not need it

    drawn = picture(fetches, groups, optimized=optimized)
    graph = networkx.MultiDiGraph(name=drawn.title, legend=drawn.legend)
    for box in drawn.boxes:
        graph.add_node(
            box.key, name=box.name, op=box.op, application=box.application, type=box.type, location=box.location,
            kind=box.kind, group=None if box.band is None else drawn.bands[box.band].name, fetched=box.fetched,
        )  # fmt: skip
    for arrow in drawn.arrows:
        graph.add_edge(
            arrow.source, arrow.target, type=arrow.type, operand=arrow.operand, output=arrow.output, kind=arrow.kind
        )  # fmt: skip
    return graph
