"""By hand: the workloads of `workloads/dynamics.py`."""

import math

import numpy as np
from numba import njit

from tests.benchmarks.by_hand import OPTIONS

DAYS = 0.25


@njit(**OPTIONS)
def epidemic(cases, season, theta):
    """(negative log-likelihood, gradient)."""
    steps = len(cases)
    incubation, recovery, reported, first = math.exp(theta[2]), math.exp(theta[3]), math.exp(theta[4]), math.exp(theta[5])
    ss, es, is_, contacts = np.empty(steps), np.empty(steps), np.empty(steps), np.empty(steps)
    s, e, i = 1 - 2 * first, first, first
    total = 0.0
    for t in range(steps):
        contact = math.exp(theta[0] + theta[1] * season[t])
        ss[t], es[t], is_[t], contacts[t] = s, e, i, contact
        infected = DAYS * contact * s * i
        ill, well = DAYS * incubation * e, DAYS * recovery * i
        expected = reported * ill
        total += expected - cases[t] * math.log(expected)
        s, e, i = s - infected, e + infected - ill, i + ill - well
    d_s, d_e, d_i = 0.0, 0.0, 0.0
    d_contact, d_season, d_incubation, d_recovery, d_reported = 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(steps - 1, -1, -1):
        s, e, i, contact = ss[t], es[t], is_[t], contacts[t]
        ill = DAYS * incubation * e
        d_expected = 1 - cases[t] / (reported * ill)
        d_ill = d_expected * reported + d_i - d_e
        d_infected = (d_e - d_s) * DAYS * contact
        d_well = -d_i * DAYS
        d_reported += d_expected * ill
        d_incubation += d_ill * e
        d_recovery += d_well * i
        d_exponent = d_infected * s * i
        d_contact += d_exponent
        d_season += d_exponent * season[t]
        d_s, d_e, d_i = d_s + d_infected * i, d_e + d_ill * DAYS * incubation, d_i + d_infected * s + d_well * recovery
    d_first = d_e + d_i - 2 * d_s
    return total, np.array([
        d_contact, d_season, d_incubation * DAYS * incubation, d_recovery * recovery, d_reported * reported, d_first * first
    ])  # fmt: skip


STEP = 0.004


@njit(inline="always", **OPTIONS)
def slope(a, b, c, sigma, rho, beta):
    """Lorenz's equations."""
    return sigma * (b - a), a * (rho - c) - b, a * b - beta * c


@njit(inline="always", **OPTIONS)
def pulled(a, b, c, sigma, rho, beta, u, v, w):
    """What (u, v, w) at the slope pulls back to the place."""
    return (rho - c) * v - sigma * u + b * w, sigma * u - v + a * w, -a * v - beta * w


@njit(**OPTIONS)
def lorenz(path, theta, start):
    """(mean square distance, gradients by the parameters and by the start)."""
    steps, h = len(path), STEP
    sigma, rho, beta = theta
    places = np.empty((steps + 1, 3))
    a, b, c = start
    places[0, 0], places[0, 1], places[0, 2] = a, b, c
    total = 0.0
    for t in range(steps):
        a1, b1, c1 = slope(a, b, c, sigma, rho, beta)
        a2, b2, c2 = slope(a + h / 2 * a1, b + h / 2 * b1, c + h / 2 * c1, sigma, rho, beta)
        a3, b3, c3 = slope(a + h / 2 * a2, b + h / 2 * b2, c + h / 2 * c2, sigma, rho, beta)
        a4, b4, c4 = slope(a + h * a3, b + h * b3, c + h * c3, sigma, rho, beta)
        a += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        b += h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
        c += h / 6 * (c1 + 2 * c2 + 2 * c3 + c4)
        places[t + 1, 0], places[t + 1, 1], places[t + 1, 2] = a, b, c
        total += (a - path[t, 0]) ** 2 + (b - path[t, 1]) ** 2 + (c - path[t, 2]) ** 2
    scale = 2 / (3 * steps)
    u, v, w = 0.0, 0.0, 0.0
    d_sigma, d_rho, d_beta = 0.0, 0.0, 0.0
    for t in range(steps - 1, -1, -1):
        u += scale * (places[t + 1, 0] - path[t, 0])
        v += scale * (places[t + 1, 1] - path[t, 1])
        w += scale * (places[t + 1, 2] - path[t, 2])
        a, b, c = places[t, 0], places[t, 1], places[t, 2]
        a1, b1, c1 = slope(a, b, c, sigma, rho, beta)
        p2, q2, r2 = a + h / 2 * a1, b + h / 2 * b1, c + h / 2 * c1
        a2, b2, c2 = slope(p2, q2, r2, sigma, rho, beta)
        p3, q3, r3 = a + h / 2 * a2, b + h / 2 * b2, c + h / 2 * c2
        a3, b3, c3 = slope(p3, q3, r3, sigma, rho, beta)
        p4, q4, r4 = a + h * a3, b + h * b3, c + h * c3
        u4, v4, w4 = h / 6 * u, h / 6 * v, h / 6 * w
        x4, y4, z4 = pulled(p4, q4, r4, sigma, rho, beta, u4, v4, w4)
        u3, v3, w3 = h / 3 * u + h * x4, h / 3 * v + h * y4, h / 3 * w + h * z4
        x3, y3, z3 = pulled(p3, q3, r3, sigma, rho, beta, u3, v3, w3)
        u2, v2, w2 = h / 3 * u + h / 2 * x3, h / 3 * v + h / 2 * y3, h / 3 * w + h / 2 * z3
        x2, y2, z2 = pulled(p2, q2, r2, sigma, rho, beta, u2, v2, w2)
        u1, v1, w1 = h / 6 * u + h / 2 * x2, h / 6 * v + h / 2 * y2, h / 6 * w + h / 2 * z2
        x1, y1, z1 = pulled(a, b, c, sigma, rho, beta, u1, v1, w1)
        d_sigma += (b - a) * u1 + (q2 - p2) * u2 + (q3 - p3) * u3 + (q4 - p4) * u4
        d_rho += a * v1 + p2 * v2 + p3 * v3 + p4 * v4
        d_beta -= c * w1 + r2 * w2 + r3 * w3 + r4 * w4
        u, v, w = u + x1 + x2 + x3 + x4, v + y1 + y2 + y3 + y4, w + z1 + z2 + z3 + z4
    return total / (3 * steps), np.array([d_sigma, d_rho, d_beta]), np.array([u, v, w])


@njit(inline="always", **OPTIONS)
def implicit(y1, y2, y3, h, k1, k2, k3):
    """x of (1 - h df/dy) x = f, for Robertson's equations."""
    forth, back, rest = k1 * y1, k3 * y2 * y3, k2 * y2 * y2
    f1, f2, f3 = back - forth, forth - back - rest, rest
    e, b, c, d = h * k1, h * k3 * y3, h * k3 * y2, 2 * h * k2 * y2
    inverse = 1 / (1 + e)
    share = e * inverse
    x2 = (f2 - c * f3 + share * (f1 + c * f3)) / (1 + b + d + c * d - share * (b + c * d))
    x3 = f3 + d * x2
    return (f1 + b * x2 + c * x3) * inverse, x2, x3


@njit(**OPTIONS)
def robertson(hs, path, theta, start):
    """(mean square distance, gradient by the logarithms of the rates)."""
    steps = len(hs)
    k1, k2, k3 = math.exp(theta[0]), math.exp(theta[1]), math.exp(theta[2])
    places, slopes = np.empty((steps + 1, 3)), np.empty((steps, 3))
    y1, y2, y3 = start
    places[0, 0], places[0, 1], places[0, 2] = y1, y2, y3
    total = 0.0
    for t in range(steps):
        h = hs[t]
        x1, x2, x3 = implicit(y1, y2, y3, h, k1, k2, k3)
        y1, y2, y3 = y1 + h * x1, y2 + h * x2, y3 + h * x3
        slopes[t, 0], slopes[t, 1], slopes[t, 2] = x1, x2, x3
        places[t + 1, 0], places[t + 1, 1], places[t + 1, 2] = y1, y2, y3
        total += (y1 - path[t, 0]) ** 2 + (1e4 * y2 - path[t, 1]) ** 2 + (y3 - path[t, 2]) ** 2
    scale = 2 / (3 * steps)
    d_k1, d_k2, d_k3 = 0.0, 0.0, 0.0
    g1, g2, g3 = 0.0, 0.0, 0.0
    for t in range(steps - 1, -1, -1):
        g1 += scale * (places[t + 1, 0] - path[t, 0])
        g2 += scale * 1e4 * (1e4 * places[t + 1, 1] - path[t, 1])
        g3 += scale * (places[t + 1, 2] - path[t, 2])
        h, y1, y2, y3 = hs[t], places[t, 0], places[t, 1], places[t, 2]
        x1, x2, x3 = slopes[t, 0], slopes[t, 1], slopes[t, 2]
        e, b, c, d = h * k1, h * k3 * y3, h * k3 * y2, 2 * h * k2 * y2
        # u solves the transposed system for h g
        r1, r2, r3 = h * g1, h * g2, h * g3
        inverse = 1 / (1 + e)
        mixed = (b + d * c) * inverse
        u2 = (r2 + d * r3 + mixed * r1) / (1 + b + d + d * c - mixed * e)
        u1 = (r1 + e * u2) * inverse
        u3 = r3 + c * (u1 - u2)
        # by the entries of the matrix, then by what they and the slopes are made of
        d_e, d_b, d_c, d_d = u2 * x1 - u1 * x1, (u1 - u2) * x2, (u1 - u2) * x3, (u3 - u2) * x2
        d_k1 += y1 * (u2 - u1) + h * d_e
        d_k2 += y2 * (y2 * (u3 - u2) + 2 * h * d_d)
        d_k3 += y2 * y3 * (u1 - u2) + h * (y3 * d_b + y2 * d_c)
        g1 += k1 * (u2 - u1)
        g2 += k3 * y3 * (u1 - u2) + 2 * k2 * y2 * (u3 - u2) + h * (k3 * d_c + 2 * k2 * d_d)
        g3 += k3 * (y2 * (u1 - u2) + h * d_b)
    return total / (3 * steps), np.array([d_k1 * k1, d_k2 * k2, d_k3 * k3])


SECONDS, DAMPING, STIFFNESS, STRONGEST, PRICE = 0.01, 0.6, 1.5, 8.0, 1e-3


@njit(**OPTIONS)
def controlled(wanted, gains, start):
    """(mean cost, gradient by the gains)."""
    steps, dt = len(wanted), SECONDS
    p, i, d = gains
    errors, totals, changes, strengths = np.empty(steps), np.empty(steps), np.empty(steps), np.empty(steps)
    place, speed, total, before = start
    cost = 0.0
    for t in range(steps):
        error = wanted[t] - place
        total += dt * error
        change = (error - before) / dt
        strength = math.tanh((p * error + i * total + d * change) / STRONGEST)
        force = STRONGEST * strength
        errors[t], totals[t], changes[t], strengths[t] = error, total, change, strength
        speed += dt * (force - DAMPING * speed - STIFFNESS * place)
        place += dt * speed
        before = error
        cost += error * error + PRICE * force * force
    d_p, d_i, d_d = 0.0, 0.0, 0.0
    d_place, d_speed, d_total, d_before = 0.0, 0.0, 0.0, 0.0
    for t in range(steps - 1, -1, -1):
        error, strength = errors[t], strengths[t]
        d_speed += dt * d_place
        d_force = dt * d_speed + 2 * PRICE * STRONGEST * strength / steps
        d_signal = d_force * (1 - strength * strength)
        d_place -= dt * STIFFNESS * d_speed
        d_speed *= 1 - dt * DAMPING
        d_p += d_signal * error
        d_i += d_signal * totals[t]
        d_d += d_signal * changes[t]
        d_total += d_signal * i
        d_change = d_signal * d / dt
        d_place -= 2 * error / steps + d_signal * p + d_before + d_change + d_total * dt
        d_before = -d_change
    return cost / steps, np.array([d_p, d_i, d_d])
