"""By hand: the workloads of `workloads/lanes.py`."""

import math

import numpy as np
from numba import njit, prange

from tests.benchmarks.by_hand import OPTIONS

PRIOR, ENOUGH, MOST = 0.1, 1e-8, 50


@njit(parallel=True, **OPTIONS)
def fits(x, y):
    """(coefficients, losses)."""
    lanes, points = x.shape
    coefficients, losses = np.empty((lanes, 2)), np.empty(lanes)
    for lane in prange(lanes):
        a, b = 0.0, 0.0
        for _ in range(MOST):
            h11, h12, h22, g1, g2 = PRIOR, 0.0, PRIOR, -PRIOR * a, -PRIOR * b
            for k in range(points):
                u = x[lane, k]
                expected = 1 / (1 + math.exp(-a - b * u))
                weight, error = expected * (1 - expected), y[lane, k] - expected
                h11 += weight
                h12 += weight * u
                h22 += weight * u * u
                g1 += error
                g2 += error * u
            inverse = 1 / (h11 * h22 - h12 * h12)
            da, db = (h22 * g1 - h12 * g2) * inverse, (h11 * g2 - h12 * g1) * inverse
            a += da
            b += db
            if max(abs(da), abs(db)) <= ENOUGH:
                break
        loss = 0.5 * PRIOR * (a * a + b * b)
        for k in range(points):
            score = a + b * x[lane, k]
            loss += math.log(1 + math.exp(score)) - y[lane, k] * score
        coefficients[lane, 0], coefficients[lane, 1], losses[lane] = a, b, loss
    return coefficients, losses


LIMIT = 100


@njit(parallel=True, **OPTIONS)
def mandelbrot(x, y):
    """(counts,)."""
    counts = np.empty(len(x), np.int32)
    for k in prange(len(x)):
        zx, zy, n = 0.0, 0.0, 0
        while n < LIMIT and zx * zx + zy * zy <= 4:
            zx, zy = zx * zx - zy * zy + x[k], 2 * zx * zy + y[k]
            n += 1
        counts[k] = n
    return (counts,)


STRIKE, BARRIER, RATE = 100.0, 90.0, 0.03
BLOCK = 256  # paths side by side


@njit(parallel=True, **OPTIONS)
def bridge(z, theta):
    """(price, gradient by the spot price and the volatility)."""
    steps, paths = z.shape
    spot, volatility = theta
    dt = 1 / steps
    drift, spread = (RATE - 0.5 * volatility * volatility) * dt, volatility * math.sqrt(dt)
    sharpness = 2 / (volatility * volatility * dt)
    discount, start = math.exp(-RATE), math.log(spot / BARRIER)
    total, d_start, d_drift, d_spread, d_sharpness = 0.0, 0.0, 0.0, 0.0, 0.0
    for block in prange((paths + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        count = min(BLOCK, paths - first)
        xs, alives, touches = np.empty((steps + 1, count)), np.empty((steps + 1, count)), np.empty((steps, count))
        for k in range(count):
            xs[0, k], alives[0, k] = start, 1.0
        for t in range(steps):
            for k in range(count):
                x = xs[t, k]
                moved = x + drift + spread * z[t, first + k]
                touched = math.exp(-sharpness * (max(x, 0.0) * max(moved, 0.0)))
                xs[t + 1, k], alives[t + 1, k], touches[t, k] = moved, alives[t, k] * (1 - touched), touched
        d_x, d_alive = np.empty(count), np.empty(count)
        for k in range(count):
            last = BARRIER * math.exp(xs[steps, k])
            payoff = max(last - STRIKE, 0.0)
            total += payoff * alives[steps, k]
            d_alive[k] = payoff
            d_x[k] = last * alives[steps, k] if payoff > 0 else 0.0
        for t in range(steps - 1, -1, -1):
            for k in range(count):
                x, moved, touched = xs[t, k], xs[t + 1, k], touches[t, k]
                a, b = max(x, 0.0), max(moved, 0.0)
                d_product = d_alive[k] * alives[t, k] * touched
                d_sharpness += d_product * a * b
                d_moved = d_x[k] + (d_product * sharpness * a if moved > 0 else 0.0)
                d_drift += d_moved
                d_spread += d_moved * z[t, first + k]
                d_x[k] = d_moved + (d_product * sharpness * b if x > 0 else 0.0)
                d_alive[k] *= 1 - touched
        for k in range(count):
            d_start += d_x[k]
    scale = discount / paths
    d_volatility = -volatility * dt * d_drift + math.sqrt(dt) * d_spread - 2 * sharpness / volatility * d_sharpness
    return scale * total, np.array([scale * d_start / spot, scale * d_volatility])
