"""SagaClient: the engine's verbs without dispatching, from any process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from saga_es.authoring.bindings import SagaBindings, bindings_of
from saga_es.authoring.fluent import Definition
from saga_es.authoring.saga import Saga
from saga_es.errors import EngineClosed, StoreUnavailable, UnknownSaga, VersionConflict
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.keys import check_saga_id
from saga_es.model.state import SagaState
from saga_es.model.summary import SagaSummary
from saga_es.model.times import LATEST, later
from saga_es.outcome import Outcome
from saga_es.runtime.clock import Clock, SystemClock
from saga_es.runtime.face import Face
from saga_es.runtime.ids import new_saga_id
from saga_es.runtime.live import MakeCommand
from saga_es.runtime.loading import LEAVING, READERS, Loader
from saga_es.runtime.opening import Opening
from saga_es.runtime.patience import MOMENT, Patience, within
from saga_es.runtime.recording import make_append
from saga_es.runtime.registry import Registry
from saga_es.runtime.results import outcome_with
from saga_es.runtime.settings import Settings
from saga_es.runtime.start_in import held_start, not_begun
from saga_es.runtime.threads import DaemonThreads, awaited
from saga_es.runtime.timers import Timers
from saga_es.store.address import open_store, shown
from saga_es.store.append import Append
from saga_es.store.port import Store
from saga_es.store.shards import Shard

T = TypeVar("T")
R = TypeVar("R")


class SagaClient(Face):
    """Starts, signals, cancels, repairs and reads sagas that an engine runs, in this process or another.

    Each command is a short transaction of its own: read the stream, decide with no room for attempts, append
    by the version check; whoever loses a race reads back and decides again. Engines notice by themselves.

    Args:
        store: as for ``SagaEngine``.
        sagas: Saga instances or fluent definitions, to start them and to decode their results; results of
            sagas that are not given here are JSON values.
    """

    def __init__(
        self,
        store: str | Mapping[str, str],
        *,
        sagas: Sequence[Saga[Any] | Definition[Any]] = (),
        settings: Settings | None = None,
        clock: Clock | None = None,
        ids: Callable[[], str] = new_saga_id,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store_address = store
        self._registry = Registry([bindings_of(saga) for saga in sagas])
        self._settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._ids, self._chance = ids, chance
        self._entered: _Entered | None = None

    async def __aenter__(self) -> Self:
        if self._entered is not None:
            raise EngineClosed("entering a client a second time")
        address, settings = self._store_address, self._settings
        threads, timers = DaemonThreads(most=READERS), Timers(self._clock)
        patience = Patience(timers, url=shown(address), limit=settings.store_timeout, chance=self._chance)
        opening = Opening(partial(open_store, address, migrate=settings.migrate))
        try:
            store = await patience.ask(lambda: awaited(threads, opening), "opening the store")
        except BaseException:
            await opening.give_up(timers)
            raise
        loader = Loader(store, self._registry, threads, self._clock)
        self._entered = _Entered(store, loader, patience, threads, timers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        it, self._entered = self._entered, None
        if it is not None:
            for waiting in tuple(it.waiting):
                if not waiting.done():
                    waiting.set_exception(EngineClosed("waiting for a saga"))
            closing = asyncio.ensure_future(it.loader.read(it.store.close))
            await within(it.timers, closing, later(self._clock.now(), LEAVING))
            it.timers.close()
            it.threads.close()

    @overload
    async def start(
        self, saga: type[Saga[T]] | Saga[T] | Definition[T], input: T, *, saga_id: str | None = None
    ) -> str: ...
    @overload
    async def start(self, saga: str, input: object, *, saga_id: str | None = None) -> str: ...
    async def start(self, saga: Any, input: Any, *, saga_id: str | None = None) -> str:
        """Record a saga's start for an engine to go on with; the same id and input again is a no-op.

        Raises:
            UnknownDefinition: it is not among this client's ``sagas``.
            InvalidInput, PayloadTooLarge: the input, or the id, does not fit; nothing was recorded.
            SagaIdConflict: the id belongs to a saga of another definition or input.
            StoreUnavailable: the store does not answer; calling again with the same id is safe.
        """
        store, loader, patience = self._open
        start = self._checked(saga, input, saga_id)

        def record() -> None:
            store.record_definition(start.definition)
            self._append(store, loader, start.saga_id, start.make, start.definition)

        what = f"the start of saga {start.saga_id!r}"
        await patience.ask(lambda: loader.read(record), what, saga_id=start.saga_id)
        return start.saga_id

    async def outcome(self, saga_id: str, *, timeout: timedelta | None = None) -> Outcome:
        """Wait until an engine has brought a saga to its end, and return how it ended.

        Raises:
            UnknownSaga: there is none of this id.
            TimeoutError: it has not ended by then; the message says how it stands, parked and why included.
            StoreUnavailable: the same, because the store does not answer.
        """
        check_saga_id(saga_id)
        end = LATEST if timeout is None else later(self._clock.now(), timeout)
        while True:
            shown = await self._read(lambda store: store.summary(saga_id), saga_id, end)
            is_late = self._clock.now() >= end
            held = await self._read(partial(held_start, saga_id), saga_id, end) if shown is None else None
            if held is not None:
                if is_late:
                    raise not_begun(saga_id, held, timeout)
                await self._until_next_look(end)
                continue
            if shown is None or shown.status.is_terminal or is_late:
                state, bindings = await self._read(lambda _: self._state(saga_id), saga_id, end)
                if state.status.is_terminal:
                    return outcome_with(bindings, state)
                if is_late:
                    raise _not_ended(state, shown, timeout)
            await self._until_next_look(end)

    async def _read(self, reading: Callable[[Store], R], saga_id: str, end: datetime) -> R:
        """Read by ``end``; a store that answers has a moment for it, however short the time."""
        store, loader, patience = self._open
        until = max(end, later(self._clock.now(), MOMENT))
        what = f"reading saga {saga_id!r}"
        return await patience.ask(lambda: loader.read(lambda: reading(store)), what, until=until)

    async def _until_next_look(self, end: datetime) -> None:
        if self._entered is None:
            raise EngineClosed("waiting for a saga")
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting, timers = self._entered.waiting, self._entered.timers
        waiting.add(woken)
        try:
            if await within(timers, woken, min(end, later(self._clock.now(), self._settings.poll))):
                woken.result()
        finally:
            waiting.discard(woken)

    # -- how a command gets into the log -------------------------------------------------------------

    async def _ask(self, saga_id: str, make: MakeCommand) -> None:
        store, loader, patience = self._open
        asking = partial(self._append, store, loader, saga_id, make, None)
        await patience.ask(
            lambda: loader.read(asking), f"what was asked of saga {saga_id!r}", saga_id=saga_id
        )

    async def _bindings(self, saga_id: str) -> SagaBindings | None:
        _, loader, patience = self._open
        reading = partial(loader.recorded_plan, saga_id)
        plan = await patience.ask(lambda: loader.read(reading), f"reading saga {saga_id!r}")
        return self._registry.fit(plan).bindings

    def _state(self, saga_id: str) -> tuple[SagaState, SagaBindings | None]:
        store, loader, _ = self._open
        stream = store.stream(saga_id)
        if not stream:
            raise UnknownSaga(saga_id)
        found = loader.found(stream)
        return found.state, found.fit.bindings

    def _append(
        self, store: Store, loader: Loader, saga_id: str, make: MakeCommand, start: SagaDefinition | None
    ) -> None:
        """Read, decide, append; blocking. Lost races are read back and decided again."""
        conflict: VersionConflict | None = None
        while True:
            stream = store.stream(saga_id)
            if conflict is not None and conflict.expected == len(stream):
                raise conflict  # nobody was first: the store refuses what follows on what it shows
            found = loader.found(stream) if stream else None
            if found is not None:
                definition, state = found.fit.definition, found.state
            elif start is not None:
                definition, state = start, SagaState.unborn(start, saga_id)
            else:
                raise UnknownSaga(saga_id)
            at = self._clock.now()
            command = make(at=at, room=0, jitter=self._chance(), defaults=self._settings.defaults())
            decided = decide_with_state(definition, state, command)
            if not decided.events:
                return
            started_at = None if found is None else found.started_at
            shard = Shard.of(definition, saga_id)  # its owner is told
            append = make_append(
                store, state, decided.state, decided.events, at=at, started_at=started_at, shard=shard
            )
            conflict = _conflict(store, append)
            if conflict is None:
                return

    @property
    def _open(self) -> tuple[Store, Loader, Patience]:
        if self._entered is None:
            raise EngineClosed("a command of this client")
        return self._entered.store, self._entered.loader, self._entered.patience


@dataclass(slots=True)
class _Entered:
    """What a client has while it is entered; ``waiting`` are those who wait for an outcome."""

    store: Store
    loader: Loader
    patience: Patience
    threads: DaemonThreads
    timers: Timers
    waiting: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])


def _conflict(store: Store, append: Append) -> VersionConflict | None:
    """Append, and return the conflict if somebody else was first."""
    try:
        store.append([append])
    except VersionConflict as conflict:
        return None if store.already_recorded(append) else conflict
    except StoreUnavailable:
        if not store.already_recorded(append):  # raises itself while the store is away
            raise
    return None


def _not_ended(state: SagaState, shown: SagaSummary | None, timeout: timedelta | None) -> TimeoutError:
    """Say how a saga stands; that nothing can run it no event tells, only the index."""
    reason = state.parked or (shown.parked if shown else None)
    parked = f"; parked: {reason}" if reason else ""
    paused = "; paused" if state.paused else ""
    return TimeoutError(
        f"saga {state.saga_id!r} has not ended within {timeout}: it is {state.status}{parked}{paused}. It goes "
        "on where an engine runs it; ask again, or see history(saga_id).trace()."
    )
