"""By hand: the workloads of `workloads/filters.py`."""

import math

import numpy as np
from numba import njit

from tests.benchmarks.by_hand import OPTIONS

DRIFT, PRECISION = 0.05, 4.0


@njit(**OPTIONS)
def leaves(u, tonic, coupling, start):
    """(surprise, gradients by the tonic volatilities and by the couplings)."""
    steps, nodes = u.shape
    means, precisions = np.empty((steps + 1, nodes)), np.empty((steps + 1, nodes))
    means2, precisions2 = np.empty((steps + 1, nodes)), np.empty((steps + 1, nodes))
    volatilities, expecteds, expecteds2 = np.empty((steps, nodes)), np.empty((steps, nodes)), np.empty((steps, nodes))
    for k in range(nodes):
        means[0, k], precisions[0, k], means2[0, k], precisions2[0, k] = start[k, 0], start[k, 1], start[k, 2], start[k, 3]
    total = 0.0
    for t in range(steps):
        for k in range(nodes):
            volatility = math.exp(coupling[k] * means2[t, k] + tonic[k])
            expected = precisions[t, k] / (1 + volatility * precisions[t, k])
            spread = 1 / expected + 1 / PRECISION
            error = u[t, k] - means[t, k]
            precision = expected + PRECISION
            moved = PRECISION / precision * error
            expected2 = precisions2[t, k] / (1 + DRIFT * precisions2[t, k])
            coupled = coupling[k] * volatility * expected
            surplus = (1 / precision + moved * moved) * expected - 1
            precision2 = expected2 + 0.5 * coupled * coupled
            total += 0.5 * (math.log(2 * math.pi * spread) + error * error / spread)
            means[t + 1, k], precisions[t + 1, k] = means[t, k] + moved, precision
            means2[t + 1, k], precisions2[t + 1, k] = means2[t, k] + 0.5 * coupled * surplus / precision2, precision2
            volatilities[t, k], expecteds[t, k], expecteds2[t, k] = volatility, expected, expected2
    d_tonic, d_coupling = np.zeros(nodes), np.zeros(nodes)
    d_mean, d_precision, d_mean2, d_precision2 = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes), np.zeros(nodes)
    for t in range(steps - 1, -1, -1):
        for k in range(nodes):
            c, volatility, expected = coupling[k], volatilities[t, k], expecteds[t, k]
            precision, precision2 = precisions[t + 1, k], precisions2[t + 1, k]
            error, moved, weight = u[t, k] - means[t, k], means[t + 1, k] - means[t, k], volatility * expected
            inverse, inverse2 = 1 / precision, 1 / precision2
            spread_inverse = 1 / (1 / expected + 1 / PRECISION)
            square = inverse + moved * moved
            surplus = square * expected - 1
            # the mean and the precision of the volatility
            d_coupled = d_mean2[k] * 0.5 * surplus * inverse2
            d_surplus = d_mean2[k] * 0.5 * c * weight * inverse2
            d_p2 = d_precision2[k] - d_surplus * surplus * inverse2
            d_coupled += d_p2 * c * weight
            d_expected = d_surplus * square
            d_p = d_precision[k] - d_surplus * expected * inverse * inverse
            d_moved = d_mean[k] + d_surplus * expected * 2 * moved
            d_c = d_coupled * weight
            d_weight = d_coupled * c
            d_precision2[k] = d_p2 * (expecteds2[t, k] / precisions2[t, k]) ** 2
            # the mean, the precision, the surprise
            d_error = d_moved * PRECISION * inverse + error * spread_inverse
            d_p -= d_moved * moved * inverse
            d_spread = 0.5 * (spread_inverse - (error * spread_inverse) ** 2)
            d_expected += d_p + d_weight * volatility - d_spread / (expected * expected)
            d_volatility = d_weight * expected - d_expected * expected * expected
            d_precision[k] = d_expected * (expected / precisions[t, k]) ** 2
            d_mean[k] -= d_error
            d_exponent = d_volatility * volatility
            d_coupling[k] += d_c + d_exponent * means2[t, k]
            d_tonic[k] += d_exponent
            d_mean2[k] += d_exponent * c
    return total, d_tonic, d_coupling


@njit(**OPTIONS)
def kalman(y, theta, mean, covariance, f, h, unit):
    """(negative log-likelihood, gradients by the logarithms of the variances and by the first mean)."""
    steps, n = len(y), 4
    variances = np.exp(theta)
    gains, spreads, errors = np.empty((steps, n)), np.empty(steps), np.empty(steps)
    m, p = mean[:, 0].copy(), covariance.copy()
    m_next, half, g = np.empty(n), np.empty((n, n)), np.empty(n)
    total = 0.5 * steps * math.log(2 * math.pi)
    for t in range(steps):
        for i in range(n):
            a = 0.0
            for j in range(n):
                a += f[i, j] * m[j]
                b = 0.0
                for k in range(n):
                    b += f[i, k] * p[k, j]
                half[i, j] = b
            m_next[i] = a
        for i in range(n):
            for j in range(n):
                b = 0.0
                for k in range(n):
                    b += half[i, k] * f[j, k]
                p[i, j] = b
            p[i, i] += variances[i]
        s, e = variances[4], y[t]
        for i in range(n):
            a = 0.0
            for j in range(n):
                a += p[i, j] * h[j, 0]
            g[i] = a
            s += h[i, 0] * a
            e -= h[i, 0] * m_next[i]
        inverse = 1 / s
        for i in range(n):
            m[i] = m_next[i] + g[i] * e * inverse
            for j in range(n):
                p[i, j] -= g[i] * g[j] * inverse
            gains[t, i] = g[i]
        spreads[t], errors[t] = s, e
        total += 0.5 * (math.log(s) + e * e * inverse)
    d_m, d_p, d_variances, d_g, p_g = np.zeros(n), np.zeros((n, n)), np.zeros(5), np.empty(n), np.empty(n)
    for t in range(steps - 1, -1, -1):
        inverse, e = 1 / spreads[t], errors[t]
        dot, quadratic = 0.0, 0.0
        for i in range(n):
            a = 0.0
            for j in range(n):
                a += d_p[i, j] * gains[t, j]
            p_g[i] = a
            quadratic += gains[t, i] * a
            dot += d_m[i] * gains[t, i]
        d_s = (quadratic - dot * e - 0.5 * e * e) * inverse * inverse + 0.5 * inverse
        d_e = (dot + e) * inverse
        d_variances[4] += d_s
        for i in range(n):
            d_g[i] = (d_m[i] * e - 2 * p_g[i]) * inverse + h[i, 0] * d_s
            m_next[i] = d_m[i] - h[i, 0] * d_e
        for i in range(n):
            for j in range(n):
                d_p[i, j] += 0.5 * (d_g[i] * h[j, 0] + h[i, 0] * d_g[j])
            d_variances[i] += d_p[i, i]
        for i in range(n):
            a = 0.0
            for j in range(n):
                a += f[j, i] * m_next[j]
                b = 0.0
                for k in range(n):
                    b += f[k, i] * d_p[k, j]
                half[i, j] = b
            d_m[i] = a
        for i in range(n):
            for j in range(n):
                b = 0.0
                for k in range(n):
                    b += half[i, k] * f[k, j]
                d_p[i, j] = b
    return total, d_variances * variances, d_m.reshape(n, 1)


@njit(**OPTIONS)
def recursion(x, target, theta, start):
    """(mean square, gradient by both coefficients)."""
    steps = len(x)
    a, b = theta
    y = np.empty(steps + 2)
    y[1], y[0] = start
    total = 0.0
    for t in range(steps):
        y[t + 2] = a * y[t + 1] + (b * y[t] + x[t])
        error = y[t + 2] - target[t]
        total += error * error
    scale = 2 / steps
    d_a, d_b, d_first, d_second = 0.0, 0.0, 0.0, 0.0
    for t in range(steps - 1, -1, -1):
        d = d_first + scale * (y[t + 2] - target[t])
        d_a += d * y[t + 1]
        d_b += d * y[t]
        d_first, d_second = d_second + a * d, b * d
    return total / steps, np.array([d_a, d_b])
