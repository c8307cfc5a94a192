"""Launch programs on disk: a process that runs what another has run before compiles nothing and runs no pass.

A program is found by the hash of its canonical form: ops, wiring, attributes, constants by content, types with symbols
numbered in the order they appear; of the options; and of the source of the compiler. Names and lines are no part of it: a
launch program means nodes by their position. The file is JSON behind a checksum, with the constants that the passes
computed behind it; object code is in the files of the kernels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from graphflow.codegen.cache import content_hash, folder
from graphflow.codegen.files import seal, unseal, write_whole
from graphflow.codegen.history import PROGRAM_MAGIC
from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.program import Program
from graphflow.ir.tensor import Literal
from graphflow.ops.state import Variable
from graphflow.options import Options
from graphflow.runtime.launch import Call, Cycle, Launch, LaunchProgram, Merge, Move, Place, Slot
from graphflow.types import AnySize, Dim, DType, Size, SizeFunction, TensorType, as_dtype

MOST_CONSTANTS = 1 << 24  # bytes of constants that passes computed; a program with more is not stored
_IRRELEVANT = ("dump", "cache", "verify")  # options that change no launch program
_PACKAGE = Path(__file__).parent.parent
# What decides what becomes of a captured program.
_COMPILER = ("ir", "ops", "passes", "loop", "codegen", "runtime")


@lru_cache(maxsize=1)
def compiler_source() -> str:
    """The hash of the source of the compiler."""
    paths = [path for name in _COMPILER for path in sorted((_PACKAGE / name).glob("*.py"))]
    return content_hash([*sorted(_PACKAGE.glob("*.py")), *paths])


class Unstorable(Exception):
    """A program with something in it that has no canonical form."""


@dataclass(frozen=True)
class Entry:
    """Where a program is, or would be, stored: its key and what that is made of."""

    parts: Mapping[str, str]
    dims: tuple[Dim, ...]  # the program's symbols in canonical order
    literals: Mapping[bytes, int]  # the positions of its constants, by content

    @property
    def name(self) -> str:
        return "p_" + _hash(sorted(self.parts.items()))

    @property
    def path(self) -> Path:
        return folder() / f"{self.name}.program"


def _hash(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=12).hexdigest()


def entry_of(program: Program, options: Options) -> Entry | None:
    """Where a captured program is stored; None for one that cannot be."""
    form = _CanonicalForm(program)
    try:
        parts = form.parts()
    except Unstorable:
        return None
    settings = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in _IRRELEVANT}
    parts["options"] = " ".join(f"{k}={','.join(sorted(v)) if isinstance(v, frozenset) else v}" for k, v in settings.items())
    parts["compiler's source"] = compiler_source()
    parts["NumPy's version"] = np.__version__
    return Entry(parts, tuple(form.dims), form.literals)


class _CanonicalForm:
    """A program as text that is equal for programs that compute the same in the same way."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.dims: dict[Dim, int] = {}
        self.handles: dict[int, int] = {}
        self.literals: dict[bytes, int] = {}
        self.positions: dict[Any, int] = {}

    def parts(self) -> dict[str, str]:
        inputs = [t.node for t in self.program.inputs]
        types = [f"{node.op.name} {self.attribute(node.attributes)}" for node in inputs]
        self.positions = {node: k for k, node in enumerate(self.program.all_nodes)}
        operations, attributes = self.body(self.program)
        return {"operations": _hash(operations), "attributes and constants": _hash(attributes), "types": _hash(types)}

    def body(self, program: Program) -> tuple[list[Any], list[str]]:
        """(ops with their wiring, attributes) of a program; those of the bodies of loops are among the attributes."""
        numbers = {t.node: k for k, t in enumerate(program.inputs)}
        operations: list[Any] = []
        attributes: list[str] = []
        for node in program.nodes:
            if node in numbers:
                continue
            numbers[node] = len(numbers)
            operations.append((node.op.name, [(numbers[t.node], t.index) for t in node.inputs]))
            if node.op.name == "constant":
                self.literals.setdefault(node.attrs["value"].digest, self.positions[node])
                attributes.append(self.literal(node.attrs["value"]))
            elif node.attributes:
                attributes.append(self.attribute(node.attributes))
        place = lambda t: (numbers[t.node], t.index)  # noqa: E731
        operations.append([place(t) for t in program.outputs])
        operations.append([(self.attribute(v.node.attributes), place(value)) for v, value in program.updates])
        return operations, attributes

    def attribute(self, value: Any) -> str:
        """The text of an attribute, with symbols and variables numbered."""
        match value:
            case None | bool() | int() | float() | complex() | str():
                return repr(value)
            case tuple():
                return f"({','.join([self.attribute(v) for v in value])})"
            case DType():
                return value.name
            case Size():
                return json.dumps(encode_size(value, self.dims, growing=True))
            case Literal():
                return self.literal(value)
            case Program():
                types = [self.attribute(t.node.attributes) for t in value.inputs]
                return repr((types, *self.body(value)))
        if isinstance(value, Variable):
            return f"variable {self.handles.setdefault(id(value), len(self.handles))}"
        raise Unstorable(repr(value))

    def literal(self, value: Literal) -> str:
        return value.digest.hex()


# --- on disk ----------------------------------------------------------------------------------------------------------------


def store(entry: Entry, launches: LaunchProgram) -> None:
    """Write a launch program, if it is one that can be stored."""
    try:
        text, constants = encode(launches, entry)
    except Unstorable:
        return
    if len(constants) <= MOST_CONSTANTS:
        lines = [json.dumps(dict(entry.parts)).encode(), json.dumps(text, separators=(",", ":")).encode(), constants]
        write_whole(entry.path, seal(PROGRAM_MAGIC, b"\n".join(lines)))


def load(entry: Entry, program: Program) -> tuple[LaunchProgram | None, str | None]:
    """(launch program, None); (None, what is wrong) for a damaged file, (None, None) where there is none."""
    body, problem = unseal(PROGRAM_MAGIC, entry.path)
    if body is None:
        return None, problem
    try:
        _, text, constants = body.split(b"\n", 2)
        return decode(json.loads(text), constants, entry, program), None
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return None, f"it cannot be read: {error}"


def encode(launches: LaunchProgram, entry: Entry) -> tuple[dict[str, Any], bytes]:
    """(what JSON can hold, the bytes of constants that are not in the captured program)."""
    dims = {dim: k for k, dim in enumerate(entry.dims)}
    size = lambda s: encode_size(s, dims)  # noqa: E731
    constants: list[Any] = []
    blob = bytearray()
    for array in launches.constants:
        position = entry.literals.get(Literal(array).digest)
        if position is not None:
            constants.append(position)
            continue
        constants.append([array.dtype.name, list(array.shape), len(blob)])
        blob += array.tobytes()
    slots = [[s.kind, s.dtype.name, [size(d) for d in s.shape], s.node, s.number, s.scratch] for s in launches.slots]
    rows: list[Any] = []
    for row in launches.rows:
        if isinstance(row, Call):
            types = [[[t.dtype.name, [size(d) for d in t.shape]] for t in part] for part in (row.operands, row.results)]
            rows.append([row.op, row.slots, encode_attribute(row.attributes, dims), *types, row.node])
        elif isinstance(row, Move):
            rows.append([row.op, row.slots, [size(v) for v in row.values], row.targets, row.node])
        else:
            sizes = ([size(d) for d in row.dims], size(row.extent), size(row.elements))
            rows.append([row.key, row.slots, *sizes, row.cost, row.step, row.library, row.checks, row.node])
    cycles = [[*c[:5], None if c.trips is None else size(c.trips), c.node] for c in launches.cycles]
    places = [[[p.kind, p.number] for p in found] for found in (launches.results, launches.updates)]
    text = {"slots": slots, "rows": rows, "cycles": cycles, "places": places, "constants": constants, "merges": launches.merges}
    return {**text, "counts": launches.uses_counter}, bytes(blob)


def decode(text: dict[str, Any], blob: bytes, entry: Entry, program: Program) -> LaunchProgram:
    """The launch program, of the symbols and constants of the captured program at hand."""
    size = lambda s: decode_size(s, entry.dims)  # noqa: E731
    sizes = lambda items: tuple([size(s) for s in items])  # noqa: E731
    slots = [
        Slot(kind, as_dtype(dtype), sizes(shape), node, index, scratch)
        for kind, dtype, shape, node, index, scratch in text["slots"]
    ]
    rows: list[Launch | Move | Call] = []
    types = lambda part: tuple([TensorType(sizes(shape), as_dtype(dtype)) for dtype, shape in part])  # noqa: E731
    for name, numbers, values, *rest in text["rows"]:
        if len(rest) == 3:
            operands, results, node = rest
            called = decode_attribute(values, entry.dims)
            rows.append(Call(name, tuple(numbers), called, types(operands), types(results), node))
        elif len(rest) == 2:
            rows.append(Move(name, tuple(numbers), sizes(values), tuple(rest[0]), rest[1]))
        else:
            extent, elements, cost, step, library, checks, node = rest
            work = (size(extent), size(elements), cost, step, library)
            rows.append(Launch(name, tuple(numbers), sizes(values), *work, tuple(checks), node))
    cycles = [
        Cycle(first, head, last, counter, tuple(pinned), None if trips is None else size(trips), node)
        for first, head, last, counter, pinned, trips, node in text["cycles"]
    ]
    constants = []
    for item in text["constants"]:
        if isinstance(item, int):
            constants.append(program.all_nodes[item].attrs["value"].array)
            continue
        name, shape, start = item
        dtype = as_dtype(name).numpy
        count = int(np.prod(shape, dtype=np.int64))
        constants.append(np.frombuffer(blob, dtype, count, start).reshape(shape).copy())
    results, updates = (tuple([Place(*place) for place in found]) for found in text["places"])
    merges = tuple([Merge(*merge) for merge in text["merges"]])
    return LaunchProgram(tuple(slots), tuple(rows), tuple(cycles), results, updates, tuple(constants), text["counts"], merges)


def encode_attribute(value: Any, dims: dict[Dim, int]) -> Any:
    """An attribute as what JSON can hold: tuples as lists, what has no form of its own under the name of its kind."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case tuple():
            return [encode_attribute(v, dims) for v in value]
        case complex():
            return {"complex": [value.real, value.imag]}
        case DType():
            return {"dtype": value.name}
        case Size():
            return {"size": encode_size(value, dims)}
    raise Unstorable(repr(value))


def decode_attribute(item: Any, dims: Sequence[Dim]) -> Any:
    """The attribute that `encode_attribute` wrote."""
    match item:
        case list():
            return tuple([decode_attribute(v, dims) for v in item])
        case {"complex": [real, imaginary]}:
            return complex(real, imaginary)
        case {"dtype": name}:
            return as_dtype(name)
        case {"size": size}:
            return decode_size(size, dims)
    return item


def encode_size(size: AnySize | LibraryValue, dims: dict[Dim, int], growing: bool = False) -> Any:
    """A size as numbers and lists: a sum of [factor, atom, ...], where a symbol is its number. `growing` numbers new ones."""
    match size:
        case int():
            return size
        case LibraryValue(name, args):
            return {name: [encode_size(a, dims, growing) for a in args]}
        case Size(terms):
            return [[factor, *[_encode_atom(atom, dims, growing) for atom in monomial]] for monomial, factor in terms]
    raise Unstorable(repr(size))


def _encode_atom(atom: Dim | SizeFunction, dims: dict[Dim, int], growing: bool) -> Any:
    if isinstance(atom, SizeFunction):
        return [atom.name, *[encode_size(a, dims, growing) for a in atom.args]]
    if growing:
        return dims.setdefault(atom, len(dims))
    if atom not in dims:
        raise Unstorable(f"the symbol {atom}")
    return dims[atom]


def decode_size(item: Any, dims: Sequence[Dim]) -> Any:
    """The size that `encode_size` wrote."""
    if isinstance(item, int):
        return item
    if isinstance(item, dict):
        ((name, args),) = item.items()
        return LibraryValue(name, tuple([decode_size(a, dims) for a in args]))
    return Size(tuple([(tuple([_decode_atom(a, dims) for a in atoms]), factor) for factor, *atoms in item]))


def _decode_atom(item: Any, dims: Sequence[Dim]) -> Dim | SizeFunction:
    if isinstance(item, int):
        return dims[item]
    name, *args = item
    return SizeFunction(name, tuple([decode_size(a, dims) for a in args]))
