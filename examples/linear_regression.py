"""Fit a line to noisy points: the first example of every tutorial.

The points lie around y = 3 x + 2. The program knows only the points; it finds w = 3 and b = 2 by walking downhill.
"""

import numpy as np

import graphflow as gf

TRUE_W, TRUE_B = 3.0, 2.0


def main():
    # Points around the line.
    random = np.random.default_rng(0)
    xs = random.uniform(-1, 1, 200).astype(np.float32)
    ys = (TRUE_W * xs + TRUE_B + random.normal(0, 0.1, 200)).astype(np.float32)

    # The graph: placeholders are fed at every run, variables are what is learned.
    x = gf.placeholder(gf.float32, [None], name="x")
    y = gf.placeholder(gf.float32, [None], name="y")
    w = gf.Variable(0.0, name="w")
    b = gf.Variable(0.0, name="b")
    loss = gf.reduce_mean(gf.square(w * x + b - y))

    # The optimizer builds the derivatives of the loss and the updates w -= 0.2 * dloss/dw, b -= 0.2 * dloss/db.
    train = gf.train.GradientDescentOptimizer(0.2).minimize(loss)

    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        for step in range(200):
            _, value = session.run([train, loss], feed_dict={x: xs, y: ys})
            if step % 50 == 0:
                print(f"step {step:3d}: loss {value:.4f}")
        learned_w, learned_b = session.run([w, b])

    print(f"w = {learned_w:.3f} (the line has {TRUE_W}), b = {learned_b:.3f} (the line has {TRUE_B})")
    return float(learned_w), float(learned_b)


if __name__ == "__main__":
    main()
