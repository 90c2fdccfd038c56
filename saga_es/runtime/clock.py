"""Time as the engine sees it: now, and being called at an instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

LONGEST_HOP: Final = timedelta(minutes=1)  # how late a wall clock that jumped ahead is noticed at most


class Alarm(Protocol):
    """A call that stands in the clock's book."""

    def cancel(self) -> None:
        """Take it out again; does nothing when it has rung or was cancelled."""
        ...


class Clock(Protocol):
    """What tells the time. Tests use `saga_es.testing.manual_clock.ManualClock`."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        ...

    def call_at(self, due: datetime, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` once, on the running loop, when ``now() >= due``; never before this returns."""
        ...


class SystemClock:
    """The wall clock; an alarm waits on the loop's monotonic time and asks the wall clock when it wakes."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def call_at(self, due: datetime, callback: Callable[[], None]) -> Alarm:
        alarm = _WallAlarm(asyncio.get_running_loop(), self, due, callback)
        alarm.wait()
        return alarm


class _WallAlarm:
    """Waits in hops, so that a clock that jumps only delays the call, or makes it once."""

    __slots__ = ("_callback", "_clock", "_due", "_handle", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, due: datetime, callback: Callable[[], None]
    ) -> None:
        self._loop, self._clock, self._due, self._callback = loop, clock, due, callback
        self._handle: asyncio.TimerHandle | None = None

    def wait(self) -> None:
        left = min(max(self._due - self._clock.now(), timedelta(0)), LONGEST_HOP)
        self._handle = self._loop.call_later(left.total_seconds(), self._ring)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        if self._clock.now() < self._due:  # a hop has ended, or the wall clock was set back
            self.wait()
        else:
            self._callback()
