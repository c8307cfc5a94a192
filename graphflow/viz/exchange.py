"""The graph for other tools: a networkx graph, GraphML, GEXF, and JSON that loads back as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from graphflow.errors import OptionError
from graphflow.viz.picture import Arrow, Band, Box, Picture
from graphflow.viz.subject import picture
from graphflow.viz.svg import xml_characters

if TYPE_CHECKING:
    import networkx

FORMAT, VERSION = "graphflow picture", 1


def to_networkx(target: Any, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> networkx.MultiDiGraph:
    """The graph as a networkx MultiDiGraph; the parameters are those of `picture`.

    Nodes are keyed by name and have `name`, `op`, `application`, `type`, `location`, `kind` (placeholder, variable, constant,
    parameter, forward, gradient, update; kernel, library, step), `group` (the fusion group's name or None), `fetched`, `scope`,
    `twin` (the forward node of a gradient), `bytes` and `flops`. Edges have `type`, `operand` (the position, -1 where the edge is
    no operand), `output` (which result, None where there is one) and `kind` (data, control, update, body). The update edges lead
    back to variables; the others have no cycle.
    """
    return networkx_graph(picture(target, stage, feeds))


def networkx_graph(drawn: Picture) -> networkx.MultiDiGraph:
    """A picture as a networkx graph."""
    import networkx  # only here: importing graphflow does not need it

    graph = networkx.MultiDiGraph(name=drawn.title, legend=drawn.legend, stage=drawn.stage)
    for box in drawn.boxes:
        values = asdict(box)
        key, band = values.pop("key"), values.pop("band")
        graph.add_node(key, **values, group=None if band is None else drawn.bands[band].name)
    for arrow in drawn.arrows:
        graph.add_edge(arrow.source, arrow.target, type=arrow.type, operand=arrow.operand, output=arrow.output, kind=arrow.kind)
    return graph


def graphml_text(drawn: Picture) -> str:
    """A picture as GraphML: the attributes of `to_networkx`, without those that are None."""
    import networkx

    return "\n".join(networkx.generate_graphml(_without_none(drawn))) + "\n"


def gexf_text(drawn: Picture) -> str:
    """A picture as GEXF, which Gephi opens: the attributes of `to_networkx`, without those that are None."""
    import networkx

    graph, stream = _without_none(drawn), io.BytesIO()
    for _, attributes in graph.nodes(data=True):
        attributes["label"] = attributes.pop("name")
    for number, (_, _, attributes) in enumerate(graph.edges(data=True)):
        attributes["id"] = str(number)
        attributes["meaning"] = attributes.pop("kind")  # GEXF has a `kind` of its own
        attributes["value_type"] = attributes.pop("type")
    networkx.write_gexf(graph, stream)
    return stream.getvalue().decode("utf-8")


def _without_none(drawn: Picture) -> networkx.MultiDiGraph:
    """The networkx graph with what XML can hold."""
    import networkx

    def clean(value: Any) -> Any:
        return xml_characters(value) if isinstance(value, str) else value

    graph = networkx_graph(drawn)
    found = networkx.MultiDiGraph(**{name: clean(value) for name, value in graph.graph.items()})
    for key, attributes in graph.nodes(data=True):
        found.add_node(clean(key), **{name: clean(value) for name, value in attributes.items() if value is not None})
    for source, target, attributes in graph.edges(data=True):
        kept = {name: clean(value) for name, value in attributes.items() if value is not None}
        found.add_edge(clean(source), clean(target), **kept)
    return found


# --- JSON -----------------------------------------------------------------------------------------------------------------


def to_json(target: Any, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> str:
    """The graph as JSON, in the schema of docs/visualization.md; `from_json` reads it back. Parameters as of `picture`."""
    return json_text(picture(target, stage, feeds))


def json_text(drawn: Picture) -> str:
    """A picture as JSON: its fields by their names, under the name and the version of the format."""
    return json.dumps({"format": FORMAT, "version": VERSION, **asdict(drawn)}, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str) -> Picture:
    """The picture that `to_json` wrote; OptionError for any other text."""
    try:
        found = json.loads(text)
        if (found.pop("format"), found.pop("version")) != (FORMAT, VERSION):
            raise KeyError("format")
        bands = tuple(Band(**{**band, "remarks": tuple(band["remarks"])}) for band in found.pop("bands"))
        boxes = tuple(Box(**box) for box in found.pop("boxes"))
        arrows = tuple(Arrow(**arrow) for arrow in found.pop("arrows"))
        return Picture(boxes=boxes, arrows=arrows, bands=bands, **found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OptionError(
            f"this is no {FORMAT} of version {VERSION}: {error}", rule="gf.viz.to_json writes one; gf.viz.from_json reads it."
        ) from None
