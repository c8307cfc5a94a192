"""Where the time of runs goes: by kernel, by line, by name scope; as tables, traces and flame graphs."""

from graphflow.profiler.attribution import KernelTime, Share
from graphflow.profiler.profile import Profile, profile

__all__ = ["KernelTime", "Profile", "Share", "profile"]
