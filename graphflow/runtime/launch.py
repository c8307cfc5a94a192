"""The launch program: all that runs need of a compiled program, as plain values that can be kept on disk.

Sizes are symbolic; `Binding` evaluates them for the sizes of a run. Nodes are meant by their position among the nodes of the
captured program, so that the names and lines in messages are those of the graph at hand, whichever process compiled it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.tensor import Attrs
from graphflow.types import AnySize, DType, Shape, TensorType

NOWHERE = -1  # the position of what stands for no node of the captured program


class Slot(NamedTuple):
    """A buffer and where its memory comes from; of a "pointer", the moves of the program say where it is."""

    kind: str  # "feed", "variable", "constant", "counter", "output", "state", "arena", "errors", "pointer"
    dtype: DType
    shape: Shape
    node: int = NOWHERE  # whose values it holds
    number: int = 0  # which feed, which input (of a variable), which constant
    scratch: bool = False  # no tensor: partial results on the way to the node's


class Launch(NamedTuple):
    """One launch of a kernel: a row of the table that a run walks."""

    key: str  # the content hash of the kernel's source
    slots: tuple[int, ...]
    dims: tuple[AnySize | LibraryValue, ...]
    extent: AnySize | LibraryValue  # units of parallel work
    elements: AnySize  # of its domain
    cost: float  # of an element, in additions
    step: int  # chunks are multiples of so many units
    library: bool  # a library call: its work does not follow from its elements
    checks: tuple[int, ...]  # the nodes whose indices it checks; the site in an error record counts them
    node: int  # the last node it computes


class Move(NamedTuple):
    """A row that launches nothing: it moves pointers, copies, counts or jumps. `runtime.driver` says what each does."""

    op: str
    slots: tuple[int, ...]  # NOWHERE for one that is left out
    values: tuple[AnySize, ...]
    targets: tuple[int, ...]  # the rows that it may jump to
    node: int  # the loop or branch it belongs to


class Call(NamedTuple):
    """A row that calls the reference of an op back, on what is in its slots: operands, then results (`runtime.host`)."""

    op: str  # its name
    slots: tuple[int, ...]
    attributes: Attrs
    operands: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    node: int


class Cycle(NamedTuple):
    """The rows of a loop, inner loops before outer ones."""

    first: int  # from here on it is prepared
    head: int  # from here on a step is done
    last: int  # before this row it is done with
    counter: int  # the slot with the number of steps done
    pinned: tuple[int, ...]  # the slots that pointers of the body point into
    trips: AnySize | None  # so many steps at most
    node: int


class Place(NamedTuple):
    """Where a result or a variable's next value is found after the launches."""

    kind: str  # "slot", "feed", "variable", "constant", "counter", or "in place": already written over the variable
    number: int = 0


class Merge(NamedTuple):
    """A node whose values are written over those in a slot, which nobody reads any more."""

    node: int
    slot: int
    launch: int


class LaunchProgram(NamedTuple):
    """Slots, rows in order, and where the results and the next values of variables are found."""

    slots: tuple[Slot, ...]
    rows: tuple[Launch | Move | Call, ...]
    cycles: tuple[Cycle, ...]
    results: tuple[Place, ...]
    updates: tuple[Place, ...]
    constants: tuple[np.ndarray, ...]
    uses_counter: bool
    merges: tuple[Merge, ...]

    @property
    def launches(self) -> tuple[Launch, ...]:
        """The rows that launch kernels."""
        return tuple([row for row in self.rows if isinstance(row, Launch)])
