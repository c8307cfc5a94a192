"""Nests of values: lists, tuples, named tuples and dicts, any of them inside one another, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def flatten(nest: Any) -> list[Any]:
    """The leaves of a nest, from left to right; dicts in the order of their keys.

    >>> flatten({"a": 1, "b": (2, [3])})
    [1, 2, 3]
    """
    if isinstance(nest, Mapping):
        return [leaf for value in nest.values() for leaf in flatten(value)]
    if isinstance(nest, list | tuple):
        return [leaf for value in nest for leaf in flatten(value)]
    return [] if nest is None else [nest]


def pack(nest: Any, leaves: Sequence[Any]) -> Any:
    """A nest like `nest` with other leaves.

    >>> pack({"a": 1, "b": (2, [3])}, "xyz")
    {'a': 'x', 'b': ('y', ['z'])}
    """
    remaining = iter(leaves)
    return _pack(nest, lambda: next(remaining))


def _pack(nest: Any, take: Callable[[], Any]) -> Any:
    if isinstance(nest, Mapping):
        found = {key: _pack(value, take) for key, value in nest.items()}
        return found if type(nest) is dict else type(nest)(found)  # type: ignore[call-arg]
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*(_pack(value, take) for value in nest))
    if isinstance(nest, list | tuple):
        return type(nest)(_pack(value, take) for value in nest)
    return None if nest is None else take()


def outline(nest: Any) -> Any:
    """Equal for nests of one structure; the order of a dict's keys does not count."""
    if isinstance(nest, Mapping):
        return "dict", tuple(sorted(((repr(key), outline(value)) for key, value in nest.items())))
    if isinstance(nest, list | tuple):
        return "sequence", tuple(outline(value) for value in nest)
    return nest is None


def like(nest: Any, value: Any) -> list[Any]:
    """The leaves of `value`, which has the structure of `nest`, in the order of `nest`'s."""
    if isinstance(nest, Mapping):
        return [leaf for key, inner in nest.items() for leaf in like(inner, value[key])]
    if isinstance(nest, list | tuple):
        return [leaf for inner, item in zip(nest, value, strict=True) for leaf in like(inner, item)]
    return [] if nest is None else [value]
