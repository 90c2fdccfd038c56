"""One worker among those who share a store: it says that it lives, takes its share, and gives back what is others'."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from saga_es.errors import StoreInUse, StoreUnavailable
from saga_es.runtime.ownership import Holds
from saga_es.runtime.settings import Settings
from saga_es.runtime.shares import balance
from saga_es.store.crew import Crew, Member, Muster
from saga_es.store.processes import is_dead, this_process
from saga_es.store.shards import Fenced, Lane, Shard

T = TypeVar("T")

BEATS: Final = 3
"""Of a lease."""

SOON: Final = 0.1
"""Seconds after which it is looked again at what is to be given back, and first at a store that did not answer."""


class Hands(Protocol):
    """What a membership asks of whoever moves the sagas on."""

    def busy_shards(self) -> set[Shard]: ...
    def lose(self, shards: Collection[Shard]) -> None: ...
    def resume(self, shards: Collection[Shard]) -> None: ...
    def sure(self) -> None: ...


class Reading(Protocol):
    """Asks blocking questions elsewhere than on the loop."""

    def read(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class Membership:
    """Keeps ``Holds`` in step with the store. On the event loop; in real time, as leases are.

    Args:
        lanes: what this worker can run.
        aside: asks the crew one thing after another, and waits for nobody else's questions: a worker whose word
            came too late would lose what it holds.
        gain: is told of shards that are held from here on, before anything is asked of their sagas.
        observe: is told of those who live, and of all lanes, after each look.
        chance: in [0, 1), so that not all do at once what they do together.
    """

    def __init__(
        self,
        crew: Crew,
        holds: Holds,
        *,
        lanes: Sequence[Lane],
        aside: Reading,
        hands: Hands,
        settings: Settings,
        chance: Callable[[], float],
        url: str,
        gain: Callable[[set[Shard]], None],
        observe: Callable[[Sequence[Member], Sequence[Lane]], object],
    ) -> None:
        self._crew, self._holds, self._lanes, self._aside, self._hands = crew, holds, lanes, aside, hands
        self._lease, self._drain = settings.lease, settings.drain
        self._chance, self._url, self._gain, self._observe = chance, url, gain, observe
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = asyncio.Lock()
        self._heard = -math.inf  # when the store last heard of this worker
        self._spared = False
        self._since: dict[Shard, float] = {}  # when it was decided to give a shard back
        self._retired = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._round: asyncio.Task[None] | None = None
        self._again = False
        self._pause = SOON

    async def join(self) -> None:
        """Become a member; StoreInUse while a copy holds the store. May be asked again."""
        joining = partial(self._crew.join, self._holds.worker, this_process(), self._lanes, self._lease)
        if not await self._aside.read(joining):
            raise StoreInUse(self._url, holder="saga-es copy")

    def begin_soon(self) -> None:
        """Look round in a later turn of the loop, or once more if that is under way."""
        if self._over:
            return
        self._again = True
        if self._round is None:
            self._set_timer(None)
            self._round = self._loop.create_task(self._rounds())

    def go_on(self) -> None:
        """Look round from here on."""
        self._set_timer(self._next_beat())

    async def look_round(self) -> None:
        """Say that this worker lives, and bring what it holds in line with what the crew is now."""
        async with self._one_at_a_time:
            began = time.monotonic()
            muster = await self._aside.read(self._beat)
            self._take(muster)
            self._holds.sure_until = began + self._lease.total_seconds()
            self._hands.sure()
            spare = self._spares_the_silent()
            others = [it for it in muster.members if it.worker != self._holds.worker]
            dead = {it.worker for it in others if is_dead(it.process)}
            silent = {it.worker for it in others if it.is_expired and not spare}
            living = [it for it in muster.members if it.worker not in dead | silent]
            lacking = balance(self._holds.worker, muster.holds, living).lacking
            wanted: Mapping[str, int] = {} if self._retired else lacking
            if wanted or dead or silent:  # who is still silent then, the store says
                claim = partial(self._crew.claim, self._holds.worker, wanted, dead, spare_the_silent=spare)
                await self._aside.read(claim)
                muster = await self._aside.read(partial(self._crew.muster, self._holds.worker))
                self._take(muster)
            self._choose(balance(self._holds.worker, self._holds.shards, living).surplus)
            await self._give_back()
            self._observe(living, muster.lanes)

    async def retire(self) -> None:
        """Want nothing any more, and give back what is not at work; still a member until ``leave``."""
        self._retired = True
        await self._aside.read(partial(self._crew.retire, self._holds.worker))
        await self.look_round()
        self.begin_soon()

    async def leave(self) -> None:
        """Give everything back, whatever is in flight."""
        self._over = True
        self._set_timer(None)
        if self._round is not None:
            self._round.cancel()
        async with self._one_at_a_time:
            self._hands.lose(self._holds.shards)
            self._holds.drop(self._holds.shards)
            await self._aside.read(partial(self._crew.leave, self._holds.worker))

    def fenced(self, error: Fenced) -> None:
        """A commit was refused: these epochs are over."""
        lost = {shard for shard, epoch in error.lost if self._holds.lose(shard, epoch)}
        self._hands.lose(lost)
        self.begin_soon()

    def _take(self, muster: Muster) -> None:
        """Hold what the store says."""
        gained, lost = self._holds.take(muster.holds)
        self._hands.lose(lost)
        if gained:
            self._gain(gained)

    # -- a round -------------------------------------------------------------------------------------

    async def _rounds(self) -> None:
        delay = self._pause
        try:
            while self._again:
                self._again = False
                try:
                    await self.look_round()
                except StoreUnavailable:
                    delay = self._longer_pause()
                else:
                    self._pause, delay = SOON, self._next_beat()
        finally:
            self._round = None
            if not self._over:
                self._set_timer(min(SOON, delay) if self._holds.leaving else delay)

    def _longer_pause(self) -> float:
        """Return how long to leave a store alone that did not answer; at most as long as between two beats."""
        pause, self._pause = self._pause, self._pause * 2
        return min(pause * (0.5 + self._chance()), self._next_beat())

    def _set_timer(self, delay: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else self._loop.call_later(delay, self.begin_soon)

    def _next_beat(self) -> float:
        return self._lease.total_seconds() / BEATS * (0.8 + 0.2 * self._chance())

    def _beat(self) -> Muster:
        """Blocking. One who was taken for dead, and has been forgotten, becomes a member anew."""
        worker = self._holds.worker
        if not self._crew.beat(worker):
            lanes = () if self._retired else self._lanes
            if not self._crew.join(worker, this_process(), lanes, self._lease):
                raise StoreUnavailable(self._url, problem="a copy holds it")
        return self._crew.muster(worker)

    def _spares_the_silent(self) -> bool:
        """Note that the store has heard of this worker, and say whether silence says nothing of the others just now.

        If it had not for longer than a lease, they may have been cut off as well, and are given a beat's time once:
        whoever comes back first after an outage would take everything from them.
        """
        before, self._heard = self._heard, self._loop.time()
        was_away = math.isfinite(before) and self._heard - before > self._lease.total_seconds()
        self._spared = was_away and not self._spared
        return self._spared

    def _choose(self, surplus: Mapping[str, int]) -> None:
        """Choose what to give back: what is not at work first, and what was chosen before."""
        wanted = dict(surplus)
        busy = self._hands.busy_shards()
        before = set(self._holds.leaving)
        chosen: set[Shard] = set()
        for shard in sorted(self._holds.shards, key=lambda it: (it not in before, it in busy, it)):
            if wanted.get(shard.lane, 0) > 0:
                wanted[shard.lane] -= 1
                chosen.add(shard)
        self._holds.leaving = chosen
        now = self._loop.time()
        self._since = {shard: self._since.get(shard, now) for shard in chosen}
        self._hands.resume(before - chosen)

    async def _give_back(self) -> None:
        """Release what is not at work, and what has been for longer than leaving an engine may take."""
        busy, now = self._hands.busy_shards(), self._loop.time()
        patience = math.inf if self._retired else self._drain.total_seconds()
        ready = {it for it in self._holds.leaving if it not in busy or now - self._since[it] >= patience}
        if ready:
            self._holds.drop(ready)
            self._hands.lose(ready)
            await self._aside.read(partial(self._crew.release, self._holds.worker, ready))
