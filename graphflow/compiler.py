"""The compiler: a captured program in, an executable out."""

from __future__ import annotations

from pathlib import Path

from graphflow.codegen import cache
from graphflow.ir.graph import Graph
from graphflow.ir.program import Program
from graphflow.link import link
from graphflow.options import Options
from graphflow.options import current as current_options
from graphflow.runtime.executable import Executable
from graphflow.stages import dump, run_stages


def compile_program(program: Program, options: Options | None = None, graph: Graph | None = None) -> Executable:
    """The executable of a program."""
    options = options or current_options()
    stages = run_stages(program, options)
    plan = link(stages, program)
    addresses = [cache.load(s.text, f"group {s.kernel.group.number}: {s.kernel.name}") for s in stages.sources]
    executable = Executable(program, plan, addresses, graph, lambda: stages)
    if options.dump:
        dump(executable, Path(options.dump))
    return executable
