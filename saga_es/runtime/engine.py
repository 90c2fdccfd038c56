"""SagaEngine: everything at work, behind one async context manager."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from saga_es.authoring.bindings import SagaBindings, bindings_of
from saga_es.authoring.fluent import Definition
from saga_es.authoring.saga import Saga
from saga_es.errors import EngineClosed, UnknownSaga
from saga_es.model.keys import check_saga_id
from saga_es.model.times import LATEST, later
from saga_es.outcome import Outcome
from saga_es.runtime.clock import Clock, SystemClock
from saga_es.runtime.face import Face
from saga_es.runtime.ids import new_saga_id
from saga_es.runtime.live import MakeCommand
from saga_es.runtime.loading import Loader
from saga_es.runtime.observing import CommitObserver
from saga_es.runtime.patience import MOMENT, Patience, within
from saga_es.runtime.registry import Registry
from saga_es.runtime.results import outcome_with
from saga_es.runtime.settings import Settings
from saga_es.runtime.start_in import held_start, not_begun
from saga_es.runtime.starts import Start
from saga_es.runtime.works import Given, Works
from saga_es.store.crew import WorkerInfo
from saga_es.store.port import Store

T = TypeVar("T")
R = TypeVar("R")


class SagaEngine(Face):
    """Runs sagas on a store; entering resumes what is unfinished.

    Args:
        store: ``memory://``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…``, or an
            `eventsourcing` environment dictionary.
        sagas: instances of Saga classes, or fluent definitions; old versions beside new ones.
        clock: where the time comes from.
        executor: where plain functions run, instead of the engine's own daemon threads.
        ids: makes an id for a saga that is started without one; by default a UUID of version 7, of a saga that is this
            engine's own where several share a store.
        chance: in [0, 1), for the jitter of retries.
        observer: sees every commit (for tests that end the process there).

    Raises:
        DefinitionError: a saga can't work.
        StoreInUse, StoreSchemaError, StoreUnavailable, MissingExtra: on entering.
    """

    def __init__(
        self,
        store: str | Mapping[str, str],
        *,
        sagas: Sequence[Saga[Any] | Definition[Any]],
        settings: Settings | None = None,
        clock: Clock | None = None,
        executor: Executor | None = None,
        ids: Callable[[], str] = new_saga_id,
        chance: Callable[[], float] = random.random,
        observer: CommitObserver | None = None,
    ) -> None:
        self._store_address = store
        self._registry = Registry([bindings_of(saga) for saga in sagas])
        self._settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._executor, self._ids, self._chance, self._observer = executor, ids, chance, observer
        self._works: Works | None = None

    async def __aenter__(self) -> Self:
        if self._works is not None:
            raise EngineClosed("entering an engine a second time")
        given = Given(
            registry=self._registry,
            settings=self._settings,
            clock=self._clock,
            executor=self._executor,
            ids=self._ids,
            chance=self._chance,
            observer=self._observer,
        )
        self._works = await Works.open(self._store_address, given)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Claim nothing new, drain to ``Settings.drain``, leave the rest to the next entry.

        Cancelled meanwhile, it waits no longer for what is in flight, and still leaves the store in order.
        """
        works, self._works = self._works, None
        if works is None:
            return
        closing = asyncio.get_running_loop().create_task(works.close())
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as cut:
                if closing.done():
                    raise
                cancelled = cut
                works.hurry()
        if cancelled is not None:
            raise cancelled

    # -- starting and waiting ------------------------------------------------------------------------

    @overload
    async def start(
        self, saga: type[Saga[T]] | Saga[T] | Definition[T], input: T, *, saga_id: str | None = None
    ) -> str: ...
    @overload
    async def start(self, saga: str, input: object, *, saga_id: str | None = None) -> str: ...
    async def start(self, saga: Any, input: Any, *, saga_id: str | None = None) -> str:
        """Start a saga, and return its id once it is durable; the same id and input again is a no-op.

        Raises:
            UnknownDefinition: it is not registered with this engine.
            InvalidInput, PayloadTooLarge: the input, or the id, does not fit; nothing was recorded.
            SagaIdConflict: the id belongs to a saga of another definition or input.
            StoreUnavailable: the store did not answer within ``Settings.store_timeout``.
        """
        works = self._running("start")
        start = works.starts.checked(saga, input, saga_id)
        if start.definition.digest not in works.recorded:
            works = await self._once_recorded(works, start)
        await works.starts.begin(start)
        return start.saga_id

    async def _once_recorded(self, works: Works, start: Start) -> Works:
        await works.ensure_recorded(start.definition, start.saga_id)
        return self._running("a start")  # it may have been left meanwhile

    @overload
    async def run(
        self,
        saga: type[Saga[T]] | Saga[T] | Definition[T],
        input: T,
        *,
        saga_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> Outcome: ...
    @overload
    async def run(
        self, saga: str, input: object, *, saga_id: str | None = None, timeout: timedelta | None = None
    ) -> Outcome: ...
    async def run(
        self, saga: Any, input: Any, *, saga_id: str | None = None, timeout: timedelta | None = None
    ) -> Outcome:
        """Start a saga and wait for its outcome."""
        if timeout is not None:
            return await self.outcome(await self.start(saga, input, saga_id=saga_id), timeout=timeout)
        works = self._running("run")
        start = works.starts.checked(saga, input, saga_id)
        if start.definition.digest not in works.recorded:
            works = await self._once_recorded(works, start)
        ended = await works.starts.run(start)
        return outcome_with(ended.bindings, ended.state)

    async def outcome(self, saga_id: str, *, timeout: timedelta | None = None) -> Outcome:
        """Wait until a saga has ended, and return how.

        Raises:
            UnknownSaga: there is none of this id.
            TimeoutError: it has not ended by then; the message says how it stands, parked and why included.
            StoreUnavailable: the same, because the store does not answer.
        """
        check_saga_id(saga_id)
        end = LATEST if timeout is None else later(self._clock.now(), timeout)
        may_be_held = True
        while True:
            try:
                return await self._ended(saga_id, timeout, end)
            except UnknownSaga:
                if not may_be_held:
                    raise
            may_be_held = await self._is_held(saga_id, timeout, end)

    async def _ended(self, saga_id: str, timeout: timedelta | None, end: datetime) -> Outcome:
        works = self._running("outcome")
        future = works.manager.watchers.watch(saga_id)
        limit = None if timeout is None else max(end - self._clock.now(), timedelta(0))
        if limit is None:
            ended = await future
        else:
            late = partial(works.not_ended, saga_id, timeout)
            ended = await self._in_time(future, limit, late, partial(works.manager.watchers.stands, saga_id))
        return outcome_with(ended.bindings, ended.state)

    async def _is_held(self, saga_id: str, timeout: timedelta | None, end: datetime) -> bool:
        """Whether a saga waits in the inbox; if so, return a while later. One that left it may be begun by now."""
        store, loader, patience = self._open
        if store.inbox is None:
            return False
        looking = partial(held_start, saga_id, store)
        held = await patience.ask(lambda: loader.read(looking), f"reading saga {saga_id!r}")
        if held is None:
            return False
        now = self._clock.now()
        if now >= end:
            raise not_begun(saga_id, held, timeout)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await within(self._running("outcome").timers, woken, min(end, later(now, self._settings.poll)))
        return True

    async def workers(self) -> tuple[WorkerInfo, ...]:
        """Return who is at work on this store, the oldest first, and which sagas each owns.

        On PostgreSQL any number of engines share a store; memory, or a SQLite file, one has alone.

        Raises:
            StoreUnavailable: the store did not answer within ``Settings.store_timeout``.
        """
        return await self._running("workers").workers()

    # -- how a command gets into the log -------------------------------------------------------------

    async def _ask(self, saga_id: str, make: MakeCommand) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running("a command").asking.submit(saga_id, make, future, partial(future.set_result, None))
        await future

    async def _bindings(self, saga_id: str) -> SagaBindings | None:
        works = self._running("a command")
        return await works.bindings(saga_id)

    async def _in_time(
        self,
        future: asyncio.Future[R],
        limit: timedelta,
        late: Callable[[], Exception],
        prepare: Callable[[], Coroutine[None, None, None]],
    ) -> R:
        """Return what ``future`` brings; raise what ``late`` makes when the limit has passed on the engine's clock.

        Before that it awaits what ``prepare`` makes: a store that answers has a moment for it, however short the limit.
        """
        timers, end = self._running("waiting").timers, later(self._clock.now(), limit)
        if not await within(timers, future, end):
            preparing = asyncio.ensure_future(prepare())
            try:
                await within(timers, preparing, later(self._clock.now(), MOMENT))
            except asyncio.CancelledError:
                future.cancel()
                raise
            finally:
                preparing.cancel()
        if not future.done():
            future.set_exception(late())
        return future.result()

    @property
    def _open(self) -> tuple[Store, Loader, Patience]:
        works = self._running("reading")
        return works.store, works.loader, works.patience

    def _running(self, asked: str) -> Works:
        if self._works is None:
            raise EngineClosed(asked)
        return self._works
