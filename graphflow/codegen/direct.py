"""Source text to LLVM assembly: a compiler for the small Python that kernels are written in.

A kernel is assignments of typed scalars, `for ... in range(...)`, `while`, `if`, loads and stores, and calls of the helpers;
there is nothing to infer, so a pass over the syntax tree emits it. numba compiles the same text (`codegen.compile`), and does
so for what this compiler does not know, which raises `Unsupported`: complex numbers, today. It takes a tenth of numba's time,
as nine tenths of that are type inference.

Every variable is a stack slot that LLVM makes a register. Arithmetic on floats may be reassociated and contracted; loads and
stores say that no two buffers of a kernel overlap.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from graphflow.codegen.accuracy import ULP_BOUNDS
from graphflow.codegen.assembly import (
    DOUBLE,
    FLOAT,
    I1,
    I8,
    I32,
    I64,
    POINTER,
    VOID,
    Block,
    Builder,
    Function,
    Module,
    Property,
    Value,
    array,
    constant,
    split,
    suffix,
    with_lanes,
)
from graphflow.codegen.blocks import Block as ProductBlock
from graphflow.codegen.emit import SCALARS, SIDE_BY_SIDE, helper_modules
from graphflow.codegen.listed_blocks import ListedBlock
from graphflow.codegen.tracing import HELPERS, Helper, Traced, boolean, convert, llvm_type, select

FLAGS = ("reassoc", "contract")
CHAINS = frozenset(name.rpartition("_")[0] for name in ULP_BOUNDS) - {"sqrt", "rsqrt"}  # helpers that are long chains
INTERLEAVE = 4  # vectors at a time of loops that call them; docs/performance.md has 1, 2, 3 and 8
OUTLINED = 1200  # instructions of all places where a kernel of scalars calls a helper; more of them call one function
SHORT = 8  # instructions of a helper that is always written out
MAX_SCOPES = 48  # buffers beyond this number may alias one another
# LLVM unrolls loops of a known, small number of terms before it vectorises them, and then gathers from several rows at once.
VECTORISED, LANES, UNROLLED = 16, 8, 128  # terms, and lanes of sums: fewer are left to it, more it does not unroll

_PARAMETERS = {"pointer": POINTER, "int64": I64, "int32": I32, "float32": FLOAT, "float64": DOUBLE}
_DTYPES = {
    "b1": np.dtype(bool),
    **{f"{kind}{bits}": np.dtype(f"{name}{bits}") for kind, name in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)},
    "f32": np.dtype("float32"),
    "f64": np.dtype("float64"),
}  # fmt: skip
_CONSTRUCTORS = {str(d): d for d in _DTYPES.values()}
INT64, FLOAT32 = np.dtype("int64"), np.dtype("float32")


def storage_type(dtype: np.dtype) -> str:
    """The LLVM type of an element in memory: booleans are bytes."""
    return I8 if dtype == boolean else llvm_type(dtype)


class Unsupported(Exception):
    """Source that this compiler does not know; numba compiles it."""


class BufferValue:
    """A buffer in a kernel under construction."""

    def __init__(self, pointer: Value, dtype: np.dtype, scope: int | None) -> None:
        self.pointer, self.dtype, self.scope = pointer, dtype, scope


def reduces(bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> bool:
    """Does `for ... in range(bounds)` over `body` reduce so few terms, storing on the way at most, that LLVM might unroll it?

    Unrolled, it is vectorised no more, or only across the loop around it, which takes some versions of LLVM minutes.
    """
    match bounds:
        case [ast.Constant(int(terms))] if terms <= UNROLLED:
            pass
        case _:
            return False
    sums = lanes = 0  # in locals, in the lanes of an array
    for statement in body:
        match statement:
            case ast.Assign([ast.Name(name)], value):
                sums += any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value))
            case ast.Assign([ast.Subscript() as place], value):
                lanes += any(
                    isinstance(part, ast.Subscript) and ast.unparse(part) == ast.unparse(place) for part in ast.walk(value)
                )
            case _:
                return False
    return (sums > 0 and terms >= VECTORISED) or (lanes > 0 and terms >= LANES)


def parts(nodes: Sequence[ast.AST], kind: type[ast.AST] = ast.AST) -> Iterator[ast.AST]:
    """Nodes and all that they consist of, as far as it is of a kind; in a third of the time that `ast.walk` takes."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        for value in vars(node).values():
            if isinstance(value, list):
                stack.extend(item for item in value if isinstance(item, kind))
            elif isinstance(value, kind):
                stack.append(value)


def called(statements: Sequence[ast.stmt]) -> list[str]:
    """The functions that statements call, as often as they do."""
    return [part.func.id for part in parts(statements) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)]


def interleaving(bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> list[Property]:
    """What a loop is asked for: so many vectors at a time, if it calls a helper that is a long chain; else LLVM decides.

    A polynomial is one chain of dependent instructions, and the processor does not look far enough ahead to begin the next
    element's: LLVM takes a long body for busy enough, where several chains side by side are nearly twice as fast.
    """
    if any(isinstance(part, ast.For | ast.While) for part in parts(body, ast.stmt)):
        return []
    if not any(name.rpartition("_")[0] in CHAINS for name in called(body)):
        return []
    found: list[Property] = []
    match bounds:
        case [ast.Constant(int(count))] if count % LANES and reduces(bounds, body) and not stores(body):
            vectors = -(-count // LANES)  # the last of them is full of terms that do not count: less than a term at a time costs
            found = [("llvm.loop.vectorize.predicate.enable", True)]
        case [ast.Constant(int(count))]:  # of a short loop as many as there are, or none of them would run side by side
            vectors = max(1, count // LANES)
        case _:
            vectors = INTERLEAVE
    return [("llvm.loop.interleave.count", min(INTERLEAVE, 1 << (vectors.bit_length() - 1))), *found]


def stores(body: Sequence[ast.stmt]) -> bool:
    """Does a body write to memory?"""
    return any(isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) for part in parts(body))


class TextModule:
    """The functions of a text: one is the entry, the others are called by it and by one another, if defined before."""

    def __init__(self, definitions: Sequence[ast.FunctionDef], entry: str, kinds: Mapping[str, type[TextFunction]]) -> None:
        self.helpers: dict[str, Function] = {}
        self.module = Module(llvm.get_default_triple())
        self.functions: dict[str, tuple[Function, ast.FunctionDef]] = {}
        for definition in definitions:
            parameters = [_PARAMETERS[k] for k in parameter_kinds(definition)]
            if definition.name == entry:
                function = Function(self.module, f"entry_{entry}", VOID, parameters, "", "nounwind")
            else:
                function = Function(self.module, definition.name, VOID, parameters, "internal", "noinline nounwind")
            kinds.get(ast.get_docstring(definition) or "", TextFunction)(self, function, definition)
            self.functions[definition.name] = function, definition

    def helper_function(self, helper: Helper, lanes: int = 0) -> Function:
        """A function of its own that computes a helper, for a number or for several side by side."""
        name = f"helper_{helper.name}_{lanes}" if lanes else f"helper_{helper.name}"
        found = self.helpers.get(name)
        if found is None:
            parameters = [with_lanes(llvm_type(helper.dtype), lanes)] * helper.operands
            attributes = "noinline nounwind memory(none)"
            found = Function(self.module, name, with_lanes(llvm_type(helper.result), lanes), parameters, "internal", attributes)
            self.helpers[name] = found
            builder = Builder(found, found.new_block("entry"), short_chains=True)
            builder.ret(helper.call(*(Traced(builder, a, helper.dtype) for a in found.parameters)).value)
        return found


def outlined_helpers(owner: TextModule, definition: ast.FunctionDef, calls: Sequence[str]) -> set[str]:
    """The helpers that are functions of their own: those that a kernel of scalars calls in many places.

    Code takes time to compile; but what is written out, LLVM may compute for several values at a time.
    """
    if ast.get_docstring(definition) not in (SCALARS, SIDE_BY_SIDE):
        return set()
    found = set()
    for name, count in Counter(calls).items():
        helper = _helper(name) if count > 1 else None
        size = len(owner.helper_function(helper).blocks[0].lines) if helper is not None else 0
        if size > SHORT and count * size > OUTLINED:
            found.add(name)
    return found


def parameter_kinds(definition: ast.FunctionDef) -> list[str]:
    """The kind of each parameter: its annotation; in a kernel, which has none, pointers to the buffers and sizes, and a range."""
    kinds = []
    for argument in definition.args.args:
        kind = "pointer" if argument.arg in ("buffers", "dims") else "int64"
        if argument.annotation is not None:
            kind = ast.unparse(argument.annotation)
        if kind not in _PARAMETERS:
            raise Unsupported(f"a parameter of type {kind}")
        kinds.append(kind)
    return kinds


class TextFunction:
    """One function being emitted."""

    def __init__(self, owner: TextModule, function: Function, definition: ast.FunctionDef) -> None:
        self.owner = owner
        self.module = owner.module
        self.function = function
        self.entry = Builder(function, function.new_block("entry"))
        body = function.new_block("body")
        self.builder = Builder(function, body)
        self.slots: dict[str, tuple[Value, str, np.dtype]] = {}  # where a local is, its type and dtype
        self.buffers: dict[str, BufferValue] = {}
        self.ends: list[Block] = []  # where `break` goes
        names = [a.arg for a in definition.args.args]
        for name, argument, kind in zip(names, self.function.parameters, parameter_kinds(definition), strict=True):
            if kind == "pointer":
                self.buffers[name] = BufferValue(argument, INT64, None)
            elif kind == "int32":
                self.assign(name, Traced(self.builder, self.builder.cast("sext", argument, I64), INT64))
            else:
                self.assign(name, Traced(self.builder, argument, np.dtype(kind)))
        calls = called(definition.body)
        self.outlined = outlined_helpers(owner, definition, calls)
        self.builder.short_chains = ast.get_docstring(definition) in (SCALARS, SIDE_BY_SIDE)
        count = sum(name.startswith(("buffer_", "scratch_")) for name in calls)
        self.scopes = self._alias_scopes(min(count + 1, MAX_SCOPES))
        for statement in definition.body:
            self.statement(statement)
        self.builder.ret()
        self.entry.branch(body)

    def _alias_scopes(self, count: int) -> list[str]:
        """By the buffer's number: what its loads and stores say of its scope and of the scopes of all others."""
        node = self.module.metadata
        domain = node("graphflow kernel")
        scopes = [node(f"buffer {i}", domain) for i in range(count)]
        others = [node(*[s for j, s in enumerate(scopes) if j != i]) for i in range(count)]
        return [f", !alias.scope {node(scope)}, !noalias {other}" for scope, other in zip(scopes, others, strict=True)]

    # --- statements ------------------------------------------------------------------------------------------------------

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign([ast.Name(name)], value):
                self.assign(name, self.expression(value))
            case ast.Assign([ast.Subscript(buffer, index)], value):
                self.store(self.buffer(buffer), self.index(index), self.expression(value))
            case ast.AugAssign(ast.Name(name), op, value):
                self.assign(name, self.binary(op, self.load_name(name), self.expression(value)))
            case ast.Expr(ast.Constant()):
                pass
            case ast.Expr(ast.Call() as call):
                self.call(call)
            case ast.For(ast.Name(name), ast.Call(ast.Name("range"), bounds), body, []):
                self.count(name, bounds, body)
            case ast.While(test, body, []):
                self.loop(lambda: self.truth(self.expression(test)), lambda: self.block(body))
            case ast.If(test, body, orelse):
                self.branch(self.truth(self.expression(test)), body, orelse)
            case ast.Break():
                self.builder.branch(self.ends[-1])
                self.builder.position_at_end(self.function.new_block("after_break"))
            case ast.Pass():
                pass
            case _:
                raise Unsupported(ast.unparse(node))

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def assign(self, name: str, value: Any) -> None:
        if isinstance(value, BufferValue):
            self.buffers[name] = value
            return
        if isinstance(value, int) and not isinstance(value, bool):
            value = self.constant(value, INT64)
        if isinstance(value, bool):
            value = self.constant(value, boolean)
        if not isinstance(value, Traced):
            raise Unsupported(f"a variable of {value!r}")
        if name not in self.slots:
            self.slots[name] = (self.entry.alloca(value.value.type), value.value.type, value.dtype)
        slot, _, dtype = self.slots[name]
        if dtype != value.dtype:
            raise Unsupported(f"{name} is {dtype} and {value.dtype}")
        self.builder.store(value.value, slot)

    def count(self, name: str, bounds: Sequence[ast.expr], body: Sequence[ast.stmt]) -> None:
        """for name in range(start, stop)"""
        if len(bounds) > 2:
            raise Unsupported("range with a step")
        values = [self.int64(self.expression(b)) for b in bounds]
        start = values[0] if len(values) == 2 else self.constant(0, INT64)
        stop = values[-1]
        self.assign(name, start)
        counter = self.entry.alloca(I64)  # apart from the variable, which the body may change
        self.builder.store(start.value, counter)

        def more() -> Value:
            return self.builder.compare("icmp slt", self.builder.load(I64, counter), stop.value)

        def step() -> None:
            now = self.builder.load(I64, counter)
            self.assign(name, Traced(self.builder, now, INT64))
            self.block(body)
            self.builder.store(self.builder.binary("add", now, constant(I64, 1), ("nsw",)), counter)

        self.loop(more, step, [*(["llvm.loop.unroll.disable"] if reduces(bounds, body) else []), *interleaving(bounds, body)])

    def loop(self, test: Callable[[], Value], body: Callable[[], None], properties: Sequence[Property] = ()) -> None:
        """while test: body. `properties` are what LLVM is asked of the loop."""
        head, inside, end = (self.function.new_block(n) for n in ("head", "inside", "end"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(test(), inside, end)
        self.builder.position_at_end(inside)
        self.ends.append(end)
        body()
        self.ends.pop()
        self.builder.branch(head, self.module.loop(properties) if properties else "")
        self.builder.position_at_end(end)

    def branch(self, condition: Value, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> None:
        then, otherwise, end = (self.function.new_block(n) for n in ("then", "otherwise", "end"))
        self.builder.cbranch(condition, then, otherwise)
        for block, statements in ((then, body), (otherwise, orelse)):
            self.builder.position_at_end(block)
            self.block(statements)
            self.builder.branch(end)
        self.builder.position_at_end(end)

    # --- memory ------------------------------------------------------------------------------------------------------------

    def buffer(self, node: ast.expr) -> BufferValue:
        if isinstance(node, ast.Name) and node.id in self.buffers:
            return self.buffers[node.id]
        raise Unsupported(f"{ast.unparse(node)} is no buffer")

    def index(self, node: ast.expr) -> Value:
        return self.int64(self.expression(node)).value

    def place(self, buffer: BufferValue, index: Value) -> Value:
        return self.builder.place(storage_type(buffer.dtype), buffer.pointer, index)

    def notes(self, buffer: BufferValue) -> str:
        """What a load or store says of the buffers that it does not touch."""
        return "" if buffer.scope is None else self.scopes[min(buffer.scope, len(self.scopes) - 1)]

    def load(self, buffer: BufferValue, index: Value) -> Traced:
        place = self.place(buffer, index)
        loaded = self.builder.load(storage_type(buffer.dtype), place, buffer.dtype.itemsize, self.notes(buffer))
        if buffer.dtype == boolean:
            loaded = self.builder.compare("icmp ne", loaded, constant(I8, 0))
        return Traced(self.builder, loaded, buffer.dtype)

    def store(self, buffer: BufferValue, index: Value, value: Any) -> None:
        value = self.typed(value, buffer.dtype)
        stored = value.value
        if buffer.dtype == boolean:
            stored = self.builder.cast("zext", stored, I8)
        self.builder.store(stored, self.place(buffer, index), buffer.dtype.itemsize, self.notes(buffer))

    # --- expressions -------------------------------------------------------------------------------------------------------

    def constant(self, value: Any, dtype: np.dtype) -> Traced:
        with np.errstate(over="ignore"):
            return Traced(self.builder, constant(llvm_type(dtype), np.array(value).astype(dtype).item()), dtype)

    def typed(self, value: Any, dtype: np.dtype) -> Traced:
        """A value as one of `dtype`: literals adopt it, others convert."""
        if not isinstance(value, Traced):
            return self.constant(value, dtype)
        return value if value.dtype == dtype else self.converted(value, dtype)

    def converted(self, value: Traced, dtype: np.dtype) -> Traced:
        if dtype == boolean:
            return value.compare("!=", 0)
        return convert(value, dtype)

    def int64(self, value: Any) -> Traced:
        return self.typed(value, INT64)

    def truth(self, value: Any) -> Value:
        return self.typed(value, boolean).value

    def load_name(self, name: str) -> Any:
        if name in self.slots:
            slot, type, dtype = self.slots[name]
            return Traced(self.builder, self.builder.load(type, slot), dtype)
        if name in self.buffers:
            return self.buffers[name]
        if name in ("inf", "nan"):
            return float(name)
        raise Unsupported(f"the name {name}")

    def expression(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value) if isinstance(value, bool | int | float):
                return value
            case ast.Name(name):
                return self.load_name(name)
            case ast.Subscript(buffer, index):
                return self.load(self.buffer(buffer), self.index(index))
            case ast.BinOp(left, op, right):
                return self.binary(op, self.expression(left), self.expression(right))
            case ast.UnaryOp(op, operand):
                return self.unary(op, self.expression(operand))
            case ast.Compare(left, [op], [right]):
                a, b = self.common(self.expression(left), self.expression(right))
                return a.compare(_COMPARISONS[type(op)], b)
            case ast.BoolOp(op, values):
                return self.boolean(isinstance(op, ast.And), values)
            case ast.IfExp(test, body, orelse):
                condition = Traced(self.builder, self.truth(self.expression(test)), boolean)
                a, b = self.common(self.expression(body), self.expression(orelse))
                return select(*self.alike(condition, a, b))
            case ast.Call():
                return self.call(node)
            case _:
                raise Unsupported(ast.unparse(node))

    def alike(self, *values: Traced) -> Sequence[Traced]:
        """The values with as many numbers side by side each."""
        return values

    def common(self, a: Any, b: Any) -> Sequence[Traced]:
        """Two operands in one type: a literal adopts that of the other, narrower integers widen."""
        return self.alike(*self.in_one_dtype(a, b))

    def in_one_dtype(self, a: Any, b: Any) -> tuple[Traced, Traced]:
        if not isinstance(a, Traced) and not isinstance(b, Traced):
            dtype = INT64 if isinstance(a, int) and isinstance(b, int) else np.dtype("float64")
            return self.constant(a, dtype), self.constant(b, dtype)
        if not isinstance(a, Traced):
            return self.typed(a, b.dtype), b
        if not isinstance(b, Traced):
            return a, self.typed(b, a.dtype)
        if a.dtype == b.dtype:
            return a, b
        kinds = a.dtype.kind + b.dtype.kind
        if "f" in kinds or "b" in kinds:
            raise Unsupported(f"operands of {a.dtype} and {b.dtype}")
        return self.int64(a), self.int64(b)

    def binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if not isinstance(left, Traced | BufferValue) and not isinstance(right, Traced | BufferValue):
            return _LITERAL_ARITHMETIC[type(op)](left, right)
        a, b = self.common(left, right)
        kind = type(op)
        if a.dtype.kind == "f":
            if kind not in _FLOAT_ARITHMETIC:
                raise Unsupported(f"{kind.__name__} of {a.dtype}")
            # A quotient may not be reassociated: LLVM would take the division of a row's factor into the loop over the row.
            flags = () if kind is ast.Div else FLAGS
            return Traced(self.builder, self.builder.binary(_FLOAT_ARITHMETIC[kind], a.value, b.value, flags), a.dtype)
        if kind not in _INTEGER_ARITHMETIC or (a.dtype == boolean and kind not in (ast.BitAnd, ast.BitOr, ast.BitXor)):
            raise Unsupported(f"{kind.__name__} of {a.dtype}")
        operation = _INTEGER_ARITHMETIC[kind]
        if kind is ast.RShift and a.dtype.kind == "u":
            operation = "lshr"
        return Traced(self.builder, self.builder.binary(operation, a.value, b.value), a.dtype)

    def boolean(self, conjunction: bool, values: Sequence[ast.expr]) -> Traced:
        """`and`, `or`: bitwise on values; what calls a function is evaluated only where Python would."""
        result = self.truth(self.expression(values[0]))
        for operand in values[1:]:
            if not any(isinstance(part, ast.Call) for part in ast.walk(operand)):
                value = self.truth(self.expression(operand))
                result = self.builder.binary("and" if conjunction else "or", result, value)
                continue
            slot = self.entry.alloca(I1)
            self.builder.store(result, slot)
            more, end = self.function.new_block("more"), self.function.new_block("decided")
            self.builder.cbranch(result, *((more, end) if conjunction else (end, more)))
            self.builder.position_at_end(more)
            self.builder.store(self.truth(self.expression(operand)), slot)
            self.builder.branch(end)
            self.builder.position_at_end(end)
            result = self.builder.load(I1, slot)
        return Traced(self.builder, result, boolean)

    def unary(self, op: ast.unaryop, value: Any) -> Any:
        if not isinstance(value, Traced):
            return -value if isinstance(op, ast.USub) else not value
        match op:
            case ast.USub():
                return -value
            case ast.Not():
                return Traced(self.builder, self.builder.not_(self.truth(value)), boolean)
            case ast.Invert():
                return ~value
            case _:
                raise Unsupported(type(op).__name__)

    # --- calls -------------------------------------------------------------------------------------------------------------

    def call(self, node: ast.Call) -> Any:
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise Unsupported(ast.unparse(node))
        name = node.func.id
        prefix, _, suffix = name.rpartition("_")
        if prefix in ("buffer", "scratch") and suffix in _DTYPES:
            first = self.expression(node.args[0])
            number = ast.literal_eval(node.args[1])
            return (
                self.view(first, number, _DTYPES[suffix]) if prefix == "buffer" else self.scratch(first, number, _DTYPES[suffix])
            )
        arguments = [self.expression(a) for a in node.args]
        if name in _CONSTRUCTORS:
            return self.typed(arguments[0], _CONSTRUCTORS[name])
        if name == "bool":
            return self.typed(arguments[0], boolean)
        if prefix == "float_to":
            return self.saturating(arguments[0], _DTYPES[suffix])
        if prefix == "view" and suffix in _DTYPES:
            return BufferValue(self.pointer(arguments[0]), _DTYPES[suffix], None)
        if prefix in _TYPED:
            return _TYPED[prefix](self, _DTYPES[suffix], arguments)
        if name in self.owner.functions:
            return self.call_function(name, arguments)
        special = getattr(self, f"_{name}", None)
        if special is not None:
            return special(*arguments)
        helper = _helper(name)
        if helper is None:
            raise Unsupported(f"the function {name}")
        operands = self.alike(*(self.typed(a, helper.dtype) for a in arguments))
        if name in self.outlined:
            function = self.owner.helper_function(helper, split(operands[0].value.type)[1])
            result = self.builder.call(function.result, function.reference, [a.value for a in operands])
            return Traced(self.builder, result, helper.result)
        return helper.call(*operands)

    def view(self, pointers: BufferValue, number: int, dtype: np.dtype) -> BufferValue:
        return BufferValue(self.pointer(self.load(pointers, constant(I64, number))), dtype, number)

    def scratch(self, size: int, scope: int, dtype: np.dtype) -> BufferValue:
        return BufferValue(self.entry.alloca(array(storage_type(dtype), size), align=64), dtype, scope)

    def _min(self, *values: Any) -> Any:
        return self.extreme("<", values)

    def _max(self, *values: Any) -> Any:
        return self.extreme(">", values)

    def extreme(self, spelling: str, values: Sequence[Any]) -> Any:
        if not any(isinstance(v, Traced) for v in values):
            return (min if spelling == "<" else max)(values)
        result, *rest = values
        for value in rest:
            a, b = self.common(result, value)
            if a.dtype.kind == "f":
                raise Unsupported("min and max of floats")
            result = select(a.compare(spelling, b), a, b)
        return result

    def _abs(self, value: Traced) -> Traced:
        if value.dtype.kind == "f":
            return value.call("fabs")
        return value if value.dtype.kind in "ub" else select(value.compare("<", 0), -value, value)

    def _index_div(self, a: Any, b: Any) -> Traced:
        return self.divided("udiv", a, b)

    def _index_mod(self, a: Any, b: Any) -> Traced:
        return self.divided("urem", a, b)

    def divided(self, operation: str, a: Any, b: Any) -> Traced:
        """Division by a size; by 1 in place of 0, as it would end the process and an empty axis has no elements."""
        a, b = self.alike(self.int64(a), self.int64(b))
        divisor = select(b.compare("==", 0), b.like(1), b)
        return Traced(self.builder, self.builder.binary(operation, a.value, divisor.value), INT64)

    def _checked_index(self, index: Any, size: Any, errors: BufferValue, site: int) -> Traced:
        """`index`, or 0 when it is outside 0 <= index < size, after noting (site, index, size) if it is the first error."""
        index, size = self.int64(index), self.int64(size)
        outside = self.builder.compare("icmp uge", index.value, size.value)
        then, first, end = (self.function.new_block(name) for name in ("bad_index", "first_error", "checked"))
        self.builder.cbranch(outside, then, end)
        self.builder.position_at_end(then)
        before = self._exchange_i64(self._address(errors), 0, site)
        self.builder.cbranch(before.compare("==", 0).value, first, end)
        self.builder.position_at_end(first)
        for k, value in ((1, index), (2, size)):
            self.store(errors, constant(I64, k), value)
        self.builder.branch(end)
        self.builder.position_at_end(end)
        return select(Traced(self.builder, outside, boolean), self.constant(0, INT64), index)

    def quotient(self, dtype: np.dtype, arguments: Sequence[Any]) -> Traced:
        """quotient(x, d, r): x / d, where r is 1 / d at hand. A branch, so that x * r need not wait for a division."""
        x, d, reciprocal = self.alike(*(self.typed(a, dtype) for a in arguments))
        slot, small = self.entry.alloca(x.value.type), d.call("fabs").compare("<", float(np.finfo(dtype).tiny))
        tiny, normal, end = (self.function.new_block(n) for n in ("tiny", "normal", "quotient"))
        self.builder.cbranch(self.builder.any(small.value), tiny, normal, unlikely=True)
        for block in (tiny, normal):
            self.builder.position_at_end(block)
            result = self.builder.binary("fmul", x.value, reciprocal.value, ("contract",))
            if block is tiny:
                divided = self.builder.binary("fdiv", x.value, d.value, ("contract",))
                result = self.builder.select(small.value, divided, result)
            self.builder.store(result, slot)
            self.builder.branch(end)
        self.builder.position_at_end(end)
        return Traced(self.builder, self.builder.load(x.value.type, slot), dtype)

    def saturating(self, value: Traced, dtype: np.dtype) -> Traced:
        """A float as an integer, towards zero; out of range the nearest integer, 0 for NaN."""
        sign = "s" if dtype.kind == "i" else "u"
        type = value.type_of(dtype)
        name = f"llvm.fpto{sign}i.sat.{suffix(type)}.{suffix(value.value.type)}"
        return Traced(self.builder, self.builder.intrinsic(name, type, [value.value]), dtype)

    def gemm(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """C = alpha op(A) op(B) + beta C through a row-major `cblas_?gemm` at an address."""
        number = llvm_type(dtype)
        kinds = [I32, I32, I32, I32, I32, number, POINTER, I32, POINTER, I32, number, POINTER, I32]
        values = [constant(I32, 101)]
        for argument, kind in zip(arguments[1:], kinds, strict=True):
            if kind is number:
                values.append(self.typed(argument, dtype).value)
            elif kind is POINTER:
                values.append(self.pointer(argument))
            else:
                values.append(self.builder.cast("trunc", self.int64(argument).value, I32))
        self.call_at(arguments[0], VOID, values)

    def product_block(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """block(rows, a, a_row, a_outer, a_inner, b, b_step, outer, inner, packed, alpha, beta, old, old_row, c, c_row).

        See `codegen.blocks`. `rows` is a number in the text, and so is a `packed` of 0: B is not copied.
        """
        rows, *operands, packed, alpha, beta, old, old_row, c, c_row = arguments
        block = ProductBlock(self.builder, dtype, rows)
        copied = None if isinstance(packed, int) else packed.value
        a, a_row, a_outer, a_inner, b, b_step, outer, inner = (self.int64(x).value for x in operands)
        sums = block.product(a, a_row, a_outer, a_inner, b, b_step, outer, inner, copied)
        scales = [self.typed(x, dtype).value for x in (alpha, beta)]
        block.write(sums, *scales, *(self.int64(x).value for x in (old, old_row, c, c_row)))

    def listed(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """listed(address, rows, columns, outer, inner, a, a_rows, a_outer, a_inner, b, b_outer, b_step, accumulate, c, c_rows).

        The function `listed` of `runtime.listed_product`: A, B, C and the lists are addresses, strides count elements.
        """
        self.call_at(arguments[0], VOID, [self.int64(x).value for x in arguments[1:]])

    def listed_block(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """listed_block(rows, vectors, wide, ...): see `codegen.listed_blocks`; a `wide` of 0 in the text means whole vectors."""
        rows, vectors, wide, *operands = arguments
        block = ListedBlock(self.builder, dtype, rows, vectors, None if isinstance(wide, int) else wide.value)
        block.run(*(self.int64(x).value for x in operands))

    def transpose(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """transpose(source, source_row, target, target_row): a square of as many numbers as a vector has."""
        ProductBlock(self.builder, dtype, 0).transpose(*(self.int64(x).value for x in arguments))

    def merge(self, dtype: np.dtype, arguments: Sequence[Any]) -> None:
        """merge(source, target) copies a vector of numbers; merge(source, target, beta) adds beta times what was there."""
        source, target, *beta = arguments
        scale = self.typed(beta[0], dtype).value if beta else None
        ProductBlock(self.builder, dtype, 0).merge(self.int64(source).value, self.int64(target).value, scale)

    def _address(self, buffer: BufferValue) -> Traced:
        return Traced(self.builder, self.builder.cast("ptrtoint", buffer.pointer, I64), INT64)

    def call_function(self, name: str, arguments: Sequence[Any]) -> None:
        """Call a function that the text defines above."""
        function, definition = self.owner.functions[name]
        values = []
        for argument, kind in zip(arguments, parameter_kinds(definition), strict=True):
            if kind in ("pointer", "int32"):
                raise Unsupported(f"a call with an argument of type {kind}")
            values.append(self.typed(argument, np.dtype(kind)).value)
        self.builder.call(function.result, function.reference, values)

    def pointer(self, address: Any) -> Value:
        return self.builder.cast("inttoptr", self.int64(address).value, POINTER)

    def call_at(self, address: Any, result: str, values: Sequence[Value]) -> Value:
        return self.builder.call(result, self.pointer(address).name, values)

    # the driver's own operations

    def _load_i64(self, address: Any) -> Traced:
        return Traced(self.builder, self.builder.value(I64, f"load atomic i64, {self.pointer(address)} acquire, align 8"), INT64)

    def _store_i64(self, address: Any, value: Any) -> None:
        self.builder.line(f"store atomic {self.int64(value).value}, {self.pointer(address)} release, align 8")

    def _add_i64(self, address: Any, value: Any) -> Traced:
        operands = f"{self.pointer(address)}, {self.int64(value).value}"
        return Traced(self.builder, self.builder.value(I64, f"atomicrmw add {operands} seq_cst"), INT64)

    def _exchange_i64(self, address: Any, expected: Any, value: Any) -> Traced:
        operands = f"{self.pointer(address)}, {self.int64(expected).value}, {self.int64(value).value}"
        pair = self.builder.value("{ i64, i1 }", f"cmpxchg {operands} seq_cst seq_cst")
        return Traced(self.builder, self.builder.value(I64, f"extractvalue {pair}, 0"), INT64)

    def _pause(self) -> None:
        self.builder.line("fence seq_cst")

    def _call_kernel(self, address: Any, *arguments: Any) -> None:
        self.call_at(address, VOID, [self.int64(a).value for a in arguments])

    def _call_address(self, address: Any, *arguments: Any) -> Traced:
        return Traced(self.builder, self.call_at(address, I64, [self.int64(a).value for a in arguments]), INT64)


_TYPED = {
    "gemm": TextFunction.gemm,
    "block": TextFunction.product_block,
    "listed": TextFunction.listed,
    "listed_block": TextFunction.listed_block,
    "transpose": TextFunction.transpose,
    "merge": TextFunction.merge,
    "quotient": TextFunction.quotient,
}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_FLOAT_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_INTEGER_ARITHMETIC = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.LShift: "shl", ast.RShift: "ashr", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor",
}  # fmt: skip
_LITERAL_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}


@cache
def _helper(name: str) -> Helper | None:
    """The traced helper of that name."""
    for module, names in helper_modules().items():
        if name in names and module not in ("helpers", "intrinsics"):
            import_module(f"graphflow.codegen.{module}")
            return HELPERS.get(name)
    return None


# --- the whole text ---------------------------------------------------------------------------------------------------------


def assembly(text: str, name: str, kinds: Mapping[str, type[TextFunction]] = MappingProxyType({})) -> str:
    """LLVM assembly of the function `name` in `text`; Unsupported where it holds what this compiler does not know.

    `kinds` has what compiles functions with certain docstrings.
    """
    definitions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return str(TextModule(definitions, name, kinds).module)
