"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
SETTLING_TURNS: Final = 50  # turns of the loop; each await of a finished future takes one


class ManualClock:
    """Implements `saga_es.runtime.clock.Clock`; no real time passes.

    Args:
        start: the first instant, aware UTC.
    """

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._alarms: list[tuple[datetime, int, ManualAlarm]] = []
        self._made = 0

    def now(self) -> datetime:
        return self._now

    def call_at(self, due: datetime, callback: Callable[[], None]) -> ManualAlarm:
        """Ring at ``due``; in the loop's next turn, as the system's clock does, if that has come already."""
        alarm = ManualAlarm(callback)
        if due <= self._now:
            asyncio.get_running_loop().call_soon(alarm.ring)
            return alarm
        self._made += 1
        heapq.heappush(self._alarms, (due, self._made, alarm))
        return alarm

    @property
    def waiting(self) -> int:
        """How many alarms are set, cancelled ones aside."""
        return sum(alarm.is_set for _, _, alarm in self._alarms)

    def next_due(self) -> datetime | None:
        """Return when the next alarm rings, if one is set."""
        while self._alarms and not self._alarms[0][2].is_set:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    async def advance(self, delta: timedelta) -> None:
        """Move ``delta`` ahead; alarms ring in order at their own instants, the loop settles after each."""
        await self.advance_to(self._now + delta)

    async def advance_to(self, instant: datetime) -> None:
        """Move ahead to ``instant``, aware UTC; the past is a ValueError, for that see ``jump``."""
        if instant < self._now:
            raise ValueError(f"{instant} lies before {self._now}: time is advanced, or set with jump()")
        await self.settle()
        while (due := self.next_due()) is not None and due <= instant:
            _, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, due)
            alarm.ring()
            await self.settle()
        self._now = instant
        await self.settle()

    def jump(self, instant: datetime) -> None:
        """Set the clock, back too, as an administrator does; nothing rings until the next ``advance``."""
        self._now = instant

    async def settle(self) -> None:
        """Let the loop run what is ready, and what that makes ready."""
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], object], *, patience: float = 10.0) -> None:
        """Turn the loop until ``condition()`` holds: for what threads hand in.

        Args:
            condition: asked after every turn.
            patience: real seconds until AssertionError.
        """
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"{condition} did not come true within {patience:g} s")
            await asyncio.sleep(0)


class ManualAlarm:
    """One alarm of a ManualClock."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    @property
    def is_set(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        self._callback = None

    def ring(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
