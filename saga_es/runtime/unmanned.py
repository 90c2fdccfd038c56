"""Sagas that no worker that lives has the code for: shown as parked, in the index alone, by one of the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from saga_es.errors import StoreUnavailable
from saga_es.runtime.loading import PAGE, Loader
from saga_es.runtime.timers import Timers
from saga_es.store.crew import Crew, Member

GRACE: Final = 2
"""Leases for which a lane may be without a worker, once it had one: its workers may only be restarting."""


class Unmanned:
    """Looks for lanes without a worker.

    Args:
        lease: in real time, as leases are.

    Attributes:
        is_oldest: whether this worker is the one that has seen the others for the longest.
    """

    def __init__(self, crew: Crew, *, loader: Loader, timers: Timers, lease: timedelta) -> None:
        self._crew, self._loader, self._timers = crew, loader, timers
        self._grace = GRACE * lease.total_seconds()
        self._loop = asyncio.get_running_loop()
        self._manned: dict[str, float] = {}  # when each lane was last seen to have a worker
        self._task: asyncio.Task[None] | None = None
        self.is_oldest = False

    def look(self, worker: str, living: Sequence[Member]) -> None:
        """Note who can run what; the oldest of the living shows what none of them can, and forgets calls to nobody."""
        now = self._loop.time()
        self._manned.update((lane, now) for member in living for lane in member.lanes)
        at_work = [it for it in living if it.lanes] or living  # not those who are leaving
        oldest = min(at_work, key=lambda it: (it.entered_at, it.worker), default=None)
        self.is_oldest = oldest is not None and oldest.worker == worker
        if self.is_oldest and self._task is None:
            self._task = self._loop.create_task(self._show(self.spared()))

    def spared(self) -> set[str]:
        """Return the lanes that have a worker, or had one a moment ago."""
        now = self._loop.time()
        return {lane for lane, seen in self._manned.items() if now - seen <= self._grace}

    async def looked(self) -> None:
        """Return when what is being shown is shown."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """Show nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _show(self, spared: set[str]) -> None:
        try:
            with suppress(StoreUnavailable):  # the next look tries again
                await self._loader.read(self._crew.forget_calls)
                for lane in await self._loader.read(self._crew.open_lanes):
                    reason = None if lane in spared else await self._loader.read(partial(self._why, lane))
                    while reason is not None and await self._loader.read(partial(self._park, lane, reason)):
                        pass
        finally:
            self._task = None

    def _why(self, lane: str) -> str | None:
        """Return why nobody can run a lane's sagas, unless all are shown already; blocking."""
        while (saga_id := self._crew.going_on(lane)) is not None:
            reason = self._loader.why_not(saga_id)
            if reason is not None:
                return reason  # otherwise it can't be read, and is shown as parked by itself
        return None

    def _park(self, lane: str, reason: str) -> bool:
        """Show a page of them as parked; blocking. False when there were no more."""
        return self._crew.park(lane, reason, at=self._timers.now(), limit=PAGE) == PAGE
