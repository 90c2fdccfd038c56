"""SagaClient: the engine's verbs without dispatching, from any process."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from pydantic import JsonValue

from saga_es.authoring.bindings import SagaBindings, bindings_of, name_of
from saga_es.authoring.fluent import Definition
from saga_es.authoring.saga import Saga
from saga_es.errors import EngineClosed, StoreUnavailable, UnknownSaga, VersionConflict
from saga_es.model.commands import StartSaga
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.keys import check_saga_id
from saga_es.model.state import SagaState, replay
from saga_es.outcome import Outcome
from saga_es.runtime.clock import Clock, SystemClock
from saga_es.runtime.face import Face, outcome_with
from saga_es.runtime.live import MakeCommand
from saga_es.runtime.loading import Loader
from saga_es.runtime.recording import make_append
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.threads import DaemonThreads, awaited
from saga_es.runtime.timers import Timers
from saga_es.store.address import open_store
from saga_es.store.port import Append, Store

T = TypeVar("T")


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
        ids: Callable[[], str] = lambda: uuid.uuid4().hex,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store_address = store
        self._registry = Registry([bindings_of(saga) for saga in sagas])
        self._settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._ids, self._chance = ids, chance
        self._entered: tuple[Store, Loader, DaemonThreads, Timers] | None = None

    async def __aenter__(self) -> Self:
        threads = DaemonThreads()
        store = await awaited(
            threads, lambda: open_store(self._store_address, migrate=self._settings.migrate)
        )
        loader = Loader(store, self._registry, threads, self._clock)
        self._entered = (store, loader, threads, Timers(self._clock))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is not None:
            (store, loader, threads, timers), self._entered = self._entered, None
            timers.close()
            await loader.read(store.close)
            threads.close()

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
        store, loader = self._open
        name, version = name_of(saga)
        bindings = self._registry.find(name, version)
        saga_id = check_saga_id(self._ids() if saga_id is None else saga_id)
        value: JsonValue = self._encoded(bindings.input, input, what=f"the input of saga {name!r}")
        make = partial(StartSaga, input=value, definition=name)

        def record() -> None:
            store.record_definition(bindings.definition)
            self._append(store, loader, saga_id, make, bindings.definition)

        await loader.read(record)
        return saga_id

    async def outcome(self, saga_id: str, *, timeout: timedelta | None = None) -> Outcome:
        """Wait until an engine has brought a saga to its end, and return how it ended.

        Raises:
            UnknownSaga: there is none of this id.
            TimeoutError: it has not ended by then; the message says how it stands.
        """
        _, loader = self._open
        check_saga_id(saga_id)
        end = None if timeout is None else self._clock.now() + timeout
        while True:
            state, bindings = await loader.read(lambda: self._state(saga_id))
            if state.status.is_terminal:
                return outcome_with(bindings, state)
            if end is not None and self._clock.now() >= end:
                parked = f"; parked: {state.parked}" if state.parked else ""
                raise TimeoutError(
                    f"saga {saga_id!r} has not ended within {timeout}: it is {state.status}{parked}"
                )
            await self._until_next_look(end)

    async def _until_next_look(self, end: datetime | None) -> None:
        next_look = self._clock.now() + self._settings.poll
        due = next_look if end is None or next_look < end else end
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        assert self._entered is not None  # noqa: S101 - the caller has read from it
        timer = self._entered[3].at(due, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    # -- how a command gets into the log -------------------------------------------------------------

    async def _ask(self, saga_id: str, make: MakeCommand) -> None:
        store, loader = self._open
        await loader.read(lambda: self._append(store, loader, saga_id, make, None))

    async def _bindings(self, saga_id: str) -> SagaBindings | None:
        _, loader = self._open
        return (await loader.read(lambda: self._state(saga_id)))[1]

    def _state(self, saga_id: str) -> tuple[SagaState, SagaBindings | None]:
        store, loader = self._open
        events = store.read(saga_id)
        if not events:
            raise UnknownSaga(saga_id)
        fit = self._registry.fit(loader.plan_of(saga_id, events))
        return replay(fit.definition, events, saga_id=saga_id), fit.bindings

    def _append(
        self, store: Store, loader: Loader, saga_id: str, make: MakeCommand, start: SagaDefinition | None
    ) -> None:
        """Read, decide, append; blocking. Lost races are read back and decided again."""
        while True:
            events = store.read(saga_id)
            if events:
                definition = self._registry.fit(loader.plan_of(saga_id, events)).definition
                state = replay(definition, events, saga_id=saga_id)
            elif start is not None:
                definition, state = start, SagaState.unborn(start, saga_id)
            else:
                raise UnknownSaga(saga_id)
            at = self._clock.now()
            command = make(at=at, room=0, jitter=self._chance(), defaults=self._settings.defaults())
            decided = decide_with_state(definition, state, command)
            if not decided.events:
                return
            started_at = events[0].at if events else None
            append = make_append(store, state, decided.state, decided.events, at=at, started_at=started_at)
            if self._committed(store, append):
                return

    def _committed(self, store: Store, append: Append) -> bool:
        try:
            store.append([append])
        except VersionConflict:
            return store.already_recorded(append)
        except StoreUnavailable:
            if not store.already_recorded(append):  # raises itself while the store is away
                raise
        return True

    @property
    def _open(self) -> tuple[Store, Loader]:
        if self._entered is None:
            raise EngineClosed("a command of this client")
        return self._entered[0], self._entered[1]
