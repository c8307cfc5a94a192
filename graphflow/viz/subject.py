"""What is drawn: fetches, a graph, a program or an executable, at any stage on the path from a graph to launches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from graphflow.capture import capture
from graphflow.errors import FetchError, OptionError
from graphflow.ir.evaluate import bind_dims
from graphflow.ir.graph import Graph
from graphflow.ir.op import Access
from graphflow.ir.program import Program, bodies_of
from graphflow.ir.tensor import Node, Tensor
from graphflow.link import link
from graphflow.ops.state import Operation, Variable
from graphflow.options import current as current_options
from graphflow.passes import PassRecord
from graphflow.runtime.executable import Executable
from graphflow.stages import all_groups, run_stages
from graphflow.types import Dim
from graphflow.viz.launches import kernels_picture, launches_picture
from graphflow.viz.nodes import Facts, draw_nodes, operands_first
from graphflow.viz.picture import Picture

LATER = ("optimized", "groups", "kernels", "launches")  # the stages after the passes


@runtime_checkable
class Drawable(Protocol):
    """Anything else that can be drawn says what is drawn in its place: all that `picture` takes. Functions and tapes do."""

    def drawn_as(self) -> Any: ...


def picture(target: Any, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> Picture:
    """The picture of `target` at a stage: what all exporters draw.

    `target` is a tensor, a variable, an operation, a nest of them, a Graph, a Program, an Executable,
    a function of `gf.function` (its latest trace), a tape, or a Picture, which is itself. `stage` is "built",
    the name of a pass (after it; "cse.2" after its second round), "optimized", "groups" (with its fusion groups), "kernels" or
    "launches"; by default "groups", and "built" for a Graph or a Program. `feeds` are values of placeholders, or tuples of
    their sizes: they make bytes and operations known where sizes are symbols. Nothing is compiled for it.
    """
    target = resolved(target)
    return target if isinstance(target, Picture) else subject_of(target).picture(stage, feeds)


def resolved(target: Any) -> Any:
    """What is drawn in the place of `target`; itself, if it does not say."""
    while isinstance(target, Drawable):
        target = target.drawn_as()
    return target


def stages_of(target: Any) -> tuple[str, ...]:
    """The names of the stages at which `target` can be drawn, in order."""
    return subject_of(target).stages


def subject_of(target: Any) -> Subject:
    """What can be drawn of `target`."""
    target = resolved(target)
    if isinstance(target, Graph):
        return WholeGraph(target)
    if isinstance(target, Executable):
        return Compiled(target)
    if isinstance(target, Program):
        return Closed(target)
    return Fetched(target)


class Subject:
    """What can be drawn. `built` are the nodes as they were built, operands first."""

    title = "graph"
    default_stage = "groups"
    program: Program  # as captured
    fetched: tuple[Any, ...] = ()
    updates: tuple[tuple[Tensor, Tensor], ...] = ()

    @cached_property
    def built(self) -> tuple[Node, ...]:
        raise NotImplementedError

    @cached_property
    def executable(self) -> Executable:
        """The program with its stages; its kernels are written, not compiled: it cannot run."""
        options = current_options()
        stages = run_stages(self.program, options)
        launches = link(stages, self.program)
        return Executable(self.program, launches, [0] * len(launches.launches), None, lambda: stages)

    @property
    def records(self) -> dict[str, PassRecord]:
        """What each pass did, by the names of the stages after them."""
        return {stage_name(record): record for record in self.executable.records}

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return ("built", *self.records, *LATER)

    def sizes(self, feeds: Mapping[Any, Any] | None) -> dict[Dim, int]:
        """The sizes that values of feeds, or tuples of their sizes, give the symbols."""
        shapes = {tensor: value if is_shape(value) else np.shape(value) for tensor, value in (feeds or {}).items()}
        return bind_dims(shapes)

    def program_at(self, stage: str | None = None) -> Program:
        """The program at a stage; by default as it was captured."""
        if stage in (None, "built"):
            return self.program
        if stage in LATER:
            return self.executable.program
        if stage not in self.records:
            raise OptionError(f"no stage {stage!r}", rule=f"The stages are {', '.join(self.stages)}.")
        return self.records[stage].after

    def picture(self, stage: str | None = None, feeds: Mapping[Any, Any] | None = None) -> Picture:
        stage, sizes = stage or self.default_stage, self.sizes(feeds)
        if stage == "kernels":
            return kernels_picture(self.executable, sizes, self.title)
        if stage == "launches":
            return launches_picture(self.executable, sizes, self.title)
        return self.nodes_picture(stage, sizes)[0]

    def nodes_picture(self, stage: str, sizes: Mapping[Dim, int], known: Facts | None = None) -> tuple[Picture, list[Node]]:
        """(the picture, the nodes of its boxes) at a stage up to the fusion groups."""
        draw = partial(draw_nodes, title=self.title, stage=stage, sizes=sizes, known=known)
        if stage == "built":
            return draw(self.built, fetched=self.fetched, updates=self.updates)
        program = self.program_at(stage)
        groups = all_groups(self.executable) if stage == "groups" else ()
        return draw(nodes_of(program), fetched=program.outputs, updates=program.updates, groups=groups, built=self.built)


class Fetched(Subject):
    """A nest of tensors, variables and operations: as built, with the updates and the order that the user stated."""

    def __init__(self, fetches: Any) -> None:
        self.items = flatten(fetches)
        self.tensors = [i.value if isinstance(i, Variable) else i for i in self.items if isinstance(i, Tensor | Variable)]
        self.operations = [i.node if isinstance(i, Operation) else i for i in self.items if isinstance(i, Operation | Node)]
        self.fetched = (*self.tensors, *self.operations)
        self.roots = [item if isinstance(item, Node) else item.node for item in self.fetched]

    @cached_property
    def program(self) -> Program:  # type: ignore[override]
        nodes = [*(tensor.node for tensor in self.tensors), *self.operations]
        graph = next((node.graph for node in nodes if node.graph is not None), None)
        return capture(self.tensors, self.operations, (), graph)

    @cached_property
    def updates(self) -> tuple[tuple[Tensor, Tensor], ...]:  # type: ignore[override]
        return tuple(updates_of(operands_first(self.roots)))

    @cached_property
    def built(self) -> tuple[Node, ...]:
        return operands_first([*self.roots, *(variable.node for variable, _ in self.updates)])


class WholeGraph(Subject):
    """A whole graph as it was built."""

    default_stage = "built"

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.updates = tuple(updates_of(graph.nodes))

    @property
    def stages(self) -> tuple[str, ...]:
        return ("built",)

    @cached_property
    def built(self) -> tuple[Node, ...]:
        inside: set[Node] = set()  # of the bodies of loops and branches, which are drawn with these
        for node in self.graph.nodes:
            for body in bodies_of(node):
                inside.update(body.all_nodes)
            if node.op.name == "parameter" or any(tensor.node in inside for tensor in node.inputs):
                inside.add(node)
        return operands_first(node for node in self.graph.nodes if node not in inside)

    @property
    def executable(self) -> Executable:  # type: ignore[override]
        raise OptionError("a Graph is drawn as it was built", rule="Name the tensors to fetch: later stages depend on them.")


class Closed(Subject):
    """A program."""

    default_stage = "built"

    def __init__(self, program: Program) -> None:
        self.program = program
        self.title, self.fetched, self.updates = program.name, program.outputs, program.updates

    @cached_property
    def built(self) -> tuple[Node, ...]:
        return nodes_of(self.program)


class Compiled(Closed):
    """A compiled program."""

    default_stage = "groups"

    def __init__(self, executable: Executable) -> None:
        super().__init__(executable.built)
        self.compiled = executable

    @property
    def executable(self) -> Executable:  # type: ignore[override]
        return self.compiled


def stage_name(record: PassRecord) -> str:
    """The name of the stage after a pass: `cse`, `cse.2` where the passes had been gone through twice."""
    return record.name if record.round == 1 else f"{record.name}.{record.round}"


def nodes_of(program: Program) -> tuple[Node, ...]:
    """The nodes of a program that are drawn, operands first."""
    variables = [variable.node for variable, _ in program.updates]
    return operands_first([*(t.node for t in program.inputs), *variables, *(t.node for t in program.results)])


def updates_of(nodes: Iterable[Node]) -> list[tuple[Tensor, Tensor]]:
    """(variable, what is assigned to it) of the assignments among nodes."""
    return [(n.attrs["handle"].value, n.output) for n in nodes if n.op.access is Access.STATE and "handle" in n.attrs]


def is_shape(value: Any) -> bool:
    """Are these sizes, and no value?"""
    return isinstance(value, tuple) and all(isinstance(size, int) for size in value)


def flatten(fetches: Any) -> list[Any]:
    """The tensors, variables and operations in nested fetches, each once; FetchError for anything else."""
    found: dict[int, Any] = {}
    stack = [fetches]
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor | Variable | Operation | Node):
            found.setdefault(id(item), item)
        elif isinstance(item, Mapping):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, Iterable) and not isinstance(item, str | bytes):
            stack.extend(reversed(list(item)))
        elif item is not None:
            raise FetchError(
                f"cannot draw {item!r:.60}",
                rule="A picture is made of tensors, variables, operations, lists of them, a Graph, a Program or an Executable.",
            )
    if not found:
        raise FetchError("there is nothing to draw", rule="Name at least one tensor or operation.")
    return list(found.values())
