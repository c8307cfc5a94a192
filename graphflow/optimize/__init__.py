"""`gf.optimize`: minima, roots and fixed points, found by loops and differentiated by the implicit function theorem."""

from graphflow.optimize.fixed_point import FixedPointResult, fixed_point
from graphflow.optimize.minimize import MinimizeResult, minimize
from graphflow.optimize.root import RootResult, root

__all__ = ["FixedPointResult", "MinimizeResult", "RootResult", "fixed_point", "minimize", "root"]
