"""What every test has: a kernel cache of the session, a graph of its own, random numbers that repeat, golden files."""

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The first example of a test may compile kernels: no deadline. In CI the same examples are drawn each time.
settings.register_profile("graphflow", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("graphflow")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing with them")


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """The folder of the kernel cache: new in each session unless GRAPHFLOW_CACHE is set; workers and subprocesses share it."""
    options = import_module("graphflow.options")  # `graphflow.options` itself is the function

    given = os.environ.get("GRAPHFLOW_CACHE")
    session = tmp_path_factory.getbasetemp()
    session = session.parent if "PYTEST_XDIST_WORKER" in os.environ else session
    folder = Path(given) if given else session / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    if given:
        yield folder
        return
    before = options._defaults
    os.environ["GRAPHFLOW_CACHE"] = str(folder)
    options._defaults = options.from_environment()
    yield folder
    options._defaults = before
    del os.environ["GRAPHFLOW_CACHE"]


@pytest.fixture(autouse=True)
def graph():
    """A fresh default graph."""
    from graphflow.ir.graph import Graph

    with Graph().as_default() as fresh:
        yield fresh


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240229)


@pytest.fixture
def golden(request):
    """A function that compares a text with the golden file of that path, relative to the test's folder."""

    def compare(text, name):
        path = Path(request.path).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {path}; run pytest --update-golden and read what it writes"
        assert text == path.read_text(encoding="utf-8"), f"differs from {path}; if that is right, run pytest --update-golden"

    return compare
