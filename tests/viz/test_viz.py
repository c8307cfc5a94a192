"""Pictures: what they show, that DOT and SVG are well formed whatever names contain, and files."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import networkx
import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import FetchError, OptionError
from graphflow.viz import picture, to_dot, to_networkx
from graphflow.viz.nodes import draw
from graphflow.viz.subject import subject_of
from graphflow.viz.svg import STUBS_ABOVE, svg_text, text_width

NASTY = 'a "quoted" <b>&amp; \\n back\\slash 漢字 ü €'


@dataclass
class Group:
    """A fusion group as pictures see it."""

    name: str
    members: tuple
    remarks: tuple = ()
    kind: str = "loop"


@pytest.fixture
def step():
    """(fetches, parts by name) of a small training step."""
    x = gf.placeholder(gf.float32, [None, 3], name="x")
    w = gf.Variable(np.ones((3, 2), np.float32), name="w")
    h = gf.tanh(gf.matmul(x, w))
    loss = gf.reduce_sum(h * 0.1)
    train = gf.train.GradientDescentOptimizer(0.1).minimize(loss)
    return [train, loss], {"x": x, "w": w, "h": h, "loss": loss, "train": train}


def grouped(fetches, groups):
    """The picture of fetches as built, in these groups."""
    subject = subject_of(fetches)
    return draw(subject.built, title="graph", stage="built", fetched=subject.fetched, groups=groups)


def dot_strings(text):
    """The quoted strings of DOT, unquoted; asserts that quotes and braces balance."""
    found, rest = [], []
    for part in re.finditer(r'"((?:[^"\\]|\\.)*)"|([^"]+)', text, re.DOTALL):
        if part.group(2) is None:
            assert "\n" not in part.group(1), "a string does not run over a line"
            found.append(part.group(1))
        else:
            rest.append(part.group(2))
    outside = "".join(rest)
    assert '"' not in outside
    assert outside.count("{") == outside.count("}")
    return found


def elements(text, tag):
    return list(ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}" + tag))


# --- contents -------------------------------------------------------------------------------------------------------------


def test_the_graph_as_built(step):
    fetches, parts = step
    graph = to_networkx(fetches, stage="built")
    assert networkx.is_directed(graph) and graph.is_multigraph()
    assert graph.nodes["x"]["op"] == "placeholder"
    assert graph.nodes["x"]["type"] == str(parts["x"].type)
    assert graph.nodes["x"]["kind"] == "placeholder"
    assert graph.nodes["w"]["kind"] == "variable"
    assert "test_viz.py:" in graph.nodes["x"]["location"]
    loss = graph.nodes[parts["loss"].name]
    assert loss["kind"] == "forward" and loss["fetched"] and loss["group"] is None
    assert {d["kind"] for _, d in graph.nodes(data=True)} >= {"forward", "gradient", "update"}
    data = [(a, b) for a, b, d in graph.edges(data=True) if d["kind"] == "data"]
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(data))
    matmul = parts["h"].inputs[0].name
    assert graph.edges["x", matmul, 0]["operand"] == 0 and graph.edges["x", matmul, 0]["type"] == str(parts["x"].type)
    assert graph.edges["w", matmul, 0]["operand"] == 1
    assert [d["kind"] for _, b, d in graph.edges(data=True) if b == "w"] == ["update"]


def test_scalars_are_written_where_they_are_used(step):
    drawn = picture(step[0], stage="built")
    assert any(box.application == "multiply(·, 0.1)" for box in drawn.boxes)
    assert not any(box.kind == "constant" and box.type.endswith("[]") for box in drawn.boxes)


def test_an_operand_used_twice_has_two_edges():
    x = gf.placeholder(gf.float32, [2], name="x")
    y = x * x
    graph = to_networkx(y, stage="built")
    assert sorted(d["operand"] for d in graph.get_edge_data("x", y.name).values()) == [0, 1]


def test_groups_are_clusters(step):
    fetches, parts = step
    h = parts["h"]
    groups = (
        Group("matmul_0", (h.inputs[0].node,), ("a library call",), "library"),
        Group("tanh_1", (h.node,), ("h: also read by multiply_3", "second reason")),
    )
    text = to_dot(grouped(fetches, groups))
    assert text.count("subgraph cluster_") == 3  # with the legend
    assert "tanh_1\\nh: also read by multiply_3 (+1)" in text
    assert "1 kernel and 1 library call" in text
    assert to_networkx(grouped(fetches, groups)).nodes[h.name]["group"] == "tanh_1"
    drawn = svg_text(grouped(fetches, groups))
    assert "second reason" in drawn, "all reasons are in the tooltip"
    assert "matmul_0 (library)" in drawn


def test_the_optimized_program_has_groups(step):
    fetches, _ = step
    drawn = picture(fetches)
    assert drawn.bands
    computed = [box for box in drawn.boxes if box.kind in ("forward", "gradient")]
    assert computed and all(box.band is not None for box in computed), "every op is in a kernel"
    assert "kernel" in drawn.legend
    assert not any(box.kind == "update" for box in drawn.boxes), "updates are a variable's next value"
    assert [a.target for a in drawn.arrows if a.kind == "update"] == ["w"]


def test_nothing_is_compiled_for_a_picture(step):
    before = gf.cache.stats()
    to_dot(step[0])
    after = gf.cache.stats()
    assert (after.compiled, after.loaded) == (before.compiled, before.loaded)


def test_forward_and_gradient_differ_in_colour(step):
    text = to_dot(step[0])
    forward = re.search(r'legend_forward \[label="forward", (.*)\]', text).group(1)
    gradient = re.search(r'legend_gradient \[label="gradient", (.*)\]', text).group(1)
    assert forward != gradient
    assert text.count(forward) > 1 and text.count(gradient) > 1


def test_programs_and_executables_can_be_drawn(step):
    with gf.Session() as session:
        executable = session.executable(step[1]["loss"])
    assert picture(executable).bands
    assert not picture(executable.program).bands
    assert {box.name for box in picture(executable.built).boxes} >= {"x", "w"}


def test_texts_are_the_same_each_time(step):
    assert to_dot(step[0]) == to_dot(step[0])
    assert svg_text(picture(step[0])) == svg_text(picture(step[0]))


def test_parts_of_a_split():
    x = gf.placeholder(gf.float32, [4], name="x")
    parts = gf.split(x, 2)
    drawn = picture([p * 2 for p in parts], stage="built")
    assert len(drawn.arrows) >= 3


def test_a_deep_graph_needs_no_recursion():
    x = gf.placeholder(gf.float32, [], name="x")
    y = x
    for _ in range(3000):
        y = gf.sin(y)
    assert to_dot(y, stage="built").count("->") == 3000


@pytest.mark.parametrize("bad", [3, "x", None, [], object()])
def test_what_cannot_be_drawn(bad):
    with pytest.raises(FetchError):
        to_dot(bad)


def test_a_large_picture_draws_stubs_from_forward_to_gradient():
    x = gf.placeholder(gf.float32, [3], name="x")
    y = x
    for _ in range(STUBS_ABOVE // 3):
        y = gf.sin(y)
    drawn = picture(gf.gradients(y, [x]), "built")
    assert len(drawn.boxes) > STUBS_ABOVE
    paths = [path.get("d") for path in elements(svg_text(drawn), "path") if path.get("marker-end")]
    assert len(paths) == len(drawn.arrows)
    assert sum("v12" in path for path in paths) >= STUBS_ABOVE // 3


# --- well formed ----------------------------------------------------------------------------------------------------------


def nasty_graph():
    x = gf.placeholder(gf.float32, [NASTY, 3], name=NASTY)
    y = gf.tanh(x, name="<tanh>" + NASTY)
    return y, (Group(NASTY, (y.node,), (NASTY + "\nsecond line",)),)


def test_dot_is_well_formed():
    text = to_dot(grouped(*nasty_graph()))
    strings = dot_strings(text)
    assert any("漢字" in s and "&lt;b&gt;" in s and '\\"quoted\\"' in s and "back\\\\slash" in s for s in strings)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_accepts_the_dot():
    text = to_dot(grouped(*nasty_graph()))
    done = subprocess.run(["dot", "-Tplain"], input=text.encode(), capture_output=True, check=True)
    assert "漢字".encode() in done.stdout


def test_svg_is_well_formed(step):
    y, groups = nasty_graph()
    for drawn in (grouped(y, groups), picture(step[0]), picture(step[0], stage="built")):
        text = svg_text(drawn)
        assert len(elements(text, "rect")) >= len(drawn.boxes) + len(drawn.bands)
        assert sum(1 for path in elements(text, "path") if path.get("marker-end")) == len(drawn.arrows)
    assert any(NASTY.split()[0] in "".join(t.itertext()) for t in elements(svg_text(grouped(y, groups)), "text"))


def test_text_fits_its_box(step):
    for group in elements(svg_text(picture(step[0], stage="built")), "g"):
        (frame,) = group.iter("{http://www.w3.org/2000/svg}rect")
        right = float(frame.get("x")) + float(frame.get("width"))
        for text in group.iter("{http://www.w3.org/2000/svg}text"):
            assert float(text.get("x")) + text_width(text.text) <= right


def test_wide_characters_count_twice():
    assert text_width("漢字") == text_width("abcd")
    assert text_width("e\u0301") == text_width("e")


# --- files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["graph.dot", "graph.gv", "graph.svg", "GRAPH.SVG"])
def test_save(step, tmp_path, name):
    path = gf.viz.save(step[0], tmp_path / name)
    assert path == tmp_path / name
    content = path.read_text(encoding="utf-8")
    assert content.startswith("<svg" if name.lower().endswith("svg") else "digraph")


def test_png_without_graphviz_names_the_remedy(step, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    with pytest.raises(OptionError, match=r"Save as \.svg or \.html"):
        gf.viz.save(step[0], tmp_path / "graph.png")
    assert not (tmp_path / "graph.png").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_png_with_graphviz(step, tmp_path):
    assert gf.viz.save(step[0], tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["graph", "graph.jpg", "svg"])
def test_unknown_endings(step, tmp_path, name):
    with pytest.raises(OptionError, match=r"\.svg, .*\.png, \.pdf"):
        gf.viz.save(step[0], tmp_path / name)
