"""What a caller fetches: a nest of tensors, variables and operations, and how values are put in their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphflow.errors import FetchError, GraphError
from graphflow.ir.graph import Graph
from graphflow.ir.tensor import Node, Tensor
from graphflow.ops.state import Operation, Variable
from graphflow.options import current as current_options

_SIMPLE = frozenset((Tensor, Variable, Operation))


def quick_key(fetches: Any, feed_dict: Any) -> Any:
    """A key that is equal for a run given the same objects again; None where that cannot be told at a glance."""
    kind = type(fetches)
    if kind is list or kind is tuple:
        if not _SIMPLE.issuperset(map(type, fetches)):
            return None
        parts = tuple(fetches)
    elif kind in _SIMPLE:
        parts = fetches
    else:
        return None
    if feed_dict is None:
        return kind, parts, None, id(current_options())
    if type(feed_dict) is not dict:
        return None
    return kind, parts, tuple(feed_dict), id(current_options())


class Structure:
    """A nest of fetches: the tensors in it, and how to put values in their places."""

    def __init__(self, fetches: Any, graph: Graph | None) -> None:
        self.tensors: list[Tensor] = []
        self.operations: list[Node] = []
        self._positions: dict[Tensor, int] = {}
        self.graph = graph
        parts: list[Any] = []
        self.build = self._visit(fetches, parts)
        # A list of different tensors: the values are the result as they are.
        self.flat = type(fetches) is list and [id(x) for x in fetches] == [id(x) for x in self.tensors]
        self.key = tuple(parts)

    def _visit(self, item: Any, key: list[Any]) -> Callable[[list[Any]], Any]:
        if isinstance(item, Variable):
            item = item.value
        if isinstance(item, Tensor):
            self._check_graph(item.graph, item)
            key.append(item)
            position = self._positions.setdefault(item, len(self._positions))
            if position == len(self.tensors):
                self.tensors.append(item)
            return lambda values: values[position]
        if isinstance(item, Operation):
            self._check_graph(item.node.graph, item)
            key.append(item.node)
            self.operations.append(item.node)
            return lambda values: None
        if isinstance(item, Mapping):
            key.append(("dict", *item.keys()))
            parts = {k: self._visit(v, key) for k, v in item.items()}
            kind = type(item)
            if kind is dict:
                return lambda values: {k: build(values) for k, build in parts.items()}
            return lambda values: kind({k: build(values) for k, build in parts.items()})  # type: ignore[call-arg]
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            key.append((type(item), len(item)))
            named = [self._visit(v, key) for v in item]
            return lambda values: type(item)(*(build(values) for build in named))
        if isinstance(item, list | tuple):
            key.append((type(item), len(item)))
            inner = [self._visit(v, key) for v in item]
            make = list if isinstance(item, list) else tuple
            return lambda values: make(build(values) for build in inner)
        if hasattr(item, "fetched"):  # it is made of the values of tensors, as a summary is
            nest, made = item.fetched()
            key.append((type(item), id(item)))
            found = self._visit(nest, key)
            return lambda values: made(found(values))
        if isinstance(item, str) and self.graph is not None:
            return self._visit(self._by_name(item), key)
        raise FetchError(
            f"cannot fetch {item!r}", rule="Fetch tensors, variables and operations, or lists, tuples and dicts of them."
        )

    def _by_name(self, name: str) -> Tensor:
        assert self.graph is not None
        try:
            return self.graph.get_tensor_by_name(name)
        except GraphError as error:
            raise FetchError(f"cannot fetch {name!r}: {error.headline}", rule=error.rule) from None

    def _check_graph(self, graph: Graph | None, item: Any) -> None:
        if graph is not None and graph is not self.graph:
            raise FetchError(
                f"{item.name} belongs to another graph",
                operands={"fetch": item},
                rule="Make a session for its graph: gf.Session(graph).",
            )
