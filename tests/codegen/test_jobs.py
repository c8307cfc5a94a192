"""Jobs and what LLVM does in them: all work is done once, whoever does it; forks, failures and ends of processes are harmless."""

import os
import subprocess
import sys
import threading
import time

import pytest

from graphflow.codegen import backend, cache, direct, jobs
from graphflow.errors import CompileError

LIMIT = 60  # seconds that anything here may take


@pytest.fixture(params=[1, 2, 4], ids=lambda n: f"{n} processors")
def processors(request, monkeypatch):
    monkeypatch.setattr(jobs, "available_cpus", lambda: request.param)
    return request.param


def compiler_threads():
    return [t for t in threading.enumerate() if t.name == "graphflow-compiler"]


def wait_for_threads():
    for thread in compiler_threads():
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_every_job_is_done_once(processors):
    done = []
    begun = [jobs.begin(lambda k=k: done.append(k) or 10 * k) for k in range(3 * jobs.MOST_WAITING)]
    assert len(compiler_threads()) <= processors - 1
    assert [job.result() for job in reversed(begun)] == [10 * k for k in reversed(range(len(begun)))]
    assert sorted(done) == list(range(len(begun)))
    wait_for_threads()


def test_an_error_is_raised_where_the_result_is_asked_for(processors):
    bad, good = jobs.begin(lambda: 1 // 0), jobs.begin(lambda: 7)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            bad.result()
    assert good.result() == 7


def test_work_goes_on_where_no_thread_can_be_started(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(jobs, "available_cpus", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [job.result() for job in [jobs.begin(lambda k=k: k) for k in range(5)]] == list(range(5))


def test_an_interrupted_job_is_done_again(monkeypatch):
    monkeypatch.setattr(jobs, "available_cpus", lambda: 1)
    interrupts = [KeyboardInterrupt]

    def work():
        if interrupts:
            raise interrupts.pop()
        return 5

    job = jobs.begin(work)
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.result() == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_waits_for_running_jobs_and_both_sides_go_on(processors):
    running = []

    def work(k):
        running.append(k)
        time.sleep(0.02)
        running.remove(k)
        return k

    begun = [jobs.begin(lambda k=k: work(k)) for k in range(6)]
    child = os.fork()
    if child == 0:
        alright = not running and [job.result() for job in begun] == list(range(6))
        os._exit(0 if alright else 1)
    assert [job.result() for job in begun] == list(range(6))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_process_ends_at_once_with_jobs_waiting():
    program = (
        "import time; from graphflow.codegen import jobs; jobs.available_cpus = lambda: 2\n"
        "started = [jobs.begin(lambda: time.sleep(0.2)) for _ in range(10)]\n"
    )
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT)
    assert time.monotonic() - before < LIMIT


def kernels(count):
    for k in range(count):
        lines = ["in0 = buffer_f32(buffers, 0)", "out1 = buffer_f32(buffers, 1)", "for i in range(begin, end):"]
        lines.append(f"    out1[i] = tanh_f32(in0[i] * float32({k}.5)) + exp_f32(in0[i])")
        yield "def kernel(buffers, dims, begin, end):\n" + "\n".join("    " + line for line in lines)


def test_modules_compiled_side_by_side_are_the_same():
    texts = [direct.assembly(text, "kernel") for text in kernels(8)]
    expected = [backend.Compilation(text).run() for text in texts]
    compilations = [backend.Compilation(text) for text in texts]
    found = [None] * len(texts)

    def work(first):
        for k in range(first, len(texts), 4):
            found[k] = compilations[k].run()

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert found == expected


def test_without_the_way_past_the_lock_the_code_is_the_same(monkeypatch):
    (text,) = [direct.assembly(text, "kernel") for text in kernels(1)]
    expected = backend.Compilation(text).run()
    monkeypatch.setattr(backend, "_unlocked", lambda name: None)
    assert backend.Compilation(text).run() == expected


def test_threads_that_want_one_kernel_compile_it_once(processors):
    text = next(kernels(1)).replace("0.5", f"{time.time():.6f}")
    before = cache.stats().compiled
    found = []
    workers = [threading.Thread(target=lambda: found.append(cache.load(text))) for _ in range(5)]
    cache.begin(text)
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert len(set(found)) == 1 and len(found) == 5
    assert cache.stats().compiled == before + 1


def test_a_kernel_that_calls_a_missing_function_is_refused():
    text = "define void @kernel(i64* %a) {\n  call void @no_such_function()\n  ret void\n}\ndeclare void @no_such_function()\n"
    for _ in range(2):
        with pytest.raises(CompileError, match="no_such_function"):
            cache.load(text, compiler="assembly")
