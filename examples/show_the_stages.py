"""What graphflow makes of a program, stage by stage.

A run goes down one straight path. `session.explain(fetch)` prints the text of every stage on it:

    program      what was captured: inputs, a line per op with its type and the line of this file that built it, outputs
    passes       what each rewriting pass changed: constants folded, terms simplified, equal things merged
    groups       which ops share a kernel, and why a group ends where it does
    kernels      the Python source that numba compiles, one function for each group
    memory plan  where each buffer lies in the one block of memory that a run uses
"""

import numpy as np

import graphflow as gf


def main():
    # A layer with an activation, a loss, and the gradient of the loss: small enough to read all of it.
    x = gf.placeholder(gf.float32, [None, 3], name="x")
    w = gf.Variable(np.float32([[0.5, -0.5], [1.0, 0.0], [0.0, 1.0]]), name="w")
    h = gf.tanh(gf.matmul(x, w))
    loss = gf.reduce_mean(h * h + 0.0)  # "+ 0.0" is there for the passes to find
    (dw,) = gf.gradients(loss, [w])

    with gf.Session() as session:
        session.run(gf.global_variables_initializer())
        value, slope = session.run([loss, dw], feed_dict={x: [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]})
        print(f"loss = {value:.4f}, and its gradient by w is\n{slope}\n")
        text = session.explain([loss, dw])
    print(text)

    # The same as a picture: Graphviz text, a networkx graph, or a file (gf.viz.save).
    print("\nThe same graph in the language of Graphviz begins like this:\n")
    print("\n".join(gf.viz.to_dot([loss, dw]).splitlines()[:12]))
    return text


if __name__ == "__main__":
    main()
