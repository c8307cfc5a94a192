"""A kernel of the loop IR as text: its loops, what is summed in them, what is stored where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphflow.ir.scalar import Accumulator, Argument, Axis, Call, Check, Const, Expr, Load, Select, SizeValue
from graphflow.loop.ir import Kernel, Offset, Stage, Store, children, walk

INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "greater_equal": ">=", "equal": "=="}
LONG = 60  # characters: a value that takes more, or is used twice, has a line of its own


def loop_text(kernel: Kernel) -> str:
    """The kernel as text, a line per loop and per value that is kept."""
    if kernel.statements:
        return f"{kernel.name}: a loop of the user's in one kernel, {len(kernel.statements)} statements; see its source\n"
    if kernel.group.root is not None and not kernel.stages and not kernel.finals:
        return f"{kernel.name}: a kernel of its own for {kernel.group.root.op.name}; see its source\n"
    lines = [f"{kernel.name}: {kernel.form}"]
    indent = 1
    for axis in kernel.rows:
        lines.append(f"{'  ' * indent}for {axis.name} in range({axis.extent}):  # parallel")
        indent += 1
    for number, stage in enumerate(kernel.stages):
        lines += [f"{'  ' * indent}{line}" for line in _stage(kernel, stage, number)]
    lines += [f"{'  ' * indent}{line}" for line in _stores(kernel.finals)]
    return "\n".join(lines) + "\n"


def _stage(kernel: Kernel, stage: Stage, number: int) -> Iterator[str]:
    scalars = _Values([value for _, value in stage.scalars])
    for accumulator, value in stage.scalars:
        yield from scalars.lines_for(value)
        yield f"{_name(accumulator)} = {scalars.text(value)}"
    bounds = "" if stage.bounds is None else f", from {stage.bounds[0]} to {stage.bounds[1]}"
    indent = ""
    for axis in (*kernel.reduced, *kernel.lanes):
        what = "reduced" if axis in kernel.reduced else "in lanes"
        yield f"{indent}for {axis.name} in range({axis.extent}):  # {what}{bounds}, stage {number}"
        indent += "  "
    values = _Values([*(r.value for r in stage.reductions), *(s.value for s in stage.stores), *(s.offset for s in stage.stores)])
    for reduction in stage.reductions:
        yield from (indent + line for line in values.lines_for(reduction.value))
        name = _name(reduction.accumulator)
        yield f"{indent}{name} = {reduction.combine}({name}, {values.text(reduction.value)})"
    yield from (indent + line for line in _stores(stage.stores, values))


def _stores(stores: Sequence[Store], values: _Values | None = None) -> Iterator[str]:
    values = values or _Values([*(s.value for s in stores), *(s.offset for s in stores)])
    for store in stores:
        yield from values.lines_for(store.value)
        yield f"{store.buffer.name}[{values.text(store.offset)}] = {values.text(store.value)}"


def _name(accumulator: Accumulator) -> str:
    return f"sum_{accumulator.number}"


class _Values:
    """Expressions as text; one that is long, or used more than once, gets a name."""

    def __init__(self, roots: list[Expr]) -> None:
        self.uses: dict[int, int] = {}
        for expr in walk(list(roots)):
            for child in children(expr):
                self.uses[id(child)] = self.uses.get(id(child), 0) + 1
        self.known: dict[int, str] = {}
        self.keep: list[Expr] = roots
        self.count = 0

    def lines_for(self, root: Expr) -> Iterator[str]:
        """The lines that name the parts of an expression."""
        for expr in walk([root]):
            if id(expr) in self.known:
                continue
            text = self.written(expr)
            atom = isinstance(expr, Axis | Const | SizeValue | Accumulator | Argument | Offset)
            if not atom and expr is not root and (self.uses.get(id(expr), 0) > 1 or len(text) > LONG):
                self.known[id(expr)] = name = f"v{self.count}"
                self.count += 1
                yield f"{name} = {text}"
            else:
                self.known[id(expr)] = text

    def text(self, expr: Expr) -> str:
        """An expression, all of whose long parts have names."""
        if id(expr) not in self.known:
            for _ in self.lines_for(expr):
                pass
        return self.known[id(expr)]

    def written(self, expr: Expr) -> str:
        parts = [self.known[id(child)] for child in children(expr)]
        match expr:
            case Axis(name):
                return name
            case Const(value):
                return str(value)
            case Argument(value):
                return f"argument({value})"
            case SizeValue(size):
                return str(size)
            case Accumulator():
                return _name(expr)
            case Load(buffer):
                return f"{getattr(buffer, 'name', buffer)}[{', '.join(parts)}]"
            case Call(fn) if fn in INFIX and len(parts) == 2:
                return f"({parts[0]} {INFIX[fn]} {parts[1]})"
            case Call(fn):
                return f"{fn}({', '.join(parts)})"
            case Select():
                return f"({parts[1]} if {parts[0]} else {parts[2]})"
            case Check():
                return f"check({parts[0]}, {expr.size})"
            case Offset(constant, terms):
                shown = [p if f == 1 else f"{p}*{f}" for p, (_, f) in zip(parts, terms, strict=True)]
                return " + ".join([*shown, *([str(constant)] if constant != 0 or not shown else [])])
        raise AssertionError(f"no scalar expression: {expr!r}")
