"""Numbers that library kernels are given when the sizes of a run are known: tile sizes, addresses of functions.

Apart from the emitters: a process that finds its programs in the cache evaluates these and emits nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from graphflow.types import AnySize

TILE_FLOPS = 6_000_000  # floating-point operations of a tile: some 70 us of one core
MOST_TILES = 16  # of a large product: a tile packs its operands anew, so more of them is more copying
LEAST_FLOPS = 350_000  # of a tile of a small product: some 4 us
FEW_TILES = 4  # of a small product: something for a second thread to do
DEEP, DEEP_SIDE = 1024, 64  # the sums of a deep product are read and written for each part of its depth: tiles have that side
TILE_STEP = 16  # tiles are multiples of the register blocks
NARROW = 32  # columns that are never cut: a tile of so few is whole lines, and what follows it one loop


def tile_shape(batch: int, rows: int, columns: int, depth: int) -> tuple[int, int]:
    """(rows, columns) of a tile; depends on the sizes only, so that the result does not depend on the number of threads.

    The number of tiles is a power of two, which shares out evenly, and they are as nearly square as that allows, but for
    narrow products.
    """
    flops = 2 * rows * columns * depth
    parts = max(flops / TILE_FLOPS, min(FEW_TILES / max(batch, 1), flops / LEAST_FLOPS))
    halvings = round(math.log2(min(max(parts, 1), MOST_TILES)))
    tile = [max(rows, 1), max(columns, 1)]
    for done in range(halvings):
        longer = 0 if tile[0] > tile[1] or columns <= NARROW else 1
        half = even_half(tile[longer])
        if depth > DEEP and done and half < DEEP_SIDE:
            break
        tile[longer] = half
    return tile[0], tile[1]


def tiles(batch: int, rows: int, columns: int, depth: int) -> int:
    """How many tiles a product has."""
    tile_rows, tile_columns = tile_shape(batch, rows, columns, depth)
    return batch * -(-rows // tile_rows) * -(-columns // tile_columns)


def even_half(size: int) -> int:
    """Half of a size, rounded up to a multiple of TILE_STEP if that leaves something for the other half."""
    half = -(-size // 2)
    rounded = -(-half // TILE_STEP) * TILE_STEP
    return rounded if rounded < size else half


OWN_ELEMENTS = 750_000  # of the three matrices of a product: about what the second and third cache hold


def product_of(rows: int, columns: int, depth: int) -> str:
    """What computes the tiles of a product: "own" (runtime.product) or "blas", as measured (docs/performance.md).

    Ours packs only B, and that as it goes: faster while the operands stay in the caches, and on small products above all.
    """
    return "own" if rows * columns + rows * depth + columns * depth <= OWN_ELEMENTS else "blas"


@dataclass(frozen=True)
class LibraryValue:
    """A number that a library kernel needs and that is found when sizes are known: the address of a function, a tile size."""

    name: str
    args: tuple[AnySize, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})" if self.args else self.name


UNIT_FLOPS = 2_000_000  # floating-point operations of a unit of a convolution: some 30 us of one core
ALONE_FLOPS = 8_000_000  # of a whole convolution below which it is one unit
MOST_UNITS = 64


LEAST_ROWS = 48  # of a unit of a convolution: that many pixels share what is read of the filters


def share(count: int, flops: int, rows: int = LEAST_ROWS) -> int:
    """How many of `count` items make a unit of parallel work, each of `flops` operations and `rows` rows of a product.

    Depends on the sizes only.
    """
    total = count * flops
    units = 1 if total <= ALONE_FLOPS else min(MOST_UNITS, total // UNIT_FLOPS)
    return max(1, -(-count // units), min(count, -(-LEAST_ROWS // max(1, rows))))


CACHED_BYTES = 20_000  # of the lines that a filter gradient goes over again and again: with the sums, the first cache holds them


def lines_in_cache(lines: int, line_bytes: int) -> int:
    """How many of `lines` lines a filter gradient takes at a time."""
    return max(1, min(lines, CACHED_BYTES // max(1, line_bytes)))


def flops_of(extent: str, *sizes: int) -> int:
    """Floating-point operations of the products of a launch whose extent is the library value `extent` of `sizes`."""
    match extent:
        case "tiles":
            return 2 * math.prod(sizes)
        case "shares":
            return sizes[0] * sizes[1]
        case _:
            return 0


# In an error record, in the place of the size of an axis: what is wrong with a matrix.
SINGULAR, INDEFINITE = -1, -2

LIBRARY_VALUES: dict[str, Callable[..., int]] = {
    "argument": lambda value: value,
    "tile_rows": lambda *sizes: tile_shape(*sizes)[0],
    "tile_columns": lambda *sizes: tile_shape(*sizes)[1],
    "share": share,
    "lines_in_cache": lines_in_cache,
    "shares": lambda count, flops, *rows: -(-count // share(count, flops, *rows)),
    "tiles": tiles,
}
