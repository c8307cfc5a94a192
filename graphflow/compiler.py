"""The compiler: a captured program in, an executable out; from the cache, or through all stages."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache as remembered
from importlib import import_module
from pathlib import Path
from typing import Any

from graphflow.autodiff.tapes import demands
from graphflow.codegen import cache
from graphflow.codegen.history import Event
from graphflow.codegen.library_values import LIBRARY_VALUES, LibraryValue
from graphflow.ir.graph import Graph, changed_state
from graphflow.ir.program import Program
from graphflow.options import Options
from graphflow.options import current as current_options
from graphflow.runtime import blas, native, programs
from graphflow.runtime.executable import Executable
from graphflow.runtime.launch import NOWHERE, LaunchProgram


@changed_state(eager=False, recorders=())
def compile_program(program: Program, options: Options | None = None, graph: Graph | None = None) -> Executable:
    """The executable of a captured program. One that has been compiled before comes from the cache and passes no stage."""
    chosen = options or current_options()

    @remembered
    @changed_state(eager=False, recorders=())  # a stage may be asked for later, in eager mode
    def stages() -> Any:
        return import_module("graphflow.stages").run_stages(program, chosen)  # only now is the compiler itself imported

    made: dict[Any, Executable] = {}

    def instead(refused: Mapping[Any, Any] | None) -> Executable:
        key = None if refused is None else frozenset(refused)
        if key not in made:
            if refused is None:
                changed = import_module("graphflow.stages").bounded(program, chosen)
            else:
                changed = import_module("graphflow.passes.refused").refusing(program, refused)
            made[key] = compile_program(changed, chosen, graph)
        return made[key]

    with collecting_nothing():
        launches, addresses = _look_up(program, chosen, stages)
    executable = Executable(
        program, launches, addresses, graph, stages, demands(program), instead, watched=bool(chosen.nan_check)
    )
    if chosen.dump:
        import_module("graphflow.stages").dump(executable, Path(chosen.dump))
    return executable


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """No garbage is looked for: what a compilation makes it keeps, and the objects are many."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()


def _look_up(program: Program, options: Options, stages: Callable[[], Any]) -> tuple[LaunchProgram, list[int]]:
    """(launch program, addresses of its kernels): as stored, else through the stages, and then stored."""
    started = time.perf_counter()
    entry = programs.entry_of(program, options)
    launches, problem = programs.load(entry, program) if entry is not None and not options.verify else (None, None)
    addresses: list[int] = []
    outcome = "disk"
    if launches is not None:
        found = [cache.find(launch.key, described(program, launch.node)) for launch in launches.launches]
        addresses = [address for address in found if address is not None]
        if len(addresses) < len(found):
            launches = None
    if launches is None:
        outcome = "made"
        native.begin_driver()  # most programs that are compiled are the first of their process
        sources = stages().sources
        launches = import_module("graphflow.link").link(stages(), program)
        begin_products(launches)
        kernels = [
            (source.text, f"group {source.kernel.group.number}: {source.kernel.name}, {described(program, launch.node)}")
            for source, launch in zip(sources, launches.launches, strict=True)
        ]
        for text, what in kernels:
            cache.begin(text, what)
        addresses = [cache.load(text, what) for text, what in kernels]
        if entry is not None:
            programs.store(entry, launches)
    if entry is not None:
        result = next(iter(program.results), None)
        what = described(program, NOWHERE) if result is None else f"{result.name}, {result.location}"
        seconds = time.perf_counter() - started
        cache.record(Event("program", entry.name, what, outcome, seconds, entry.path.parent, entry.parts, problem))
    return launches, addresses


def begin_products(launches: LaunchProgram) -> None:
    """Let the matrix products that kernels call be compiled; which ones, where that is known before the sizes of a run are."""
    numbers = {size for launch in launches.launches for size in launch.dims if isinstance(size, LibraryValue)}
    for number in sorted(numbers, key=str):
        if number.name not in LIBRARY_VALUES and number.name != "poll":
            blas.begin(number.name, *number.args)


def described(program: Program, position: int) -> str:
    """A node of a captured program by its name and line."""
    if position == NOWHERE:
        return "nothing"
    node = program.all_nodes[position]
    return f"{node.name}, {node.location}"
