"""Discrete Fourier transforms, and what is said of their frequencies.

Three primitives transform without a factor; the public functions put it on. float16 and integers are transformed as float32 and
float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphflow.errors import DTypeError, ShapeError
from graphflow.ir.op import Access, convert_to_tensor
from graphflow.ir.tensor import Tensor
from graphflow.ops.along import number_of, part, roll
from graphflow.ops.declare import check_axis, check_size, composition, op
from graphflow.ops.logic import cast, equal, logical_or, where
from graphflow.ops.math import conj, divide
from graphflow.ops.movement import iota, pad_, reshape
from graphflow.types import AnySize, DType, as_dtype, complex64, complex128, float32, float64, floordiv, int64, product, size_min

# --- primitives -----------------------------------------------------------------------------------------------------------


def _complex_of(dtype: DType) -> DType:
    return complex128 if dtype == float64 else complex64


def _dft_reference(x: np.ndarray, *, axes: tuple[int, ...], inverse: bool) -> np.ndarray:
    if not x.size:
        return x
    found = np.fft.ifftn(x, axes=axes, norm="forward") if inverse else np.fft.fftn(x, axes=axes)
    return found.astype(x.dtype, copy=False)


@op(access=Access.OPAQUE, reference=_dft_reference, host=True, linear=True, cost=40)
def dft(x, *, axes, inverse):
    """sum_j x[j] exp(-2 pi i j k / n) along `axes`; with the other sign where `inverse`, and without a factor."""
    if not x.dtype.is_complex:
        raise DTypeError(f"no transform of {x.dtype}", rule="It takes complex numbers.")
    return x


dft.defvjp(lambda g, out, x, axes, inverse: dft(g, axes=axes, inverse=not inverse))


def _rdft_reference(x: np.ndarray, *, axis: int) -> np.ndarray:
    shape = tuple(n // 2 + 1 if a == axis else n for a, n in enumerate(x.shape))
    wanted = np.complex128 if x.dtype == np.float64 else np.complex64
    return np.fft.rfft(x, axis=axis).astype(wanted, copy=False) if x.size else np.zeros(shape, wanted)


@op(access=Access.OPAQUE, reference=_rdft_reference, host=True, linear=True, cost=20)
def rdft(x, *, axis):
    """The first n // 2 + 1 elements of the transform of real numbers along `axis`; the others are their conjugates."""
    if x.dtype not in (float32, float64):
        raise DTypeError(f"no real transform of {x.dtype}", rule="It takes float32 and float64.")
    shape = tuple(floordiv(n, 2) + 1 if a == axis else n for a, n in enumerate(x.shape))
    return x.with_shape(shape).with_dtype(_complex_of(x.dtype))


def _irdft_reference(x: np.ndarray, *, axis: int, size: int) -> np.ndarray:
    shape = tuple(size if a == axis else n for a, n in enumerate(x.shape))
    wanted = np.float64 if x.dtype == np.complex128 else np.float32
    found = np.fft.irfft(x, size, axis, norm="forward") if size and x.size else np.zeros(shape)
    return found.astype(wanted, copy=False)


@op(access=Access.OPAQUE, reference=_irdft_reference, host=True, linear=True, cost=20)
def irdft(x, *, axis, size):
    """`size` real numbers whose transform begins with x, up to a factor: x and its conjugates transformed back."""
    if not x.dtype.is_complex:
        raise DTypeError(f"no transform of {x.dtype}", rule="It takes complex numbers.")
    shape = tuple(size if a == axis else n for a, n in enumerate(x.shape))
    return x.with_shape(shape).with_dtype(x.dtype.real)


def _weights(half: Tensor, axis: int, size: AnySize, once: float, twice: float) -> Tensor:
    """`once` for the elements that are their own conjugates, the first and of an even size the last; `twice` for the others."""
    numbers = iota(size=half.shape[axis], dtype=int64)
    own = logical_or(equal(numbers, 0), equal(numbers * 2, number_of(size)))
    weights = where(own, convert_to_tensor(once, half.dtype.real), convert_to_tensor(twice, half.dtype.real))
    return cast(reshape(weights, (-1, *(1,) * (half.rank - axis - 1))), half.dtype)


def _rdft_vjp(g: Tensor, out: Tensor, x: Tensor, axis: int) -> Tensor:
    return irdft(g * _weights(g, axis, x.shape[axis], 1.0, 0.5), axis=axis, size=x.shape[axis])


def _irdft_vjp(g: Tensor, out: Tensor, x: Tensor, axis: int, size: AnySize) -> Tensor:
    return rdft(g, axis=axis) * _weights(x, axis, size, 1.0, 2.0)


rdft.defvjp(_rdft_vjp)
irdft.defvjp(_irdft_vjp)

# --- public ---------------------------------------------------------------------------------------------------------------


def _complex(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    return x if x.dtype.is_complex else cast(x, complex128 if x.dtype == float64 or not x.dtype.is_floating else complex64)


def _real(x: Any) -> Tensor:
    x = convert_to_tensor(x)
    if x.dtype.is_complex:
        raise DTypeError(f"no real transform of {x.dtype}", operands={"x": x}, rule="Use gf.fft.fft.")
    return x if x.dtype in (float32, float64) else cast(x, float32 if x.dtype.is_floating else float64)


def _sized(x: Tensor, size: Any, axis: int) -> Tensor:
    """Cut, or filled up with zeros, to `size` elements along `axis`."""
    size = check_size(size, "n")
    here = x.shape[axis]
    if size == here:
        return x
    kept = part(x, axis, 0, size_min(here, size))
    shape = tuple(size if a == axis else n for a, n in enumerate(x.shape))
    return pad_(kept, begin=(0,) * x.rank, step=(1,) * x.rank, shape=shape, value=0)


_NORMS = {"backward": (False, True), "ortho": (True, True), "forward": (True, False)}  # is there a factor: forwards, back


def _scaled(x: Tensor, size: AnySize, norm: str | None, inverse: bool) -> Tensor:
    """With the factor that `norm` puts on a transform of `size` elements."""
    if norm not in (None, *_NORMS):
        raise DTypeError(f"norm {norm!r}", rule='It is "backward", "ortho" or "forward".')
    if not _NORMS[norm or "backward"][inverse]:
        return x
    if isinstance(size, int):
        count = max(size, 1)
        return x * (1 / math.sqrt(count) if norm == "ortho" else 1 / count)
    total = cast(number_of(size), x.dtype)
    return divide(x, total**0.5 if norm == "ortho" else total)


def _nonempty(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        if x.shape[axis] == 0:
            raise ShapeError(f"axis {axis} is empty", operands={"x": x}, rule="A transform has at least one element.")
    return x


def _axes_of(x: Tensor, s: Any, axes: Any) -> tuple[list[Any], list[int]]:
    """(sizes or None, axes) of a transform along several axes."""
    if axes is None:
        count = x.rank if s is None else len(s)
        places = list(range(x.rank - count, x.rank))
    else:
        places = [check_axis(a, x.rank) for a in axes]
    if len(set(places)) != len(places):
        raise ShapeError(f"axes {list(axes)} name an axis twice", operands={"x": x})
    sizes = [None] * len(places) if s is None else list(s)
    if len(sizes) != len(places):
        raise ShapeError(f"{len(sizes)} sizes for {len(places)} axes", operands={"x": x})
    return sizes, places


def _transform(x: Tensor, sizes: Sequence[Any], axes: Sequence[int], norm: str | None, inverse: bool) -> Tensor:
    for size, axis in zip(sizes, axes, strict=True):
        x = x if size is None else _sized(x, size, axis)
    _nonempty(x, axes)
    found = dft(x, axes=tuple(axes), inverse=inverse) if axes else x
    return _scaled(found, product([x.shape[a] for a in axes]), norm, inverse)


@composition
def fft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """sum_j x[j] exp(-2 pi i j k / n) along `axis`, of `n` elements: cut, or filled up with zeros.

    `norm` says where the factor 1 / n stands: "backward" on the inverse, "forward" here, "ortho" 1 / sqrt(n) on both.
    """
    x = _complex(x)
    return _transform(x, [n], [check_axis(axis, x.rank)], norm, False)


@composition
def ifft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `fft`: sum_k x[k] exp(2 pi i j k / n) / n along `axis`."""
    x = _complex(x)
    return _transform(x, [n], [check_axis(axis, x.rank)], norm, True)


@composition
def fftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """`fft` along several axes, all of them unless `axes` says, of `s` elements each."""
    x = _complex(x)
    return _transform(x, *_axes_of(x, s, axes), norm, False)


@composition
def ifftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    x = _complex(x)
    return _transform(x, *_axes_of(x, s, axes), norm, True)


@composition
def fft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`fft` along two axes."""
    return fftn(x, s, axes, norm)


@composition
def ifft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `fft2`."""
    return ifftn(x, s, axes, norm)


@composition
def rfft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The first n // 2 + 1 elements of the `fft` of real numbers; the others are their conjugates."""
    x = _real(x)
    return _real_transform(x, [n], [check_axis(axis, x.rank)], norm)


@composition
def rfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """`fftn` of real numbers, of whose last axis the first n // 2 + 1 elements are given."""
    x = _real(x)
    return _real_transform(x, *_axes_of(x, s, axes), norm)


def _real_transform(x: Tensor, sizes: Sequence[Any], axes: Sequence[int], norm: str | None) -> Tensor:
    for size, axis in zip(sizes, axes, strict=True):
        x = x if size is None else _sized(x, size, axis)
    _nonempty(x, axes)
    found = rdft(x, axis=axes[-1])
    if axes[:-1]:
        found = dft(found, axes=tuple(axes[:-1]), inverse=False)
    return _scaled(found, product([x.shape[a] for a in axes]), norm, False)


@composition
def irfft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`: `n` real numbers, 2 (m - 1) of them from m elements unless `n` is given."""
    x = _complex(x)
    return _real_inverse(x, [n], [check_axis(axis, x.rank)], norm)


@composition
def irfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`."""
    x = _complex(x)
    return _real_inverse(x, *_axes_of(x, s, axes), norm)


def _real_inverse(x: Tensor, sizes: Sequence[Any], axes: Sequence[int], norm: str | None) -> Tensor:
    last = 2 * (x.shape[axes[-1]] - 1) if sizes[-1] is None else check_size(sizes[-1], "n")
    if last == 0:
        raise ShapeError("the result is empty", operands={"x": x}, rule="A transform has at least one element; give `n`.")
    for size, axis in zip(sizes[:-1], axes[:-1], strict=True):
        x = x if size is None else _sized(x, size, axis)
    x = _nonempty(_sized(x, floordiv(last, 2) + 1, axes[-1]), axes)
    count = product([*(x.shape[a] for a in axes[:-1]), last])
    if axes[:-1]:
        x = dft(x, axes=tuple(axes[:-1]), inverse=True)
    return _scaled(irdft(x, axis=axes[-1], size=last), count, norm, True)


@composition
def hfft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The `fft` of `n` numbers of which x is the first half and the conjugates are the second: real numbers."""
    return irfft(conj(x), n, axis, _other_way(norm))


@composition
def ihfft(x: Any, n: Any = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: the first half of the numbers whose transform is real."""
    return conj(rfft(x, n, axis, _other_way(norm)))


def _other_way(norm: str | None) -> str | None:
    return {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)


@composition
def fftfreq(n: Any, d: float = 1.0, dtype: Any = float32) -> Tensor:
    """The frequency of each element of an `fft` of `n` samples at distance `d`: 0, 1, ..., -2, -1 over n d."""
    n = check_size(n, "n")
    numbers = iota(size=n, dtype=int64)
    half = floordiv(n + 1, 2)
    signed = where(numbers < number_of(half), numbers, numbers - number_of(n))
    return _frequencies(signed, n, d, dtype)


@composition
def rfftfreq(n: Any, d: float = 1.0, dtype: Any = float32) -> Tensor:
    """The frequency of each element of an `rfft` of `n` samples at distance `d`: 0, 1, ..., n // 2 over n d."""
    n = check_size(n, "n")
    return _frequencies(iota(size=floordiv(n, 2) + 1, dtype=int64), n, d, dtype)


def _frequencies(numbers: Tensor, n: AnySize, d: float, dtype: Any) -> Tensor:
    total = n * d if isinstance(n, int) else cast(number_of(n), float64) * d
    return cast(divide(cast(numbers, float64), total), as_dtype(dtype))


@composition
def fftshift(x: Any, axes: Any = None) -> Tensor:
    """The elements along `axes` with the frequency 0 in the middle."""
    return _shifted(x, axes, lambda n: n // 2)


@composition
def ifftshift(x: Any, axes: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted(x, axes, lambda n: -(n // 2))


def _shifted(x: Any, axes: Any, shift: Any) -> Tensor:
    x = convert_to_tensor(x)
    places = range(x.rank) if axes is None else [axes] if isinstance(axes, int) else axes
    for axis in places:
        size = x.shape[check_axis(axis, x.rank)]
        if not isinstance(size, int):
            raise ShapeError(f"the size of axis {axis} is not known", operands={"x": x}, rule="Use gf.roll.")
        x = roll(x, shift(size), axis)
    return x
