"""Waiting for a store that may be away: again and again, with jittered pauses, and never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from saga_es.errors import EngineClosed, StoreUnavailable
from saga_es.model.times import LATEST, later
from saga_es.runtime.timers import Timers

T = TypeVar("T")

FIRST_PAUSE: Final = timedelta(milliseconds=50)
LONGEST_PAUSE: Final = timedelta(seconds=2)
MOMENT: Final = timedelta(seconds=1)
"""What a store that answers has at least, however short the caller's time."""


class _NoAnswer(Exception):
    """Neither yes nor no in time."""


class Patience:
    """Asks a store what may be asked twice: reads, and appends by version, which are read back.

    Args:
        url: the store's address for messages.
        limit: how long is waited by default.
        chance: in [0, 1), for the jitter of pauses.
    """

    def __init__(self, timers: Timers, *, url: str, limit: timedelta, chance: Callable[[], float]) -> None:
        self._timers, self._url, self._limit, self._chance = timers, url, limit, chance

    async def ask(
        self,
        make: Callable[[], Awaitable[T]],
        what: str,
        *,
        saga_id: str | None = None,
        until: datetime | None = None,
    ) -> T:
        """Return what ``make()`` brings; asked once more at once, then with pauses.

        Args:
            make: asks, and raises StoreUnavailable where the store does not answer.
            what: is being asked, for the error.
            saga_id: of whom something is to be recorded.
            until: aware UTC; by default the limit from now.

        Raises:
            StoreUnavailable: it did not answer in time.
            EngineClosed: whoever asks was left meanwhile.
        """
        end = later(self._timers.now(), self._limit) if until is None else until
        pause, said = timedelta(0), ""
        while True:
            try:
                return await self._in_time(make(), end, what)
            except StoreUnavailable as error:
                said = error.problem
                left = end - self._timers.now()
                if left < FIRST_PAUSE:
                    raise StoreUnavailable(self._url, problem=said, saga_id=saga_id) from error
            except _NoAnswer:
                before = f" (the last one before: {said})" if said else ""
                problem = f"{what} got no answer in time{before}"
                raise StoreUnavailable(self._url, problem=problem, saga_id=saga_id) from None
            if pause:
                await self._wait(min(pause, left / 2) * (0.5 + self._chance() / 2))
            pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)

    async def _in_time(self, asked: Awaitable[T], end: datetime, what: str) -> T:
        if end >= LATEST:
            return await asked
        task = asyncio.ensure_future(asked)
        if await within(self._timers, task, end):
            return task.result()
        task.cancel()
        if self._timers.is_closed:
            raise EngineClosed(what)
        raise _NoAnswer

    async def _wait(self, pause: timedelta) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await within(self._timers, over, later(self._timers.now(), pause))


async def within(timers: Timers, task: asyncio.Future[T], end: datetime) -> bool:
    """Wait for a task until ``end``, or the timers' end, and return whether it is done; one that is not goes on."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def open_gate(*_: object) -> None:
        if not gate.done():
            gate.set_result(None)

    task.add_done_callback(open_gate)
    timer = timers.at(end, open_gate)
    timers.when_closed(open_gate)
    try:
        if not timers.is_closed:
            await gate
    except asyncio.CancelledError:
        task.cancel()
        raise
    finally:
        timer.cancel()
        timers.forget(open_gate)
        task.remove_done_callback(open_gate)
    return task.done()


class Verdict(Generic[T]):
    """Takes how something that was asked has ended: a ``done`` for it.

    An error goes to ``future``, and so does what ``late`` makes if nothing is told by ``end``, or by the timers' end;
    else ``then`` is called. Once the future is done, nothing more is.
    """

    __slots__ = ("_future", "_late", "_then", "_timer", "_timers")

    def __init__(
        self,
        timers: Timers,
        future: asyncio.Future[T],
        end: datetime,
        *,
        late: Callable[[], Exception],
        then: Callable[[], object],
    ) -> None:
        self._timers, self._future, self._late, self._then = timers, future, late, then
        self._timer = timers.at(end, self.give_up)
        if timers.is_closed:
            self.give_up()
        else:
            timers.when_closed(self.give_up)

    def __call__(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._timers.forget(self.give_up)
        if self._future.done():
            return
        if error is None:
            self._then()
        else:
            self._future.set_exception(error)

    def give_up(self) -> None:
        self(self._late())
