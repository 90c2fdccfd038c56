"""What a command that is waited for comes to, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es.errors import UnknownSaga
from saga_es.runtime.patience import Verdict
from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock

SECOND = timedelta(seconds=1)


class Asked:
    """A command that is waited for until ten seconds from the beginning.

    Attributes:
        then: how often it was durable.
    """

    def __init__(self, timers: Timers) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.then = 0
        self.verdict = Verdict(
            timers, self.future, EPOCH + 10 * SECOND, late=lambda: OSError("too late"), then=self._count
        )

    def _count(self) -> None:
        self.then += 1


def test_a_verdict_in_time_goes_on():
    async def story() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        asked = Asked(timers)

        asked.verdict(None)
        await clock.advance(20 * SECOND)

        assert (asked.then, asked.future.done(), len(timers)) == (1, False, 0)
        timers.close()
        assert not asked.future.done()  # it was forgotten

    asyncio.run(story())


def test_a_verdict_s_error_goes_to_who_waits():
    async def story() -> None:
        asked = Asked(Timers(ManualClock()))

        asked.verdict(UnknownSaga("trip-42"))
        asked.verdict(None)

        with pytest.raises(UnknownSaga):
            await asked.future
        assert asked.then == 0

    asyncio.run(story())


@pytest.mark.parametrize("ends", ["by the clock", "with the timers", "before it began"])
def test_nobody_waits_longer_than_the_verdict_may_take(ends: str):
    async def story() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        if ends == "before it began":
            timers.close()
        asked = Asked(timers)
        if ends == "by the clock":
            await clock.advance(10 * SECOND)
        else:
            timers.close()

        with pytest.raises(OSError, match="too late"):
            await asyncio.wait_for(asked.future, 5)
        asked.verdict(None)  # it comes after all
        assert asked.then == 0

    asyncio.run(story())
