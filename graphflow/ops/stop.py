"""The op of `gf.debug.breakpoint`: where a run stops."""

from __future__ import annotations

import pdb
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from graphflow.ir.op import Access
from graphflow.ops.declare import op
from graphflow.types import TensorType, bool_

BREAKPOINT = "breakpoint"
_local = threading.local()


def _stop(*operands):  # type: ignore[no-untyped-def]
    if not getattr(_local, "stepping", False):
        pdb.Pdb().set_trace(sys._getframe())
    return np.True_


@op(access=Access.OPAQUE, reference=_stop, host=True, effect=True, differentiable=False)
def stop(*operands):
    """True; a run stops here in the debugger when the operands are known."""
    return TensorType((), bool_)


@contextmanager
def stepping() -> Iterator[None]:
    """A block in which whoever goes through the ops of this thread does the stopping."""
    _local.stepping = True
    try:
        yield
    finally:
        _local.stepping = False
