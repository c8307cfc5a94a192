"""What to write where Python's control flow meets a value that only a run has."""

from __future__ import annotations

import ast
import itertools
import linecache
import sys
from types import FrameType
from typing import TYPE_CHECKING

from graphflow.ir.location import PACKAGE, SourceLocation

if TYPE_CHECKING:
    from graphflow.ir.tensor import Tensor

_ALL = "gf.cond for `if`, gf.while_loop for `while`, gf.logical_and, gf.logical_or and gf.logical_not for `and`, `or` and `not`"


def refusal(tensor: Tensor) -> tuple[str, str]:
    """(headline, remedy) where Python asks a symbolic tensor for its truth: with the user's line, and what to write there."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    function = getattr(tensor.graph, "function", None)
    when = f"while {function} is traced" if function else "before a run"
    place = SourceLocation(frame.f_code.co_filename, frame.f_lineno)
    line = linecache.getline(place.file, place.line, frame.f_globals).strip()
    headline = f"the truth of {tensor.name} is not known {when}, at {place}{f': {line}' if line else ''}"
    asking = _asking(frame)
    return headline, f"Write {_ALL if asking is None else form_of(asking)}."


def _asking(frame: FrameType) -> ast.AST | None:
    """The innermost piece of the source that asks for the truth of what a frame is at; None where there is no source."""
    line, _, column, _ = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    try:
        tree = ast.parse("".join(linecache.getlines(frame.f_code.co_filename, frame.f_globals)))
    except SyntaxError:
        return None
    found = None
    for node in ast.walk(tree):  # outer pieces first
        for part in _tests(node):
            start, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)
            if line is not None and column is not None and start <= (line, column) < end:
                found = node
    return found


def _tests(node: ast.AST) -> list[ast.expr]:
    """The expressions whose truth a piece of source asks for."""
    match node:
        case ast.If() | ast.While() | ast.IfExp() | ast.Assert():
            return [node.test]
        case ast.BoolOp():
            return node.values
        case ast.UnaryOp(op=ast.Not()):
            return [node]
        case ast.Compare() if len(node.ops) > 1:
            return [node]
        case ast.comprehension():
            return node.ifs
    return []


def form_of(node: ast.AST) -> str:
    """The graph form of a piece of source that asks for a truth."""
    tests = [ast.unparse(test) for test in _tests(node)]
    match node:
        case ast.If() | ast.IfExp():
            return (
                f"gf.cond({tests[0]}, lambda: ..., lambda: ...), which runs one of two functions, or gf.where({tests[0]}, a, b), "
                "which picks elements"
            )
        case ast.While():
            return f"gf.while_loop(lambda *state: {tests[0]}, lambda *state: next_state, state)"
        case ast.BoolOp():
            name = "gf.logical_and" if isinstance(node.op, ast.And) else "gf.logical_or"
            return f"{name}({tests[0]}, {tests[1]})" + (" and so on" if len(tests) > 2 else "")
        case ast.UnaryOp():
            return f"gf.logical_not({ast.unparse(node.operand)})"
        case ast.Compare():
            terms = [node.left, *node.comparators]
            pairs = [ast.Compare(terms[k], [node.ops[k]], [terms[k + 1]]) for k in range(2)]
            return f"gf.logical_and({', '.join(map(ast.unparse, pairs))})"
        case ast.Assert():
            return "the check outside of the function: of its arguments, or of its results"
    return _ALL
