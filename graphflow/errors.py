"""Every error a user can meet, in one module.

A message names what failed, the operands with their types and the lines that built them, the rule that was broken and the
remedy. `GraphflowError` is at the top; where Python has a class for the same thing (`ValueError`, `TypeError`,
`IndexError`, `MemoryError`) ours derives from it as well, so that `except ValueError` goes on working.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class GraphflowError(Exception):
    """An error of graphflow: `headline`, then the operands, then the rule and its remedy."""

    def __init__(
        self,
        headline: str,
        *,
        operands: Mapping[str, Any] | Sequence[Any] = (),
        rule: str | None = None,
        location: Any = None,
    ) -> None:
        self.headline = headline
        self.operands = dict(operands) if isinstance(operands, Mapping) else {str(i): x for i, x in enumerate(operands)}
        self.rule = rule
        self.location = location
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.headline]
        rows = [(label, *describe(operand)) for label, operand in self.operands.items()]
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(3)]
        for label, name, type_text, origin in rows:
            origin = f"   from {origin}" if origin else ""
            lines.append(f"  {label + ':':<{widths[0] + 1}} {name:<{widths[1]}}  {type_text:<{widths[2]}}{origin}".rstrip())
        if self.location is not None:
            lines.append(f"  built at {self.location}")
        if self.rule:
            lines.append(self.rule)
        return "\n".join(lines)


def describe(operand: Any) -> tuple[str, str, str]:
    """(name, type, building line) of an operand as error messages show them; what is unknown is an empty text."""
    name = getattr(operand, "name", None)
    type_ = getattr(operand, "type", None)
    if type_ is None and hasattr(operand, "shape") and hasattr(operand, "dtype"):
        type_ = operand if name is None else f"{operand.dtype}{list(operand.shape)}"
    location = getattr(operand, "location", None)
    if name is None and type_ is None:
        text = repr(operand)
        return (text if len(text) <= 80 else text[:77] + "..."), "", ""
    return str(name or ""), str(type_ or ""), str(location or "")


class TypeRuleError(GraphflowError):
    """Operands that no type rule accepts."""


class ShapeError(TypeRuleError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(TypeRuleError, TypeError):
    """Element types that do not fit together."""


class GraphError(GraphflowError, ValueError):
    """A graph used wrongly: a tensor of another graph, a finalized graph, a clash of names."""


class GradientError(GraphflowError, ValueError):
    """A gradient that does not exist, with the place where the path breaks."""


class ModeError(GraphflowError, TypeError):
    """A symbolic tensor where a value is needed, or the other way round."""


class UnknownSizeError(ModeError):
    """Python asks for a size that only a run knows; `dims` are its symbols."""

    def __init__(
        self, headline: str, dims: Any, *, operands: Mapping[str, Any] | Sequence[Any] = (), rule: str | None = None
    ) -> None:
        super().__init__(headline, operands=operands, rule=rule)
        self.dims = frozenset(dims)


class FeedError(GraphflowError, ValueError):
    """A fed value that does not fit its placeholder, a missing feed, or a feed of something that is no tensor."""


class FetchError(GraphflowError, TypeError):
    """Something that cannot be fetched."""


class SessionError(GraphflowError, RuntimeError):
    """A session that is closed, or used in a way its state does not allow."""


class UninitializedVariableError(SessionError):
    """A variable that is read before it has a value in this session."""


class IndexOutOfRangeError(GraphflowError, IndexError):
    """An index outside its axis, found while a program ran; no variable was changed."""


class HostError(GraphflowError, RuntimeError):
    """What a function in Python raised that a run called, which is its `__cause__`; no variable was changed."""


class DecompositionError(GraphflowError, np.linalg.LinAlgError):
    """A matrix that cannot be factored or inverted: not positive definite, singular; or an iteration that did not converge."""


class InvalidArgumentError(GraphflowError, ValueError):
    """A value that the user's own checks refuse, found while a program ran; no variable was changed."""


class NumericsError(InvalidArgumentError, ArithmeticError):
    """A NaN or an infinity where a check was asked for, found while a program ran; no variable was changed."""


class ResourceError(GraphflowError, MemoryError):
    """More memory than there is, or a size that no buffer can have."""


class RewriteLoopError(GraphflowError):
    """Rewrite rules that undo each other."""


class CompileError(GraphflowError, RuntimeError):
    """A kernel that could not be compiled; names the file of its source and the fusion group."""


class OptionError(GraphflowError, ValueError):
    """A setting that does not exist, or a value it does not take."""
