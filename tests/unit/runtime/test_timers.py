from __future__ import annotations

import asyncio
from datetime import timedelta

from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock

SECOND = timedelta(seconds=1)


def test_timers_ring_in_order_of_due_time_then_of_setting():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[str] = []
        for name, due in (("c", 3), ("a", 1), ("b1", 2), ("b2", 2)):
            timers.at(EPOCH + due * SECOND, lambda name=name: rang.append(name))
        assert len(timers) == 4
        await clock.advance(2 * SECOND)
        assert rang == ["a", "b1", "b2"]
        await clock.advance(SECOND)
        assert rang == ["a", "b1", "b2", "c"]
        assert len(timers) == 0

    asyncio.run(main())


def test_all_timers_share_one_alarm():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        for n in range(100, 0, -1):
            timers.at(EPOCH + n * SECOND, lambda: None)
        assert clock.waiting == 1
        assert clock.next_due() == EPOCH + SECOND

    asyncio.run(main())


def test_a_cancelled_timer_never_rings_and_cancelling_twice_is_harmless():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[str] = []
        first = timers.at(EPOCH + SECOND, lambda: rang.append("first"))
        second = timers.at(EPOCH + SECOND, lambda: rang.append("second"))
        first.cancel()
        first.cancel()
        assert (first.is_set, second.is_set, len(timers)) == (False, True, 1)
        await clock.advance(SECOND)
        assert rang == ["second"]
        second.cancel()
        assert len(timers) == 0

    asyncio.run(main())


def test_one_timer_may_cancel_another_that_is_due_at_the_same_instant():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[str] = []
        timers.at(EPOCH + SECOND, lambda: victim.cancel())  # noqa: PLW0108 - it is bound below
        victim = timers.at(EPOCH + SECOND, lambda: rang.append("victim"))
        await clock.advance(SECOND)
        assert rang == []
        assert len(timers) == 0

    asyncio.run(main())


def test_thousands_of_cancelled_timers_do_not_pile_up():
    async def main() -> None:
        timers = Timers(ManualClock())
        kept = [timers.at(EPOCH + timedelta(days=1), lambda: None) for _ in range(10)]
        for _ in range(20_000):
            timers.at(EPOCH + timedelta(minutes=5), lambda: None).cancel()
        assert len(timers) == len(kept)
        assert len(timers._heap) <= 65

    asyncio.run(main())


def test_what_a_callback_sets_for_now_rings_in_a_turn_of_its_own():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[int] = []

        def again() -> None:
            rang.append(len(rang))
            if len(rang) < 3:
                timers.at(timers.now(), again)

        timers.at(EPOCH + SECOND, again)
        await clock.advance(SECOND)
        assert rang == [0, 1, 2]

    asyncio.run(main())


def test_a_callback_that_raises_is_reported_and_keeps_no_other_from_ringing():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        reported: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        rang: list[str] = []

        def fail() -> None:
            raise ZeroDivisionError

        timers.at(EPOCH + SECOND, fail)
        timers.at(EPOCH + SECOND, lambda: rang.append("same"))
        timers.at(EPOCH + 2 * SECOND, lambda: rang.append("later"))
        await clock.advance(2 * SECOND)
        assert rang == ["same", "later"]
        assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]

    asyncio.run(main())


def test_after_close_nothing_rings():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[str] = []
        before = timers.at(EPOCH + SECOND, lambda: rang.append("before"))
        timers.close()
        after = timers.at(EPOCH + SECOND, lambda: rang.append("after"))
        await clock.advance(SECOND)
        assert (rang, before.is_set, after.is_set, clock.waiting, len(timers)) == ([], False, False, 0, 0)

    asyncio.run(main())


def test_a_clock_that_jumps_ahead_makes_what_was_due_ring_once():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        rang: list[int] = []
        for n in range(3):
            timers.at(EPOCH + (n + 1) * SECOND, lambda n=n: rang.append(n))
        clock.jump(EPOCH + timedelta(days=1))
        await clock.advance(timedelta(0))
        assert rang == [0, 1, 2]
        clock.jump(EPOCH)
        await clock.advance(10 * SECOND)
        assert rang == [0, 1, 2]

    asyncio.run(main())
