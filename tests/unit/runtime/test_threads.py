from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from saga_es.runtime.threads import DaemonThreads, ExecutorThreads, Threads, awaited

word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


@pytest.fixture(params=["daemons", "executor"])
def threads(request: pytest.FixtureRequest):
    if request.param == "daemons":
        made = DaemonThreads()
        yield made
        made.close()
    else:
        with ThreadPoolExecutor(4) as executor:
            made = ExecutorThreads(executor)
            yield made
            made.close()


def test_results_and_errors_come_back_on_the_loop(threads: Threads):
    async def main() -> None:
        loop_thread = threading.get_ident()
        here: list[int] = []
        answered = asyncio.Event()

        def done(result: int | None, error: BaseException | None) -> None:
            here.append(threading.get_ident())
            assert error is None
            assert result != loop_thread
            answered.set()

        threads.submit(threading.get_ident, done)
        await answered.wait()
        assert here == [loop_thread]
        with pytest.raises(ZeroDivisionError):
            await awaited(threads, lambda: 1 // 0)
        assert await awaited(threads, lambda: None) is None
        assert await awaited(threads, lambda: 7) == 7

    asyncio.run(main())


def test_each_call_runs_in_a_copy_of_its_callers_context(threads: Threads):
    async def main() -> None:
        def change() -> str:
            before = word.get()
            word.set("changed in the thread")
            return before

        word.set("one")
        one = awaited(threads, change)
        word.set("two")
        assert [await one, await awaited(threads, change)] == ["one", "two"]
        assert word.get() == "two"

    asyncio.run(main())


def test_the_loop_stays_free_and_calls_run_beside_each_other(threads: Threads):
    async def main() -> None:
        together = threading.Barrier(3)
        both = [awaited(threads, lambda: together.wait(10)) for _ in range(2)]
        while together.n_waiting < 2:
            await asyncio.sleep(0)  # the loop turns while both wait
        together.wait(10)
        await asyncio.gather(*both)

    asyncio.run(main())


def test_a_cancelled_future_takes_no_answer(threads: Threads):
    async def main() -> None:
        go = threading.Event()
        future = awaited(threads, lambda: go.wait(10))
        future.cancel()
        go.set()
        assert await awaited(threads, lambda: 1) == 1

    asyncio.run(main())


def test_even_an_exit_raised_in_a_thread_is_handed_to_the_loop():
    async def main() -> None:
        threads = DaemonThreads()
        got: list[BaseException | None] = []
        answered = asyncio.Event()

        def done(result: object, error: BaseException | None) -> None:
            got.append(error)
            answered.set()

        threads.submit(lambda: sys.exit(3), done)
        await answered.wait()
        assert [type(error) for error in got] == [SystemExit]
        threads.close()

    asyncio.run(main())


def test_idle_threads_are_reused():
    async def main() -> None:
        threads = DaemonThreads()
        names = {await awaited(threads, lambda: threading.current_thread().name) for _ in range(50)}
        assert names == {"saga_es-1"}
        threads.close()

    asyncio.run(main())


def test_idle_threads_end_after_a_while_and_at_close():
    async def main() -> None:
        for threads in (DaemonThreads(idle=timedelta(milliseconds=1)), DaemonThreads()):
            thread = await awaited(threads, threading.current_thread)
            assert thread.daemon
            if threads._idle_for == 10:
                threads.close()
            thread.join(10)
            assert not thread.is_alive()
            assert await awaited(threads, lambda: 1) == 1  # work that comes later finds a thread all the same
            threads.close()

    asyncio.run(main())


def test_a_busy_thread_ends_after_its_call_when_closed():
    async def main() -> None:
        threads = DaemonThreads()
        go, began = threading.Event(), threading.Event()

        def work() -> threading.Thread:
            began.set()
            go.wait(10)
            return threading.current_thread()

        future = awaited(threads, work)
        while not began.is_set():
            await asyncio.sleep(0)
        threads.close()
        go.set()
        thread = await future
        thread.join(10)
        assert not thread.is_alive()

    asyncio.run(main())


def test_a_system_without_threads_to_give_is_told_to_the_caller(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        threads = DaemonThreads()

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            future = awaited(threads, lambda: 1)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await future

    asyncio.run(main())


def test_an_executor_that_was_shut_down_is_told_to_the_caller():
    async def main() -> None:
        executor = ThreadPoolExecutor(1)
        threads = ExecutorThreads(executor)
        go, began = threading.Event(), threading.Event()
        running = awaited(threads, lambda: (began.set(), go.wait(10)))
        while not began.is_set():
            await asyncio.sleep(0)
        queued = awaited(threads, lambda: 1)
        executor.shutdown(wait=False, cancel_futures=True)
        go.set()
        await running
        with pytest.raises(RuntimeError, match="before the call began"):
            await queued
        with pytest.raises(RuntimeError, match="shutdown"):
            await awaited(threads, lambda: 1)

    asyncio.run(main())


def test_a_loop_that_closed_meanwhile_is_no_error():
    threads = DaemonThreads()
    go = threading.Event()

    async def main() -> threading.Thread:
        awaited(threads, lambda: go.wait(10))
        return await awaited(threads, threading.current_thread)

    asyncio.run(main())
    go.set()
    threads.close()


HANGING = """
import asyncio, threading
from saga_es.runtime.threads import DaemonThreads

async def main():
    began = threading.Event()
    DaemonThreads().submit(lambda: (began.set(), threading.Event().wait()), print)
    while not began.is_set():
        await asyncio.sleep(0)

asyncio.run(main())
import time
print(time.monotonic())
"""


@pytest.mark.promise("case.timeout")
def test_a_hanging_thread_does_not_hold_the_interpreters_exit():
    child = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=30, check=True
    )
    assert time.monotonic() - float(child.stdout) < 1.0  # the monotonic clock is the machine's
