"""Pictures of nodes: boxes with their scopes, sizes and twins, arrows, and the bodies of loops and branches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Protocol

from graphflow.ir.op import Access
from graphflow.ir.order import dependencies_first
from graphflow.ir.program import Program, attribute_text, bodies_of, is_inline_constant
from graphflow.ir.tensor import Node, Tensor
from graphflow.profiler.attribution import operations_of
from graphflow.types import AnySize, Dim, TensorType, evaluate
from graphflow.viz.picture import Arrow, Band, Box, Picture, shortened, unique_keys

CONSTANT_LIMIT = 24  # characters of a constant's value that are shown
GRADIENTS = "gradients"  # the scope of gradients that have none of their own

Sizes = Mapping[Dim, int]  # the symbols whose sizes are known
Updates = Sequence[tuple[Tensor, Tensor]]
Facts = dict[Node, tuple[str, str, str, int | None, int | None]]  # application, type, line, bytes, operations


class Group(Protocol):
    """What a picture needs to know of a fusion group."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def members(self) -> tuple[Node, ...]: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...


def draw(nodes: Sequence[Node], **settings: Any) -> Picture:
    """The picture of nodes; the settings are those of `draw_nodes`."""
    return draw_nodes(nodes, **settings)[0]


def draw_nodes(
    nodes: Sequence[Node],
    *,
    title: str,
    stage: str,
    fetched: Iterable[Any] = (),
    updates: Updates = (),
    groups: Sequence[Group] = (),
    sizes: Sizes | None = None,
    built: Sequence[Node] = (),
    known: Facts | None = None,
) -> tuple[Picture, list[Node]]:
    """(the picture, the nodes of its boxes) of nodes, operands first, and of the bodies among them.

    `built` are the nodes that they were derived from: where a pass made one, they say where it is nested.
    `known` remembers what was said of nodes for the sizes at hand: stages share most of them.
    """
    drawing = _Drawing(set(fetched), groups, sizes or {}, Scopes(built or nodes), {} if known is None else known)
    keys = drawing.add(nodes, None)
    for variable, value in updates:
        if value.node in keys and variable.node in keys:
            drawing.arrow(keys[value.node], keys[variable.node], variable.type, -1, value, "update")
    return Picture(title, tuple(drawing.boxes), tuple(drawing.arrows), tuple(drawing.bands), stage), drawing.nodes


class Scopes:
    """Where nodes are nested. What a pass made stands in the scope of the node that it was derived from."""

    def __init__(self, built: Iterable[Node]) -> None:
        self.origin: dict[int, Node] = {}
        for node in built:
            if node.twin is None:
                self.origin.setdefault(id(node.location), node)

    def of(self, node: Node) -> str:
        """`hidden`; `gradients/hidden` of the gradient of what is there."""
        own = node.name.rpartition("/")[0]
        if node.twin is not None:
            return joined(own or GRADIENTS, self.of(node.twin))
        if not own and node.op.access is not Access.SOURCE:
            origin = self.origin.get(id(node.location))
            own = origin.name.rpartition("/")[0] if origin is not None else ""
        return own


def joined(*parts: str) -> str:
    """Scopes inside one another."""
    return "/".join(part for part in parts if part)


class _Drawing:
    """A picture in the making."""

    def __init__(self, fetched: set[Any], groups: Sequence[Group], sizes: Sizes, scopes: Scopes, known: Facts) -> None:
        self.fetched, self.sizes, self.scopes, self.known = fetched, sizes, scopes, known
        self.band_of = {node: index for index, group in reversed(list(enumerate(groups))) for node in group.members}
        self.bands = [Band(g.name, tuple(g.remarks), g.kind) for g in groups]
        self.boxes: list[Box] = []
        self.nodes: list[Node] = []
        self.arrows: list[Arrow] = []
        self.used: dict[str, int] = {}
        self.by_number: dict[int, str] = {}

    def add(self, nodes: Sequence[Node], body: tuple[str, str, int] | None) -> dict[Node, str]:
        """The keys of nodes that are drawn; `body` is what they are the body of: its scope, name scope and band."""
        keys = dict(zip(nodes, unique_keys([node.name for node in nodes], self.used), strict=True))
        for node, key in keys.items():
            self.by_number.setdefault(node.number, key)
        for node, key in keys.items():
            scope, band = self.scopes.of(node), None
            if body is not None:
                own = node.name.rpartition("/")[0]
                scope, band = joined(body[0], own.removeprefix(body[1]).strip("/")), body[2]
            self.nodes.append(node)
            self.boxes.append(self.box(node, key, scope, self.band_of.get(node, band)))
            for inner in bodies_of(node):
                self.add_body(node, key, inner, joined(scope, key.rpartition("/")[2]), keys)
            for operand, tensor in enumerate(node.inputs):
                if tensor.node in keys:
                    self.arrow(keys[tensor.node], key, tensor.type, operand, tensor)
            for before in node.control:
                if before in keys:
                    self.arrows.append(Arrow(keys[before], key, "", -1, None, "control"))
        return keys

    def add_body(self, node: Node, key: str, body: Program, scope: str, outside: Mapping[Node, str]) -> None:
        self.bands.append(Band(f"{body.name} of {node.name}", (), "body", key))
        inputs = [tensor.node for tensor in body.inputs]
        inner = operands_first([*inputs, *(t.node for t in body.outputs)])
        keys = self.add(inner, (joined(scope, body.name), node.name.rpartition("/")[0], len(self.bands) - 1))
        for operand, parameter in entering(node, body):
            if operand.node in outside:
                self.arrow(outside[operand.node], keys[parameter.node], operand.type, -1, operand, "body")
        for tensor in dict.fromkeys(body.outputs):
            if tensor.node in keys:
                self.arrow(keys[tensor.node], key, tensor.type, -1, tensor, "body")

    def arrow(self, source: str, target: str, type_: TensorType, operand: int, tensor: Tensor, kind: str = "data") -> None:
        output = tensor.index if len(tensor.node.types) > 1 else None
        self.arrows.append(Arrow(source, target, str(type_), operand, output, kind))

    def box(self, node: Node, key: str, scope: str, band: int | None) -> Box:
        facts = self.known.get(node)
        if facts is None:
            facts = self.known[node] = (
                application(node),
                ", ".join(map(str, node.types)),
                str(node.location),
                bytes_of(node, self.sizes),
                flops_of(node, self.sizes),
            )
        text, type_, location, size, flops = facts
        return Box(
            key=key,
            name=node.name,
            op=node.op.name,
            application=text,
            type=type_,
            location=location,
            kind=kind_of(node),
            band=band,
            fetched=node in self.fetched or any(output in self.fetched for output in node.outputs),
            scope=scope,
            twin=None if node.twin is None else self.by_number.get(node.twin.number),
            bytes=size,
            flops=flops,
        )


def entering(node: Node, body: Program) -> Iterator[tuple[Tensor, Tensor]]:
    """(operand, input of the body that it is) of a loop or a branch; of a loop over rows, the stack and its row."""
    if node.op.name == "branch":
        yield from zip(node.inputs[1:], body.inputs, strict=False)
        return
    operands = list(node.inputs[1:] if node.attrs.get("counted") else node.inputs)
    carried, elements = node.attrs.get("carried", 0), node.attrs.get("elements", 0)
    if body is node.attrs.get("condition"):
        del operands[carried : carried + elements]
    yield from zip(operands, body.inputs[1:], strict=False)


def operands_first(roots: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that `roots` depend on by value or by control, without scalars that are written where they are used."""
    roots = tuple(roots)
    order = dependencies_first(roots, lambda node: [*(tensor.node for tensor in node.inputs), *node.control])
    wanted = set(roots)
    return tuple(node for node in order if node in wanted or not is_inline_constant(node))


def kind_of(node: Node) -> str:
    """Which colour a node has."""
    if node.op.access is Access.STATE:
        return "update"
    if node.op.name in ("placeholder", "variable", "constant", "parameter"):
        return node.op.name
    return "gradient" if node.twin is not None else "forward"


def application(node: Node) -> str:
    """`multiply(·, 0.1)`: the op with its scalar operands and attributes; a dot stands for an operand that has an arrow."""
    if node.op.name in ("placeholder", "variable", "parameter"):
        return node.op.name
    if node.op.name == "constant":
        return shortened(attribute_text(node.attrs["value"]), CONSTANT_LIMIT)
    scalars = [str(t.attrs["value"].array[()]) if is_inline_constant(t.node) else "·" for t in node.inputs]
    shown = scalars if any(text != "·" for text in scalars) else []
    set_ = [(name, value) for name, value in node.attributes if value is not False and not hasattr(value, "read_value")]
    shown = shown + [f"{name}={attribute_text(value)}" for name, value in set_ if value is not None]
    return f"{node.op.name}({shortened(', '.join(shown), 2 * CONSTANT_LIMIT)})" if shown else node.op.name


# --- work -----------------------------------------------------------------------------------------------------------------


def number(size: AnySize, sizes: Sizes) -> int | None:
    """A size as a number, if all its symbols are known."""
    try:
        return evaluate(size, sizes)
    except KeyError:
        return None


def elements_of(type_: TensorType, sizes: Sizes) -> int | None:
    """The number of elements, if it is known."""
    found = [number(size, sizes) for size in type_.shape]
    return None if None in found else prod(size for size in found if size is not None)


def bytes_of(node: Node, sizes: Sizes) -> int | None:
    """The bytes of a node's results, if they are known."""
    total = 0
    for type_ in node.types:
        count = elements_of(type_, sizes)
        if count is None:
            return None
        total += count * type_.dtype.itemsize
    return total


def flops_of(node: Node, sizes: Sizes) -> int | None:
    """Operations that a node takes as it is written, in additions; None where they are not known."""
    try:
        found = operations_of(node, lambda size: evaluate(size, sizes))
    except KeyError:
        return None
    return None if found is None else round(found)
