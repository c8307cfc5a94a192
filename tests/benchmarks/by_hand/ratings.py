"""By hand: the workload of `workloads/ratings.py`."""

import math

from numba import njit

from tests.benchmarks.by_hand import OPTIONS

Q = math.log(10) / 400


@njit(**OPTIONS)
def glicko(pairs, scores, ratings, deviations):
    """(ratings, deviations, loss)."""
    ratings, deviations = ratings.copy(), deviations.copy()
    factor, total = 3 * Q * Q / (math.pi * math.pi), 0.0
    for game in range(len(pairs)):
        i, j, score = pairs[game, 0], pairs[game, 1], scores[game, 0]
        di, dj = deviations[i], deviations[j]
        gi, gj = 1 / math.sqrt(1 + factor * dj * dj), 1 / math.sqrt(1 + factor * di * di)
        difference = ratings[i] - ratings[j]
        ei, ej = 1 / (1 + math.exp(-Q * gi * difference)), 1 / (1 + math.exp(Q * gj * difference))
        ii, ij = 1 / (di * di) + Q * Q * gi * gi * ei * (1 - ei), 1 / (dj * dj) + Q * Q * gj * gj * ej * (1 - ej)
        ratings[i] += Q / ii * gi * (score - ei)
        ratings[j] += Q / ij * gj * (1 - score - ej)
        deviations[i], deviations[j] = 1 / math.sqrt(ii), 1 / math.sqrt(ij)
        total -= math.log(score * ei + (1 - score) * (1 - ei))
    return ratings, deviations, total
