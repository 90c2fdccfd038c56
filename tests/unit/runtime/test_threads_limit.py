"""Threads of which there are only so many: whoever finds none waits for one, first come, first served."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga_es.runtime.threads import DaemonThreads, awaited
from tests.integration.engine.world import drive

MOST = 3
PATIENCE = 30  # seconds that a thread is waited for


def alive(name: str) -> list[str]:
    """Return the threads of this name; ``submit`` has started the one it makes when it returns."""
    return sorted(it.name for it in threading.enumerate() if it.name.startswith(f"{name}-"))


def test_there_are_never_more_than_may_be_and_every_call_is_made():
    async def main() -> None:
        threads = DaemonThreads("limited", most=MOST)
        gate, lock, running, peak = threading.Event(), threading.Lock(), 0, 0

        def work(number: int) -> int:
            nonlocal running, peak
            with lock:
                running += 1
                peak = max(peak, running)
            gate.wait(PATIENCE)
            with lock:
                running -= 1
            return number

        calls = [awaited(threads, lambda number=number: work(number)) for number in range(50)]
        assert alive("limited") == ["limited-1", "limited-2", "limited-3"]
        gate.set()
        assert await asyncio.gather(*calls) == list(range(50))
        assert peak == MOST
        assert alive("limited") == ["limited-1", "limited-2", "limited-3"]
        threads.close()

    drive(main())


@pytest.mark.parametrize("most", [1, 2])
def test_calls_begin_in_the_order_they_came_in(most):
    async def main() -> None:
        threads = DaemonThreads("ordered", most=most)
        taken, begun = threading.Lock(), []
        steps = threading.Semaphore(0)

        def work(number: int) -> str:
            with taken:
                begun.append(number)
            steps.acquire(timeout=PATIENCE)
            return threading.current_thread().name

        calls = [awaited(threads, lambda number=number: work(number)) for number in range(20)]
        for done in range(20):  # one call ends, and the next in line may begin
            while len(begun) < min(done + most, 20):
                await asyncio.sleep(0)
            assert sorted(begun) == list(range(min(done + most, 20)))
            steps.release()
        names = await asyncio.gather(*calls)
        assert set(names) == {f"ordered-{number}" for number in range(1, most + 1)}
        threads.close()

    drive(main())


def test_a_call_that_fails_or_is_given_up_keeps_no_other_from_its_turn():
    async def main() -> None:
        threads = DaemonThreads("faulty", most=1)
        gate, made = threading.Event(), []
        first = awaited(threads, lambda: gate.wait(PATIENCE))
        failing = awaited(threads, lambda: 1 // 0)
        given_up = awaited(threads, lambda: made.append("given up"))
        last = awaited(threads, lambda: made.append("last"))
        given_up.cancel()
        gate.set()
        assert await first is True
        with pytest.raises(ZeroDivisionError):
            await failing
        await last
        assert made == ["given up", "last"]
        threads.close()

    drive(main())


def test_a_thread_that_has_been_idle_for_long_makes_room_for_another():
    async def main() -> None:
        threads = DaemonThreads("idle", most=1, idle=timedelta(milliseconds=1))
        for number in (1, 2, 3):
            thread = await awaited(threads, threading.current_thread)
            assert thread.name == f"idle-{number}"
            thread.join(PATIENCE)  # it ends by itself
            assert not thread.is_alive()
        threads.close()

    drive(main())


def test_closed_it_makes_the_calls_that_wait_and_then_its_threads_end():
    async def main() -> None:
        threads = DaemonThreads("closed", most=2)
        gate, began = threading.Event(), threading.Barrier(3)

        def work() -> threading.Thread:
            began.wait(PATIENCE)
            gate.wait(PATIENCE)
            return threading.current_thread()

        busy = [awaited(threads, work) for _ in range(2)]
        waiting = [awaited(threads, threading.current_thread) for _ in range(5)]
        began.wait(PATIENCE)
        threads.close()
        gate.set()
        used = set(await asyncio.gather(*busy, *waiting))
        assert {it.name for it in used} == {"closed-1", "closed-2"}
        for thread in used:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    drive(main())
