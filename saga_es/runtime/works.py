"""The engine's works: what is made on entry, in order, and undone in reverse on leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar

from saga_es.authoring.bindings import SagaBindings
from saga_es.errors import EngineClosed, SagaError, StoreUnavailable, UnknownSaga
from saga_es.model.definition import SagaDefinition
from saga_es.runtime.clock import Clock
from saga_es.runtime.commits import CommitObserver
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.loading import Loader
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.threads import DaemonThreads, ExecutorThreads, Threads, awaited
from saga_es.runtime.timers import Timer, Timers
from saga_es.runtime.writer import Writer
from saga_es.store.address import open_store
from saga_es.store.port import Store

T = TypeVar("T")


class Works:
    """Store, writer, threads, timers and process manager of one entered engine."""

    def __init__(
        self,
        store: Store,
        reading: Threads,
        *,
        registry: Registry,
        settings: Settings,
        clock: Clock,
        executor: Executor | None,
        chance: Callable[[], float],
        observer: CommitObserver | None,
    ) -> None:
        self.store, self._clock, self._settings, self._registry = store, clock, settings, registry
        self._reading = reading
        self._stepping: Threads = DaemonThreads() if executor is None else ExecutorThreads(executor)
        self.timers = Timers(clock)
        self.writer = Writer(store, observer=observer, chance=chance)
        self.loader = Loader(store, registry, reading, clock)
        self.manager = ProcessManager(
            store=store,
            writer=self.writer,
            loader=self.loader,
            timers=self.timers,
            clock=clock,
            settings=settings,
            chance=chance,
            make_dispatcher=self._make_dispatcher,
        )
        self._recorded: set[str] = set()
        self._position = 0
        self._is_behind = False  # others wrote what has not been taken in
        self._poll_timer: Timer | None = None
        self._polling: asyncio.Task[None] | None = None

    def _make_dispatcher(self, deliver: Callable[[Report], None], on_room: Callable[[], None]) -> Dispatcher:
        return Dispatcher(
            timers=self.timers,
            threads=self._stepping,
            deliver=deliver,
            on_room=on_room,
            max_payload=self._settings.max_payload,
            max_depth=self._settings.max_depth,
        )

    @classmethod
    async def open(
        cls,
        address: str | Mapping[str, str],
        *,
        registry: Registry,
        settings: Settings,
        clock: Clock,
        executor: Executor | None,
        chance: Callable[[], float],
        observer: CommitObserver | None,
    ) -> Works:
        """Open the store, take the engine's place on it, and resume what is unfinished."""
        reading = DaemonThreads()
        store = await patiently(lambda: awaited(reading, lambda: claimed(address, settings.migrate)))
        works = cls(
            store,
            reading,
            registry=registry,
            settings=settings,
            clock=clock,
            executor=executor,
            chance=chance,
            observer=observer,
        )
        try:
            await works.recover()
        except BaseException:
            await works.close()
            raise
        return works

    async def recover(self) -> None:
        """Fold every saga the index shows as open, and go on with it; the rest of the log stays unread."""
        # From here on, also before the first look round.
        await patiently(lambda: self.writer.call(self.store.changed_by_others))
        self._position = await patiently(lambda: self.loader.read(self.store.position))
        parked = await patiently(self.loader.parked_in_index)
        after: str | None = None
        while True:
            lives, after = await patiently(partial(self.loader.open_page, after))
            self.manager.adopt(lives)
            for live in lives:
                shown = parked.get(live.saga_id)
                if live.state is not None and shown is not None and shown != live.state.parked:
                    await patiently(partial(self.loader.show_parked, live.saga_id, live.state.parked))
            if after is None:
                break
        self._poll_later()

    # -- what others wrote ---------------------------------------------------------------------------

    def _poll_later(self) -> None:
        self._poll_timer = self.timers.at(self._clock.now() + self._settings.poll, self._poll)

    def _poll(self) -> None:
        self._polling = asyncio.get_running_loop().create_task(self._look_round())

    async def _look_round(self) -> None:
        try:
            with suppress(StoreUnavailable):  # the writer says so to whoever waits; the next look may succeed
                await self._look()
        finally:
            self._poll_later()

    async def _look(self) -> None:
        let_go = tuple(self.manager.let_go)
        position, changed = await self.writer.call(self._end_of_log)
        self._is_behind |= changed
        if self._is_behind:
            await self._take_changes()
            self._is_behind = False
        else:
            self._position = position
        for saga_id in let_go:  # what was appended before is behind us
            self.manager.let_go.pop(saga_id, None)

    def _end_of_log(self) -> tuple[int, bool]:
        """Return where the log ends, and whether any of it may be of others: asked in that order."""
        return self.store.position(), self.store.changed_by_others()

    async def _take_changes(self) -> None:
        while True:
            changes = await self.loader.read(partial(self.store.changes, self._position))
            for saga_id, version in changes.versions.items():
                if version > self.manager.let_go.get(saga_id, 0):  # else it is our own
                    self.manager.changed_elsewhere(saga_id, version)
            at_the_end = not changes.versions or changes.position == self._position
            self._position = changes.position
            if at_the_end:
                return

    # -- for the engine ------------------------------------------------------------------------------

    async def ensure_recorded(self, definition: SagaDefinition) -> None:
        """Record a plan before the first saga of it, once per digest."""
        if definition.digest not in self._recorded:
            await patiently(lambda: self.loader.read(lambda: self.store.record_definition(definition)))
            self._recorded.add(definition.digest)

    async def bindings(self, saga_id: str) -> SagaBindings | None:
        """Return the callables of a recorded saga, ``None`` where they are not at hand, or UnknownSaga."""
        live = self.manager.in_hand(saga_id)
        if live is not None and live.state is not None and live.state.version:
            return live.bindings
        events = await self.loader.read(lambda: self.store.read(saga_id, upto=1))
        if not events:
            raise UnknownSaga(saga_id)
        plan = await self.loader.read(lambda: self.loader.plan_of(saga_id, events))
        return self._registry.fit(plan).bindings

    def not_ended(self, saga_id: str, timeout: timedelta | None) -> Exception:
        """Return the error for an outcome that did not come in time: how the saga stands, and why."""
        if self.writer.unavailable is not None:
            return self.writer.unavailable
        live = self.manager.in_hand(saga_id)
        state = live.state if live is not None else None
        if state is None:
            return TimeoutError(f"saga {saga_id!r} could not be read within {timeout}")
        unfinished = [f"{name} {step.status}" for name, step in state.steps.items() if step.status in _BUSY]
        assert live is not None  # noqa: S101 - it has a state
        reason = state.parked or live.set_aside
        parked = f"; parked: {reason}" if reason else ""
        paused = "; paused" if state.paused else ""
        return TimeoutError(
            f"saga {saga_id!r} has not ended within {timeout}: it is {state.status}"
            f"{parked}{paused}; unfinished: {', '.join(unfinished) or 'nothing'}. It goes on; ask again, or see "
            "history(saga_id).trace()."
        )

    def not_recorded(self, saga_id: str, patience: timedelta) -> Exception:
        """Return the error for a command that was not recorded in time."""
        problem = f"what was asked of saga {saga_id!r} was not recorded within {patience}"
        return self.writer.unavailable or StoreUnavailable(self.store.url, problem=problem)

    async def close(self) -> None:
        """Undo what ``open`` made, in reverse; waits for what is in flight up to ``Settings.drain``."""
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        if self._polling is not None:
            self._polling.cancel()
        await self.manager.close(self._settings.drain)
        await self.writer.close()
        self.manager.abandon(EngineClosed("waiting for a saga"))
        self.timers.close()
        await self.loader.read(self.store.close)
        self._stepping.close()
        self._reading.close()


_BUSY = frozenset(
    {
        "waiting",
        "dispatched",
        "retrying",
        "awaited",
        "undoing",
        "undo_retrying",
        "stuck",
        "unknown",
        "rejected",
    }
)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the store, and once more where a connection was cut: what is asked may be asked twice."""
    try:
        return await ask()
    except StoreUnavailable:
        return await ask()


def claimed(address: str | Mapping[str, str], migrate: bool | None) -> Store:  # noqa: FBT001 - a setting passed on
    """Open a store and take the engine's place on it; blocking."""
    store = open_store(address, migrate=migrate)
    try:
        store.claim()
    except SagaError:
        store.close()
        raise
    return store
