"""The rules that keep the code base in order: imports go downwards, public names are documented, import is light."""

import ast
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import graphflow as gf
from graphflow.options import SWITCHES, Options

ROOT = Path(gf.__file__).resolve().parent

# From the bottom to the top. What stands in one row is on one level, and modules there may import each other.
LAYERS = (
    ("errors", "options", "types"),
    ("ir",),
    ("ops",),
    ("autodiff",),
    ("passes",),
    ("loop",),
    ("codegen",),
    ("runtime",),
    ("capture", "compiler", "link", "stages"),
    ("session", "feeds", "fetches"),
    ("linalg", "fft", "nn", "random", "testing"),
    ("viz", "eager", "numpy", "array_api", "profiler", "debug", "debugging", "summary", "train", "integrate", "optimize"),
    ("__init__", "cli", "__main__"),
)
LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}
MODULES = sorted(ROOT.rglob("*.py"))

TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "graphflow", "tests", "examples", "docs"}


def layer_of(module):
    """The layer of a dotted module name below graphflow: `ir.graph` is in `ir`."""
    return module.split(".")[0]


def imported(path):
    """The dotted names below graphflow that a file imports, with their lines; imports for type checkers do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("graphflow."):
                    yield alias.name.removeprefix("graphflow."), node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module == "graphflow":
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif node.module and node.module.startswith("graphflow."):
                yield node.module.removeprefix("graphflow."), node.lineno


def test_every_module_has_a_layer():
    found = {layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in MODULES}
    assert found <= LEVEL.keys(), f"no layer for {sorted(found - LEVEL.keys())}: add them to LAYERS"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path):
    own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    wrong = []
    for name, line in imported(path):
        layer = layer_of(name)
        if layer not in LEVEL:  # a name of the package itself, as `from graphflow import float32`
            layer = "__init__"
        if LEVEL[layer] > LEVEL[own]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}, which is above {own}")
    assert not wrong, "\n".join(wrong)


HEAVY = (
    "numba",
    "llvmlite",
    "ml_dtypes",
    "networkx",
    "scipy",
    "statistics",
    "tempfile",
    "graphflow.passes",
    "graphflow.loop.lower",
)


def test_importing_graphflow_is_light():
    code = f"import sys, graphflow; print(*sorted(set({HEAVY}) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, cwd=ROOT.parent
    )
    assert done.stdout.strip() == "", f"importing graphflow imports {done.stdout.strip()}"


PUBLIC = (
    gf,
    gf.array_api,
    gf.debug,
    gf.debugging,
    gf.summary,
    gf.fft,
    gf.integrate,
    gf.linalg,
    gf.nn,
    gf.numpy,
    gf.optimize,
    gf.random,
    gf.train,
    gf.viz,
)


def public_names():
    for module in PUBLIC:
        prefix = module.__name__.replace("graphflow", "gf")
        for name in module.__all__:
            yield pytest.param(module, name, id=f"{prefix}.{name}")


@pytest.mark.parametrize(("module", "name"), list(public_names()))
def test_public_names_are_documented(module, name):
    value = getattr(module, name)
    if isinstance(value, gf.types.DType) or name == "__version__":
        return
    text = inspect.getdoc(value)
    assert text and text.strip(), f"{name} has no docstring"
    assert not text.lower().startswith(("this function", "returns ", "return ")), f"{name}: a docstring begins with the result"


def test_public_names_are_sorted_and_unique():
    for module in PUBLIC:
        names = list(module.__all__)
        assert len(names) == len(set(names)), f"{module.__name__}.__all__ names something twice"


@pytest.mark.parametrize("setting", fields(Options), ids=lambda f: f.name)
def test_every_option_is_documented(setting):
    assert setting.metadata["environment"] == f"GRAPHFLOW_{setting.name.upper()}"
    assert setting.metadata["text"].endswith(".")
    page = ROOT.parent / "docs" / "options.md"
    assert f"`{setting.metadata['environment']}`" in page.read_text(encoding="utf-8"), "run python docs/generate.py"


def test_every_switch_is_a_pass_or_a_stage():
    from graphflow.passes import PASSES

    assert {p.__name__ for p in PASSES} | {"fusion", "inplace", "sequential"} == set(SWITCHES)


def test_the_top_level_has_no_other_files():
    tracked = subprocess.run(["git", "-C", str(ROOT.parent), "ls-files"], capture_output=True, text=True)
    if tracked.returncode or not tracked.stdout:
        pytest.skip("not a git checkout")
    found = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
