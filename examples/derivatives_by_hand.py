"""Derivatives that can be checked with pencil and paper.

`gf.gradients(y, [x])` does not compute a number: it builds the derivative of y by x as more graph, which a session runs and
which can be differentiated again.
"""

import graphflow as gf


def main():
    results = []
    with gf.Session() as session:
        # y = x^2 + 3x + 1,  dy/dx = 2x + 3,  at x = 2: 7
        x = gf.placeholder(gf.float32, [], name="x")
        y = x**2 + 3 * x + 1
        (dy_dx,) = gf.gradients(y, [x])
        results.append(session.run(dy_dx, {x: 2.0}))
        print(f"y = x^2 + 3x + 1          dy/dx at 2  = {results[-1]:.6g}   (by hand: 2x + 3 = 7)")

        # The derivative is graph as well: differentiate it again.
        (second,) = gf.gradients(dy_dx, [x])
        results.append(session.run(second, {x: 2.0}))
        print(f"                        d2y/dx2 at 2  = {results[-1]:.6g}   (by hand: 2)")

        # z = 5 (2x^2 + 3) + 6,  dz/dx = 20x,  at x = 10: 200
        x = gf.placeholder(gf.float32, [], name="x")
        y = 2 * x**2 + 3
        z = 5 * y + 6
        (dz_dx,) = gf.gradients(z, [x])
        results.append(session.run(dz_dx, {x: 10.0}))
        print(f"z = 5(2x^2 + 3) + 6       dz/dx at 10 = {results[-1]:.6g} (by hand: 20x = 200)")

        # z = y*y + 1/(b*y) with y = 2x^2 + 3a and b = 6xa, at a = 5, x = 10.
        # By hand: dz/dx = 2y * 4x - (b'y + b*4x) / (b*y)^2 with b' = 6a; y = 215, so 2*215*40 = 17200 and a tiny rest.
        a = gf.placeholder(gf.float32, [], name="a")
        x = gf.placeholder(gf.float32, [], name="x")
        y = 2 * x**2 + 3 * a
        b = 6 * x * a
        z = y * y + 1 / (b * y)
        (dz_dx,) = gf.gradients(z, [x])
        results.append(session.run(dz_dx, {a: 5.0, x: 10.0}))
        print(f"z = y*y + 1/(b*y)         dz/dx at 10 = {results[-1]:.6g} (by hand: 17200 to float accuracy)")
    return [float(value) for value in results]


if __name__ == "__main__":
    main()
