"""Pictures of nodes: boxes with their scopes, sizes and twins, arrows, and the bodies of loops and branches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Protocol

from graphflow.ir.op import Access
from graphflow.ir.order import dependencies_first
from graphflow.ir.program import Program, attribute_text, bodies_of, is_inline_constant
from graphflow.ir.tensor import Node, Tensor
from graphflow.types import AnySize, Dim, TensorType, evaluate
from graphflow.viz.picture import Arrow, Band, Box, Picture, shortened, unique_keys

CONSTANT_LIMIT = 24  # characters of a constant's value that are shown
GRADIENTS = "gradients"  # the scope of gradients that have none of their own

Sizes = Mapping[Dim, int]  # the symbols whose sizes are known
Updates = Sequence[tuple[Tensor, Tensor]]


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


def draw(
    nodes: Sequence[Node],
    *,
    title: str,
    stage: str,
    fetched: Iterable[Any] = (),
    updates: Updates = (),
    groups: Sequence[Group] = (),
    sizes: Sizes | None = None,
    built: Sequence[Node] = (),
) -> Picture:
    """The picture of nodes, operands first, and of the bodies among them; `built` are those they were derived from."""
    drawing = _Drawing(set(fetched), groups, sizes or {}, Scopes(built or nodes))
    keys = drawing.add(nodes, None)
    for variable, value in updates:
        if value.node in keys and variable.node in keys:
            drawing.arrow(keys[value.node], keys[variable.node], variable.type, -1, value, "update")
    return Picture(title, tuple(drawing.boxes), tuple(drawing.arrows), tuple(drawing.bands), stage)


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

    def __init__(self, fetched: set[Any], groups: Sequence[Group], sizes: Sizes, scopes: Scopes) -> None:
        self.fetched, self.sizes, self.scopes = fetched, sizes, scopes
        self.band_of = {node: index for index, group in reversed(list(enumerate(groups))) for node in group.members}
        self.bands = [Band(g.name, tuple(g.remarks), g.kind) for g in groups]
        self.boxes: list[Box] = []
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
        self.bands.append(Band(f"{body.name} of {node.name}", (), "body"))
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
        return Box(
            key=key,
            name=node.name,
            op=node.op.name,
            application=application(node),
            type=", ".join(map(str, node.types)),
            location=str(node.location),
            kind=kind_of(node),
            band=band,
            fetched=node in self.fetched or any(output in self.fetched for output in node.outputs),
            scope=scope,
            twin=None if node.twin is None else self.by_number.get(node.twin.number),
            bytes=bytes_of(node, self.sizes),
            flops=flops_of(node, self.sizes),
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
    match node.op.access:
        case Access.SOURCE | Access.MOVEMENT | Access.STATE:
            return 0
        case Access.CONTROL:
            return _flops_of_bodies(node, sizes)
        case Access.REDUCTION:
            return elements_of(node.inputs[0].type, sizes)
    counted, each = _work(node, sizes)
    count = elements_of(counted, sizes)
    return None if count is None or each is None else round(count * each)


def _work(node: Node, sizes: Sizes) -> tuple[TensorType, float | None]:
    """(a type, operations that each element of it takes) of a node that is neither a reduction nor a loop."""
    match node.op.name:
        case "matmul":
            a = node.inputs[0].shape
            return node.type, _twice(a[-2 if node.attrs["transpose_a"] else -1 :][:1], sizes)
        case "convolution":  # the last axis of the filters is that of the outputs
            return node.type, _twice(node.inputs[1].shape[:-1], sizes)
        case "convolution_input_gradient":
            return node.inputs[0].type, _twice(node.inputs[1].shape[:-1], sizes)
        case "convolution_filter_gradient":
            return node.inputs[1].type, _twice(node.type.shape[:-1], sizes)
        case "attention" | "attention_gradient":  # products with scores: two forward, five backward
            keys = _twice(node.inputs[1].shape[-2:-1], sizes)
            return node.type, None if keys is None else keys * (2 if node.op.name == "attention" else 5)
    return node.type, node.op.cost


def _twice(factors: Sequence[AnySize], sizes: Sizes) -> float | None:
    """Multiplications and additions of sums of so many products."""
    found = [number(size, sizes) for size in factors]
    return None if None in found else 2.0 * prod(size for size in found if size is not None)


def _flops_of_bodies(node: Node, sizes: Sizes) -> int | None:
    """All steps of a loop of known length; of a branch, its longest body."""
    found = [[flops_of(inner, sizes) for inner in body.nodes] for body in bodies_of(node)]
    if any(flops is None for body in found for flops in body):
        return None
    sums = [sum(flops or 0 for flops in body) for body in found]
    if node.op.name == "branch":
        return max(sums, default=0)
    length = node.attrs.get("length")
    trips = None if length is None else number(length, sizes)
    return None if trips is None else trips * sum(sums)
