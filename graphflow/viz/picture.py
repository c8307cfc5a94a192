"""`Picture`: what is drawn, before it is known how. Fetches and fusion groups come in; boxes, arrows and bands come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphflow.capture import capture
from graphflow.errors import FetchError
from graphflow.ir.op import Access
from graphflow.ir.program import Program, attribute_text, is_inline_constant
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.state import Operation, Variable
from graphflow.stages import groups_of


class Group(Protocol):
    """What a picture needs to know of a fusion group."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...  # "loop" or "library"
    @property
    def members(self) -> tuple[Node, ...]: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Box:
    """A node: its name, its op with attributes and scalar operands, its type, the user's line."""

    key: str  # unique within the picture
    name: str
    op: str
    application: str  # `multiply(·, 0.1)`
    type: str
    location: str
    kind: str  # a key of KINDS
    band: int | None  # index into Picture.bands
    fetched: bool


@dataclass(frozen=True)
class Arrow:
    """A value that flows from one box to another (`data`), an order (`control`), or a variable's next value (`update`)."""

    source: str
    target: str
    type: str
    operand: int
    output: int | None  # which result, where the source has several
    kind: str = "data"


@dataclass(frozen=True)
class Band:
    """A fusion group: the boxes that one kernel, or one call of a library, computes."""

    name: str
    remarks: tuple[str, ...]
    library: bool

    @property
    def remark(self) -> str:
        """The first reason why the group ends where it does, and how many more there are."""
        more = len(self.remarks) - 1
        return f"{self.remarks[0]}{f' (+{more})' if more > 0 else ''}" if self.remarks else ""


@dataclass(frozen=True)
class Picture:
    """All there is to draw."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    bands: tuple[Band, ...]

    @property
    def legend(self) -> str:
        """`12 ops in 3 kernels and 2 library calls`."""
        ops = sum(1 for box in self.boxes if box.kind in ("forward", "gradient"))
        if not self.bands:
            return _count(ops, "op")
        calls = sum(band.library for band in self.bands)
        text = f"{_count(ops, 'op')} in {_count(len(self.bands) - calls, 'kernel')}"
        return f"{text} and {_count(calls, 'library call')}" if calls else text


# kind -> (what the legend says, fill colour, line colour)
KINDS: Mapping[str, tuple[str, str, str]] = {
    "placeholder": ("placeholder", "#d5f0dc", "#1b7837"),
    "variable": ("variable", "#fff3c4", "#a67c00"),
    "constant": ("constant", "#ececec", "#6b6b6b"),
    "forward": ("forward", "#dbe9fb", "#1f5fa8"),
    "gradient": ("gradient", "#fde0cf", "#b8460e"),
    "update": ("update", "#e9dcf5", "#6a3d9a"),
}
CONSTANT_LIMIT = 24  # characters of a constant's value that are shown


def picture(fetches: Any, groups: Sequence[Group] | None = None, *, optimized: bool = True) -> Picture:
    """The picture of what `fetches` need, in fusion groups where they are known."""
    program, found = _program_and_groups(fetches, optimized)
    nodes, fetched, updates = _drawn(program if program is not None else fetches)
    groups = tuple(found if groups is None else groups)
    band_of = {node: index for index, group in reversed(list(enumerate(groups))) for node in group.members}
    keys = _unique_keys(nodes)
    boxes = tuple(
        _box(node, keys[node], band_of.get(node), any(output in fetched for output in node.outputs) or node in fetched)
        for node in nodes
    )
    bands = tuple(Band(g.name, tuple(g.remarks), g.kind == "library") for g in groups)
    title = program.name if program is not None else "graph"
    return Picture(title, boxes, tuple(_arrows(nodes, keys, updates)), bands)


def _program_and_groups(fetches: Any, optimized: bool) -> tuple[Program | None, Sequence[Group]]:
    if isinstance(fetches, Program):
        return fetches, ()
    if hasattr(fetches, "program") and hasattr(fetches, "groups"):  # an Executable
        return fetches.program, tuple(fetches.groups)
    if not optimized:
        return None, ()
    items = flatten(fetches)
    tensors = [item.value if isinstance(item, Variable) else item for item in items if isinstance(item, Tensor | Variable)]
    operations = [item.node if isinstance(item, Operation) else item for item in items if isinstance(item, Operation | Node)]
    nodes = [*(tensor.node for tensor in tensors), *operations]
    graph = next((node.graph for node in nodes if node.graph is not None), None)
    return groups_of(capture(tensors, operations, (), graph))


def flatten(fetches: Any) -> list[Any]:
    """The tensors, variables and operations in nested fetches, each once; FetchError for anything else."""
    found: list[Any] = []
    stack = [fetches]
    while stack:
        item = stack.pop()
        if isinstance(item, Tensor | Variable | Operation | Node):
            if not any(item is known for known in found):
                found.append(item)
        elif isinstance(item, Mapping):
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, Iterable) and not isinstance(item, str | bytes):
            stack.extend(reversed(list(item)))
        elif item is not None:
            raise FetchError(
                f"cannot draw {item!r:.60}",
                rule="A picture is made of tensors, variables, operations, lists of them, a Program or an Executable.",
            )
    if not found:
        raise FetchError("there is nothing to draw", rule="Name at least one tensor or operation.")
    return found


def _drawn(source: Any) -> tuple[tuple[Node, ...], set[Any], list[tuple[Tensor, Tensor]]]:
    """(the nodes, operands first; what is fetched; the updates (variable, next value))."""
    if isinstance(source, Program):
        inputs = [tensor.node for tensor in source.inputs]
        variables = [variable.node for variable, _ in source.updates]
        nodes = _toposort([*inputs, *variables, *(tensor.node for tensor in source.results)])
        return nodes, set(source.outputs), list(source.updates)
    fetched: set[Any] = set()
    for item in flatten(source):
        fetched.add(item.value if isinstance(item, Variable) else item.node if isinstance(item, Operation) else item)
    roots = [item if isinstance(item, Node) else item.node for item in flatten(source)]
    nodes = _toposort(roots)
    assignments = [node for node in nodes if node.op.access is Access.STATE and "handle" in node.attrs]
    updates = [(node.attrs["handle"].value, node.output) for node in assignments]
    return _toposort([*roots, *(variable.node for variable, _ in updates)]), fetched, updates


def _toposort(roots: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that `roots` depend on by value or by control, without scalars that are written where they are used."""
    order: list[Node] = []
    done: dict[Node, bool] = {}
    stack = list(reversed(list(roots)))
    wanted = set(stack)
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            if not done[node]:
                done[node] = True
                order.append(node)
            continue
        done[node] = False
        before = [tensor.node for tensor in node.inputs] + list(node.control)
        stack.extend(n for n in reversed(before) if n not in done)
    return tuple(node for node in order if node in wanted or not is_inline_constant(node))


def _unique_keys(nodes: Iterable[Node]) -> dict[Node, str]:
    """A key for each node: its name, with `#2`, `#3` where a pass gave one name to several."""
    keys: dict[Node, str] = {}
    used: dict[str, int] = {}
    for node in nodes:
        count = used[node.name] = used.get(node.name, 0) + 1
        keys[node] = node.name if count == 1 else f"{node.name}#{count}"
    return keys


def _box(node: Node, key: str, band: int | None, fetched: bool) -> Box:
    return Box(
        key=key,
        name=node.name,
        op=node.op.name,
        application=application(node),
        type=", ".join(map(str, node.types)),
        location=str(node.location),
        kind=kind_of(node),
        band=band,
        fetched=fetched,
    )


def kind_of(node: Node) -> str:
    """Which colour a node has."""
    if node.op.access is Access.STATE:
        return "update"
    if node.op.name in ("placeholder", "variable", "constant"):
        return node.op.name
    return "gradient" if node.twin is not None else "forward"


def application(node: Node) -> str:
    """`multiply(·, 0.1)`: the op with its scalar operands and attributes; a dot stands for an operand that has an arrow."""
    if node.op.name in ("placeholder", "variable"):
        return node.op.name
    if node.op.name == "constant":
        return _shortened(attribute_text(node.attrs["value"]), CONSTANT_LIMIT)
    scalars = [str(t.attrs["value"].array[()]) if is_inline_constant(t.node) else "·" for t in node.inputs]
    shown = scalars if any(text != "·" for text in scalars) else []
    set_ = [(name, value) for name, value in node.attributes if value is not False and not hasattr(value, "read_value")]
    shown = shown + [f"{name}={attribute_text(value)}" for name, value in set_]
    return f"{node.op.name}({_shortened(', '.join(shown), 2 * CONSTANT_LIMIT)})" if shown else node.op.name


def _arrows(nodes: Sequence[Node], keys: Mapping[Node, str], updates: Sequence[tuple[Tensor, Tensor]]) -> Iterable[Arrow]:
    for node in nodes:
        for operand, tensor in enumerate(node.inputs):
            if tensor.node in keys:
                yield Arrow(keys[tensor.node], keys[node], str(tensor.type), operand, _output(tensor))
        for before in node.control:
            if before in keys:
                yield Arrow(keys[before], keys[node], "", -1, None, "control")
    for variable, value in updates:
        if value.node in keys and variable.node in keys:
            yield Arrow(keys[value.node], keys[variable.node], str(variable.type), -1, _output(value), "update")


def _output(tensor: Tensor) -> int | None:
    return tensor.index if len(tensor.node.types) > 1 else None


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
