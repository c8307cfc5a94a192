"""`graphflow.array_api.fft`: the standard's extension for discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphflow.array_api.array import Array, eagerly, tensor_of
from graphflow.array_api.dtypes import DEFAULT_FLOAT
from graphflow.ops import fourier


def _of_axis(name: str, text: str) -> Callable[..., Array]:
    function = getattr(fourier, name)

    def transform(x: Any, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
        return function(tensor_of(x), n, axis, norm)

    return _named(eagerly(transform), name, text)


def _of_axes(name: str, text: str) -> Callable[..., Array]:
    function = getattr(fourier, name)

    def transform(x: Any, /, *, s: Any = None, axes: Any = None, norm: str = "backward") -> Any:
        return function(tensor_of(x), s, axes, norm)

    return _named(eagerly(transform), name, text)


def _named(function: Callable[..., Array], name: str, text: str) -> Callable[..., Array]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


fft = _of_axis("fft", "The discrete Fourier transform along `axis`.")
ifft = _of_axis("ifft", "The inverse of the discrete Fourier transform along `axis`.")
rfft = _of_axis("rfft", "The discrete Fourier transform of real numbers along `axis`: the half that says all.")
irfft = _of_axis("irfft", "The inverse of `rfft`: real numbers.")
hfft = _of_axis("hfft", "The discrete Fourier transform of a signal with Hermitian symmetry: real numbers.")
ihfft = _of_axis("ihfft", "The inverse of `hfft`.")
fftn = _of_axes("fftn", "The discrete Fourier transform along several axes.")
ifftn = _of_axes("ifftn", "The inverse of the discrete Fourier transform along several axes.")
rfftn = _of_axes("rfftn", "The discrete Fourier transform of real numbers along several axes.")
irfftn = _of_axes("irfftn", "The inverse of `rfftn`: real numbers.")


@eagerly
def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of the elements of `fft`, in cycles per unit of the sample spacing `d`."""
    return fourier.fftfreq(n, d, DEFAULT_FLOAT if dtype is None else dtype)


@eagerly
def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of the elements of `rfft`, in cycles per unit of the sample spacing `d`."""
    return fourier.rfftfreq(n, d, DEFAULT_FLOAT if dtype is None else dtype)


@eagerly
def fftshift(x: Any, /, *, axes: Any = None) -> Any:
    """The elements rolled so that frequency 0 is in the middle of `axes`."""
    return fourier.fftshift(tensor_of(x), axes)


@eagerly
def ifftshift(x: Any, /, *, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return fourier.ifftshift(tensor_of(x), axes)


__all__ = [
    "fft", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifftn", "ifftshift", "ihfft", "irfft", "irfftn", "rfft",
    "rfftfreq", "rfftn",
]  # fmt: skip
