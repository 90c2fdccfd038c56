from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from saga_es.runtime.clock import Alarm, Clock, SystemClock
from saga_es.testing.manual_clock import EPOCH, ManualClock

SECOND = timedelta(seconds=1)


def test_system_clock_is_aware_utc():
    assert SystemClock().now().tzinfo is UTC


def test_system_clock_rings_once_due():
    async def main() -> None:
        clock: Clock = SystemClock()
        due = clock.now() + timedelta(milliseconds=5)
        rang = asyncio.get_running_loop().create_future()
        alarm: Alarm = clock.call_at(due, lambda: rang.set_result(clock.now()))
        assert await rang >= due
        alarm.cancel()

    asyncio.run(main())


def test_a_past_due_time_rings_in_a_later_turn_and_not_when_cancelled():
    async def main() -> None:
        clock = SystemClock()
        rang: list[str] = []
        clock.call_at(clock.now() - SECOND, lambda: rang.append("past"))
        clock.call_at(clock.now() - SECOND, lambda: rang.append("cancelled")).cancel()
        assert rang == []
        while not rang:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rang == ["past"]

    asyncio.run(main())


class SteppedClock(SystemClock):
    """A wall clock that the test sets; each reading takes the next of its instants."""

    def __init__(self, *instants: datetime) -> None:
        self.instants = list(instants)

    def now(self) -> datetime:
        return self.instants.pop(0) if len(self.instants) > 1 else self.instants[0]


def test_an_alarm_that_wakes_before_its_time_waits_again_and_rings_once():
    async def main() -> None:
        due = EPOCH + timedelta(milliseconds=1)
        clock = SteppedClock(EPOCH, EPOCH - timedelta(hours=1), due, due)  # set back while it waited
        rang: list[datetime] = []
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        later = loop.call_later
        loop.call_later = lambda delay, *args: (waits.append(delay), later(0, *args))[1]  # type: ignore[assignment,method-assign]
        clock.call_at(due, lambda: rang.append(due))
        while not rang:
            await asyncio.sleep(0)
        assert waits == [0.001, 0.0]
        assert rang == [due]

    asyncio.run(main())


def test_long_waits_are_made_of_hops_so_that_a_jump_ahead_is_noticed():
    async def main() -> None:
        due = EPOCH + timedelta(days=30)
        clock = SteppedClock(EPOCH, EPOCH, EPOCH, due + SECOND)
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        rang: list[bool] = []
        later = loop.call_later
        loop.call_later = lambda delay, *args: (waits.append(delay), later(0, *args))[1]  # type: ignore[assignment,method-assign]
        clock.call_at(due, lambda: rang.append(True))
        while not rang:
            await asyncio.sleep(0)
        assert waits == [60.0, 60.0]

    asyncio.run(main())


def test_manual_clock_rings_in_order_at_the_alarms_own_instants():
    async def main() -> None:
        clock = ManualClock()
        rang: list[tuple[str, datetime]] = []
        clock.call_at(EPOCH + 2 * SECOND, lambda: rang.append(("second", clock.now())))
        clock.call_at(EPOCH + SECOND, lambda: rang.append(("first", clock.now())))
        clock.call_at(EPOCH + 3 * SECOND, lambda: rang.append(("later", clock.now())))
        clock.call_at(EPOCH + SECOND, lambda: rang.append(("cancelled", clock.now()))).cancel()
        assert clock.waiting == 3
        assert clock.next_due() == EPOCH + SECOND
        await clock.advance(2.5 * SECOND)
        assert rang == [("first", EPOCH + SECOND), ("second", EPOCH + 2 * SECOND)]
        assert clock.now() == EPOCH + 2.5 * SECOND

    asyncio.run(main())


def test_manual_clock_lets_the_loop_settle_so_that_chains_of_alarms_ring():
    async def main() -> None:
        clock = ManualClock()
        times: list[datetime] = []

        async def tick() -> None:
            for _ in range(3):
                rang = asyncio.get_running_loop().create_future()
                clock.call_at(clock.now() + SECOND, lambda rang=rang: rang.set_result(None))
                await rang
                times.append(clock.now())

        task = asyncio.create_task(tick())
        await clock.advance(10 * SECOND)
        assert task.done()
        assert times == [EPOCH + SECOND, EPOCH + 2 * SECOND, EPOCH + 3 * SECOND]

    asyncio.run(main())


def test_manual_clock_refuses_to_advance_backwards_and_jumps_on_request():
    async def main() -> None:
        clock = ManualClock()
        with pytest.raises(ValueError, match="jump"):
            await clock.advance(-SECOND)
        clock.jump(EPOCH - SECOND)
        assert clock.now() == EPOCH - SECOND

    asyncio.run(main())


def test_manual_clock_rings_what_is_due_already_in_the_next_turn():
    async def main() -> None:
        clock = ManualClock()
        rang: list[bool] = []
        clock.call_at(EPOCH, lambda: rang.append(True))
        assert rang == []
        await clock.settle()
        assert rang == [True]

    asyncio.run(main())


def test_until_says_what_did_not_come_true():
    async def main() -> None:
        clock = ManualClock()
        await clock.until(lambda: True)
        with pytest.raises(AssertionError, match="within 0 s"):
            await clock.until(lambda: False, patience=0)

    asyncio.run(main())
