"""Random numbers: the counter-based generator Threefry-2x32-20 and the distributions made of its bits.

The bits of an element are a function of a key (from the graph's seed and the op's seed, or the op's name), the element's
position and the number of the run: no state passes from op to op, so adding an op changes no other op's numbers.
Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir import scalar as s
from graphflow.ir.graph import current_counter, get_default_graph, is_eager, name_scope
from graphflow.ir.op import Access, constant
from graphflow.ir.tensor import Tensor
from graphflow.ops.arithmetic import minimum
from graphflow.ops.declare import op
from graphflow.ops.elementary import cos, erfinv, log, sqrt
from graphflow.ops.logic import bitwise_xor, cast, left_shift, right_shift
from graphflow.ops.shapes import shape_tuple
from graphflow.ops.source import counter_of_graph, restart_draws, run_counter_tensor
from graphflow.types import AnySize, DType, Shape, TensorType, as_dtype, float32, float64, int64, uint32, uint64

# --- bits --------------------------------------------------------------------------------------------------------------

_PARITY = 0x1BD11BDA  # the constant of Threefry's key schedule for 32-bit words
_STEPS = (0x3C6EF372, 0xA54FF53A)  # the key of the steps of loops
_MIXING = ((0x85EBCA6B, 16), (0xC2B2AE35, 13))  # multiplier and shift of each round that scatters the steps of loops
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20


def threefry(key: tuple[int, int], low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both words of Threefry-2x32-20 of the counter words (low, high) under `key`; all uint32."""
    schedule = [np.uint32(key[0]), np.uint32(key[1]), np.uint32(_PARITY ^ key[0] ^ key[1])]
    with np.errstate(over="ignore"):
        a, b = low + schedule[0], high + schedule[1]
        for number in range(_ROUNDS):
            rotation = np.uint32(_ROTATIONS[number % 8])
            a = a + b
            b = ((b << rotation) | (b >> np.uint32(32 - rotation))) ^ a
            if number % 4 == 3:
                turn = number // 4 + 1
                a = a + schedule[turn % 3]
                b = b + schedule[(turn + 1) % 3] + np.uint32(turn)
    return a, b


def _bits_reference(counter: np.ndarray, *, shape: Shape, key: tuple[int, int], word: int) -> np.ndarray:
    positions = np.arange(math.prod(shape), dtype=np.uint64).astype(np.uint32).reshape(shape)  # type: ignore[arg-type]
    return np.asarray(threefry(key, positions, np.asarray(counter, np.uint32))[word], np.uint32)


@op(access=Access.MOVEMENT, reference=_bits_reference, differentiable=False, cost=70)
def random_bits(counter, *, shape, key, word):
    """32 random bits for each element: word 0 or 1 of Threefry of (position, counter) under the key."""
    if counter.rank or counter.dtype != uint32:
        raise DTypeError(f"the counter is {counter}", rule="It is a uint32 scalar.")
    return TensorType(shape, uint32)


@random_bits.element
def _(index, counter, *, shape, key, word):
    position = s.Call("cast", (s.ravel(index, shape),), uint32)
    keys = tuple(s.Argument(k, uint32) for k in key)
    return s.Call("threefry", (*keys, position, counter(), s.Const(word, uint32)), uint32)


def iteration_counter(index: Tensor) -> Callable[[], Tensor]:
    """What random ops count by in step `index` of a loop.

    It is the image of the step under a permutation of the 32-bit words that depends on the counter outside: no two of the
    loop's steps have one counter. Its rounds are those of the hash functions of Steele, Lea, Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014, with the multipliers of MurmurHash3.
    """
    counter = current_counter() or counter_of_graph  # as it is outside the body that is about to be built

    def count() -> Tensor:
        word = cast(index, uint32)
        for number, (multiplier, shift) in enumerate(_MIXING):
            word = bitwise_xor(word, random_bits(counter(), shape=(), key=_STEPS, word=number))
            word = word * multiplier
            word = bitwise_xor(word, right_shift(word, shift))
        return word

    return count


def derive_key(graph_seed: int, op_seed: Any, path: str, stream: int) -> tuple[int, int]:
    """The key of an op's stream: a hash of the graph's seed and of the op's seed, or of its name where it has none."""
    source = f"seed {op_seed}" if op_seed is not None else f"name {path}"
    digest = hashlib.blake2b(f"{graph_seed}/{source}/{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


class Stream:
    """The random bits of one op in the default graph; `stream` numbers independent pairs of words."""

    def __init__(self, shape: Shape, seed: Any, path: str) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer)):
            raise DTypeError(f"seed {seed!r} is no whole number")
        self.shape, self.seed, self.path = shape, seed, path

    def bits(self, word: int, stream: int = 0) -> Tensor:
        """uint32 of the op's shape."""
        key = derive_key(get_default_graph().seed, self.seed, self.path, stream)
        return random_bits(run_counter_tensor(), shape=self.shape, key=key, word=word)

    def unit(self, dtype: DType, stream: int = 0) -> Tensor:
        """Uniform in [0, 1): multiples of 2**-k, as many bits k as the dtype can hold."""
        if dtype == float64:
            high = cast(right_shift(self.bits(0, stream), 5), float64)
            low = cast(right_shift(self.bits(1, stream), 6), float64)
            return (high * 2.0**26 + low) * 2.0**-53
        kept = {"float16": 11, "bfloat16": 8}.get(dtype.name, 24)
        return cast(right_shift(self.bits(0, stream), 32 - kept), dtype) * 2.0**-kept

    def open_unit(self, dtype: DType, word: int, stream: int = 0) -> Tensor:
        """Uniform in (0, 1], dense near 0, in float32 or float64."""
        if dtype == float64:
            return self.unit(float64, stream) + 2.0**-54
        return (cast(self.bits(word, stream), float32) + 0.5) * 2.0**-32


# --- distributions -----------------------------------------------------------------------------------------------------


def _float_dtype(dtype: Any, what: str) -> DType:
    wanted = as_dtype(dtype)
    if not wanted.is_floating:
        raise DTypeError(f"{what}: no numbers of {wanted}", rule="It draws floats.")
    return wanted


def uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = float32, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Numbers evenly spread over [minval, maxval), by default [0, 1); integers need `maxval`."""
    wanted, sizes = as_dtype(dtype), shape_tuple(shape, "uniform")
    with name_scope(name or "random_uniform") as path:
        stream = Stream(sizes, seed, path)
        if wanted.is_integer:
            return _uniform_integers(stream, minval, maxval, wanted)
        _float_dtype(wanted, "uniform")
        unit = stream.unit(wanted)
        high = 1 if maxval is None else maxval
        if isinstance(minval, int | float) and isinstance(high, int | float):
            return _between(unit, float(minval), float(high), wanted)
        return unit * (constant_like(high, wanted) - constant_like(minval, wanted)) + minval


def _between(unit: Tensor, low: float, high: float, dtype: DType) -> Tensor:
    """Numbers of [0, 1) spread over [low, high); the sum may round to `high`, which is taken down to the number below."""
    if low == 0:
        return unit if high == 1 else unit * high
    below = np.nextafter(np.asarray(high, dtype.numpy), np.asarray(low, dtype.numpy))
    return minimum(unit * (high - low) + low, constant(np.asarray(below, dtype.numpy)))


def constant_like(value: Any, dtype: DType) -> Tensor:
    """A parameter of a distribution as a tensor of its dtype."""
    return value if isinstance(value, Tensor) else constant(value, dtype)


def _uniform_integers(stream: Stream, minval: Any, maxval: Any, dtype: DType) -> Tensor:
    if isinstance(minval, bool) or not isinstance(minval, int) or isinstance(maxval, bool) or not isinstance(maxval, int):
        raise DTypeError(f"uniform: bounds {minval!r} and {maxval!r} for {dtype}", rule="Integers need whole minval and maxval.")
    if not int(dtype.min) <= minval < maxval <= int(dtype.max) + 1:
        raise ShapeError(
            f"uniform: no {dtype} in [{minval}, {maxval})", rule=f"It needs {dtype.min} <= minval < maxval <= {dtype.max}."
        )
    span = maxval - minval
    if span < 2**32:  # the high word of bits * span
        offset = right_shift(cast(stream.bits(0), uint64) * span, 32)
    else:
        both = left_shift(cast(stream.bits(0), uint64), 32) + cast(stream.bits(1), uint64)
        offset = both % span if span < 2**64 else both
    if dtype == uint64:
        return offset + minval
    return cast(cast(offset, int64) + minval, dtype) if minval >= 0 or span < 2**63 else cast(offset, int64) + minval


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Normally distributed numbers. Box, Muller, "A note on the generation of random normal deviates", 1958."""
    wanted, sizes = _float_dtype(dtype, "normal"), shape_tuple(shape, "normal")
    with name_scope(name or "random_normal") as path:
        stream = Stream(sizes, seed, path)
        wide = wanted.compute
        if wide == float64:
            angle = stream.unit(wide, 1)
        else:
            angle = cast(right_shift(stream.bits(1), 8), wide) * 2.0**-24
        standard = sqrt(-2.0 * log(stream.open_unit(wide, 0))) * cos(2 * math.pi * angle)
        return _scaled(cast(standard, wanted), mean, stddev)


def _scaled(standard: Tensor, mean: Any, stddev: Any) -> Tensor:
    scaled = standard if isinstance(stddev, int | float) and stddev == 1 else standard * stddev
    return scaled if isinstance(mean, int | float) and mean == 0 else scaled + mean


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Normally distributed numbers within two standard deviations of the mean."""
    wanted, sizes = _float_dtype(dtype, "truncated_normal"), shape_tuple(shape, "truncated_normal")
    with name_scope(name or "truncated_normal") as path:
        stream = Stream(sizes, seed, path)
        inside = math.erf(math.sqrt(2))  # the share of the distribution that is kept
        position = stream.open_unit(wanted.compute, 0) * (2 * inside) - inside
        return _scaled(cast(erfinv(position) * math.sqrt(2), wanted), mean, stddev)


def bernoulli_mask(shape: Any, rate: Any, seed: int | None, path: str) -> Tensor:
    """True with probability 1 - rate."""
    return Stream(shape_tuple(shape, "mask"), seed, path).unit(float32) >= rate


# --- initialisers ------------------------------------------------------------------------------------------------------


def fans(shape: Sequence[AnySize]) -> tuple[int, int]:
    """(inputs, outputs) of a weight: the last two sizes, times the product of those before (a convolution's window)."""
    if not all(isinstance(size, int) for size in shape):
        raise ShapeError(f"an initial value of shape {list(shape)}", rule="Weights have known sizes.")
    if len(shape) < 2:
        size = int(shape[0]) if shape else 1  # type: ignore[arg-type]
        return size, size
    window = int(math.prod(shape[:-2]))  # type: ignore[arg-type]
    return window * int(shape[-2]), window * int(shape[-1])  # type: ignore[arg-type]


Initializer = Callable[..., Tensor]


def glorot_uniform(shape: Any, dtype: Any = float32, seed: int | None = None, name: str | None = None) -> Tensor:
    """Uniform within sqrt(6 / (inputs + outputs)). Glorot, Bengio, AISTATS 2010."""
    limit = math.sqrt(6 / max(1, sum(fans(shape_tuple(shape, "glorot_uniform")))))
    return uniform(shape, -limit, limit, dtype, seed, name or "glorot_uniform")


def glorot_normal(shape: Any, dtype: Any = float32, seed: int | None = None, name: str | None = None) -> Tensor:
    """Truncated normal of standard deviation sqrt(2 / (inputs + outputs)). Glorot, Bengio, AISTATS 2010."""
    deviation = math.sqrt(2 / max(1, sum(fans(shape_tuple(shape, "glorot_normal")))))
    return truncated_normal(shape, 0.0, deviation / TRUNCATED_DEVIATION, dtype, seed, name or "glorot_normal")


def he_uniform(shape: Any, dtype: Any = float32, seed: int | None = None, name: str | None = None) -> Tensor:
    """Uniform within sqrt(6 / inputs). He, Zhang, Ren, Sun, ICCV 2015."""
    limit = math.sqrt(6 / max(1, fans(shape_tuple(shape, "he_uniform"))[0]))
    return uniform(shape, -limit, limit, dtype, seed, name or "he_uniform")


def he_normal(shape: Any, dtype: Any = float32, seed: int | None = None, name: str | None = None) -> Tensor:
    """Truncated normal of standard deviation sqrt(2 / inputs). He, Zhang, Ren, Sun, ICCV 2015."""
    deviation = math.sqrt(2 / max(1, fans(shape_tuple(shape, "he_normal"))[0]))
    return truncated_normal(shape, 0.0, deviation / TRUNCATED_DEVIATION, dtype, seed, name or "he_normal")


TRUNCATED_DEVIATION = 0.87962566103423978  # standard deviation of a normal distribution cut off at two


def _initializer(draw: Initializer) -> Callable[..., Initializer]:
    def make(seed: int | None = None, dtype: Any = float32) -> Initializer:
        return lambda shape, dtype=dtype, name=None: draw(shape, dtype=dtype, seed=seed, name=name)

    make.__name__ = f"{draw.__name__}_initializer"
    make.__doc__ = f"A function of a shape that draws an initial value: {draw.__doc__}"
    return make


glorot_uniform_initializer = _initializer(glorot_uniform)
glorot_normal_initializer = _initializer(glorot_normal)
he_uniform_initializer = _initializer(he_uniform)
he_normal_initializer = _initializer(he_normal)


def set_seed(seed: int) -> None:
    """The seed of the default graph: part of the key of every random op built in it from now on."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise DTypeError(f"seed {seed!r} is no whole number")
    get_default_graph().seed = int(seed)
    if is_eager():
        restart_draws()
