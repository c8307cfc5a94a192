"""`Loop`: a loss that is computed in a loop, written once for all frameworks with the functions that each of them has.

Every framework repeats the body as its manual advises: graphflow by `gf.scan`, JAX by `lax.scan`, TensorFlow by `tf.while_loop`
with a `TensorArray`, PyTensor by `scan`, PyTorch by a loop of Python. The state is a tuple, possibly of tuples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.workload import Workload


@dataclass(frozen=True)
class Functions:
    """What a loop and its body need of one framework.

    `scan(body, elems, state)` takes `body(state, elems at one place)` -> (next state, tuple of outputs), and gives the outputs,
    stacked, and the last state.
    """

    exp: Callable
    log: Callable
    tanh: Callable
    sigmoid: Callable
    maximum: Callable
    matmul: Callable
    transpose: Callable
    mean: Callable
    sum: Callable
    zeros_like: Callable
    scan: Callable


@dataclass(frozen=True)
class Loop(Workload):
    """A loss with a loop in it."""

    def loss(self, m: Functions, p: Any) -> Any:
        """The loss, by the functions of any framework."""
        raise NotImplementedError

    def graphflow(self, gf, p):
        return self.loss(graphflow_functions(gf), p)

    def jax(self, jax, p):
        return self.loss(jax_functions(jax), p)

    def torch(self, torch, p):
        return self.loss(torch_functions(torch), p)

    def tensorflow(self, tf, p):
        return self.loss(tensorflow_functions(tf), p)

    def pytensor(self, pt, p):
        return self.loss(pytensor_functions(pt), p)


def graphflow_functions(gf):
    """graphflow: `gf.scan`."""

    def scan(body, elems, state):
        return gf.scan(body, elems=elems, initializer=state)

    mean, total = gf.reduce_mean, gf.reduce_sum
    return Functions(gf.exp, gf.log, gf.tanh, gf.sigmoid, gf.maximum, gf.matmul, gf.transpose, mean, total, gf.zeros_like, scan)


def jax_functions(jax):
    """JAX: `lax.scan`."""

    def scan(body, elems, state):
        last, outputs = jax.lax.scan(body, state, elems)
        return outputs, last

    n = jax.numpy
    return Functions(n.exp, n.log, n.tanh, jax.nn.sigmoid, n.maximum, n.matmul, n.transpose, n.mean, n.sum, n.zeros_like, scan)


def torch_functions(torch):
    """PyTorch: a loop of Python; `torch.compile` unrolls it."""

    def scan(body, elems, state):
        found = []
        for elem in zip(*(x.unbind() for x in elems), strict=True):
            state, outputs = body(state, elem)
            found.append(outputs)
        return tuple(torch.stack(each) for each in zip(*found, strict=True)), state

    def larger(x, y):
        return x.clamp(min=y) if isinstance(y, float) else torch.maximum(x, y)

    t = torch
    return Functions(t.exp, t.log, t.tanh, t.sigmoid, larger, t.matmul, t.t, t.mean, t.sum, t.zeros_like, scan)


def tensorflow_functions(tf):
    """TensorFlow: `tf.while_loop`, outputs in arrays of tensors."""

    def scan(body, elems, state):
        length = elems[0].shape[0]
        # What the body gives is known after it was traced once; the nodes of that trace are pruned.
        with tf.name_scope("probe"):
            outputs = body(state, tuple(x[0] for x in elems))[1]
        arrays = tuple(tf.TensorArray(y.dtype, length, element_shape=y.shape) for y in outputs)

        def advance(i, state, arrays):
            state, outputs = body(state, tuple(x[i] for x in elems))
            return i + 1, state, tuple(a.write(i, y) for a, y in zip(arrays, outputs, strict=True))

        _, last, arrays = tf.while_loop(lambda i, *_: i < length, advance, (0, state, arrays), maximum_iterations=length)
        return tuple(array.stack() for array in arrays), last

    n = tf.math
    return Functions(
        n.exp, n.log, n.tanh, n.sigmoid, n.maximum, tf.matmul, tf.transpose, n.reduce_mean, n.reduce_sum, tf.zeros_like, scan
    )


def pytensor_functions(pt):
    """PyTensor: `scan` over a flat list of states."""

    def scan(body, elems, state):
        from pytensor import scan

        flat = flatten(state)

        def advance(*arguments):
            values = iter(arguments[len(elems) :])
            state_, outputs = body(unflatten(state, values), arguments[: len(elems)])
            return [*flatten(state_), *outputs]

        # The number of outputs is known from a body tried outside of the loop.
        count = len(body(state, tuple(x[0] for x in elems))[1])
        found = scan(advance, list(elems), [*flat, *[None] * count], return_updates=False)
        found = found if isinstance(found, list | tuple) else [found]
        last = unflatten(state, iter([each[-1] for each in found[: len(flat)]]))
        return tuple(found[len(flat) :]), last

    return Functions(
        pt.exp, pt.log, pt.tanh, pt.sigmoid, pt.maximum, pt.matmul, pt.transpose, pt.mean, pt.sum, pt.zeros_like, scan
    )


def flatten(state):
    """The tensors in nested tuples."""
    return [leaf for part in state for leaf in flatten(part)] if isinstance(state, tuple) else [state]


def unflatten(state, leaves):
    """Tuples like `state` around the next of `leaves`."""
    return tuple(unflatten(part, leaves) for part in state) if isinstance(state, tuple) else next(leaves)
