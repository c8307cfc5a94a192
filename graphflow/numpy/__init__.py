"""`gf.numpy`: NumPy's names over graphflow's ops, for graphs and for eager tensors alike.

Shapes, axes and broadcasting are NumPy's. Dtypes are graphflow's: Python numbers adopt the tensor's, tensors of two dtypes are an
error, and reductions keep the dtype they are given. NumPy's own functions, given a tensor, run these.
"""

from __future__ import annotations

from math import e, inf, nan, pi  # noqa: F401

from graphflow.ir.tensor import set_methods, set_operators
from graphflow.numpy import arrays, elementwise, fft, linalg, reductions
from graphflow.numpy.arrays import *  # noqa: F403
from graphflow.numpy.dispatch import NAMES, apply_function, apply_ufunc
from graphflow.numpy.elementwise import *  # noqa: F403
from graphflow.numpy.reductions import *  # noqa: F403

newaxis = None

_METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "conj", "copy", "cumprod", "cumsum", "diagonal", "dot", "max",
    "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std", "sum", "swapaxes",
    "take", "trace", "transpose", "var",
)  # fmt: skip
set_methods(
    {name: NAMES[name] for name in _METHODS}
    | {"flatten": NAMES["ravel"], "__divmod__": NAMES["divmod"], "__round__": NAMES["round"]}
)
set_operators({"ufunc": apply_ufunc, "array_function": apply_function})

__all__ = [*arrays.__all__, *elementwise.__all__, *reductions.__all__, "fft", "linalg"]
