"""The documentation is true: its Python runs, its generated pages are up to date, its links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

from graphflow.ir.graph import changed_state

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", [p for p in PAGES if SNIPPET.search(p.read_text(encoding="utf-8"))], ids=lambda p: p.name)
def test_snippets_run(path, tmp_path, monkeypatch):
    """The snippets of a page run one after the other, in one namespace; line numbers in tracebacks are those of the page."""
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    namespace = {"__name__": "snippet"}
    with changed_state():  # a page that enables eager mode does so for itself
        for found in SNIPPET.finditer(text):
            padding = "\n" * text[: found.start(1)].count("\n")
            exec(compile(padding + found.group(1), str(path), "exec"), namespace)


@pytest.mark.parametrize("name", ["ops.md", "options.md"])
def test_generated_pages_are_up_to_date(name):
    page = generator().PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, "run python docs/generate.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [t for t in LINK.findall(text) if not t.startswith(("http:", "https:", "mailto:"))]
    missing = [t for t in targets if not (path.parent / t).exists()]
    assert not missing, f"{path.name} links to {missing}"


def test_readme_names_both_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for extra, command in (("examples", "examples/train_digits.py"), ("test", "-m pytest")):
        assert f"python3 -m venv .venv && .venv/bin/pip install -e '.[{extra}]' && .venv/bin/python {command}" in text
