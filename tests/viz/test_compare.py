"""What changed between two models, and what notebooks show."""

import base64
import re
import xml.etree.ElementTree as ElementTree

import graphflow as gf
from graphflow.viz.ledger import ledger
from tests.viz import models


def layer(units, activation):
    with gf.Graph().as_default():
        x = gf.placeholder(gf.float32, [None, 8], name="x")
        with gf.name_scope("dense"):
            w = gf.Variable(gf.zeros([8, units]), name="w")
            h = activation(gf.matmul(x, w), name="h")
        return [gf.reduce_sum(h, name="loss")], {x: (4, 8)}


def test_two_versions_of_a_model():
    (a, feeds_a), (b, feeds_b) = layer(16, gf.tanh), layer(32, gf.sigmoid)
    found = gf.viz.compare(ledger(a, feeds_a), ledger(b, feeds_b))
    changes = {change.name: dict((field, (x, y)) for field, x, y in change.fields) for change in found.changed}
    assert changes["dense/h"]["op"] == ("tanh", "sigmoid")
    assert changes["dense/w"]["type"] == ("float32[8, 16]", "float32[8, 32]")
    assert not found.added and not found.removed and not found.same
    numbers = {name: (x, y) for name, x, y in found.numbers}
    assert numbers["nodes"][0] == numbers["nodes"][1] and numbers["operations"][0] < numbers["operations"][1]
    text = str(found)
    assert "| nodes |" in text and "`dense/h`: op tanh → sigmoid" in text and "new kernels" in text
    assert gf.viz.compare(a, b).changed == found.changed, "pictures compare as ledgers do"


def test_nothing_changed():
    (a, feeds_a), (b, feeds_b) = layer(16, gf.tanh), layer(16, gf.tanh)
    found = gf.viz.compare(ledger(a, feeds_a), ledger(b, feeds_b))
    assert found.same and "Nothing else changed." in str(found)
    assert all(x == y for name, x, y in found.numbers)


def test_names_added_and_removed():
    x = gf.placeholder(gf.float32, [2], name="x")
    found = gf.viz.compare(gf.tanh(x, name="old"), gf.exp(x, name="new"))
    assert found.added == ("new",) and found.removed == ("old",)


def test_notebooks_show_svg():
    fetches, _ = models.mlp()
    with gf.Session() as session:
        shown = [gf.get_default_graph(), fetches[1], session.executable(fetches[1])]
    for value in shown:
        text = value._repr_html_()
        assert "<script" not in text
        svg = base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1))
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    with gf.Graph().as_default() as empty:
        assert "<img" in empty._repr_html_()
