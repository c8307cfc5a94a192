"""Write what is derived from the code: `ops.md` from the op registry, `options.md` from the options, and `graph.svg`, the
picture in the README, by the README's example.

    python docs/generate.py            # tests/test_docs.py fails where a page is not up to date

Run it after a change of an op, an option or a docstring.
"""

import inspect
import re
from dataclasses import fields
from pathlib import Path

import graphflow as gf
from graphflow.ir.op import Op
from graphflow.ops.declare import REGISTRY
from graphflow.options import Options

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py; do not edit. -->"


def ops_page():
    """The text of ops.md."""
    lines = ["# Functions and ops", "", NOTE, ""]
    lines += ["Everything a graph can be built from. A function that is not a primitive op is a composition of others.", ""]
    for title, prefix, module in (("The top level", "gf", gf), ("gf.debug", "gf.debug", gf.debug),
                                  ("gf.debugging", "gf.debugging", gf.debugging), ("gf.summary", "gf.summary", gf.summary),
                                  ("gf.fft", "gf.fft", gf.fft), ("gf.integrate", "gf.integrate", gf.integrate),
                                  ("gf.linalg", "gf.linalg", gf.linalg), ("gf.nn", "gf.nn", gf.nn),
                                  ("gf.optimize", "gf.optimize", gf.optimize), ("gf.random", "gf.random", gf.random),
                                  ("gf.train", "gf.train", gf.train)):  # fmt: skip
        lines += [f"## {title}", "", "| function | result |", "|---|---|"]
        for name in sorted(module.__all__, key=str.lower):
            value = getattr(module, name)
            if inspect.ismodule(value) or not callable(value):
                continue
            lines.append(f"| `{prefix}.{name}{cell(signature(value))}` | {cell(first_sentence(value))} |")
        lines.append("")
    lines += ["## Primitive ops", ""]
    lines += ["What the compiler knows. *Kind* is how an element of the result depends on the operands' elements.", ""]
    lines += ["| op | kind | gradient | result |", "|---|---|---|---|"]
    for name, op in sorted(REGISTRY.items()):
        gradient = "yes" if op.differentiable else "no"
        lines.append(f"| `{name}{cell(signature(op))}` | {op.access.name.lower()} | {gradient} | {cell(first_sentence(op))} |")
    return "\n".join(lines) + "\n"


def options_page():
    """The text of options.md."""
    lines = ["# Options", "", NOTE, ""]
    lines += [
        "`with gf.options(name=value):` sets options for the programs compiled inside the block, in this thread. The environment",
        "variables set the defaults of the whole process, and are read when graphflow is imported.",
        "",
        "| option | environment variable | default | meaning |",
        "|---|---|---|---|",
    ]
    for setting in fields(Options):
        default = ",".join(sorted(setting.default)) if isinstance(setting.default, frozenset) else setting.default
        shown = f"`{default}`" if default != "" else "empty"
        lines.append(f"| `{setting.name}` | `{setting.metadata['environment']}` | {shown} | {cell(setting.metadata['text'])} |")
    return "\n".join(lines) + "\n"


def signature(value):
    """`(x, axis=None)`, without annotations."""
    if isinstance(value, Op):
        return str(value.__signature__)
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def first_sentence(value):
    """The first paragraph of the docstring on one line."""
    text = inspect.getdoc(value) or ""
    return " ".join(text.split("\n\n")[0].split())


def cell(text):
    """Text that fits into a cell of a table."""
    return text.replace("|", "\\|")


def readme_picture():
    """The picture of the README's example, by the README's example."""
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL).group(1)
    names = {}
    with gf.Graph().as_default():
        exec(compile(code.partition("gf.viz.save")[0], "example.py", "exec"), names)
        gf.viz.save([names["train"], names["loss"]], HERE / "graph.svg")


PAGES = {"ops.md": ops_page, "options.md": options_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/{name}")
    readme_picture()
    print("wrote docs/graph.svg")
