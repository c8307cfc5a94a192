"""The benchmark: the same workloads in graphflow and in every peer that is installed, side by side in one run.

`python -m tests.benchmarks` runs it; docs/benchmark.md says what its columns mean.
"""
