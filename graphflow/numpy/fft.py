"""`gf.numpy.fft`: NumPy's names for what `gf.fft` has, which are the same."""

from graphflow.fft import *  # noqa: F403
from graphflow.fft import __all__ as __all__
