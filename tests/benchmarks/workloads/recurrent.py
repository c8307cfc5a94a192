"""Recurrent networks: a tanh cell over 100 steps, a GRU over 20, an LSTM over 20 and 200. All update by SGD.

Each framework repeats the cell as its manual advises: JAX and PyTensor scan, PyTorch has a GRU and an LSTM of its own.
graphflow and TensorFlow unroll short loops; in `scan_loop` and `lstm200` they repeat the cell by `gf.scan` and `tf.while_loop`.
"""

from dataclasses import dataclass
from typing import ClassVar

from tests.benchmarks.workload import Workload, normal, zeros


@dataclass(frozen=True)
class Recurrence(Workload):
    """h = tanh(x wx + h wh), many times over the same x."""

    steps: int
    parameters = ("wx", "wh")
    learning_rate = 1e-2
    tolerance = 1e-3

    def data(self, random):
        return {
            "x": normal(random, 64, 32),
            "h": zeros(64, 64),
            "wx": normal(random, 32, 64, scale=0.1),
            "wh": normal(random, 64, 64, scale=0.1),
        }

    def flops(self):
        return 2.0 * 64 * 64 * (3 * 64 * self.steps + 2 * 32)

    def graphflow(self, gf, p):
        h = p["h"]
        for _ in range(self.steps):
            h = gf.tanh(gf.matmul(p["x"], p["wx"]) + gf.matmul(h, p["wh"]))
        return gf.reduce_mean(h * h)

    def jax(self, jax, p):
        def cell(h, _):
            return jax.numpy.tanh(p["x"] @ p["wx"] + h @ p["wh"]), None

        h, _ = jax.lax.scan(cell, p["h"], None, length=self.steps)
        return jax.numpy.mean(h * h)

    def torch(self, torch, p):
        h = p["h"]
        for _ in range(self.steps):
            h = torch.tanh(p["x"] @ p["wx"] + h @ p["wh"])
        return (h * h).mean()

    def tensorflow(self, tf, p):
        h = p["h"]
        for _ in range(self.steps):
            h = tf.tanh(tf.matmul(p["x"], p["wx"]) + tf.matmul(h, p["wh"]))
        return tf.reduce_mean(h * h)

    def pytensor(self, pt, p):
        def cell(h, x, wx, wh):
            return pt.tanh(x @ wx + h @ wh)

        h = scan_pytensor(cell, None, p["h"], [p["x"], p["wx"], p["wh"]], self.steps)
        return pt.mean(h[-1] ** 2)


@dataclass(frozen=True)
class RecurrenceLoop(Recurrence):
    """The same, repeated in the graph."""

    def graphflow(self, gf, p):
        def cell(h, _):
            return gf.tanh(gf.matmul(p["x"], p["wx"]) + gf.matmul(h, p["wh"])), ()

        _, h = gf.scan(cell, initializer=p["h"], length=self.steps)
        return gf.reduce_mean(h * h)

    def tensorflow(self, tf, p):
        def cell(i, h):
            return i + 1, tf.tanh(tf.matmul(p["x"], p["wx"]) + tf.matmul(h, p["wh"]))

        _, h = tf.while_loop(lambda i, h: i < self.steps, cell, (0, p["h"]), maximum_iterations=self.steps)
        return tf.reduce_mean(h * h)


def scan_pytensor(cell, sequences, initial, others, steps):
    """All values of a repeated cell, in PyTensor."""
    from pytensor import scan

    return scan(cell, sequences, initial, non_sequences=others, n_steps=steps, return_updates=False)


@dataclass(frozen=True)
class Gated(Workload):
    """A gated cell of 64 units over 20 inputs of [32, 32]; the loss is the mean square of its last state."""

    steps: int = 20
    batch: int = 32
    inputs: int = 32
    units: int = 64
    parameters = ("w", "u", "b")
    learning_rate = 1e-1
    tolerance = 1e-3
    gates = 0

    def data(self, random):
        return {
            "x": normal(random, self.steps, self.batch, self.inputs),
            "w": normal(random, self.inputs, self.gates * self.units, scale=0.15),
            "u": normal(random, self.units, self.gates * self.units, scale=0.1),
            "b": normal(random, self.gates * self.units, scale=0.1),
        }

    def flops(self):
        columns = self.gates * self.units
        return 2.0 * self.steps * self.batch * columns * (3 * self.units + 2 * self.inputs)

    def cell(self, m, state, x, u):
        """The next state; `x` holds the input's share of all gates. `m` has matmul, sigmoid and tanh."""
        raise NotImplementedError

    def start(self, zeros_of):
        """The state before the first input; `zeros_of` makes zeros of [batch, units]."""
        raise NotImplementedError

    def unrolled(self, m, p, zeros_of, mean):
        """The loss, with the cell repeated by Python."""
        state = self.start(zeros_of)
        for t in range(self.steps):
            state = self.cell(m, state, m.matmul(p["x"][t], p["w"]) + p["b"], p["u"])
        return mean(state[0] * state[0])

    def graphflow(self, gf, p):
        return self.unrolled(gf, p, lambda: gf.zeros([self.batch, self.units]), gf.reduce_mean)

    def jax(self, jax, p):
        class functions:
            matmul, sigmoid, tanh = jax.numpy.matmul, jax.nn.sigmoid, jax.numpy.tanh

        def advance(state, x):
            return self.cell(functions, state, x, p["u"]), None

        start = self.start(lambda: jax.numpy.zeros((self.batch, self.units)))
        state, _ = jax.lax.scan(advance, start, p["x"] @ p["w"] + p["b"])
        return jax.numpy.mean(state[0] * state[0])

    def tensorflow(self, tf, p):
        return self.unrolled(tf, p, lambda: tf.zeros([self.batch, self.units]), tf.reduce_mean)

    def pytensor(self, pt, p):
        import numpy as np

        def advance(x, *rest):
            *state, u = rest
            return list(self.cell(pt, tuple(state), x, u))

        start = list(self.start(lambda: pt.as_tensor(np.zeros((self.batch, self.units), "float32"))))
        states = scan_pytensor(advance, [p["x"] @ p["w"] + p["b"]], start, [p["u"]], self.steps)
        last = (states[0] if isinstance(states, list | tuple) else states)[-1]
        return pt.mean(last * last)


@dataclass(frozen=True)
class Gru(Gated):
    """Cho et al. 2014, in the form that cuDNN and PyTorch have: the reset gate stands behind the product."""

    gates = 3

    def start(self, zeros_of):
        return (zeros_of(),)

    def cell(self, m, state, x, u):
        (h,), n = state, self.units
        product = m.matmul(h, u)
        reset = m.sigmoid(x[:, :n] + product[:, :n])
        update = m.sigmoid(x[:, n : 2 * n] + product[:, n : 2 * n])
        new = m.tanh(x[:, 2 * n :] + reset * product[:, 2 * n :])
        return (new + update * (h - new),)

    def torch(self, torch, p):
        weights = [p["w"].t(), p["u"].t(), p["b"], torch.zeros_like(p["b"])]
        start = torch.zeros(1, self.batch, self.units)
        _, last = torch.gru(p["x"], start, weights, True, 1, 0.0, True, False, False)
        return last.square().mean()


@dataclass(frozen=True)
class Lstm(Gated):
    """Hochreiter, Schmidhuber 1997, with a forget gate; gates in PyTorch's order: input, forget, cell, output."""

    gates = 4

    def start(self, zeros_of):
        return zeros_of(), zeros_of()

    def cell(self, m, state, x, u):
        (h, c), n = state, self.units
        gates = x + m.matmul(h, u)
        enter, forget, leave = (m.sigmoid(gates[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
        c = forget * c + enter * m.tanh(gates[:, 2 * n : 3 * n])
        return leave * m.tanh(c), c

    def torch(self, torch, p):
        if torch.compiler.is_compiling():  # torch.compile of PyTorch 2.13 fails on torch.lstm
            return self.unrolled(torch, p, lambda: torch.zeros(self.batch, self.units), torch.mean)
        weights = [p["w"].t(), p["u"].t(), p["b"], torch.zeros_like(p["b"])]
        start = torch.zeros(1, self.batch, self.units)
        _, last, _ = torch.lstm(p["x"], (start, start), weights, True, 1, 0.0, True, False, False)
        return last.square().mean()


@dataclass(frozen=True)
class LstmLoop(Lstm):
    """The same over many inputs, repeated in the graph."""

    steps: int = 200
    left_out: ClassVar = {"torch-compile": "torch.lstm is not compiled, and 200 unrolled steps compile for minutes"}

    def graphflow(self, gf, p):
        def advance(state, x):
            return self.cell(gf, state, x, p["u"]), ()

        start = self.start(lambda: gf.zeros([self.batch, self.units]))
        _, state = gf.scan(advance, elems=gf.matmul(p["x"], p["w"]) + p["b"], initializer=start)
        return gf.reduce_mean(state[0] * state[0])

    def tensorflow(self, tf, p):
        x = tf.tensordot(p["x"], p["w"], 1) + p["b"]

        def advance(i, state):
            return i + 1, self.cell(tf, state, x[i], p["u"])

        start = (0, self.start(lambda: tf.zeros([self.batch, self.units])))
        _, state = tf.while_loop(lambda i, state: i < self.steps, advance, start, maximum_iterations=self.steps)
        return tf.reduce_mean(state[0] * state[0])


WORKLOADS = (
    Recurrence("scan", "training step of a tanh cell over 100 steps, [64, 64]", steps=100),
    RecurrenceLoop("scan_loop", "the same with the loop in the graph", steps=100),
    Gru("gru", "training step of a GRU over 20 steps, 64 units, batch 32"),
    Lstm("lstm", "training step of an LSTM over 20 steps, 64 units, batch 32"),
    LstmLoop("lstm200", "training step of an LSTM over 200 steps, 64 units, batch 32"),
)
