"""Source of the native driver. Not imported: its text is compiled and cached like a kernel's, by `runtime.native`.

`run_table` walks the rows of a launch program; `move` does those that launch nothing; `worker` is what a thread of the pool
runs. A row is ROW int64s:

    address | slot numbers | how many | dims | extent | grain | may it fail? | estimated work, ns
    of move | slot numbers | how many | values | op | row to go to | 2 | estimated work of a step, ns

A context is 16 int64s:

    slots | pointer block | errors | pool or 0 | failed row + 1 or 0 | table | rows | address of run_table | release the GIL?
    9 its own address | 10 next row | 11 poll() | 12 work to do before it is called | 13 memmove() | 14 a word for move
    15 memset()

A failed row of -1 means that the run was interrupted, and so does an error record that begins with -1, which kernels may
write after poll() gave something else than 0 (`native.poll_address`). An error record is

    which check, from 1 | index | size | numbers of the steps in the kernel's own loops, from 1, up to five, outer ones first

A pool is 64 int64s, each counter on a cache line of its own:

    0 job number | 8 next chunk | 16 chunks done | 24 workers inside | 32 sleeping workers | 40 locked | 48.. the job:
    48 kernel | 49 pointers | 50 dims | 51 extent | 52 grain | 53 open | 54 stop | 55 read() | 56 write() | 57, 58 pipe
    64 work to do without it | 65 for how many times a stall | 66 work since | 67 clock() | 68 which | 69, 70 what it says
    71 processor() | 72 the caller's
    128 runs that may have work for it

Where another process keeps a worker's processor busy, the worker stops in the middle of a chunk for milliseconds, and the run
waits. After such a stall the work of the next runs is done without workers, for 8 times as long as the stall took; twice that
after every further stall that follows soon. A worker that finds itself on the caller's processor, where it would only displace
it, goes to sleep for a while. So a busy processor costs little more than what it could have saved.
"""

from graphflow.codegen.intrinsics import (
    add_i64,
    call_address,
    call_kernel,
    exchange_i64,
    index_div,
    index_mod,
    load_i64,
    pause,
    store_i64,
    view_i64,
)

# A worker waits 4,000 rounds, some 20 us, before it sleeps: longer than the pause between two runs in a loop. While a run goes
# on it waits up to 100,000, so that it is awake when the rows that one thread does by itself are done: waking it takes 40 us.


def run_table(buffers, dims, begin, end):
    """Run the rows of the table `dims` on the context `buffers`: slots, pointer block, errors, pool, failed row."""
    slots = view_i64(buffers[0])
    pointers = view_i64(buffers[1])
    errors = view_i64(buffers[2])
    pool = buffers[3]
    if pool != 0:
        add_i64(pool + 1024, 1)
    row = begin
    while row < end:
        at = row * 8
        if dims[at + 6] == 2:
            call_kernel(dims[at], buffers[9], buffers[5] + 8 * at, row, end)
            row = buffers[10]
        else:
            row += 1
            numbers = view_i64(dims[at + 1])
            for k in range(dims[at + 2]):
                pointers[k] = slots[numbers[k]]
            kernel = dims[at]
            sizes = dims[at + 3]
            extent = dims[at + 4]
            grain = dims[at + 5]
            if extent <= grain:
                if extent > 0:
                    call_kernel(kernel, buffers[1], sizes, 0, extent)
            elif pool == 0 or load_i64(pool + 512) > 0 or exchange_i64(pool + 320, 0, 1) != 0:
                if pool != 0:
                    add_i64(pool + 512, 0 - dims[at + 7])
                start = 0
                while start < extent:
                    call_kernel(kernel, buffers[1], sizes, start, min(extent, start + grain))
                    start += grain
            else:
                job = view_i64(pool)
                job[48] = kernel
                job[49] = buffers[1]
                job[50] = sizes
                job[51] = extent
                job[52] = grain
                if job[71] != 0:
                    job[72] = call_address(job[71], 0, 0, 0, 0, 0, 0, 0)
                store_i64(pool + 64, 0)
                store_i64(pool + 128, 0)
                add_i64(pool + 424, 1)  # open
                add_i64(pool, 1)
                sleeping = load_i64(pool + 256)
                while sleeping > 0:
                    found = exchange_i64(pool + 256, sleeping, 0)
                    if found == sleeping:
                        call_address(job[56], job[58], pool + 480, sleeping, 0, 0, 0, 0)
                        sleeping = 0
                    else:
                        sleeping = found
                chunks = index_div(extent + grain - 1, grain)
                chunk = add_i64(pool + 64, 1)
                while chunk < chunks:
                    start = chunk * grain
                    call_kernel(kernel, buffers[1], sizes, start, min(extent, start + grain))
                    add_i64(pool + 128, 1)
                    chunk = add_i64(pool + 64, 1)
                rounds = 0
                since = 0
                now = 0
                while load_i64(pool + 128) < chunks:
                    pause()
                    rounds += 1
                    if rounds == 1000 and job[67] != 0:
                        call_address(job[67], job[68], pool + 552, 0, 0, 0, 0, 0)
                        now = job[69] * 1000000000 + job[70]
                        if since == 0:
                            since = now
                        rounds = 0
                        if buffers[11] != 0 and call_address(buffers[11], 0, 0, 0, 0, 0, 0, 0) != 0:
                            errors[0] = -1
                job[66] = job[66] + dims[at + 7]
                if now - since > 200000 + index_div(2 * dims[at + 7], chunks):
                    job[65] = 8 if job[66] > 100000000 else min(512, 2 * job[65])
                    job[66] = 0
                    store_i64(pool + 512, min(500000000, (now - since) * job[65]))
                add_i64(pool + 424, -1)
                while add_i64(pool + 192, 0) > 0:
                    pause()
                store_i64(pool + 320, 0)
            if errors[0] != 0:
                buffers[4] = row
                if errors[0] == -1:
                    buffers[4] = -1
                    errors[0] = 0
                row = end
    if pool != 0:
        add_i64(pool + 1024, -1)


def move(buffers, dims, begin, end):
    """Do row `begin` of a table, which is at `dims`, on the context `buffers`, and say which row is the next."""
    slots = view_i64(buffers[0])
    numbers = view_i64(dims[1])
    count = dims[2]
    values = view_i64(dims[3])
    op = dims[4]
    following = begin + 1
    if op == 1:  # point: a, b, ...: a is where b is
        for k in range(index_div(count, 2)):
            slots[numbers[2 * k]] = slots[numbers[2 * k + 1]]
    elif op == 2:  # locate: index, a, b, ...: a is at row `index` of b; values: bytes of a row
        at = view_i64(slots[numbers[0]])
        row = at[0]
        for k in range(index_div(count, 2)):
            slots[numbers[2 * k + 1]] = slots[numbers[2 * k + 2]] + row * values[k]
    elif op == 3:  # turn: a, b, c: a is where b is, b where c is, c where a is now
        here = slots[numbers[1]]
        slots[numbers[0]] = here
        slots[numbers[1]] = slots[numbers[2]]
        slots[numbers[2]] = here
    elif op == 4:  # count: a; add the value to a number
        number = view_i64(slots[numbers[0]])
        number[0] = number[0] + values[0]
    elif op == 5:  # again: jump, unless the run is interrupted
        following = dims[5]
        buffers[12] = buffers[12] - dims[7]
        if buffers[12] < 0:
            buffers[12] = 1000000
            if call_address(buffers[11], 0, 0, 0, 0, 0, 0, 0) != 0:
                buffers[4] = -1
                following = end
    elif op == 6:  # until: a, b: jump if the number a is as large as b, or as the value
        number = view_i64(slots[numbers[0]])
        limit = values[0]
        if numbers[1] >= 0:
            given = view_i64(slots[numbers[1]])
            limit = given[0]
        if number[0] >= limit:
            following = dims[5]
    elif op == 7:  # unless: a: jump if a is false
        buffers[14] = 0
        call_address(buffers[13], buffers[9] + 112, slots[numbers[0]], 1, 0, 0, 0, 0)
        if buffers[14] == 0:
            following = dims[5]
    elif op == 8:  # copy: a, b: the value says how many bytes from b to a
        if slots[numbers[0]] != slots[numbers[1]] and values[0] > 0:
            call_address(buffers[13], slots[numbers[0]], slots[numbers[1]], values[0], 0, 0, 0, 0)
    elif op == 9:  # store: a, b: the number a becomes the value, plus the number b if there is one
        number = view_i64(slots[numbers[0]])
        number[0] = values[0]
        if numbers[1] >= 0:
            given = view_i64(slots[numbers[1]])
            number[0] = values[0] + given[0]
    elif op == 10:  # jump
        following = dims[5]
    elif op == 12:  # clear: a, b: the first value says how many bytes a has, the second how many at its start count, times b
        number = view_i64(slots[numbers[1]])
        done = number[0] * values[1]
        if done < values[0]:
            call_address(buffers[15], slots[numbers[0]] + done, 0, values[0] - done, 0, 0, 0, 0)
    else:  # choose: a: jump to the row that the int32 a counts off among the values behind the first, which says how many
        buffers[14] = 0
        call_address(buffers[13], buffers[9] + 112, slots[numbers[0]], 4, 0, 0, 0, 0)
        which = min(buffers[14], values[0] - 1)
        following = values[which + 1]
    buffers[10] = following


def worker(buffers, dims, begin, end):
    """Help with jobs until told to stop; `buffers` is the pool."""
    pool = dims[0]
    job = view_i64(pool)
    seen = load_i64(pool)
    while load_i64(pool + 432) == 0:
        spins = 0
        limit = 4000
        while load_i64(pool) == seen and spins < limit and load_i64(pool + 432) == 0:
            pause()
            spins += 1
            if spins == 4000 and load_i64(pool + 1024) > 0:
                limit = 100000
            if index_mod(spins, 500) == 1 and job[71] != 0 and call_address(job[71], 0, 0, 0, 0, 0, 0, 0) == job[72]:
                store_i64(pool + 512, 10000000)
                limit = 0
        if load_i64(pool) == seen:
            add_i64(pool + 256, 1)
            woken = 0
            if load_i64(pool) != seen or load_i64(pool + 432) != 0:
                count = load_i64(pool + 256)
                while count > 0 and woken == 0:
                    found = exchange_i64(pool + 256, count, count - 1)
                    if found == count:
                        woken = 1  # taken back: nobody will write for us
                    count = found
            if woken == 0:
                call_address(job[55], job[57], buffers[0], 1, 0, 0, 0, 0)
        seen = load_i64(pool)
        add_i64(pool + 192, 1)
        if add_i64(pool + 424, 0) != 0:
            kernel = job[48]
            pointers = job[49]
            sizes = job[50]
            extent = job[51]
            grain = job[52]
            chunks = index_div(extent + grain - 1, grain)
            chunk = add_i64(pool + 64, 1)
            while chunk < chunks:
                start = chunk * grain
                call_kernel(kernel, pointers, sizes, start, min(extent, start + grain))
                add_i64(pool + 128, 1)
                chunk = add_i64(pool + 64, 1)
        add_i64(pool + 192, -1)
