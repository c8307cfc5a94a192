"""Every format of every stage is read by the tool it is for, whatever names contain; stages and sizes are what they say."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import networkx
import pytest

import graphflow as gf
from graphflow.errors import OptionError
from graphflow.viz.collapse import fitted
from graphflow.viz.exchange import gexf_text, graphml_text
from graphflow.viz.mermaid import MOST_ARROWS, MOST_CHARACTERS, mermaid_text
from tests.viz import models

MODELS = [models.mlp, models.convolution, models.scan]
NASTY = "a \"b\" <script>alert('x')</script> & #1; `c` | {d} \\n [e] 漢字 \ud800 %% end"


@pytest.fixture
def nasty():
    """A picture with names that mean something in every format, and one of 10,000 characters."""
    x = gf.placeholder(gf.float32, [None, 3], name=NASTY)
    with gf.name_scope("<b>scope</b>"):
        y = gf.tanh(x, name="n" * 9_000 + '"')
    return gf.viz.picture(gf.gradients(y, [x]) + [y], "built")


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


# --- stages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_stage_can_be_drawn_and_loads_back(model):
    fetches, feeds = model()
    stages = gf.viz.stages_of(fetches)
    assert stages[0] == "built" and stages[-3:] == ("groups", "kernels", "launches") and "cse" in stages
    for stage in stages:
        drawn = gf.viz.picture(fetches, stage, feeds)
        assert drawn.stage == stage and drawn.boxes
        keys = {box.key for box in drawn.boxes}
        assert len(keys) == len(drawn.boxes)
        assert all(a.source in keys and a.target in keys for a in drawn.arrows)
        assert all(box.twin is None or box.twin in keys for box in drawn.boxes)
        assert gf.viz.from_json(gf.viz.to_json(drawn)) == drawn


def test_gradients_stand_in_the_scope_of_what_they_are_gradients_of():
    fetches, _ = models.mlp()
    for stage in ("built", "optimized"):
        drawn = gf.viz.picture(fetches, stage)
        gradients = {box.key: box for box in drawn.boxes if box.kind == "gradient"}
        assert gradients
        boxes = {box.key: box for box in drawn.boxes}
        for box in gradients.values():
            assert box.scope.startswith("gradients")
            if box.twin is not None:
                assert boxes[box.twin].kind == "forward"
        assert any(box.scope == "gradients/hidden" for box in gradients.values()), stage


def test_the_body_of_a_loop_is_drawn():
    fetches, _ = models.scan()
    drawn = gf.viz.picture(fetches, "built")
    inside = [box for box in drawn.boxes if box.band is not None and drawn.bands[box.band].name == "body of scan/loop"]
    assert {"parameter", "forward"} <= {box.kind for box in inside}
    assert all(box.scope.startswith("scan/loop/body") for box in inside)
    assert ("sequence", "body") in {(arrow.source, arrow.kind) for arrow in drawn.arrows}
    whole = gf.viz.picture(gf.get_default_graph())
    assert sum(box.name == "scan/tanh" for box in whole.boxes) >= 1
    assert not any(box.kind == "parameter" and box.band is None for box in whole.boxes)


def test_sizes_make_bytes_and_operations_known():
    x = gf.placeholder(gf.float32, [None, 64], name="x")
    y = gf.matmul(x, gf.Variable(gf.zeros([64, 10])), name="y")
    by_name = lambda feeds: {box.name: box for box in gf.viz.picture(y, "built", feeds).boxes}
    assert by_name(None)["y"].bytes is None and by_name(None)["y"].flops is None
    assert by_name({x: (32, 64)})["y"].bytes == 32 * 10 * 4
    assert by_name({x: (32, 64)})["y"].flops == 2 * 32 * 64 * 10
    (kernel,) = [box for box in gf.viz.picture(y, "kernels", {x: (32, 64)}).boxes if box.kind == "library"]
    assert kernel.flops == 2 * 32 * 64 * 10 and kernel.bytes == 4 * (32 * 64 + 64 * 10 + 32 * 10)


def test_what_is_no_stage():
    x = gf.placeholder(gf.float32, [2])
    with pytest.raises(OptionError, match="The stages are built, control_flow"):
        gf.viz.picture(x + 1, "bulit")
    with pytest.raises(OptionError, match="drawn as it was built"):
        gf.viz.picture(gf.get_default_graph(), "groups")


def test_anything_may_say_what_is_drawn_in_its_place():
    class Function:
        def drawn_as(self):
            return gf.tanh(gf.placeholder(gf.float32, [2], name="inside"))

    assert {box.name for box in gf.viz.picture(Function(), "built").boxes} >= {"inside", "tanh"}


def test_functions_are_drawn_as_their_latest_trace():
    with gf.eager():
        function = gf.function(lambda x: gf.tanh(x) * 2.0)
        function(gf.constant([1.0, 2.0, 3.0]))
        assert any(box.op == "tanh" for box in gf.viz.picture(function, "built").boxes)
        found = gf.viz.ledger(function).data
    assert found["memory"] is not None and all(kernel["bytes"] for kernel in found["kernels"]), "the sizes are those of the call"


def test_tapes_are_drawn_as_what_they_recorded():
    with gf.eager():
        x = gf.constant([1.0, 2.0])
        w = gf.Variable([3.0, 4.0], name="w")
        with gf.GradientTape() as tape:
            tape.watch(x)
            y = gf.reduce_sum(gf.tanh(x) * w)
        drawn = gf.viz.picture(tape)
        assert gf.viz.to_dot(tape).count("->") == len(drawn.arrows)
    assert [box.op for box in drawn.boxes] == ["placeholder", "tanh", "variable", "multiply", "reduce_sum"]
    assert drawn.boxes[2].name == "w" and drawn.boxes[1].bytes == 8 and "test_export.py" in drawn.boxes[1].location
    assert not y.shape


# --- formats --------------------------------------------------------------------------------------------------------------


def assert_same(graph, drawn, name):
    assert len(graph) == len(drawn.boxes) and graph.number_of_edges() == len(drawn.arrows)
    assert {values[name] for _, values in graph.nodes(data=True)} == {box.name.replace("\ud800", "\ufffd") for box in drawn.boxes}


def test_graphml_and_gexf_load_back(nasty, tmp_path):
    fetches, feeds = models.scan()
    for drawn in (nasty, gf.viz.picture(fetches, feeds=feeds)):
        graph = networkx.parse_graphml(graphml_text(drawn), force_multigraph=True)
        assert_same(graph, drawn, "name")
        (tmp_path / "graph.gexf").write_text(gexf_text(drawn), encoding="utf-8")
        assert_same(networkx.read_gexf(tmp_path / "graph.gexf"), drawn, "label")


def test_other_texts_are_no_pictures():
    for text in ("", "[]", "{}", '{"format": "graphflow picture", "version": 99}'):
        with pytest.raises(OptionError, match="no graphflow picture"):
            gf.viz.from_json(text)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_parses_nasty_names(nasty):
    text = gf.viz.to_dot(nasty).encode("utf-8", "replace")
    done = subprocess.run(["dot", "-Tplain"], input=text, capture_output=True, check=True)
    assert done.stdout.count(b"\nnode ") >= len(nasty.boxes) and not done.stderr


def mermaid_modules():
    """The folder of npm's packages with mermaid and jsdom, if there is one."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return None
    folder = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True).stdout.strip()
    return folder if all((Path(folder) / name).is_dir() for name in ("mermaid", "jsdom")) else None


def test_mermaid_parses_its_text(nasty, tmp_path):
    folder = mermaid_modules()
    if folder is None:
        pytest.skip("npm has no mermaid and jsdom")
    texts = [mermaid_text(nasty), gf.viz.to_mermaid(models.chain(50)[0], "built"), gf.viz.to_mermaid(models.scan()[0])]
    files = [tmp_path / f"{k}.mmd" for k in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    script = Path(__file__).with_name("parse_mermaid.mjs")
    done = subprocess.run(["node", script, folder, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["flowchart-v2"] * len(files)


def test_mermaid_stays_within_its_limits(nasty):
    fetches, _ = models.chain(60)
    text = gf.viz.to_mermaid(fetches, "built")
    assert len(text) <= MOST_CHARACTERS and text.count("-->") <= MOST_ARROWS
    text = mermaid_text(nasty)
    assert "<script" not in text and "`" not in text and text.count('"') % 2 == 0


def test_collapsing_keeps_every_box_and_joins_arrows():
    fetches, _ = models.mlp()
    drawn = gf.viz.picture(fetches, "built")
    small = fitted(drawn, 40, 90)
    assert len(small.boxes) <= 40 and len(small.arrows) <= 90
    assert {"hidden", "loss"} <= {box.key for box in small.boxes}
    assert fitted(drawn, 10_000, 10_000) is drawn


@needs("tensorboard")
def test_tensorboard_reads_the_event_file(nasty, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fetches, feeds = models.mlp()
    gf.viz.save(fetches, tmp_path / "events.out.tfevents.graph", "groups", feeds)
    loaded = EventAccumulator(str(tmp_path))
    loaded.Reload()
    graph = loaded.Graph()
    names = {node.name for node in graph.node}
    assert len(names) == len(graph.node) and {"hidden/tanh", "hidden/w"} <= names
    (tanh,) = [node for node in graph.node if node.name == "hidden/tanh"]
    assert [d.size for d in tanh.attr["_output_shapes"].list.shape[0].dim] == [-1, 32]
    assert all(name.lstrip("^").partition(":")[0] in names for node in graph.node for name in node.input)
    stats = loaded.RunMetadata("run").step_stats.dev_stats[0].node_stats
    assert {s.node_name: s.memory[0].total_bytes for s in stats if s.memory}["hidden/tanh"] == 32 * 32 * 4

    gf.viz.save(nasty, tmp_path / "nasty.tfevents")
    again = EventAccumulator(str(tmp_path / "nasty.tfevents"))
    again.Reload()
    assert len(again.Graph().node) == len(nasty.boxes)


@needs("tensorboard")
def test_tensorboard_has_the_time_of_each_node(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    x = gf.placeholder(gf.float32, [None], name="x")
    y = gf.exp(gf.sin(x, name="sin"), name="exp")
    with gf.Session() as session, gf.profile() as measured:
        session.run(y, {x: [1.0] * 100_000})
    path = gf.viz.to_tensorboard(y, tmp_path / "events.tfevents", "groups", {x: (100_000,)}, measured)
    loaded = EventAccumulator(str(path))
    loaded.Reload()
    stats = {s.node_name: s.all_end_rel_micros for s in loaded.RunMetadata("run").step_stats.dev_stats[0].node_stats}
    assert stats["sin"] > 0 and stats["exp"] > 0 and stats["x"] == 0


@needs("onnx")
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_onnx_checks_the_model(model, tmp_path):
    import onnx

    fetches, _ = model()
    gf.viz.save(fetches, tmp_path / "graph.onnx", "optimized")
    found = onnx.load(tmp_path / "graph.onnx")
    onnx.checker.check_model(found)
    assert any(not node.domain for node in found.graph.node) or model is models.scan, "all of it is one loop"


@pytest.mark.parametrize(("ending", "package"), [("tfevents", "tensorboard"), ("onnx", "onnx")])
def test_a_missing_package_is_named(ending, package, tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    x = gf.placeholder(gf.float32, [2])
    with pytest.raises(OptionError, match=f"pip install {package}"):
        gf.viz.save(x + 1, tmp_path / f"graph.{ending}")
