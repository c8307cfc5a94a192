"""Which mode a thread is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphflow.ir.graph import change_state, changed_state, is_eager


def enable_eager() -> None:
    """From now on ops run as they are called in this thread, unless an operand is symbolic."""
    change_state(eager=True)


@contextmanager
def eager() -> Iterator[None]:
    """A context in which ops run as they are called, unless an operand is symbolic; for this thread."""
    with changed_state(eager=True, graph=None, body=None, control=(), scopes=(), counter=None):
        yield


def executing_eagerly() -> bool:
    """Do ops run as they are called in this thread? Not by default, and not while a function is traced."""
    return is_eager()


@contextmanager
def no_gradient() -> Iterator[None]:
    """A context in which no gradient flows through what is computed: it is constant to tapes and to `gradients`."""
    with changed_state(recorders=(), detached=True):
        yield
