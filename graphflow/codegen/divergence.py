"""What differs between the lanes of a kernel, read from its text: the locals, the loops that lanes leave, the places."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence

CHEAP = 12  # operations: so many are computed for all lanes, whether they take the branch or not
CHEAP_CALLS = frozenset(["abs", "min", "max", "bool", "int32", "int64", "float32", "float64"])


class Divergence:
    """The locals of a loop over lanes that are not the same for all of them."""

    def __init__(self, definition: ast.FunctionDef, lanes: ast.For) -> None:
        assert isinstance(lanes.target, ast.Name)
        self.uses = occurrences(definition.body)
        self.stacks = {  # arrays that each lane has
            name.id
            for statement in definition.body
            if isinstance(statement, ast.Assign) and ast.unparse(statement.value).startswith("scratch_")
            for name in statement.targets
            if isinstance(name, ast.Name)
        }
        self.varying = {lanes.target.id}
        self.of_lane = {lanes.target.id}  # what is computed from the number of the lane alone, and what is the same for all
        known = 0
        while known < len(self.varying):  # what is found late in a step may be used early in the next one
            known = len(self.varying)
            self.visit(lanes.body, None)
        self.assigned = Counter(
            node.id for node in ast.walk(lanes) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        )
        self.visit(lanes.body, None, places=True)

    def visit(self, statements: Sequence[ast.stmt], inside: Counter[str] | None, places: bool = False) -> None:
        """Find names; `inside` counts those of the innermost statements that not all lanes may take part in."""
        for statement in statements:
            match statement:
                case ast.Assign([ast.Name(name)], value):
                    kept = inside is not None and inside[name] < self.uses[name]  # lanes that take no part keep it
                    if kept or self.varies(value):
                        self.varying.add(name)
                    if places and not kept and self.assigned[name] == 1 and self.is_of_lane(value):
                        self.of_lane.add(name)
                case ast.If(test, body, orelse):
                    for part in (body, orelse):
                        self.visit(part, occurrences(part) if self.varies(test) else inside, places)
                case ast.For(_, ast.Call(_, bounds), body):
                    diverges = self.varies(*bounds) or self.leaves(body)
                    self.visit(body, occurrences(body) if diverges else inside, places)

    def varies(self, *nodes: ast.expr) -> bool:
        """May values differ between lanes?"""
        return any(name in self.varying or name in self.stacks for node in nodes for name in names(node))

    def leaves(self, body: Sequence[ast.stmt]) -> bool:
        """May lanes leave a loop over `body` at different steps?"""
        return any(isinstance(s, ast.If) and is_exit(s.body, s.orelse) and self.varies(s.test) for s in body)

    def is_of_lane(self, node: ast.expr) -> bool:
        """Does a place depend on nothing but the number of the lane, and on what is the same for all?"""
        if any(name in self.varying and name not in self.of_lane for name in names(node)):
            return False
        return not self.varies(node) or all(
            isinstance(part, ast.BinOp | ast.Add | ast.Sub | ast.Mult | ast.Name | ast.Load | ast.Constant)
            for part in ast.walk(node)
        )


def names(node: ast.AST) -> Iterable[str]:
    """The names in a part of a text."""
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def occurrences(statements: Sequence[ast.stmt]) -> Counter[str]:
    """How often each name stands in statements."""
    return Counter(name for statement in statements for name in names(statement))


def summands(node: ast.expr) -> list[ast.expr]:
    """What a sum adds."""
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return summands(left) + summands(right)
        case _:
            return [node]


def is_exit(body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> bool:
    """Is an if statement `if test: pass`, `else: break`?"""
    return [type(s) for s in (*body, *orelse)] == [ast.Pass, ast.Break]


def is_cheap(statements: Sequence[ast.stmt]) -> bool:
    """May statements be run when no lane takes part, at less than the cost of a branch?"""
    operations = 0
    for part in (node for statement in statements for node in ast.walk(statement)):
        match part:
            case ast.For() | ast.While() | ast.If() | ast.Subscript():
                return False
            case ast.Call(ast.Name(name)) if name not in CHEAP_CALLS:
                return False
            case ast.BinOp() | ast.Compare() | ast.IfExp() | ast.Call():
                operations += 1
    return operations <= CHEAP


def asks_memory(node: ast.expr) -> bool:
    """Does an expression read memory, or check an index?"""
    return any(
        isinstance(part, ast.Subscript) or (isinstance(part, ast.Name) and part.id == "checked_index") for part in ast.walk(node)
    )
