"""Look at a model: every picture and file that graphflow makes of one, in a folder with a page of links.

    python examples/visualize.py pictures          # then open pictures/index.html

The model is a network for digits with a convolution; what is drawn is one training step. The ledger (ledger.html) is the page to
begin with: the graph with scopes that open by a click, a slider over what each pass of the compiler did, the kernels with their
code, the memory, the time of each launch. The other files are for other programs.
"""

import argparse
from html import escape
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import graphflow as gf

# File, what it is for, and the package it needs.
FILES = [
    ("built.svg", "the graph as it was built, as a picture", None),
    ("groups.svg", "what is run: a band for each kernel", None),
    ("kernels.svg", "the kernels and the buffers between them", None),
    ("launches.svg", "the rows of the launch program, in order", None),
    ("groups.dot", "for Graphviz", None),
    ("groups.mmd", "Mermaid, for pages that draw it", None),
    ("groups.json", "all that the picture is made of; gf.viz.from_json reads it", None),
    ("built.graphml", "for networkx, yEd, Cytoscape", None),
    ("built.gexf", "for Gephi", None),
    ("events.out.tfevents.graph", "for TensorBoard: tensorboard --logdir of this folder", "tensorboard"),
    ("optimized.onnx", "for Netron", "onnx"),
    ("groups.png", "a picture of pixels, by Graphviz or cairosvg", None),
]


def model():
    """A training step: (the fetches, the placeholders)."""
    images = gf.placeholder(gf.float32, [None, 8, 8, 1], name="images")
    labels = gf.placeholder(gf.int32, [None], name="labels")
    rng = np.random.default_rng(0)
    with gf.name_scope("convolution"):
        filters = gf.Variable(rng.normal(0, 0.3, (3, 3, 1, 8)).astype(np.float32), name="filters")
        h = gf.nn.relu(gf.nn.conv2d(images, filters, strides=1, padding="SAME"))
    with gf.name_scope("dense"):
        w = gf.Variable(rng.normal(0, 0.05, (512, 10)).astype(np.float32), name="w")
        b = gf.Variable(gf.zeros([10]), name="b")
        logits = gf.matmul(gf.reshape(h, [-1, 512]), w) + b
    with gf.name_scope("loss"):
        loss = gf.reduce_mean(gf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    train = gf.train.AdamOptimizer(0.01).minimize(loss)
    return [train, loss], (images, labels)


PAGE = """<!doctype html><meta charset="utf-8"><title>Pictures of a model</title>
<style>
body { display: grid; grid-template-columns: repeat(auto-fill, minmax(22em, 1fr)); gap: 1em; margin: 2em; font: 15px system-ui }
h1 { grid-column: 1 / -1; margin: 0; font-size: 1.4em }
a { display: flex; flex-direction: column; gap: .3em; padding: 1em; border: 1px solid #d5d8dc; border-radius: 8px; color: inherit;
  text-decoration: none }
a:hover { border-color: #4a78b5 }
img { height: 12em; object-fit: contain; background: white }
span { color: #666 }
</style>
<h1>One training step</h1>
"""


def main():
    parser = argparse.ArgumentParser(description="Every picture of a model, in a folder.")
    parser.add_argument("folder", nargs="?", default="pictures")
    folder = Path(parser.parse_args().folder)
    folder.mkdir(parents=True, exist_ok=True)

    step, (images, labels) = model()
    feeds = {images: np.zeros((32, 8, 8, 1), np.float32), labels: np.arange(32, dtype=np.int32) % 10}
    written = []

    # The ledger, with the times of some runs in it; a profile of its own makes the trace and the flame graph.
    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        session.run(step, feeds)  # compiles
        with gf.profile(folder / "profile") as profile:
            for _ in range(20):
                session.run(step, feeds)
        session.ledger(step, feeds, profile).save(folder / "ledger.html")
    written.append(("ledger.html", "the ledger: begin here"))
    written.append(("profile/trace.json", "the runs, for ui.perfetto.dev"))
    written.append(("profile/flame.svg", "where the time goes"))

    for name, purpose, package in FILES:
        if package is not None and find_spec(package) is None:
            print(f"{name} is left out: it needs `pip install {package}`")
            continue
        stage = name.partition(".")[0]
        try:
            gf.viz.save(step, folder / name, "built" if stage == "events" else stage, feeds)
        except gf.errors.OptionError as error:
            print(f"{name} is left out: {error}")
            continue
        written.append((name, purpose))

    # What changed between two versions of a model, as text for a pull request.
    before = gf.viz.ledger(step, feeds)
    with gf.options(disable="fusion"):
        after = gf.viz.ledger(step, feeds)
    (folder / "without_fusion.md").write_text(str(gf.viz.compare(before, after)), encoding="utf-8")
    written.append(("without_fusion.md", "what changes without fusion, as text"))

    (folder / "index.html").write_text(index(written), encoding="utf-8")
    print(f"{len(written)} files, and {folder / 'index.html'} with links to them")


def index(files):
    """A page with a card for each (name, purpose): those of pictures show them."""
    cards = []
    for name, purpose in files:
        picture = f'<img src="{name}" alt="" loading="lazy">' if name.endswith((".svg", ".png")) else ""
        cards.append(f'<a href="{name}">{picture}<b>{escape(name)}</b><span>{escape(purpose)}</span></a>')
    return PAGE + "\n".join(cards) + "\n"


if __name__ == "__main__":
    main()
