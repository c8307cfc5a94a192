"""Fit a differential equation to 21 years of pelts: hares, and the lynx that eat them.

    python examples/ode_fit.py

The Hudson's Bay Company counted the pelts that trappers brought. Lotka and Volterra say how the two animals' numbers move:

    hares' = alpha * hares - beta * hares * lynx
    lynx'  = delta * hares * lynx - gamma * lynx

The program integrates the equations through the years, compares the logarithms of what comes out with those of the counts, and
finds the six unknowns that fit best: four rates and the two numbers of the first year. The derivatives of the whole simulation
are one more loop, from the last year to the first; the search for the best fit is a loop around both. All of it is one graph, and
runs as native code.
"""

import csv
import time
from pathlib import Path

import numpy as np

import graphflow as gf

DATA = Path(__file__).resolve().parent / "data" / "hudson_bay.csv"
STEPS_OF_A_YEAR = 20


def load():
    """(years, counts [years, 2] of hares and lynx in thousands)."""
    with DATA.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    counts = [[float(row["hare"]), float(row["lynx"])] for row in rows]
    return np.array([float(row["year"]) for row in rows]), np.array(counts)


def slope(numbers, time, rates):
    """The change of both numbers in a year."""
    (hares, lynx), (alpha, beta, gamma, delta) = numbers, rates
    return (alpha - beta * lynx) * hares, (delta * hares - gamma) * lynx


def main():
    years, counts = load()

    def simulate(unknowns):
        """The numbers of hares and lynx, a row for each year, given the logarithms of the unknowns."""
        *rates, hares, lynx = gf.unstack(gf.exp(unknowns))
        path = gf.integrate.odeint(slope, (hares, lynx), years - years[0], args=[rates], method="rk4", steps=STEPS_OF_A_YEAR)
        return gf.stack(list(path), axis=1)

    def misfit(unknowns):
        return gf.reduce_mean(gf.square(gf.log(simulate(unknowns)) - np.log(counts)))

    # The unknowns are positive, so what is sought is their logarithms. A guess to start with:
    guess = gf.constant(np.log([0.5, 0.025, 0.8, 0.025, *counts[0]]))
    best = gf.optimize.minimize(misfit, guess, method="bfgs")

    results = [gf.exp(best.x), best.fun, best.iterations, simulate(best.x)]
    with gf.Session() as session:
        fit = session.make_callable(results)
        fit()  # compiles, or loads from the cache
        start = time.perf_counter()
        found, reached, steps, simulated = fit()
        seconds = time.perf_counter() - start

    print("year     hares  counted      lynx  counted")
    for year, simulation, count in zip(years, simulated, counts, strict=True):
        print(f"{year:.0f}  {simulation[0]:8.1f} {count[0]:8.1f}  {simulation[1]:8.1f} {count[1]:8.1f}")
    rates = ", ".join(f"{name} = {value:.4f}" for name, value in zip(("alpha", "beta", "gamma", "delta"), found, strict=False))
    print(f"\n{rates}\nmean square of the logarithms' differences: {reached:.4f}")
    print(f"found in {steps} steps of BFGS, {seconds * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
