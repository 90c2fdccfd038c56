"""What a worker follows on a shared store: its shards as they come and go, and what others append to their sagas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from saga_es.errors import StoreUnavailable
from saga_es.model.times import later
from saga_es.runtime.loading import PAGE, Loader
from saga_es.runtime.membership import Membership
from saga_es.runtime.ownership import Holds
from saga_es.runtime.patience import Patience
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.taking_up import TakingUp
from saga_es.runtime.threads import Aside
from saga_es.runtime.timers import Timer, Timers
from saga_es.runtime.unmanned import Unmanned
from saga_es.store.crew import Crew, Listening, Member
from saga_es.store.port import Store
from saga_es.store.shards import Call, Lane, Shard

SELDOM: Final = timedelta(seconds=1)
"""Between two looks while others can tell us; at least, where ``Settings.poll`` is longer."""


LEASE_PARTS: Final = 4
"""A claim waits for a part of the lease for the appends that are under way, and lets the worker say that it lives."""

LEAST: Final = timedelta(seconds=0.5)
"""What it waits at least: one commit after another is being written."""

MOST_DOUBLED: Final = 10
"""How often the time between two looks is doubled at most, while the store does not answer."""

AT_ONCE: Final = 1000
"""Sagas elsewhere that are asked about in one query."""


class CrewFollower:
    """Takes up the sagas of the shards it gains, and tells the process manager of what others appended.

    Attributes:
        holds: what this worker owns, as far as it knows.
    """

    def __init__(
        self,
        crew: Crew,
        holds: Holds,
        *,
        store: Store,
        loader: Loader,
        manager: ProcessManager,
        timers: Timers,
        patience: Patience,
        registry: Registry,
        settings: Settings,
        chance: Callable[[], float],
    ) -> None:
        self._crew, self.holds, self._store, self._loader, self._manager = crew, holds, store, loader, manager
        self._timers, self._patience, self._poll = timers, patience, settings.poll
        self._loop = asyncio.get_running_loop()
        self._taking_up = TakingUp(
            crew, holds, loader=loader, manager=manager, timers=timers, patience=patience, chance=chance
        )
        self._aside, self._apart = (
            Aside("saga_es-member"),
            crew.apart(max(settings.lease / LEASE_PARTS, LEAST)),
        )
        self._taking: asyncio.Task[None] | None = None
        self._listening: Listening | None = None
        self._timer: Timer | None = None
        self._looking: asyncio.Task[None] | None = None
        self._again = self._stopped = self._waits = False
        self._failures = 0  # looks in a row that the store did not answer
        self._looked_at = timers.now()  # at what is watched elsewhere: not whenever a call is heard
        self._answered: Sequence[int] = ()  # the last calls' numbers
        self._living: Sequence[Member] = ()
        self._lanes: Sequence[Lane] = ()
        self._unmanned = Unmanned(crew, loader=loader, timers=timers, lease=settings.lease)
        self._membership = self._make_membership(registry, settings, chance)
        manager.on_fenced = self._membership.fenced
        manager.on_unsure = self._membership.begin_soon
        manager.watchers.on_elsewhere = self._watched_elsewhere

    def _make_membership(
        self, registry: Registry, settings: Settings, chance: Callable[[], float]
    ) -> Membership:
        return Membership(
            self._apart,
            self.holds,
            lanes=[Lane.of(definition) for definition in registry.definitions],
            aside=self._aside,
            hands=self._manager,
            settings=settings,
            chance=chance,
            url=self._store.url,
            gain=self._gain,
            observe=self._observe,
        )

    async def begin(self) -> None:
        """Become one of the crew, and take up the sagas of what falls to it."""
        await self._patience.ask(self._membership.join, "joining the workers")
        await self._taking_up.place_all()
        await self._patience.ask(self._membership.look_round, "dividing the sagas")
        self._membership.go_on()
        self._listening = self._crew.listen(self.holds.worker, self._hear)
        await self._taking_up.all()
        await self._unmanned.looked()
        self._look_later()

    async def retire(self) -> None:
        """Take up nothing more, and give back what is not at work; what is in flight is still recorded."""
        self._stopped = True
        self._unmanned.stop()
        for task in (self._looking, self._taking):
            if task is not None:
                task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        with suppress(StoreUnavailable):
            await self._membership.retire()

    async def leave(self) -> None:
        """Be no worker any more; a store that does not answer finds out by itself."""
        listening, self._listening = self._listening, None
        try:
            with suppress(StoreUnavailable):
                await self._membership.leave()
        finally:  # also where this is given up
            if listening is not None:
                listening.hang_up()
            closed = self._aside.read(self._apart.close)
            self._aside.close()
        await closed
        if listening is not None:
            await self._loader.read(listening.stop)

    @property
    def known(self) -> Sequence[Lane]:
        """What a worker that lives can run, or one could that may only be restarting."""
        spared = self._unmanned.spared()
        return [lane for lane in self._lanes if lane.key in spared]

    @property
    def is_oldest(self) -> bool:
        """Whether it is this worker's to say what nobody can run."""
        return self._unmanned.is_oldest

    # -- shards that come --------------------------------------------------------------------------------

    def _gain(self, shards: set[Shard]) -> None:
        self._manager.take_over(shards)
        self._taking_up.unread |= shards
        self._look_soon()

    def _observe(self, living: Sequence[Member], lanes: Sequence[Lane]) -> None:
        self._living, self._lanes = living, lanes
        if not self._stopped:
            self._unmanned.look(self.holds.worker, living)

    # -- what others do ----------------------------------------------------------------------------------

    def _hear(self, news: str) -> None:
        """Called on the listener's thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._heard, news)

    def _heard(self, news: str) -> None:
        if news == "crew":
            self._membership.begin_soon()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._stopped or self._timer is None:  # it has not begun, and looks then
            return
        self._timer.cancel()
        self._again = True
        if self._looking is None:
            self._looking = self._loop.create_task(self._look_round())

    def _look_later(self) -> None:
        hears = self._listening is not None and self._listening.hears
        if self._poll >= SELDOM or (hears and not self._waits):
            every = max(SELDOM, self._poll)
        else:
            every = min(self._poll * 2**self._failures, SELDOM)
        self._timer = self._timers.at(later(self._timers.now(), every), self._look_soon)

    async def _look_round(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._look()
            self._failures = 0
        except StoreUnavailable:
            self._failures = min(self._failures + 1, MOST_DOUBLED)
        finally:
            self._looking = None
            if not self._stopped:
                self._look_later()

    async def _look(self) -> None:
        if not self._taking_up.reading:
            self._manager.let_go.clear()
        if self._taking_up.unread and self._taking is None:
            self._taking = self._loop.create_task(self._take_up_aside())
        ask = partial(self._crew.calls, self.holds.worker, limit=PAGE, answered=self._answered)
        calls = await self._loader.read(ask)
        self._answered = ()
        if calls:
            self._again |= len(calls) == PAGE
            await self._answer([held.call for held in calls])
            self._answered = [held.number for held in calls]
        watched = self._manager.watchers.elsewhere()
        self._waits = bool(watched)
        if watched and self._timers.now() >= later(self._looked_at, min(self._poll, SELDOM)):
            self._looked_at = self._timers.now()
            for begin in range(0, len(watched), AT_ONCE):
                await self._look_at(watched[begin : begin + AT_ONCE])

    async def _look_at(self, watched: Sequence[str]) -> None:
        """Tell of the end of sagas elsewhere; how the others stand is read where somebody asks."""
        ended = await self._loader.read(partial(self._crew.ended, watched))
        if ended:
            for saga_id, found in (await self._loader.ended(ended)).items():
                self._manager.watchers.ended_elsewhere(saga_id, found)

    def _watched_elsewhere(self) -> None:
        """Somebody waits for a saga that another moves on: look more often from now."""
        if not self._waits:
            self._waits = True
            if self._looking is None and self._timer is not None and not self._stopped:
                self._timer.cancel()
                self._look_later()

    async def _answer(self, calls: Sequence[Call]) -> None:
        """Go on with sagas that others appended to: those in hand are read on, the others read all at once."""
        new = {call.saga_id for call in calls if self._manager.in_hand(call.saga_id) is None}
        if new:
            await self._taking_up.adopt(sorted(new), self.holds.epochs)
        for call in calls:
            if self._manager.in_hand(call.saga_id) is not None:
                self._manager.changed_elsewhere(call.saga_id, call.version)

    async def _take_up_aside(self) -> None:
        try:
            with suppress(StoreUnavailable):  # the next look tries again
                await self._taking_up.all()
        finally:
            self._taking = None
