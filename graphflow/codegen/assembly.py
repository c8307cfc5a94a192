"""LLVM assembly as it is written: modules, functions, and a builder whose every method appends one instruction.

A type is its spelling, a value its type and its name, an instruction a line of text. That takes a tenth of the time of a library
that keeps objects for all of them, which was a third of the time of compiling a kernel. Pointers are opaque, so what is loaded,
or counted in, is told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

VOID, POINTER, FLOAT, DOUBLE = "void", "ptr", "float", "double"
I1, I8, I32, I64 = "i1", "i8", "i32", "i64"

SELDOM = 1 << 20  # times that a branch goes one way for once that it goes the unlikely other one
Property = str | tuple[str, int]  # what is asked of a loop: `llvm.loop.unroll.disable`, or with a number


class Value:
    """Something with a type and a name; `str` is both, as an operand is written."""

    __slots__ = ("name", "type")

    def __init__(self, type: str, name: str) -> None:
        self.type, self.name = type, name

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


def vector(type: str, lanes: int) -> str:
    """The type of so many numbers side by side."""
    return f"<{lanes} x {type}>"


@lru_cache(maxsize=64)
def split(type: str) -> tuple[str, int]:
    """(type of a number, how many side by side): of a scalar type, 0."""
    if not type.startswith("<"):
        return type, 0
    count, _, element = type[1:-1].partition(" x ")
    return element, int(count)


def with_lanes(type: str, lanes: int) -> str:
    """The type of so many numbers side by side; of 0, of a number alone."""
    return vector(type, lanes) if lanes else type


def array(type: str, count: int) -> str:
    """The type of so many elements in memory."""
    return f"[{count} x {type}]"


def constant(type: str, value: Any) -> Value:
    """A number; of a vector's type, a vector of equal ones."""
    element, lanes = split(type)
    return constants(element, [value] * lanes) if lanes else Value(type, _literal(type, value))


def constants(type: str, values: Sequence[Any]) -> Value:
    """A vector of numbers."""
    elements = ", ".join([f"{type} {_literal(type, value)}" for value in values])
    return Value(vector(type, len(values)), f"<{elements}>")


def undefined(type: str) -> Value:
    """A value of no interest."""
    return Value(type, "undef")


def _literal(type: str, value: Any) -> str:
    if type in (FLOAT, DOUBLE):
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016x}"  # a float is written as a double, too
    return ("true" if value else "false") if type == I1 else str(int(value))


def _property(value: int) -> str:
    return str(constant(I1 if isinstance(value, bool) else I32, value))


class Phi(Value):
    """A value that depends on the block control comes from."""

    __slots__ = ("incoming",)

    def __init__(self, type: str, name: str) -> None:
        super().__init__(type, name)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """`value` if control comes from `block`."""
        self.incoming.append(f"[ {value.name}, %{block.name} ]")


class Block:
    """Instructions up to a branch."""

    __slots__ = ("lines", "name", "phis")

    def __init__(self, name: str) -> None:
        self.name = name
        self.phis: list[Phi] = []
        self.lines: list[str] = []

    def text(self) -> list[str]:
        phis = [f"  {phi.name} = phi {phi.type} {', '.join(phi.incoming)}" for phi in self.phis]
        return [f"{self.name}:", *phis, *self.lines]


class Module:
    """Functions, what they call, tables and metadata."""

    def __init__(self, triple: str, layout: str = "") -> None:
        self.header = [f'target datalayout = "{layout}"', f'target triple = "{triple}"']
        self.functions: list[Function] = []
        self._declared: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self._metadata: dict[str, str] = {}  # content -> number
        self._loops: list[str] = []

    def __str__(self) -> str:
        nodes = [f"{number} = {content}" for content, number in self._metadata.items()]
        functions = [line for function in self.functions for line in function.text()]
        return "\n".join([*self.header, *self._tables.values(), *functions, *self._declared.values(), *nodes, *self._loops, ""])

    def declared(self, name: str, result: str, operands: Sequence[str]) -> str:
        """The name by which to call a function that is defined elsewhere."""
        if name not in self._declared:
            self._declared[name] = f'declare {result} @"{name}"({", ".join(operands)})'
        return f'@"{name}"'

    def table(self, name: str, type: str, values: Sequence[Any]) -> tuple[str, Value]:
        """(type, address) of a table of constants."""
        kind = array(type, len(values))
        if name not in self._tables:
            elements = ", ".join([f"{type} {_literal(type, value)}" for value in values])
            self._tables[name] = f'@"{name}" = internal unnamed_addr constant {kind} [{elements}]'
        return kind, Value(POINTER, f'@"{name}"')

    def metadata(self, *parts: str) -> str:
        """The number of a node of metadata: strings, or numbers of other nodes."""
        return self._node(", ".join([part if part.startswith("!") else f'!"{part}"' for part in parts]))

    def _node(self, content: str) -> str:
        content = f"!{{ {content} }}"
        return self._metadata.setdefault(content, f"!{len(self._metadata)}")

    def weights(self, then: int, otherwise: int) -> str:
        """The number of a node that says how often the one and the other side of a branch is taken."""
        return self._node(f'!"branch_weights", i32 {then}, i32 {otherwise}')

    def loop(self, properties: Sequence[Property]) -> str:
        """The name of a loop of which something is asked, for its last branch."""
        asked = [self._node(f'!"{p}"' if isinstance(p, str) else f'!"{p[0]}", {_property(p[1])}') for p in properties]
        name = f"!{1_000_000 + len(self._loops)}"  # beyond those of `metadata`
        self._loops.append(f"{name} = distinct !{{ {', '.join([name, *asked])} }}")
        return name


class Function:
    """A function under construction; its parameters are values."""

    def __init__(self, module: Module, name: str, result: str, parameters: Sequence[str], linkage: str, attributes: str) -> None:
        self.module, self.result, self.reference = module, result, f'@"{name}"'
        self.parameters = [Value(type, f"%a{k}") for k, type in enumerate(parameters)]
        operands = ", ".join([str(p) for p in self.parameters])
        self.head = f"define {linkage} {result} {self.reference}({operands}) {attributes} {{"
        self.blocks: list[Block] = []
        self.count = 0
        module.functions.append(self)

    def new_block(self, name: str) -> Block:
        """A block, behind those that there are."""
        block = Block(f"{name}.{len(self.blocks)}")
        self.blocks.append(block)
        return block

    def text(self) -> list[str]:
        return [self.head, *[line for block in self.blocks for line in block.text()], "}"]


class Builder:
    """Appends instructions to a block of a function; `short_chains` for code in which one step waits for the last."""

    __slots__ = ("block", "function", "module", "short_chains")

    def __init__(self, function: Function, block: Block, short_chains: bool = False) -> None:
        self.function, self.block, self.module = function, block, function.module
        self.short_chains = short_chains

    def append_basic_block(self, name: str) -> Block:
        return self.function.new_block(name)

    def position_at_end(self, block: Block) -> None:
        self.block = block

    def value(self, type: str, instruction: str) -> Value:
        """The result of an instruction."""
        function = self.function
        function.count = number = function.count + 1
        self.block.lines.append(f"  %v{number} = {instruction}")
        return Value(type, f"%v{number}")

    def line(self, instruction: str) -> None:
        """An instruction without a result."""
        self.block.lines.append(f"  {instruction}")

    # --- numbers -------------------------------------------------------------------------------------------------------------

    def binary(self, operation: str, a: Value, b: Value, flags: Sequence[str] = ()) -> Value:
        """`add`, `fmul`, `and`, ... of two values of one type."""
        return self.value(a.type, f"{' '.join([operation, *flags])} {a.type} {a.name}, {b.name}")

    def add(self, a: Value, b: Value) -> Value:
        return self.binary("add", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.binary("mul", a, b)

    def negative(self, a: Value) -> Value:
        """-a of a float."""
        return self.value(a.type, f"fneg {a}")

    def not_(self, a: Value) -> Value:
        """All bits turned over."""
        return self.binary("xor", a, constant(a.type, 1 if split(a.type)[0] == I1 else -1))

    def compare(self, condition: str, a: Value, b: Value) -> Value:
        """`icmp slt`, `fcmp une`, ...: a truth value, or a vector of them."""
        return self.value(with_lanes(I1, split(a.type)[1]), f"{condition} {a}, {b.name}")

    def any(self, a: Value) -> Value:
        """Does one of some conditions hold?"""
        if not split(a.type)[1]:
            return a
        bits = self.bits(a)
        return self.compare("icmp ne", bits, constant(bits.type, 0))

    def bits(self, a: Value) -> Value:
        """Conditions as the bits of an integer."""
        return self.cast("bitcast", a, f"i{split(a.type)[1]}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.value(a.type, f"select {condition}, {a}, {b}")

    def cast(self, operation: str, a: Value, type: str) -> Value:
        """`sext`, `fptosi`, `bitcast`, `inttoptr`, ... to a type."""
        return self.value(type, f"{operation} {a} to {type}")

    def insert(self, into: Value, a: Value, lane: int) -> Value:
        """A vector with one number replaced."""
        return self.value(into.type, f"insertelement {into}, {a}, i32 {lane}")

    def extract(self, a: Value, lane: int | Value) -> Value:
        """One number of a vector."""
        return self.value(split(a.type)[0], f"extractelement {a}, {lane if isinstance(lane, Value) else f'i32 {lane}'}")

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """The numbers at these positions of a and b together."""
        type = vector(split(a.type)[0], len(lanes))
        return self.value(type, f"shufflevector {a}, {b}, {constants(I32, lanes)}")

    def splat(self, a: Value, lanes: int) -> Value:
        """A vector of equal numbers."""
        start = undefined(vector(a.type, lanes))
        return self.shuffle(self.insert(start, a, 0), start, [0] * lanes)

    # --- memory --------------------------------------------------------------------------------------------------------------

    def alloca(self, type: str, align: int = 0) -> Value:
        return self.value(POINTER, f"alloca {type}{f', align {align}' if align else ''}")

    def place(self, type: str, pointer: Value, *index: Value) -> Value:
        """The address of an element: `index` counts elements of `type`."""
        return self.value(POINTER, f"getelementptr {type}, {pointer}, {', '.join(map(str, index))}")

    def load(self, type: str, pointer: Value, align: int = 0, notes: str = "") -> Value:
        return self.value(type, f"load {type}, {pointer}{f', align {align}' if align else ''}{notes}")

    def store(self, value: Value, pointer: Value, align: int = 0, notes: str = "") -> None:
        self.line(f"store {value}, {pointer}{f', align {align}' if align else ''}{notes}")

    def gather(self, type: str, index: Value, place: Callable[[Value], Value], align: int = 0, notes: str = "") -> Value:
        """The number at the place of an index; of a vector of indices, a vector of numbers."""
        lanes = split(index.type)[1]
        if not lanes:
            return self.load(type, place(index), align, notes)
        places = [place(self.extract(index, lane)) for lane in range(lanes)]
        found = undefined(vector(type, lanes))
        for lane, pointer in enumerate(places):
            found = self.insert(found, self.load(type, pointer, align, notes), lane)
        return found

    # --- control -------------------------------------------------------------------------------------------------------------

    def call(self, result: str, function: str, operands: Sequence[Value], flags: Sequence[str] = ()) -> Value:
        """A call of a function by its name or address."""
        instruction = f"{' '.join(['call', *flags])} {result} {function}({', '.join(map(str, operands))})"
        if result == VOID:
            self.line(instruction)
            return Value(VOID, "")
        return self.value(result, instruction)

    def intrinsic(self, name: str, result: str, operands: Sequence[Value], flags: Sequence[str] = ()) -> Value:
        """A call of a function of LLVM."""
        return self.call(result, self.module.declared(name, result, [o.type for o in operands]), operands, flags)

    def phi(self, type: str) -> Phi:
        self.function.count += 1
        phi = Phi(type, f"%v{self.function.count}")
        self.block.phis.append(phi)
        return phi

    def branch(self, to: Block, loop: str = "") -> None:
        """Go on in a block; `loop` names the loop that this branch closes."""
        self.line(f"br label %{to.name}{f', !llvm.loop {loop}' if loop else ''}")

    def cbranch(self, condition: Value, then: Block, otherwise: Block, unlikely: bool = False) -> None:
        """Go on in `then` or `otherwise`; where the condition is unlikely, LLVM keeps the branch and makes no choice of it."""
        note = f", !prof {self.module.weights(1, SELDOM)}" if unlikely else ""
        self.line(f"br {condition}, label %{then.name}, label %{otherwise.name}{note}")

    def ret(self, value: Value | None = None) -> None:
        self.line("ret void" if value is None else f"ret {value}")


@lru_cache(maxsize=64)
def suffix(type: str) -> str:
    """How a type is spelled in the name of an overloaded function of LLVM: f32, i64, v8f32, p0."""
    element, lanes = split(type)
    if lanes:
        return f"v{lanes}{suffix(element)}"
    return {FLOAT: "f32", DOUBLE: "f64", POINTER: "p0"}.get(type, type)
