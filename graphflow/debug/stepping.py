"""`breakpoint`: a run that goes on op by op, by the NumPy references of the ops, under Python's debugger."""

from __future__ import annotations

import pdb
import sys
from typing import Any

import numpy as np

from graphflow.debug.blackbox import summary
from graphflow.debug.values import input_values
from graphflow.ir.evaluate import Observer, evaluate
from graphflow.ir.op import convert_to_tensor
from graphflow.ir.program import application_text
from graphflow.ir.tensor import Node
from graphflow.ops.effects import happens
from graphflow.ops.state import Operation
from graphflow.ops.stop import BREAKPOINT, stepping, stop
from graphflow.runtime.binding import aligned_copy
from graphflow.runtime.executable import Executable
from graphflow.runtime.variables import VariableStore


def breakpoint(*tensors: Any, name: str | None = None) -> Operation | None:
    """The operation at which a run stops, once `tensors` are known; from there it goes on op by op under pdb, computed by NumPy.

    It belongs to a run as `gf.print` does. At each stop `node`, `operands`, `outputs`, `path` (the loops around, with the
    iteration) and `values` (all so far, by name) are there; `c` goes on to the next op, `self.finish()` and `c` to the end.
    Eagerly it stops in the debugger at once.
    """
    return happens(stop(*map(convert_to_tensor, tensors), name=name or BREAKPOINT))


class Stepper(Observer):
    """Stops behind each op from a breakpoint on."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, np.ndarray] = {}
        self.stopping = False
        self.finished = False

    def finish(self) -> None:
        """No more stops."""
        self.finished = True

    def computed(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        self.values.update({tensor.name: value for tensor, value in zip(node.outputs, outputs, strict=True)})
        self.stopping |= node.op is stop
        if self.stopping and not self.finished:
            self.stopped(node, operands, outputs)

    def stopped(self, node: Node, operands: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        values, path = self.values, [f"{loop.name} {number}" for loop, number in self.path]
        inside = f"  in {', '.join(path)}" if path else ""
        print(f"{node.name} = {application_text(node, {})}: {', '.join(map(summary, outputs))}   {node.location}{inside}")
        debugger = pdb.Pdb()
        debugger.set_trace(sys._getframe())
        del values, path


def step_run(executable: Executable, feeds: list[Any], store: VariableStore) -> list[Any]:
    """What a run gives, computed op by op; the variables have their next values."""
    program = executable.built
    with store.lock, stepping():
        values = input_values(program, executable, feeds, store, store.counter)
        sizes = executable.solve_dims([np.shape(value) for value in feeds])
        executable.check_constraints(sizes)
        found = evaluate(program, values, sizes, Stepper())
        outputs, following = found[: len(program.outputs)], found[len(program.outputs) :]
        for (handle, _), value in zip(executable.updated, following, strict=True):
            store.assign(handle, aligned_copy(value))
        store.counter += executable.launch_program.uses_counter
    return [value if value.shape else value[()] for value in outputs]
