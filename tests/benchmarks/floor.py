"""The physical floor: how fast this machine copies memory and multiplies matrices. Run as a process, prints JSON.

Bandwidth is measured for several sizes, as a step whose data fit the cache may be faster than main memory; on one thread, times
the threads where each has a cache of its own, on all threads together where they share the memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

SIZES = tuple(1 << k for k in range(14, 27, 2))  # bytes read and written by one copy, in all threads together
COPIED = 1 << 26  # bytes that one measurement moves at least
ORDERS = (256, 512, 1024)  # of the square matrices
REPEATS = 5
ROWS = 32  # copied by one call
LINE = 16  # float32s in a cache line
OWN_CACHE = 1 << 19  # bytes that fit a cache of one processor: there, threads do not share bandwidth


@dataclass(frozen=True)
class Floor:
    """What the machine can do at best."""

    bandwidth: dict[int, float]  # bytes moved at a time -> bytes a second
    flops: float  # a second

    def seconds(self, bytes_: float, flops: float) -> float:
        """The least time for moving `bytes_` and computing `flops`, both at once."""
        sizes = sorted(self.bandwidth)
        size = next((s for s in sizes if s >= bytes_), sizes[-1])
        fastest = max(rate for s, rate in self.bandwidth.items() if s >= size)
        return max(bytes_ / fastest, flops / self.flops)


def best_seconds(action: Callable[[], object]) -> float:
    """The shortest time of several runs."""
    times = []
    for _ in range(REPEATS):
        before = time.perf_counter()
        action()
        times.append(time.perf_counter() - before)
    return min(times)


def measure_copy(size: int, threads: int) -> float:
    """Bytes read and written a second, `size` in all at a time; each thread copies its own part again and again.

    One call copies many rows that overlap, each a cache line further on, so that small sizes are not the price of a call.
    """
    count = size // threads // 2 // 4
    calls = max(1, COPIED // (ROWS * count * 8 * threads))
    shape, strides = (ROWS, count), (LINE * 4, 4)
    pairs = [
        tuple(as_strided(np.ones(count + ROWS * LINE, np.float32), shape, strides) for _ in range(2)) for _ in range(threads)
    ]

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        target, source = pair
        for _ in range(calls):
            np.copyto(target, source)

    with ThreadPoolExecutor(threads) as pool:
        seconds = best_seconds(lambda: [None for _ in pool.map(copy, pairs)].clear())
    return threads * ROWS * count * 8 * calls / seconds


def measure_product() -> float:
    """Operations a second of the best matrix product on one thread."""
    best = 0.0
    for order in ORDERS:
        a, b = np.ones((order, order), np.float32), np.ones((order, order), np.float32)
        out = np.empty((order, order), np.float32)
        seconds = best_seconds(lambda a=a, b=b, out=out: np.matmul(a, b, out=out))
        best = max(best, 2.0 * order**3 / seconds)
    return best


def main() -> None:
    """Measure with as many threads as the first argument says. NumPy's own library is held to one by the environment."""
    threads = int(sys.argv[1])
    bandwidth = {size: threads * measure_copy(size, 1) if size <= OWN_CACHE else measure_copy(size, threads) for size in SIZES}
    print(json.dumps({"bandwidth": bandwidth, "flops": measure_product() * threads}))


if __name__ == "__main__":
    main()
