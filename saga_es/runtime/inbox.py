"""Starts that wait in the store's inbox: looked for, checked, and given to the process manager."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.codec import encode_text
from saga_es.errors import EngineClosed, InvalidInput, StoreUnavailable, UnknownDefinition
from saga_es.model.commands import StartSaga
from saga_es.model.definition import SagaDefinition
from saga_es.model.keys import check_saga_id
from saga_es.model.times import later
from saga_es.runtime.live import Ask, MakeCommand
from saga_es.runtime.loading import Loader, reason_of
from saga_es.runtime.ownership import Holds
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.timers import Timer, Timers
from saga_es.store.inbox import AskedStart, ClaimLost, Inbox, Part, Scope
from saga_es.store.shards import Lane, Shard

MOST: Final = 100
"""Rows in hand at the same time."""

SHARE: Final = 4
"""Times as long as a look took there is none: one that has much to pass over is not to fill a server's time."""

LONGEST: Final = timedelta(seconds=1)
"""Between two looks for that."""

PASSING: Final = (StoreUnavailable, EngineClosed, ClaimLost)
"""What says nothing against a row: it is looked at again."""


class InboxReader:
    """Looks for rows, and has each started as ``start`` would; what can't be is set aside, and stops no other.

    A row is claimed by the append of its saga's first events, in the same transaction: until then it stands where
    it stood, whatever becomes of this engine. One that asks for what was started before is removed by itself.

    Args:
        known: what any worker can run, or could a moment ago.
        sets_aside: whether this is the worker that sets aside what nobody knows.
        ensure_recorded: records a plan before the first saga of it.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        holds: Holds,
        known: Callable[[], Sequence[Lane]],
        sets_aside: Callable[[], bool],
        loader: Loader,
        manager: ProcessManager,
        timers: Timers,
        registry: Registry,
        settings: Settings,
        ensure_recorded: Callable[[SagaDefinition, str], Awaitable[None]],
    ) -> None:
        self._inbox, self._loader, self._manager = inbox, loader, manager
        self._holds, self._known, self._sets_aside = holds, known, sets_aside
        self._timers, self._registry, self._settings = timers, registry, settings
        self._ensure_recorded = ensure_recorded
        self._loop = asyncio.get_running_loop()
        self._took = timedelta(0)  # the last look
        self._in_hand: set[int] = set()
        self._done: list[int] = []
        self._refused: dict[int, tuple[Exception, bool]] = {}  # and whether only for want of a definition
        self._more = False  # than were taken in hand
        self._stopped = False
        self._timer: Timer | None = None
        self._looking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look at once, and from here on."""
        if self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is None:
            self._looking = self._loop.create_task(self._look_round())

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    async def _look_round(self) -> None:
        try:
            with suppress(StoreUnavailable):  # the next look may succeed
                await self._clear()
                await self._look()
        finally:
            self._looking = None
            if not self._stopped:
                pause = max(self._settings.poll, min(SHARE * self._took, LONGEST))
                self._timer = self._timers.at(later(self._timers.now(), pause), self.begin)
                self._go_on_with_more()

    async def _look(self) -> None:
        room = MOST - len(self._in_hand)
        self._more = False
        if room == 0:
            return
        began = self._loop.time()
        rows = await self._loader.read(partial(self._inbox.waiting, room, self._scope()))
        self._took = timedelta(seconds=self._loop.time() - began)
        ours = [row for row in rows if self._is_ours(row)]
        self._in_hand.update(row.number for row in ours)
        for row in ours:
            await self._start(row)
        self._more = len(ours) == room

    def _scope(self) -> Scope:
        return Scope(
            beside=frozenset(self._in_hand),
            mine=self._parts(),
            known={(it.definition, it.version) for it in self._known()}
            | {(it.name, it.version) for it in self._registry.definitions},
            unknown=self._sets_aside(),
        )

    def _parts(self) -> list[Part]:
        """Return which starts fall to this worker just now."""
        shards: dict[str, set[int]] = defaultdict(set)
        for shard in self._holds.shards - self._holds.leaving:
            shards[shard.lane].add(shard.number)
        return [
            Part(it.name, it.version, self._registry.versions(it.name)[-1] == it.version, shards[it.lane])
            for it in self._registry.definitions
        ]

    def _is_ours(self, row: AskedStart) -> bool:
        """Whether nobody else can start it, or should."""
        bindings = self._registry.get(row.definition, row.version)
        if bindings is not None:
            shard = Shard.of(bindings.definition, row.saga_id)
            return self._holds.may_begin(shard)
        return self._sets_aside() and not any(
            it.definition == row.definition and row.version in (None, it.version) for it in self._known()
        )

    async def _start(self, row: AskedStart) -> None:
        try:
            bindings, make = self._checked(row)
            await self._ensure_recorded(bindings.definition, row.saga_id)
        except Exception as error:  # noqa: BLE001 - one row's fault stops no other
            is_unknown = self._registry.get(row.definition, row.version) is None
            self._answered(row.number, error, is_unknown=is_unknown)
            return
        done = partial(self._answered, row.number)
        self._manager.submit(row.saga_id, Ask(make, done, bindings.definition, bindings, claim=row.number))

    def _checked(self, row: AskedStart) -> tuple[SagaBindings, MakeCommand]:
        """Return what the row asks for, or raise what ``start`` would."""
        check_saga_id(row.saga_id)
        bindings = self._registry.get(row.definition, row.version)
        if bindings is None:
            raise self._unknown(row)
        settings = self._settings
        value = encode_text(
            bindings.input,
            row.text,
            what=f"the input of saga {row.definition!r}",
            max_payload=settings.max_payload,
            max_depth=settings.max_depth,
        )
        return bindings, partial(StartSaga, input=value, definition=row.definition)

    def _unknown(self, row: AskedStart) -> Exception:
        known = self._registry.versions(row.definition)
        if not known:
            return UnknownDefinition(row.definition, version=row.version, known=self._registry.names)
        listed = ", ".join(map(str, known))
        problem = f"version {row.version} of {row.definition!r} is not registered with this engine (known: {listed})"
        return InvalidInput("definition_version", problem=problem)

    def _answered(self, number: int, error: Exception | None, *, is_unknown: bool = False) -> None:
        if error is None:
            self._done.append(number)
        elif isinstance(error, PASSING):
            self._in_hand.discard(number)
            self._more = False  # not at once again: what passes takes its time
        else:
            self._refused[number] = error, is_unknown
        self._go_on_with_more()

    def _go_on_with_more(self) -> None:
        """Look at once where all of a full batch is answered."""
        if self._more and len(self._in_hand) == len(self._done) + len(self._refused):
            self.begin()

    async def _clear(self) -> None:
        """Remove the rows that asked for what was there already, and set aside what can't be started."""
        done = tuple(self._done)
        if done:
            await self._loader.read(partial(self._inbox.remove, done))
            self._done = self._done[len(done) :]
            self._in_hand.difference_update(done)
        for number, (error, is_unknown) in tuple(self._refused.items()):
            words, at = reason_of(error), self._timers.now()
            await self._loader.read(
                partial(self._inbox.set_aside, number, words, at=at, only_unknown=is_unknown)
            )
            self._refused.pop(number)
            self._in_hand.discard(number)
