"""Pictures of graphs: DOT text, SVG without any other program, and networkx graphs for analysis."""

from graphflow.viz.dot import to_dot
from graphflow.viz.networkx_graph import to_networkx
from graphflow.viz.save import save

__all__ = ["save", "to_dot", "to_networkx"]
