"""Live ranges of buffers in straight rows with loops: from the first row that touches a buffer to the last."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Repeated(NamedTuple):
    """Rows that are run again and again: set up from `first` on, repeated from `head` on, done with at `last`."""

    first: int
    head: int
    last: int
    pinned: Sequence[Any]  # what is reached through pointers, all the time


def live_ranges(rows: Sequence[Iterable[Key]], repeated: Sequence[Repeated]) -> dict[Key, tuple[int, int]]:
    """The first and the last row at which each buffer is alive, given what each row touches and the loops, inner ones first.

    What is made before a loop and read in it is alive to the loop's end, as the next step reads it again.

    >>> live_ranges(["a", "ab", "b"], [Repeated(0, 1, 2, ())])
    {'a': (0, 2), 'b': (1, 2)}
    """
    found: dict[Key, tuple[int, int]] = {}
    for k, touched in enumerate(rows):
        for key in touched:
            found[key] = (found.get(key, (k, k))[0], k)
    for first, head, last, pinned in repeated:
        for key in pinned:
            if key in found:
                low, high = found[key]
                found[key] = (min(low, first), max(high, last))
        for key, (low, high) in found.items():
            if low <= last and high >= head and not (head <= low and high <= last):
                found[key] = (min(low, head), max(high, last))
    return found
