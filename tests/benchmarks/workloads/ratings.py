"""Glicko ratings of players, game after game, in float64: two vectors are carried, of which each step changes two places."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tests.benchmarks.workload import Step, Workload
from tests.benchmarks.workloads.filters import COMPILED, UNROLLED

Q = math.log(10) / 400


@dataclass(frozen=True)
class Glicko(Workload):
    """Glickman 1999, every game a rating period of its own; `loss` is how badly the ratings foretold the games."""

    games: int = 100_000
    players: int = 1000
    outputs = ("ratings", "deviations", "loss")
    tolerance = 1e-8
    left_out: ClassVar = {
        "torch": UNROLLED,
        "torch-compile": COMPILED,
        "tf-session": "copies both vectors in every step and takes many seconds",
        "tf-function": "copies both vectors in every step and takes many seconds",
    }

    def data(self, random):
        strength = random.normal(1500, 300, self.players)
        first = random.integers(0, self.players, self.games)
        second = (first + random.integers(1, self.players, self.games)) % self.players
        wins = random.uniform(0, 1, self.games) < 1 / (1 + np.exp(-Q * (strength[first] - strength[second])))
        return {
            "pairs": np.stack([first, second], 1).astype(np.int32),
            "scores": np.stack([wins, ~wins], 1).astype(np.float64),
            "ratings": np.full(self.players, 1500.0),
            "deviations": np.full(self.players, 350.0),
        }

    @staticmethod
    def update(m, rating, deviation, scores, other):
        """(next ratings, next deviations, loss) of two players; `other` exchanges them, `m` has log, sqrt and sigmoid."""
        weight = other(1 / m.sqrt(1 + 3 * Q * Q / (math.pi * math.pi) * deviation * deviation))
        expected = m.sigmoid(Q * weight * (rating - other(rating)))
        information = 1 / (deviation * deviation) + Q * Q * weight * weight * expected * (1 - expected)
        rating = rating + Q / information * weight * (scores - expected)
        return rating, 1 / m.sqrt(information), -m.log(scores * expected + (1 - scores) * (1 - expected))[0]

    def graphflow(self, gf, p):
        def body(state, elem):
            (ratings, deviations), (pair, scores) = state, elem
            rating, deviation = gf.gather(ratings, pair), gf.gather(deviations, pair)
            rating, deviation, loss = self.update(gf, rating, deviation, scores, lambda v: gf.reverse(v, [0]))
            places = gf.expand_dims(pair, 1)
            ratings = gf.tensor_scatter_nd_update(ratings, places, rating)
            return (ratings, gf.tensor_scatter_nd_update(deviations, places, deviation)), (loss,)

        start = (p["ratings"], p["deviations"])
        (losses,), (ratings, deviations) = gf.scan(body, elems=(p["pairs"], p["scores"]), initializer=start)
        return Step({"ratings": ratings, "deviations": deviations, "loss": gf.reduce_sum(losses)}, {})

    def jax(self, jax, p):
        class functions:
            log, sqrt, sigmoid = jax.numpy.log, jax.numpy.sqrt, jax.nn.sigmoid

        def body(state, elem):
            (ratings, deviations), (pair, scores) = state, elem
            rating, deviation, loss = self.update(functions, ratings[pair], deviations[pair], scores, lambda v: v[::-1])
            return (ratings.at[pair].set(rating), deviations.at[pair].set(deviation)), loss

        (ratings, deviations), losses = jax.lax.scan(body, (p["ratings"], p["deviations"]), (p["pairs"], p["scores"]))
        return Step({"ratings": ratings, "deviations": deviations, "loss": jax.numpy.sum(losses)}, {})

    def pytensor(self, pt, p):
        from pytensor import scan

        def body(pair, scores, ratings, deviations):
            rating, deviation, loss = self.update(pt, ratings[pair], deviations[pair], scores, lambda v: v[::-1])
            return [pt.set_subtensor(ratings[pair], rating), pt.set_subtensor(deviations[pair], deviation), loss]

        sequences, start = [p["pairs"], p["scores"]], [p["ratings"], p["deviations"], None]
        ratings, deviations, losses = scan(body, sequences, start, return_updates=False)
        return Step({"ratings": ratings[-1], "deviations": deviations[-1], "loss": pt.sum(losses)}, {})

    def numba(self, numba):
        from tests.benchmarks.by_hand import ratings

        return ratings.glicko


WORKLOADS = (Glicko("glicko", "the Glicko ratings of 1,000 players over 100,000 games"),)
