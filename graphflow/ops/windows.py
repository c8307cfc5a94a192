"""Windows that slide over the spatial axes: what convolutions and pooling share.

Along an axis, position o of the result looks at positions `o * stride + k * dilation - low` of the operand, one for each k of
the window; what lies outside the operand is left out. Tensors are [batch, *spatial, channels]; layouts with channels first are
transposed at the borders, and between two layers the transposes cancel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.tensor import Tensor
from graphflow.ops.movement import transpose
from graphflow.types import Shape, TensorType, floordiv, size_max

Slices = tuple[slice, ...]
_FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}  # channels last, channels first


@dataclass(frozen=True)
class Windows:
    """How windows lie over the spatial axes: one number an axis. `sizes` are the positions of the result."""

    window: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: Shape  # padding in front
    sizes: Shape

    @property
    def placing(self) -> dict[str, Any]:
        """The attributes that every op of the two families has."""
        return {"strides": self.strides, "dilations": self.dilations, "low": self.low}


def taps(
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    low: Sequence[int],
    operand: Sequence[int],
    result: Sequence[int],
) -> Iterator[tuple[tuple[int, ...], Slices, Slices]]:
    """(k, positions of the operand, positions of the result) for each k of the window: those at which k is inside."""
    for k in itertools.product(*map(range, window)):
        reads, writes = [], []
        for i, s, d, p, n, m in zip(k, strides, dilations, low, operand, result, strict=True):
            shift = i * d - p
            first = max(0, -(shift // s))
            stop = max(first, min(m, (n - 1 - shift) // s + 1))
            writes.append(slice(first, stop))
            start = first * s + shift
            reads.append(slice(start, start + (stop - first) * s, s))
        yield k, tuple(reads), tuple(writes)


def check_placing(x: TensorType, strides: Any, dilations: Any, low: Any, sizes: Any) -> None:
    """The attributes have one entry for each spatial axis."""
    spatial = x.rank - 2
    assert spatial >= 1 and len(strides) == len(dilations) == len(low) == len(sizes) == spatial, f"{x}: {strides} {sizes}"
    assert all(s >= 1 for s in strides) and all(d >= 1 for d in dilations)


# --- arguments of the public functions --------------------------------------------------------------------------------


def is_channels_first(data_format: str | None, x: Tensor, spatial: int | None) -> tuple[bool, int]:
    """(do the channels stand before the spatial axes, how many spatial axes there are); ShapeError where x has other ones."""
    found = x.rank - 2 if spatial is None else spatial
    if x.rank != found + 2 or found not in _FORMATS:
        wanted = f"{found + 2}" if found in _FORMATS else "3 to 5"
        raise ShapeError(f"the input has rank {x.rank}, not {wanted}", rule="Its axes are batch, spatial axes, channels.")
    last, first = _FORMATS[found]
    if data_format in (None, last):
        return False, found
    if data_format == first:
        return True, found
    raise DTypeError(f"data_format {data_format!r}", rule=f"It is {last!r} or {first!r} for {found} spatial axes.")


def channels_last(x: Tensor, first: bool) -> Tensor:
    """`x` as [batch, *spatial, channels]."""
    return transpose(x, (0, *range(2, x.rank), 1)) if first else x


def channels_back(x: Tensor, first: bool, name: str | None = None) -> Tensor:
    """A result in the layout of the input."""
    return transpose(x, (0, x.rank - 1, *range(1, x.rank - 1)), name=name) if first else x


def numbers_of_axes(value: Any, spatial: int, first: bool, what: str) -> tuple[int, ...]:
    """One positive number for each spatial axis, of an int, of a list of them, or of a list with 1 for batch and channels."""
    given = list(value) if isinstance(value, list | tuple) else [value]
    for number in given:
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise DTypeError(f"{what} {value!r}", rule=f"Write one number, or {spatial}, one for each spatial axis.")
    numbers = [number.__index__() for number in given]
    if len(numbers) == spatial + 2:
        others = (numbers[0], numbers[1 if first else -1])
        if others != (1, 1):
            raise ShapeError(f"{what} {numbers} moves along batch or channels", rule="There the number is 1.")
        numbers = numbers[2:] if first else numbers[1:-1]
    if len(numbers) == 1:
        numbers = numbers * spatial
    if len(numbers) != spatial or any(n < 1 for n in numbers):
        raise ShapeError(f"{what} {value!r}", rule=f"Write one positive number, or {spatial}, one for each spatial axis.")
    return tuple(numbers)


def place_windows(
    operand: Shape, window: Shape, strides: tuple[int, ...], dilations: tuple[int, ...], padding: Any, first: bool
) -> Windows:
    """The windows over spatial axes of sizes `operand` for padding "SAME", "VALID" or a pair of numbers for each axis."""
    pairs = _explicit(padding, len(operand), first)
    lows, sizes = [], []
    for axis, (n, k, s, d) in enumerate(zip(operand, window, strides, dilations, strict=True)):
        reach = (k - 1) * d + 1  # from the first position of a window to its last, both included
        if pairs is None:
            size = floordiv(n + (s - 1), s)
            low = floordiv(size_max((size - 1) * s + reach - n, 0), 2)
        else:
            low = pairs[axis][0]
            room = n + low + pairs[axis][1] - reach + s
            if isinstance(room, int) and room < 0:
                raise ShapeError(
                    f"a window that reaches over {reach} is larger than spatial axis {axis} of size {n}",
                    rule='Pad the input, as padding="SAME" does, or take a smaller window or dilation.',
                )
            size = floordiv(room, s)
        lows.append(low)
        sizes.append(size)
    return Windows(window, strides, dilations, tuple(lows), tuple(sizes))


def _explicit(padding: Any, spatial: int, first: bool) -> list[tuple[int, int]] | None:
    """Padding in front of and behind each spatial axis; None for "SAME"."""
    rule = f'Padding is "SAME", "VALID", or a list of [before, after], {spatial} pairs or one for every axis.'
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise DTypeError(f"padding {padding!r}", rule=rule)
        return None if padding.upper() == "SAME" else [(0, 0)] * spatial
    if not isinstance(padding, list | tuple) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in padding):
        raise DTypeError(f"padding {padding!r}", rule=rule)
    pairs = [(int(before), int(after)) for before, after in padding]
    if len(pairs) == spatial + 2:
        if pairs[0] != (0, 0) or pairs[1 if first else -1] != (0, 0):
            raise ShapeError(f"padding {padding} pads batch or channels", rule="There the pair is [0, 0].")
        pairs = pairs[2:] if first else pairs[1:-1]
    if len(pairs) != spatial or any(number < 0 for pair in pairs for number in pair):
        raise ShapeError(f"padding {padding}", rule=rule)
    return pairs


def check_floats(x: Tensor, what: str) -> None:
    """DTypeError where `x` is no tensor of floats."""
    if not x.dtype.is_floating:
        raise DTypeError(f"the {what} is {x.dtype}", rule="It holds floats; use gf.cast(x, gf.float32).")
