"""`Program`: a closed piece of graph, the value that passes map to one another; its order, its text, its invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphflow.ir.order import dependencies_first
from graphflow.ir.tensor import Literal, Node, Tensor
from graphflow.types import Dim, Size, dims_of, format_shape


@dataclass(frozen=True)
class Program:
    """`inputs` are placeholders and variables that are read; `updates` pair a variable's tensor with its next value."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    updates: tuple[tuple[Tensor, Tensor], ...] = ()
    name: str = "program"

    @property
    def results(self) -> tuple[Tensor, ...]:
        """Outputs and next values: all that must be computed."""
        return self.outputs + tuple(value for _, value in self.updates)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in topological order, operands first."""
        return toposort(self.results)

    @cached_property
    def all_nodes(self) -> tuple[Node, ...]:
        """All nodes, those of the bodies of loops and branches included, which stand before the loop or branch."""
        found: list[Node] = []
        for node in self.nodes:
            for body in bodies_of(node):
                found.extend(body.all_nodes)
            found.append(node)
        return tuple(found)

    def with_results(self, results: Sequence[Tensor]) -> Program:
        """The same program computing other results, in the order of `results`."""
        count = len(self.outputs)
        updates = tuple((variable, value) for (variable, _), value in zip(self.updates, results[count:], strict=True))
        return Program(self.inputs, tuple(results[:count]), updates, self.name)

    def __str__(self) -> str:
        return program_text(self)


def bodies_of(node: Node) -> tuple[Program, ...]:
    """The programs that a loop or a branch runs."""
    if node.op.access.name != "CONTROL":
        return ()
    found: list[Program] = []
    for _, value in node.attributes:
        found.extend(item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Program))
    return tuple(found)


def with_bodies(node: Node, change: Callable[[Program], Program]) -> Node:
    """The node with each of its programs replaced by `change(program)`; itself where none is changed."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(changed(item) for item in value)
        return change(value) if isinstance(value, Program) else value

    attributes = tuple((name, changed(value)) for name, value in node.attributes)
    if all(a is b or a == b for (_, a), (_, b) in zip(attributes, node.attributes, strict=True)):
        return node
    return Node(
        node.op, node.inputs, attributes, node.types, node.name, node.location, node.number, node.graph, (), node.constraints,
        node.twin,
    )  # fmt: skip


def toposort(results: Iterable[Tensor]) -> tuple[Node, ...]:
    """The nodes that `results` depend on, operands before users, in a stable order."""
    return tuple(dependencies_first((t.node for t in results), lambda node: [t.node for t in node.inputs]))


def consumers(program: Program) -> dict[Tensor, list[Node]]:
    """The nodes that read each tensor, in topological order; a node that reads it twice stands twice."""
    found: dict[Tensor, list[Node]] = {}
    for node in program.nodes:
        for tensor in node.inputs:
            found.setdefault(tensor, []).append(node)
    return found


def program_dims(program: Program) -> frozenset[Dim]:
    """The symbols that the types and attributes of a program mention."""
    found: set[Dim] = set()
    for node in program.nodes:
        for type_ in node.types:
            for size in type_.shape:
                found |= dims_of(size)
        for _, value in node.attributes:
            found |= attribute_dims(value)
    return frozenset(found)


def attribute_dims(value: Any) -> frozenset[Dim]:
    """The symbols in an attribute."""
    if isinstance(value, Size):
        return value.dims
    if isinstance(value, tuple):
        return frozenset().union(*(attribute_dims(v) for v in value))
    if isinstance(value, Program):
        return program_dims(value)
    return frozenset()


def map_tensors(results: Sequence[Tensor], visit: Callable[[Node, tuple[Tensor, ...]], Sequence[Tensor]]) -> list[Tensor]:
    """Rebuild the graph below `results` bottom-up: `visit(node, new_inputs)` gives the tensors that stand for its outputs."""
    mapped: dict[Tensor, Tensor] = {}
    for node in toposort(results):
        new = visit(node, tuple(mapped[t] for t in node.inputs))
        mapped.update(zip(node.outputs, new, strict=True))
    return [mapped[t] for t in results]


def substituted(results: Sequence[Tensor], renamed: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """`results` with other tensors in the places of some, behind which nothing is looked at."""
    known: dict[Tensor, Tensor] = dict(renamed)
    roots = [t.node for t in results if t not in renamed]
    for node in dependencies_first(roots, lambda node: [t.node for t in node.inputs if t not in renamed]):
        if all(t in known for t in node.outputs):
            continue
        new = rebuild(node, tuple(known[t] for t in node.inputs))
        for old, fresh in zip(node.outputs, new, strict=True):
            known.setdefault(old, fresh)
    return [known[t] for t in results]


def rebuild(node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The outputs of `node` on other operands; `node`'s own where they are the same."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node.outputs
    types, constraints = node.types, node.constraints
    if any(a.type != b.type for a, b in zip(inputs, node.inputs, strict=True)):
        types, constraints = node.op.infer(tuple(t.type for t in inputs), node.attrs, inputs)
    new = Node(
        node.op, inputs, node.attributes, types, node.name, node.location, node.number, node.graph, (), constraints, node.twin
    )
    return new.outputs


# --- text -----------------------------------------------------------------------------------------------------------------


def program_text(program: Program, *, locations: bool = True) -> str:
    """The program as text, a line per node: result, op with operands and attributes, type, the user's line."""
    names = tensor_names(program)
    head = ", ".join(f"{names[t]}: {t.type}" for t in program.inputs)
    outs = [names.get(t, t.name) for t in program.outputs]
    outs += [f"{names.get(variable, variable.name)}' = {names.get(value, value.name)}" for variable, value in program.updates]
    rows = []
    skipped = set(program.inputs)
    for node in program.nodes:
        if node.output in skipped or is_inline_constant(node):
            continue
        result = ", ".join(names[t] for t in node.outputs)
        types = ", ".join(map(str, node.types))
        rows.append((f"{result} = {application_text(node, names)}", types, str(node.location) if locations else ""))
    widths = [min(72, max((len(r[k]) for r in rows), default=0)) for k in range(2)]
    body = [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    nested: list[str] = []
    for node in program.nodes:
        for k, inner in enumerate(bodies_of(node)):
            text = program_text(inner, locations=locations).replace("program ", f"{names[node.output]}.{k} = ", 1)
            nested += ["    " + line for line in text.splitlines()]
    return "\n".join([f"program {program.name}({head}) -> ({', '.join(outs)})", *body, *nested])


def is_inline_constant(node: Node) -> bool:
    """Scalars are written where they are used."""
    return node.op.name == "constant" and node.type.shape == ()


def tensor_names(program: Program) -> dict[Tensor, str]:
    """A short unique name for every tensor: inputs by their own, the others %0, %1, ... in order."""
    names: dict[Tensor, str] = {}
    used: set[str] = set()
    for tensor in program.inputs:
        name, k = tensor.name, 1
        while name in used:
            name, k = f"{tensor.name}.{k}", k + 1
        used.add(name)
        names[tensor] = name
    counter = 0
    for node in program.nodes:
        for tensor in node.outputs:
            if tensor in names:
                continue
            if is_inline_constant(node):
                names[tensor] = scalar_text(node.attrs["value"].array)
            else:
                names[tensor] = f"%{counter}"
                counter += 1
    return names


def scalar_text(array: np.ndarray) -> str:
    value = array.item() if array.dtype.name != "bfloat16" else float(array)
    return repr(value)


def application_text(node: Node, names: Mapping[Tensor, str]) -> str:
    """`add(%0, b)`, with attributes after the operands."""
    parts = [names.get(t, t.name) for t in node.inputs]
    parts += [f"{name}={attribute_text(value)}" for name, value in node.attributes]
    return f"{node.op.name}({', '.join(parts)})"


def attribute_text(value: Any) -> str:
    if isinstance(value, Program):
        return value.name
    if isinstance(value, tuple) and value and isinstance(value[0], Program):
        return f"({', '.join(map(attribute_text, value))})"
    if isinstance(value, tuple):
        return format_shape(value) if not value or not isinstance(value[0], str) else repr(value)
    return str(value)


def is_constant(tensor: Tensor, value: float | None = None) -> bool:
    """Is the tensor a constant, and if `value` is given, equal to it in every element?"""
    if tensor.op.name != "constant":
        return False
    if value is None:
        return True
    array = tensor.attrs["value"].array
    return bool(array.size) and bool((array == value).all())


# --- invariants -----------------------------------------------------------------------------------------------------------


def verify(program: Program) -> None:
    """Assert that the program is closed, its types are what the type rules say, and its updates fit their variables."""
    known = set(program.inputs)
    for node in program.nodes:
        if node.op.access.name == "SOURCE" and node.op.name != "constant" and not node.inputs:
            assert node.output in known or node.op.name in ("size_value",), f"{node!r} is read but is no input"
            continue
        assert node.op.access.name != "STATE", f"{node!r} survived capture"
        types, _ = node.op.infer(tuple(t.type for t in node.inputs), node.attrs, node.inputs)
        assert types == node.types, f"{node!r}: the type rule says {types}"
    for variable, value in program.updates:
        assert variable.type.dtype == value.type.dtype, f"update of {variable!r} by {value!r}"
    for node in program.nodes:
        for body in bodies_of(node):
            verify(body)
    assert all(isinstance(value, Literal) for node in program.nodes if node.op.name == "constant" for _, value in node.attributes)
