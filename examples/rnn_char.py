"""Teach a small recurrent network to write like a licence, letter by letter.

    python examples/rnn_char.py                 # learns the licence of this project
    python examples/rnn_char.py some_text.txt   # or any text

An LSTM reads a text and guesses each next character. The loop over the characters is in the graph (gf.scan), so its length is
that of the text it is fed: pieces of any length and in any number run in the same compiled program. Writing is another loop of
the same cell, in which each character that was drawn is the next one's input.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import graphflow as gf

HERE = Path(__file__).resolve().parent
UNITS = 96
STEPS, PIECES = 400, 16
WRITTEN = 200


def make_cell(symbols):
    """(the cell's function of state and characters, the function from its state to scores of the next character)."""

    def weights(name, *shape):
        return gf.Variable(gf.random.normal(shape, stddev=shape[0] ** -0.5, seed=len(name)), name=name)

    table, recurrent = weights("table", symbols, 4 * UNITS), weights("recurrent", UNITS, 4 * UNITS)
    bias = gf.Variable(np.repeat(np.float32([0, 1, 0, 0]), UNITS), name="bias")  # it begins by forgetting little
    readout, offset = weights("readout", UNITS, symbols), gf.Variable(gf.zeros([symbols]), name="offset")

    def cell(state, characters):
        hidden, memory = state
        gates = gf.gather(table, characters) + gf.matmul(hidden, recurrent) + bias
        enter, keep, new, leave = gf.split(gates, 4, axis=1)
        memory = gf.sigmoid(keep) * memory + gf.sigmoid(enter) * gf.tanh(new)
        return gf.sigmoid(leave) * gf.tanh(memory), memory

    return cell, lambda state: gf.matmul(state[0], readout) + offset


def build_training(cell, scores):
    """(placeholder of characters [time, pieces], mean loss of guessing each next one, operation that learns)."""
    text = gf.placeholder(gf.int32, [None, None], name="text")
    blank = gf.zeros([gf.shape(text)[1], UNITS])

    def read(state, pair):
        now, following = pair
        state = cell(state, now)
        return state, gf.nn.sparse_softmax_cross_entropy_with_logits(labels=following, logits=scores(state))

    losses, _ = gf.scan(read, elems=(text[:-1], text[1:]), initializer=(blank, blank))
    loss = gf.reduce_mean(losses)
    return text, loss, gf.train.AdamOptimizer(0.01).minimize(loss)


def build_writing(cell, scores, symbols):
    """(placeholders of the first character and of noise [time, symbols], the characters drawn with that noise)."""
    first = gf.placeholder(gf.int32, [1], name="first")
    noise = gf.placeholder(gf.float32, [None, symbols], name="noise")  # as many rows as characters are to be written

    def write(state, row):
        memory, character = state
        memory = cell(memory, character)
        # The largest of scores with Gumbel noise is a draw from their softmax; twice the scores: a little bolder than it is sure.
        character = gf.cast(gf.argmax(2 * scores(memory) + row, axis=1), gf.int32)
        return (memory, character), character[0]

    blank = gf.zeros([1, UNITS])
    written, _ = gf.scan(write, elems=noise, initializer=((blank, blank), first))
    return first, noise, written


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Teach a recurrent network to write like a text.")
    parser.add_argument("text", type=Path, nargs="?", default=HERE.parent / "LICENSE", help="what to learn from")
    chosen = parser.parse_args(arguments)
    text = " ".join(chosen.text.read_text(encoding="utf-8").split())
    symbols = sorted(set(text))
    numbers = np.array([symbols.index(c) for c in text], np.int32)

    cell, scores = make_cell(len(symbols))
    fed, loss, train = build_training(cell, scores)
    first, noise, written = build_writing(cell, scores, len(symbols))
    random = np.random.default_rng(0)

    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        step = session.make_callable([train, loss], feed_list=[fed])
        start = time.perf_counter()
        for k in range(STEPS):
            length = int(random.integers(20, 60))  # another length in every step: nothing is compiled again
            places = random.integers(0, len(numbers) - length, PIECES)
            _, value = step(np.stack([numbers[p : p + length] for p in places], 1))
            if k % 100 == 0:
                print(f"step {k:4}: {value / np.log(2):.2f} bits a character")
        seconds = time.perf_counter() - start
        drawn = random.gumbel(size=(WRITTEN, len(symbols))).astype(np.float32)
        letters = session.run(written, feed_dict={first: [symbols.index("T")], noise: drawn})

    print(f"\n{STEPS} steps in {seconds:.1f} s; at last {value / np.log(2):.2f} bits a character")
    print(f"it writes: T{''.join(symbols[k] for k in letters)}")


if __name__ == "__main__":
    main()
