"""Do the frameworks compute the same? Each is compared with the median of all, as none is right by definition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.workload import Arrays, Workload

ROUNDING = 8 * float(np.finfo(np.float32).eps)
OUTLIER = 20  # times the tolerance, for single elements


def disagreement(workload: Workload, results: Mapping[str, Arrays]) -> dict[str, str]:
    """Framework -> what is wrong with its values; nothing for those that agree.

    What a step changes is compared by its change, as an update is small beside what it updates. The differences' root mean
    square has to be within the workload's tolerance; a few elements may be further off, as a relu near 0 falls to one side or
    the other by rounding, and its column of the gradient with it.
    """
    names = sorted({name for arrays in results.values() for name in arrays})
    before = workload.arrays()
    wrong: dict[str, str] = {}
    for name in names:
        for framework, arrays in results.items():
            if name not in arrays:
                wrong.setdefault(framework, f"no {name}")
        found = {f: np.asarray(a[name], np.float64) for f, a in results.items() if name in a and f not in wrong}
        shapes = {values.shape for values in found.values()}
        if len(shapes) > 1:
            wrong.update({f: f"{name} has shape {values.shape}" for f, values in found.items()})
            continue
        start = before[name].astype(np.float64) if name in workload.kept else np.float64(0)
        changes = {f: values - start for f, values in found.items()}
        if not changes:
            continue
        middle = np.median(np.stack(list(changes.values())), axis=0)
        allowed = workload.tolerance * np.max(np.abs(middle), initial=0.0) + ROUNDING * np.max(np.abs(start), initial=0.0)
        for framework, values in changes.items():
            distances = np.abs(values - middle)
            mean, largest = np.sqrt(np.mean(distances**2)) if distances.size else 0.0, np.max(distances, initial=0.0)
            if not (mean <= allowed and largest <= OUTLIER * allowed) and framework not in wrong:
                wrong[framework] = f"{name} differs by {mean:.2g} in the mean and at most {largest:.2g}; {allowed:.2g} is allowed"
    return wrong
