"""Finding out what went wrong in a program: what made a NaN, where digits were lost, and stepping through its ops."""

from graphflow.debug.blackbox import nan_check
from graphflow.debug.precision import OpPrecision, PrecisionAudit, precision_audit
from graphflow.debug.stepping import breakpoint

__all__ = ["OpPrecision", "PrecisionAudit", "breakpoint", "nan_check", "precision_audit"]
