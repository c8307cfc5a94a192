"""Numbers that library kernels are given when the sizes of a run are known: tile sizes, addresses of functions.

Apart from the emitters: a process that finds its programs in the cache evaluates these and emits nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from graphflow.types import AnySize

ONE_TILE_FLOPS = 8_000_000  # floating-point operations below which a product is one tile: some 80 us of one core
MOST_TILES = 16  # of a large product: a tile packs its operands anew, so more of them is more copying
TILE_STEP = 16  # tiles are multiples of the register blocks of a BLAS


def tile_shape(rows: int, columns: int, depth: int) -> tuple[int, int]:
    """(rows, columns) of a tile; depends on the sizes only, so that the result does not depend on the number of threads."""
    flops = 2 * rows * columns * depth
    if flops <= ONE_TILE_FLOPS:
        return max(rows, 1), max(columns, 1)
    area = max(ONE_TILE_FLOPS, flops // MOST_TILES) / (2 * depth)
    side = math.sqrt(area)
    if rows <= columns:
        tile_rows = even_share(rows, side)
        return tile_rows, even_share(columns, area / tile_rows)
    tile_columns = even_share(columns, side)
    return even_share(rows, area / tile_columns), tile_columns


def even_share(size: int, wanted: float) -> int:
    """A share of about `wanted` that divides `size` into nearly equal multiples of TILE_STEP."""
    parts = max(1, round(size / wanted))
    share = -(-size // parts)
    return min(size, -(-share // TILE_STEP) * TILE_STEP)


@dataclass(frozen=True)
class LibraryValue:
    """A number that a library kernel needs and that is found when sizes are known: the address of a function, a tile size."""

    name: str
    args: tuple[AnySize, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})" if self.args else self.name


LIBRARY_VALUES: dict[str, Callable[..., int]] = {
    "argument": lambda value: value,
    "tile_rows": lambda m, n, k: tile_shape(m, n, k)[0],
    "tile_columns": lambda m, n, k: tile_shape(m, n, k)[1],
    "tiles": lambda batch, m, n, k: batch * -(-m // tile_shape(m, n, k)[0]) * -(-n // tile_shape(m, n, k)[1]) if m and n else 0,
}
