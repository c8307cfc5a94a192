"""Loops whose steps wait for one another, with the shortest way from one step's state to the next.

The time of such a step is that of its longest chain. Rounding is free to choose how sums and products are formed (see
`codegen.direct`), so what is ready early is combined first and what the last step leaves is combined last:

* terms and factors are combined in the order in which they are ready (Huffman's, with the greater time in place of the sum);
* a product is added in one instruction, and the pass says which;
* x / d, where d is ready long before x, is x * (1 / d), beside a branch that divides where 1 / d may be infinite. This is for
  quotients that are operands of sums and products: what is stored, compared or rounded is divided.

When a carried value is ready follows from the steps themselves: the times of a first step are guessed, those of each later one
come from the one before. A loop with more operations than the processor can do beside its longest chain does not wait for it,
and stays as it is; so does one around others, which waits for them.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from graphflow.ir.scalar import Accumulator, Call, Const, Expr, Load, Select
from graphflow.loop.elements import sum_of
from graphflow.loop.ir import Offset, Store, children, replace_children, walk
from graphflow.loop.statements import Block, Choice, Repeat, Statement, expressions, mapped, statements, targets
from graphflow.ops.declare import REGISTRY
from graphflow.types import DType

EARLY = -math.inf  # when what no step changes is ready
ADD, MULTIPLY, FUSED, DIVIDE = 3, 3, 4, 13  # cycles from operand to result
MEMORY = 5  # from a store to the load of it
INNER = 20  # of a loop, a choice or a sum inside a step
LEAST_GAIN = 4  # cycles for which a division becomes a product
STEPS = 2  # after which the times are taken for those of all steps
WIDE = 3  # operations a cycle: a loop with more of them for each of its chain does not wait


def shortened(block: Block) -> Block:
    """The block with the chains of its loops made short."""
    return Block([_shortened(statement) for statement in block.statements], block.results)


def _shortened(statement: Statement) -> Statement:
    match statement:
        case Repeat():
            innermost = statement.carried and not any(isinstance(s, Repeat) for s in statements(statement.body))
            loop = _Chains(statement).shortened() if innermost else statement
            test = None if loop.test is None else (shortened(loop.test[0]), loop.test[1])
            return replace(loop, body=shortened(loop.body), test=test)
        case Choice(condition, then, otherwise, results):
            return Choice(condition, shortened(then), shortened(otherwise), results)
        case _:
            return statement


Factors = tuple[Expr, ...]


@dataclass(frozen=True)
class _Term:
    """A term of a sum, or a part of the sum: a value, or a product that is still to be formed."""

    ready: float  # of a product: of its factors
    sign: int
    value: Expr
    other: Expr | None = None  # the second factor

    @property
    def urgency(self) -> float:
        """What orders terms: a sum is ready ADD after the later of its two terms."""
        return self.ready if self.other is None else self.ready + FUSED - ADD


@dataclass(frozen=True)
class _Sum:
    """The terms of a sum: (sign, factors that wait for something, product of the others), and the (sign, sum) of the others."""

    waiting: list[tuple[int, Factors, Expr | None]]
    early: tuple[int, Expr] | None


class _Chains:
    """The expressions of one loop's step."""

    def __init__(self, loop: Repeat) -> None:
        self.loop = loop
        roots = expressions(Block([replace(loop, count=None)]))
        every = walk(roots)
        self.uses = Counter(id(e) for e in roots)
        made = [*(c.now for c in loop.carried), *(t for s in statements(Block([loop])) for t in targets(s))]
        self.waiting = {id(e) for e in made}  # what is not the same in every step
        for e in every:
            parts = children(e)
            self.uses.update(id(c) for c in parts)
            if any(id(c) in self.waiting or c is loop.inside for c in parts):
                self.waiting.add(id(e))
        self.operations = sum(isinstance(e, Call) and e.dtype.is_floating for e in every)
        self.waits = False  # for its longest chain, and not for its operations?
        self.ready: dict[int, float] = {}  # of registers
        self.memo: dict[tuple[int, bool], tuple[Expr, float]] = {}
        self.sums: dict[int, _Sum] = {}

    def shortened(self) -> Repeat:
        loop = self.loop
        ready = {id(c.now): 0.0 for c in loop.carried}
        for k in range(2 * STEPS):
            self.begin(ready)
            following = {id(c.now): self.short(c.following)[1] for c in loop.carried}
            if k in (0, STEPS) and self.operations > WIDE * (max(following.values()) - max(ready.values())):
                return loop
            self.waits = k >= STEPS
            ready = following
        self.begin(ready)
        carried = tuple(replace(c, following=self.value(c.following)) for c in loop.carried)
        test = None if loop.test is None else (mapped(loop.test[0], self.value, self.store), self.value(loop.test[1]))
        late = tuple(replace(u, value=self.value(u.value)) for u in loop.late)
        return replace(loop, body=mapped(loop.body, self.value, self.store), carried=carried, test=test, late=late)

    def begin(self, ready: Mapping[int, float]) -> None:
        """A step whose carried values are ready at these times."""
        self.memo.clear()
        self.ready = dict(ready)
        blocks = [self.loop.body] if self.loop.test is None else [self.loop.test[0], self.loop.body]
        for statement in itertools.chain.from_iterable(block.statements for block in blocks):
            found = targets(statement)
            if found:
                start = max((self.short(e)[1] for e in expressions(Block([statement]))), default=EARLY)
                self.ready.update((id(t), start + INNER) for t in found)

    def value(self, e: Expr) -> Expr:
        return self.short(e)[0]

    def store(self, store: Store) -> Store:
        return Store(store.buffer, store.offset, self.value(store.value))

    # --- expressions -------------------------------------------------------------------------------------------------------

    def short(self, root: Expr, rounds: bool = False) -> tuple[Expr, float]:
        """(the expression in its short form, when it is ready); `rounds` if it is read by sums and products alone."""
        if id(root) not in self.waiting:
            return root, EARLY
        found = self.memo.get((id(root), rounds))
        if found is None:
            found = self.memo[id(root), rounds] = self.made(root, rounds)
        return found

    def made(self, e: Expr, rounds: bool) -> tuple[Expr, float]:
        if isinstance(e, Accumulator):
            return e, self.ready.get(id(e), EARLY)
        parts = children(e)
        if isinstance(e, Load):
            ready = max(self.short(p)[1] for p in parts)
            return e, max(ready, 0.0 if self.loop.inside in parts else EARLY) + MEMORY
        fn = e.fn if isinstance(e, Call) and e.dtype.is_floating else ""
        if fn in ("add", "subtract", "multiply"):
            return self.combined(e)
        if fn == "divide":
            return self.quotient(e, rounds)
        chooses = isinstance(e, Select) or fn in ("where", "negative")
        found = [self.short(p, rounds and chooses and p.dtype == e.dtype) for p in parts]
        return replace_children(e, tuple(p for p, _ in found)), max(ready for _, ready in found) + latency(e)

    def quotient(self, e: Expr, rounds: bool) -> tuple[Expr, float]:
        """x / d, or x * (1 / d)."""
        (x, of_x), (d, of_d) = (self.short(p, True) for p in children(e))
        divided, multiplied = max(of_x, of_d) + DIVIDE, max(of_x, of_d + DIVIDE) + MULTIPLY
        if self.waits and rounds and not isinstance(d, Const) and multiplied <= divided - LEAST_GAIN:
            return Call("quotient", (x, d, Call("divide", (Const(1.0, e.dtype), d), e.dtype)), e.dtype), multiplied
        return Call("divide", (x, d), e.dtype), divided

    # --- sums and products -------------------------------------------------------------------------------------------------

    def combined(self, e: Expr) -> tuple[Expr, float]:
        """A sum or a product, what is ready early first."""
        found = self.sums.get(id(e))
        if found is None:
            found = self.sums[id(e)] = self.sum(e)
        terms = [self.term(sign, waiting, early, e.dtype) for sign, waiting, early in found.waiting]
        if found.early is not None:
            terms.append(_Term(EARLY, *found.early))
        heap = [(t.urgency, k, t) for k, t in enumerate(terms)]
        heapq.heapify(heap)
        while len(heap) > 1:
            (_, _, a), (_, k, b) = heapq.heappop(heap), heapq.heappop(heap)
            total = added(a, b, e.dtype)
            heapq.heappush(heap, (total.urgency, k, total))
        total = formed(heap[0][2], e.dtype)
        return (total.value if total.sign > 0 else Call("negative", (total.value,), e.dtype)), total.ready

    def sum(self, e: Expr) -> _Sum:
        """The terms and their factors, those apart that wait for something."""
        early, late = [], []
        for sign, x in self.terms(e):
            factors = self.factors(x)
            waiting = tuple(f for f in factors if id(f) in self.waiting)
            rest = [f for f in factors if id(f) not in self.waiting]
            if waiting:
                late.append((sign, waiting, sum_of("multiply", rest, e.dtype) if rest else None))
            else:
                early.append((sign, x))
        return _Sum(late, signed_sum(early, e.dtype) if early else None)

    def terms(self, e: Expr) -> list[tuple[int, Expr]]:
        """The terms of a sum with their signs; sums inside it that nothing else reads are taken apart."""
        found: list[tuple[int, Expr]] = []
        stack = [(1, e)]
        while stack:
            sign, x = stack.pop()
            if isinstance(x, Call) and x.fn in ("add", "subtract") and (x is e or self.uses[id(x)] <= 1):
                stack += [(sign if x.fn == "add" else -sign, x.args[1]), (sign, x.args[0])]
            else:
                found.append((sign, x))
        return found

    def factors(self, e: Expr) -> Factors:
        """The factors of a product; products inside it that nothing else reads are taken apart."""
        found: list[Expr] = []
        stack = [e]
        while stack:
            x = stack.pop()
            if isinstance(x, Call) and x.fn == "multiply" and (x is e or self.uses[id(x)] <= 1):
                stack += reversed(x.args)
            else:
                found.append(x)
        return tuple(found)

    def term(self, sign: int, waiting: Factors, early: Expr | None, dtype: DType) -> _Term:
        """A product as a term of a sum: of two factors, or one value."""
        short = [self.short(f, True) for f in waiting]
        heap = [(ready, k, x) for k, (x, ready) in enumerate(short)]
        if early is not None:
            heap.append((EARLY, -1, early))
        heapq.heapify(heap)
        while len(heap) > 2:
            (_, _, a), (ready, k, b) = heapq.heappop(heap), heapq.heappop(heap)
            heapq.heappush(heap, (ready + MULTIPLY, k, Call("multiply", (b, a), dtype)))
        last = max(heap, key=lambda factor: factor[:2])
        return _Term(last[0], sign, last[2], heap[0][2] if len(heap) > 1 else None)


def latency(e: Expr) -> float:
    """Cycles from the last operand of an expression to its result."""
    if not isinstance(e, Call):
        return 0 if isinstance(e, Offset) else 1
    op = REGISTRY.get(e.fn)
    return ADD * op.cost if op is not None and e.dtype.is_floating else 1


def added(a: _Term, b: _Term, dtype: DType) -> _Term:
    """The sum of two terms, `a` the earlier one: one instruction where one is a product still to be formed, of the other's sign.

    LLVM makes one instruction of x - y * z by itself; told so it would negate a factor, which may take another one.
    """
    if b.other is None:
        a, b = b, a
    a = formed(a, dtype)  # of two products the earlier one
    if b.other is not None and a.sign == b.sign:
        total = Call("multiply_add", (b.value, b.other, a.value), dtype)
        return _Term(max(a.ready, b.ready) + FUSED, a.sign, total)
    sign, value = signed_sum([(x.sign, formed(x, dtype).value) for x in (a, b)], dtype)
    return _Term(max(a.urgency, b.urgency) + ADD, sign, value)


def formed(term: _Term, dtype: DType) -> _Term:
    """The term as a value."""
    if term.other is None:
        return term
    return _Term(term.ready + MULTIPLY, term.sign, Call("multiply", (term.value, term.other), dtype))


def signed_sum(terms: Iterable[tuple[int, Expr]], dtype: DType) -> tuple[int, Expr]:
    """(sign, value) of a sum of terms with signs, in pairs, pairs of pairs, and so on."""
    found = list(terms)
    while len(found) > 1:
        pairs = [found[k : k + 2] for k in range(0, len(found), 2)]
        found = [_pair(pair[0], pair[1], dtype) if len(pair) > 1 else pair[0] for pair in pairs]
    return found[0]


def _pair(a: tuple[int, Expr], b: tuple[int, Expr], dtype: DType) -> tuple[int, Expr]:
    if a[0] == b[0]:
        return a[0], Call("add", (a[1], b[1]), dtype)
    (_, plus), (_, minus) = (a, b) if a[0] > 0 else (b, a)
    return 1, Call("subtract", (plus, minus), dtype)
