"""Flame graphs of the kernels' time: forward part or gradient, name scopes, the user's line, op; as text, JSON and picture."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any
from zlib import crc32

from graphflow.profiler.attribution import KernelTime, stack_of

_WIDTH, _ROW, _LETTER = 1200, 18, 6.6  # pixels


def stacks_of(kernels: Iterable[KernelTime]) -> dict[tuple[str, ...], float]:
    """Seconds by stack, from the outside in."""
    found: dict[tuple[str, ...], float] = {}
    for kernel in kernels:
        for node, seconds in kernel.shares:
            stack = stack_of(node)
            found[stack] = found.get(stack, 0.0) + seconds
    return dict(sorted(found.items()))


def collapsed(kernels: Iterable[KernelTime]) -> str:
    """A line for each stack: its frames with semicolons between them, and its microseconds."""
    lines = [
        f"{';'.join(frame.replace(';', ',') for frame in stack)} {round(seconds * 1e6)}\n"
        for stack, seconds in stacks_of(kernels).items()
    ]
    return "".join(lines)


def speedscope(kernels: Iterable[KernelTime]) -> dict[str, Any]:
    """The file format of https://www.speedscope.app."""
    stacks = stacks_of(kernels)
    frames: dict[str, int] = {}
    samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in stacks]
    weights = [seconds * 1e6 for seconds in stacks.values()]
    span = {"type": "sampled", "name": "kernels", "unit": "microseconds", "startValue": 0, "endValue": sum(weights)}
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": [{**span, "samples": samples, "weights": weights}],
    }


def svg(kernels: Iterable[KernelTime]) -> str:
    """The flame graph as a picture; pointing at a frame shows its time."""
    stacks = stacks_of(kernels)
    total = sum(stacks.values())
    times: dict[tuple[str, ...], float] = {}
    starts: dict[tuple[str, ...], float] = {}
    before = 0.0
    for stack, seconds in stacks.items():
        for depth in range(len(stack) + 1):
            starts.setdefault(stack[:depth], before)
            times[stack[:depth]] = times.get(stack[:depth], 0.0) + seconds
        before += seconds
    rows = 1 + max((len(stack) for stack in stacks), default=0)
    box = f"0 0 {_WIDTH} {rows * _ROW + 8}"
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="monospace" font-size="11">']
    for stack, seconds in times.items():
        width = seconds / total * _WIDTH if total else 0.0
        if width < 0.5:
            continue
        x, y = starts[stack] / total * _WIDTH, len(stack) * _ROW + 4
        name = stack[-1] if stack else "all kernels"
        text = name if len(name) * _LETTER < width else name[: max(0, int(width / _LETTER) - 2)] + ".."
        hue = crc32(name.encode()) % 50 + 10
        title = escape(f"{' > '.join(stack) or name}: {seconds * 1e3:.3f} ms, {seconds / total:.1%}")
        box = f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{_ROW - 1}" fill="hsl({hue},80%,70%)"/>'
        label = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(text)}</text>' if width > 3 * _LETTER else ""
        lines.append(f"<g><title>{title}</title>{box}{label}</g>")
    return "\n".join([*lines, "</svg>", ""])
