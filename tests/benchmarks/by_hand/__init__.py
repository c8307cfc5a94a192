"""Loops and their derivatives as one writes them by hand: compiled by numba, adjoints derived on paper, only what they need kept.

They are what graphflow is measured against where the state of a loop is small. Each takes the arrays of its workload in their
order. Loops whose iterations are independent are shared out to threads by `prange`.
"""

OPTIONS = {"fastmath": True, "error_model": "numpy", "cache": True, "nogil": True}
