"""Source of our own matrix product. Not imported: its text is compiled and cached like a kernel's, by `runtime.blas`.

`gemm` has the signature of a row-major `cblas_sgemm`, so that kernels call either by address. `product` is what it does: sums
over `outer` x `inner` of A[row, o, i] B[o * inner + i, column], with any strides (in elements) of A and of B. A convolution is
that too: rows of A are pixels, `outer` runs over the rows of a window and `inner` along them.

The columns are cut into panels of WIDTH, which are copied to lie together (`packed`) where they are read often enough, or where
they do not lie in rows of whole vectors; a panel passes all rows of A in blocks of up to ROWS (`codegen.blocks`). Every result
is the sum of its products in the order of the depth, cut into parts of DEPTH: which rows share a block changes no bit.

NUMBER, SIZE (bytes), SUFFIX, ROWS, WIDTH and LANES are filled in for the dtype and the machine.
"""


def blocks(
    rows, panel, a, a_row, a_outer, a_inner, b, b_step, outer, inner, alpha: NUMBER, beta: NUMBER, old, old_row, c, c_row,
):
    """All rows of one panel; the first block copies it to `panel`, unless that is 0."""
    if panel != 0:
        block_SUFFIX(
            ROWS, a, a_row, a_outer, a_inner, b, b_step, outer, inner, panel, alpha, beta, old, old_row, c, c_row
        )
        rows = rows - ROWS
        a = a + SIZE * ROWS * a_row
        c = c + SIZE * ROWS * c_row
        old = old + SIZE * ROWS * old_row
        b = panel
        b_step = WIDTH
    parts = index_div(rows + ROWS - 1, ROWS)
    while parts > 0:
        height = index_div(rows + parts - 1, parts)
        HEIGHTS
        rows = rows - height
        a = a + SIZE * height * a_row
        c = c + SIZE * height * c_row
        old = old + SIZE * height * old_row
        parts = parts - 1


def product(
    rows, columns, outer, inner, alpha: NUMBER, a, a_row, a_outer, a_inner, b, b_step, b_column, beta: NUMBER, c, c_row,
):
    """C = alpha * A B + beta * C for a depth of outer * inner <= DEPTH; C is not read where beta is 0."""
    packed = scratch_SUFFIX(PANEL, 0)
    edge = scratch_SUFFIX(EDGE, 1)
    zeros = scratch_SUFFIX(WIDTH, 2)
    zero = NUMBER(0.0)
    for j in range(WIDTH):
        zeros[j] = zero
    depth = outer * inner
    source = view_SUFFIX(b)
    target = view_SUFFIX(c)
    column = 0
    while column < columns:
        wide = min(WIDTH, columns - column)
        at_b = b + SIZE * column * b_column
        at_c = c + SIZE * column
        panel = 0
        step = b_step
        if wide < WIDTH or b_column != 1:
            done = 0
            if wide == WIDTH and b_step == 1:
                done = index_div(depth, LANES) * LANES
                for part in range(VECTORS):
                    at = b + SIZE * (column + part * LANES) * b_column
                    for k in range(index_div(depth, LANES)):
                        there = address(packed) + SIZE * LANES * (k * WIDTH + part)
                        transpose_SUFFIX(at + SIZE * k * LANES, b_column, there, WIDTH)
            whole = 0
            if b_column == 1:
                whole = index_div(wide, LANES)
            for k in range(done, depth):
                at = address(packed) + SIZE * k * WIDTH
                for part in range(whole):
                    merge_SUFFIX(at_b + SIZE * (k * b_step + part * LANES), at + SIZE * part * LANES)
                for j in range(whole * LANES, wide):
                    packed[k * WIDTH + j] = source[k * b_step + (column + j) * b_column]
                for j in range(wide, WIDTH):
                    packed[k * WIDTH + j] = zero
            at_b = address(packed)
            step = WIDTH
        elif rows >= 2 * ROWS and b_step != WIDTH:
            panel = address(packed)
        old = address(zeros)
        old_row = 0
        if wide == WIDTH:
            if beta != zero:
                old = at_c
                old_row = c_row
            blocks(
                rows, panel, a, a_row, a_outer, a_inner, at_b, step, outer, inner, alpha, beta, old, old_row, at_c, c_row
            )
        else:
            first = 0
            while first < rows:
                height = min(ROWS, rows - first)
                at_a = a + SIZE * first * a_row
                there = address(edge)
                blocks(
                    height, 0, at_a, a_row, a_outer, a_inner, at_b, step, outer, inner, alpha, zero, old, 0, there, WIDTH
                )
                for i in range(height):
                    at = (first + i) * c_row + column
                    whole = index_div(wide, LANES)
                    if beta == zero:
                        for part in range(whole):
                            merge_SUFFIX(there + SIZE * (i * WIDTH + part * LANES), c + SIZE * (at + part * LANES))
                        for j in range(whole * LANES, wide):
                            target[at + j] = edge[i * WIDTH + j]
                    else:
                        for part in range(whole):
                            merge_SUFFIX(there + SIZE * (i * WIDTH + part * LANES), c + SIZE * (at + part * LANES), beta)
                        for j in range(whole * LANES, wide):
                            target[at + j] = edge[i * WIDTH + j] + beta * target[at + j]
                first = first + height
        column = column + wide


def gemm(
    order: int32, transpose_a: int32, transpose_b: int32, rows: int32, columns: int32, depth: int32, alpha: NUMBER, a,
    lda: int32, b, ldb: int32, beta: NUMBER, c, ldc: int32,
):
    """C = alpha op(A) op(B) + beta C: 111 means as it stands, 112 transposed."""
    a_row = lda
    a_step = 1
    if transpose_a == 112:
        a_row = 1
        a_step = lda
    b_step = ldb
    b_column = 1
    if transpose_b == 112:
        b_step = 1
        b_column = ldb
    parts = max(1, index_div(depth + DEPTH - 1, DEPTH))
    while parts > 0:
        count = index_div(depth + parts - 1, parts)
        product(rows, columns, 1, count, alpha, a, a_row, 0, a_step, b, b_step, b_column, beta, c, ldc)
        beta = NUMBER(1.0)
        a = a + SIZE * count * a_step
        b = b + SIZE * count * b_step
        depth = depth - count
        parts = parts - 1
