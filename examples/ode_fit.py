"""Fit a differential equation to 21 years of pelts: hares, and the lynx that eat them.

    python examples/ode_fit.py

The Hudson's Bay Company counted the pelts that trappers brought. Lotka and Volterra say how the two animals' numbers move:

    hares' = alpha * hares - beta * hares * lynx
    lynx'  = delta * hares * lynx - gamma * lynx

`gf.integrate.odeint` integrates the equations through the years, in steps as short as they need to be. The logarithms of what
comes out are compared with those of the counts, and `gf.optimize.minimize` finds the six unknowns that fit best: four rates and
the two numbers of the first year. The search is a loop; in it are the loop that integrates and, for the derivatives, one more
that goes from the last year to the first. All of it is one graph, and runs as native code.

The best fit is itself differentiable: the last lines tell how it would move if other counts had been made.
"""

import csv
import time
from pathlib import Path

import numpy as np

import graphflow as gf

DATA = Path(__file__).resolve().parent / "data" / "hudson_bay.csv"


def load():
    """(years, counts [years, 2] of hares and lynx in thousands)."""
    with DATA.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    counts = [[float(row["hare"]), float(row["lynx"])] for row in rows]
    return np.array([int(row["year"]) for row in rows]), np.array(counts)


def slope(numbers, year, alpha, beta, gamma, delta):
    """The change of both numbers in a year."""
    hares, lynx = numbers
    return (alpha - beta * lynx) * hares, (delta * hares - gamma) * lynx


def main():
    years, counts = load()
    times = gf.constant(years.astype(np.float64))
    counted = gf.placeholder(gf.float64, counts.shape, name="counted")

    def simulate(unknowns):
        """The numbers of hares and lynx [years, 2], given the logarithms of the unknowns."""
        *rates, hares, lynx = gf.unstack(gf.exp(unknowns))
        path = gf.integrate.odeint(slope, (hares, lynx), times, rates, rtol=1e-6, atol=1e-6, maximum_steps=50)
        return gf.stack(path, axis=1)

    def misfit(unknowns, counted):
        return gf.reduce_mean(gf.square(gf.log(simulate(unknowns)) - gf.log(counted)))

    # The unknowns are positive, so what is sought is their logarithms. A guess to start with:
    guess = gf.constant(np.log([0.5, 0.025, 0.8, 0.025, *counts[0]]))
    best = gf.optimize.minimize(misfit, guess, [counted], method="bfgs")

    results = [gf.exp(best.x), best.fun, best.iterations, simulate(best.x)]
    # How the logarithm of alpha moves with the logarithm of each count.
    (by_count,) = gf.gradients(best.x[0], counted)
    with gf.Session() as session:
        session.run(results, {counted: counts})  # compiles, or loads from the cache
        start = time.perf_counter()
        found, reached, steps, simulated = session.run(results, {counted: counts})
        seconds = time.perf_counter() - start
        influence = session.run(by_count * counted, {counted: counts})

    print("year     hares  counted      lynx  counted")
    for year, simulation, count in zip(years, simulated, counts, strict=True):
        print(f"{year}  {simulation[0]:8.1f} {count[0]:8.1f}  {simulation[1]:8.1f} {count[1]:8.1f}")
    rates = ", ".join(f"{name} = {value:.4f}" for name, value in zip(("alpha", "beta", "gamma", "delta"), found, strict=False))
    print(f"\n{rates}\nmean square of the logarithms' differences: {reached:.4f}")
    print(f"found in {steps} steps of BFGS, {seconds * 1e3:.1f} ms")
    year, animal = np.unravel_index(np.abs(influence).argmax(), influence.shape)
    print(f"1 % more {('hares', 'lynx')[animal]} in {years[year]} would have changed alpha by {influence[year, animal]:+.2f} %")


if __name__ == "__main__":
    main()
