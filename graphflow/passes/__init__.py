"""Passes: from the program a user built to an equal one that computes less, through named rewrites that can be looked at.

`run_passes` receives a captured `Program` and returns the program to partition, with a record of every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from graphflow.errors import RewriteLoopError
from graphflow.ir.program import Program, bodies_of, map_tensors, program_text, rebuild, verify, with_bodies
from graphflow.ir.tensor import Node, Tensor
from graphflow.options import Options
from graphflow.passes.canonicalize import canonicalize
from graphflow.passes.constant_folding import constant_folding
from graphflow.passes.control_flow import control_flow
from graphflow.passes.cse import cse
from graphflow.passes.hoisting import hoisting
from graphflow.passes.rewrite import Fired
from graphflow.passes.short_rows import short_rows
from graphflow.passes.sparse_updates import sparse_updates
from graphflow.passes.stability import stability

Pass = Callable[..., Program]

PASSES: tuple[Pass, ...] = (
    control_flow,  # before all others: equal loops have equal bodies only as long as nobody has changed them
    constant_folding,  # first: makes identities visible, as what is computed from constants is a constant
    canonicalize,  # next: one form for each meaning, constants on the right; what stability and cse look for
    stability,  # then: safe forms of log(softmax(x)) and the like, found in canonical form
    cse,  # canonical forms compare equal; merged operands let canonicalize see x - x in the next round
    hoisting,  # late: equal work in the body and before the loop is one by now
    short_rows,  # what is left is to be computed: in the order of memory that suits it
    sparse_updates,  # last: needs to know that nothing else reads a gradient
)


@dataclass(frozen=True)
class PassRecord:
    """What one pass did: the program before and after it, the time it took, and how often each rule fired."""

    name: str
    before: Program
    after: Program
    seconds: float
    fired: tuple[tuple[str, int], ...] = ()
    equations: tuple[str, ...] = ()  # of the rules in `fired`
    round: int = 1  # how often the passes had been gone through, with this time
    places: tuple[tuple[str, Node, Tensor], ...] = ()  # a rule's name, the node it was applied to, the tensor in its place

    @property
    def changed(self) -> bool:
        return self.after is not self.before

    @property
    def headline(self) -> str:
        """`# after constant_folding: 41 -> 33 nodes, 0.4 ms`, with a line per rule that fired."""
        again = f" (round {self.round})" if self.round > 1 else ""
        counts = f"{len(self.before.nodes)} -> {len(self.after.nodes)} nodes"
        lines = [f"# after {self.name}{again}: {counts}, {self.seconds * 1e3:.1f} ms"]
        for (name, count), equation in zip(self.fired, self.equations, strict=True):
            lines.append(f"#   {count} x {name}: {equation}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.headline}\n{program_text(self.after)}"

    def __repr__(self) -> str:
        return f"<PassRecord {self.headline.splitlines()[0][2:]}>"


def run_passes(program: Program, options: Options) -> tuple[Program, tuple[PassRecord, ...]]:
    """The program after all passes that `options.disable` does not name, repeated until none changes it, and their records.

    Records are kept of every pass in the first round, and of those that changed something in later ones. RewriteLoopError
    when the passes have not come to rest after `options.max_rewrites` rounds.
    """
    passes = tuple(p for p in PASSES if p.__name__ not in options.disable)
    records: list[PassRecord] = []
    left_alone: set[tuple[Pass, Program]] = set()
    resting = 0  # passes in a row that changed nothing; the result of a pass is a form that the pass itself leaves alone
    for round_ in range(1, options.max_rewrites + 1):
        for pass_ in passes:
            record = run_pass(pass_, program, options, round_, left_alone)
            resting = 0 if record.changed else resting + 1
            if record.changed or round_ == 1:
                records.append(record)
            program = record.after
            if resting >= len(passes) - any(r.changed for r in records):
                return program, tuple(records)
        if not passes:
            return program, ()
    raise _loop(records, options.max_rewrites)


def run_pass(
    pass_: Pass, program: Program, options: Options, round_: int = 1, left_alone: set[tuple[Pass, Program]] | None = None
) -> PassRecord:
    """The record of one pass over a program, verified where the options say so."""
    fired = Fired()
    start = time.perf_counter()
    after = apply_pass(pass_, program, options, fired, left_alone)
    seconds = time.perf_counter() - start
    if options.verify:
        verify(after)
    by_count = sorted(fired.items(), key=lambda item: (-item[1], item[0].name))
    return PassRecord(
        pass_.__name__, program, after, seconds, tuple((rule.name, count) for rule, count in by_count),
        tuple(rule.equation for rule, _ in by_count), round_,
        tuple((rule.name, node, tensor) for rule, node, tensor in fired.places),
    )  # fmt: skip


def apply_pass(
    pass_: Pass, program: Program, options: Options, fired: Fired, left_alone: set[tuple[Pass, Program]] | None = None
) -> Program:
    """The program after a pass over it and over the bodies of its loops and branches.

    `left_alone` has the passes and programs for which nothing is to be done; the result of this one is added.
    """
    left_alone = set() if left_alone is None else left_alone
    if (pass_, program) in left_alone:
        return program
    after = pass_(program, limit=options.max_rewrites, fired=fired)
    in_body = lambda body: apply_pass(pass_, body, options, fired, left_alone)  # noqa: E731
    changed = {n: with_bodies(n, in_body) for n in after.nodes if bodies_of(n)}
    if any(new is not old for old, new in changed.items()):
        found = map_tensors(after.results, lambda node, inputs: rebuild(changed.get(node, node), inputs))
        after = after.with_results(found)
    left_alone.add((pass_, after))
    return after


def _loop(records: list[PassRecord], limit: int) -> RewriteLoopError:
    """The error for passes that undo each other: the ones that still changed the program in the last two rounds."""
    last = [r for r in records if r.changed and r.round >= records[-1].round - 1]
    names = list(dict.fromkeys(r.name for r in last))
    rules = {name: equation for r in last for (name, _), equation in zip(r.fired, r.equations, strict=True)}
    return RewriteLoopError(
        f"passes undo each other: {' and '.join(names)} still change the program after {limit} rounds",
        rule="\n".join(f"{name}: {equation}" for name, equation in rules.items()),
    )
