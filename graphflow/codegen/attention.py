"""Kernels of `attention` and its gradient: scores exist in blocks of ROWS queries by KEYS keys, which the first cache holds.

Going forward, a block of queries meets the keys from first to last; the maximum and the sum of its exponentials are kept, and
what was summed so far is scaled down when the maximum grows. Going back, the weights of a block are computed again from the
logarithm of that sum.
"""

from __future__ import annotations

from collections.abc import Callable

from graphflow.codegen import scalar
from graphflow.codegen.emit import Emitter, Source
from graphflow.codegen.library_values import LibraryValue
from graphflow.ir.tensor import Node
from graphflow.loop.ir import Kernel
from graphflow.types import product

ROWS = 48  # queries of a block: a multiple of the rows of register blocks
KEYS = 64  # of a block

_FORWARD = """\
scores = scratch_T({area}, {scope})
top = scratch_T({rows}, {scope_1})
sums = scratch_T({rows}, {scope_2})
for unit in range(begin, end):
    matrix = index_div(unit, {blocks})
    first = index_mod(unit, {blocks}) * {rows}
    rows = min({rows}, {queries} - first)
    place = matrix * {queries} + first
    of_keys = matrix * {keys}
    at = place * {depth}
    for r in range(rows):
        top[r] = NUMBER(-inf)
        sums[r] = NUMBER(0.0)
    stop = {stop}
    start = 0
    beta = NUMBER(0.0)
    while start < stop:
        keys = min({key_block}, stop - start)
        gemm_T({gemm}, 111, 112, rows, keys, {width}, NUMBER({scale}), {q} + {size} * place * {width}, {width},
               {k} + {size} * (of_keys + start) * {width}, {width}, NUMBER(0.0), address(scores), {key_block})
        for r in range(rows):
            seen = {seen}
            line = r * {key_block}
            best = top[r]
            for c in range(seen):
                best = {maximum}
            base = NUMBER(0.0)
            if best > NUMBER(-inf):
                base = best
            kept = {exp_kept}
            total = NUMBER(0.0)
            for c in range(seen):
                weight = {exp_score}
                scores[line + c] = weight
                total = total + weight
            for c in range(seen, keys):
                scores[line + c] = NUMBER(0.0)
            top[r] = best
            sums[r] = sums[r] * kept + total
            if start > 0:
                for c in range({depth}):
                    out[at + r * {depth} + c] = out[at + r * {depth} + c] * kept
        gemm_T({gemm}, 111, 111, rows, {depth}, keys, NUMBER(1.0), address(scores), {key_block},
               {v} + {size} * (of_keys + start) * {depth}, {leading_depth}, beta, {o} + {size} * at, {leading_depth})
        beta = NUMBER(1.0)
        start = start + keys
    for r in range(rows):
        scale = NUMBER(1.0) / sums[r]
        for c in range({depth}):
            out[at + r * {depth} + c] = out[at + r * {depth} + c] * scale
        if stop == 0:
            for c in range({depth}):
                out[at + r * {depth} + c] = NUMBER(0.0)
        base = NUMBER(0.0)
        if top[r] > NUMBER(-inf):
            base = top[r]
        totals[place + r] = base + {log_sum}
"""

_BACKWARD = """\
weights = scratch_T({area}, {scope})
change = scratch_T({area}, {scope_1})
for matrix in range(begin, end):
    of_queries = matrix * {queries}
    of_keys = matrix * {keys}
    for i in range({queries} * {width}):
        of_q[of_queries * {width} + i] = NUMBER(0.0)
    for i in range({keys} * {width}):
        of_k[of_keys * {width} + i] = NUMBER(0.0)
    for i in range({keys} * {depth}):
        of_v[of_keys * {depth} + i] = NUMBER(0.0)
    start = 0
    while start < {keys}:
        keys = min({key_block}, {keys} - start)
        at_k = {k} + {size} * (of_keys + start) * {width}
        at_v = {v} + {size} * (of_keys + start) * {depth}
        to_k = {dk} + {size} * (of_keys + start) * {width}
        to_v = {dv} + {size} * (of_keys + start) * {depth}
        first = {first}
        while first < {queries}:
            rows = min({rows}, {queries} - first)
            place = of_queries + first
            at_q = {q} + {size} * place * {width}
            at_g = {g} + {size} * place * {depth}
            to_q = {dq} + {size} * place * {width}
            gemm_T({gemm}, 111, 112, rows, keys, {width}, NUMBER({scale}), at_q, {width}, at_k, {width},
                   NUMBER(0.0), address(weights), {key_block})
            gemm_T({gemm}, 111, 112, rows, keys, {depth}, NUMBER(1.0), at_g, {leading_depth}, at_v, {leading_depth},
                   NUMBER(0.0), address(change), {key_block})
            for r in range(rows):
                seen = {seen}
                line = r * {key_block}
                at = (place + r) * {depth}
                total = totals[place + r]
                dot = NUMBER(0.0)
                for c in range({depth}):
                    dot = dot + given[at + c] * out[at + c]
                for c in range(seen):
                    weight = {exp_weight}
                    weights[line + c] = weight
                    change[line + c] = weight * (change[line + c] - dot) * NUMBER({scale})
                for c in range(seen, keys):
                    weights[line + c] = NUMBER(0.0)
                    change[line + c] = NUMBER(0.0)
            gemm_T({gemm}, 112, 111, keys, {depth}, rows, NUMBER(1.0), address(weights), {key_block}, at_g, {leading_depth},
                   NUMBER(1.0), to_v, {leading_depth})
            gemm_T({gemm}, 111, 111, rows, {width}, keys, NUMBER(1.0), address(change), {key_block}, at_k, {leading_width},
                   NUMBER(1.0), to_q, {leading_width})
            gemm_T({gemm}, 112, 111, keys, {width}, rows, NUMBER(1.0), address(change), {key_block}, at_q, {leading_width},
                   NUMBER(1.0), to_k, {leading_width})
            first = first + rows
        start = start + keys
"""


def emit_attention(kernel: Kernel, root: Node) -> Source:
    """A block of queries of one matrix is a unit of parallel work."""
    names = dict(zip(("q", "k", "v", "o", "total"), kernel.operands, strict=True))
    return _emit(kernel, root, _FORWARD, names, {"out": "o", "totals": "total"})


def emit_attention_gradient(kernel: Kernel, root: Node) -> Source:
    """One matrix is a unit of parallel work: the sums over blocks run in order."""
    names = dict(zip(("q", "k", "v", "o", "total", "g", "dq", "dk", "dv"), kernel.operands, strict=True))
    arrays = {"out": "o", "totals": "total", "given": "g", "of_q": "dq", "of_k": "dk", "of_v": "dv"}
    return _emit(kernel, root, _BACKWARD, names, arrays)


def _emit(kernel: Kernel, root: Node, text: str, names: dict, arrays: dict[str, str]) -> Source:
    """`text` with sizes, buffers and functions filled in. `names` are the operands, `arrays` those read element by element."""
    emitter = Emitter(kernel)
    dtype, dim = root.type.dtype, emitter.dim
    suffix, number = scalar.SUFFIX[dtype.name], scalar.constructor(dtype)
    (queries, width), (keys, depth) = root.inputs[0].shape[-2:], root.inputs[2].shape[-2:]
    causal = root.attrs["causal"]
    matrices = product(root.inputs[0].shape[:-2])
    forward = text is _FORWARD
    key_of = {name: f"buffers[{kernel.params.index(buffer)}]" for name, buffer in names.items()}
    for array, name in arrays.items():
        emitter.line(f"{array} = {emitter.params[id(names[name])]}")
    meanings = {
        **key_of,
        "rows": ROWS,
        "key_block": KEYS,
        "area": ROWS * KEYS,
        **{f"scope{end}": len(kernel.params) + 1 + k for k, end in enumerate(("", "_1", "_2"))},
        "size": dtype.itemsize,
        "gemm": dim(LibraryValue(f"gemm_{suffix}", (ROWS, KEYS, KEYS))),
        "queries": dim(queries),
        "keys": dim(keys),
        "width": dim(width),
        "depth": dim(depth),
        "leading_depth": f"max(1, {dim(depth)})",
        "leading_width": f"max(1, {dim(width)})",
        "scale": repr(root.attrs["scale"]),
        "blocks": dim((queries + (ROWS - 1)) // ROWS),
        "stop": f"min({dim(keys)}, first + rows)" if causal else dim(keys),
        "seen": "max(0, min(keys, first + r + 1 - start))" if causal else "keys",
        "first": f"index_div(start, {ROWS}) * {ROWS}" if causal else "0",
        "maximum": scalar.spelling("maximum", dtype).format("best", "scores[line + c]"),
        "exp_kept": scalar.spelling("exp", dtype).format("top[r] - base"),
        "exp_score": scalar.spelling("exp", dtype).format("scores[line + c] - base"),
        "exp_weight": scalar.spelling("exp", dtype).format("weights[line + c] - total"),
        "log_sum": scalar.spelling("log", dtype).format("sums[r]"),
    }
    for line in text.format(**meanings).replace("_T(", f"_{suffix}(").replace("NUMBER", number).splitlines():
        emitter.line(line)
    extent = matrices * ((queries + (ROWS - 1)) // ROWS) if forward else matrices
    return Source(emitter.text(), tuple(emitter.dims), LibraryValue("argument", (extent,)), kernel)


ATTENTION: dict[str, Callable[[Kernel, Node], Source]] = {
    "attention": emit_attention,
    "attention_gradient": emit_attention_gradient,
}
