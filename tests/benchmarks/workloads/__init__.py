"""All workloads, in the order of the table."""

from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads import (
    attention,
    convolution,
    dense,
    dynamics,
    elementwise,
    embedding,
    filters,
    lanes,
    optimizers,
    ratings,
    recurrent,
    rows,
    simulation,
    small_ops,
    statistics,
)

FAMILIES = (
    elementwise,
    rows,
    dense,
    convolution,
    attention,
    recurrent,
    embedding,
    statistics,
    simulation,
    filters,
    dynamics,
    lanes,
    ratings,
    optimizers,
    small_ops,
)
WORKLOADS: dict[str, Workload] = {w.name: w for family in FAMILIES for w in family.WORKLOADS}
