"""Source of the product of a convolution. Not imported: its text is compiled and cached like a kernel's, by `runtime.blas`.

C[c_rows[r], column] = sum over `outer` x `inner` of A[a_rows[r], o, i] B[o, i, column], added to what stands there where
`accumulate` is 1. Rows lie where the lists say (offsets in elements), so that all pixels of an image, or of a part of it, are
rows of one product. The columns are cut into panels of WIDTH; a panel passes all rows in blocks of up to ROWS
(`codegen.listed_blocks`).
"""


def listed(
    rows,
    columns,
    outer,
    inner,
    a,
    a_rows,
    a_outer,
    a_inner,
    b,
    b_outer,
    b_step,
    accumulate,
    c,
    c_rows,
):
    """All rows and columns."""
    column = 0
    while column < columns:
        wide = min(WIDTH, columns - column)
        at_a = a_rows
        at_c = c_rows
        to = c + SIZE * column
        rest = rows
        parts = index_div(rows + ROWS - 1, ROWS)
        while parts > 0:
            height = index_div(rest + parts - 1, parts)
            if wide == WIDTH:
                WHOLE
            elif wide > LANES:
                NARROW
            else:
                SINGLE
            rest = rest - height
            at_a = at_a + 8 * height
            at_c = at_c + 8 * height
            parts = parts - 1
        column = column + WIDTH
        b = b + SIZE * WIDTH
