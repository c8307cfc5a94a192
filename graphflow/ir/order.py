"""Topological order, for nodes, fusion groups and whatever else depends on one another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def dependencies_first(roots: Iterable[Item], dependencies: Callable[[Item], Iterable[Item]]) -> list[Item]:
    """All that `roots` depend on and they themselves, dependencies before dependents, in a stable order; without recursion.

    >>> dependencies_first("d", {"d": "bc", "b": "a", "c": "a", "a": ""}.__getitem__)
    ['a', 'b', 'c', 'd']
    """
    order: list[Item] = []
    open_items: set[Item] = set()
    done: set[Item] = set()
    stack = list(roots)[::-1]
    while stack:
        item = stack[-1]
        if item in done:
            stack.pop()
        elif item in open_items:
            done.add(item)
            order.append(stack.pop())
        else:
            open_items.add(item)
            below = [d for d in dependencies(item) if d not in done]
            assert open_items.isdisjoint(below), f"{item} depends on itself"
            stack.extend(below[::-1])
    return order
