"""What tests of passes share: a graph of their own, `program_of`, and the comparison of programs by their text."""

import difflib

import pytest

from graphflow.ir.graph import Graph
from graphflow.ir.program import Program, program_text, toposort


@pytest.fixture(autouse=True)
def graph():
    with Graph().as_default() as graph:
        yield graph


def _program_of(*outputs, updates=(), inputs=None):
    if inputs is not None:
        return Program(tuple(inputs), outputs, tuple(updates))
    results = (*outputs, *(value for _, value in updates), *(variable for variable, _ in updates))
    inputs = tuple(n.output for n in toposort(results) if n.op.name in ("placeholder", "variable", "run_counter"))
    return Program(inputs, outputs, tuple(updates))


def _assert_same_program(actual, expected):
    texts = [program_text(p, locations=False).splitlines() for p in (expected, actual)]
    difference = "\n".join(difflib.unified_diff(*texts, "expected", "actual", lineterm=""))
    assert not difference, "\n" + difference


@pytest.fixture
def program_of():
    """The program with the given outputs; its inputs are the placeholders and variables they read, unless given."""
    return _program_of


@pytest.fixture
def assert_same_program():
    """Two programs have the same text, or the test fails with the difference."""
    return _assert_same_program
