"""Graphs to look at: pictures for people and other tools at every stage, and the ledger of what the compiler did."""

from graphflow.viz.compare import Comparison, compare
from graphflow.viz.dot import to_dot
from graphflow.viz.exchange import from_json, to_json, to_networkx
from graphflow.viz.ledger import Ledger, ledger
from graphflow.viz.mermaid import to_mermaid
from graphflow.viz.picture import Arrow, Band, Box, Picture
from graphflow.viz.save import save
from graphflow.viz.subject import Drawable, picture, stages_of
from graphflow.viz.tensorboard import to_tensorboard

__all__ = [
    "Arrow",
    "Band",
    "Box",
    "Comparison",
    "Drawable",
    "Ledger",
    "Picture",
    "compare",
    "from_json",
    "ledger",
    "picture",
    "save",
    "stages_of",
    "to_dot",
    "to_json",
    "to_mermaid",
    "to_networkx",
    "to_tensorboard",
]
