"""The engine's works: what is made on entry, in order, and undone in reverse on leaving."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from saga_es.authoring.bindings import SagaBindings
from saga_es.errors import EngineClosed, SagaError, StoreUnavailable
from saga_es.history.remaining import remaining
from saga_es.model.definition import SagaDefinition
from saga_es.model.state import SagaState
from saga_es.model.times import later
from saga_es.runtime.asking import Asking
from saga_es.runtime.clock import Clock
from saga_es.runtime.crew_following import CrewFollower
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.ids import new_saga_id
from saga_es.runtime.inbox import InboxReader
from saga_es.runtime.loading import LEAVING, READERS, Loader
from saga_es.runtime.log_following import LogFollower
from saga_es.runtime.observing import CommitObserver
from saga_es.runtime.opening import Opening
from saga_es.runtime.ownership import Alone, Holds, Ownership
from saga_es.runtime.patience import Patience, within
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.process_wide import ask_for
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.starts import Starts
from saga_es.runtime.threads import DaemonThreads, ExecutorThreads, Threads, awaited
from saga_es.runtime.timers import Timers
from saga_es.runtime.writer import Writer
from saga_es.store.address import open_store, shown
from saga_es.store.crew import Owned, WorkerInfo
from saga_es.store.port import Store
from saga_es.store.processes import this_process
from saga_es.store.shards import SHARDS, Shard

DRAWS: Final = 64
"""Of ids, before one is taken that is another engine's; with ten engines a thousandth of them."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an engine was made with; see there."""

    registry: Registry
    settings: Settings
    clock: Clock
    executor: Executor | None
    ids: Callable[[], str]
    chance: Callable[[], float]
    observer: CommitObserver | None


class Works:
    """Store, writer, threads, timers and process manager of one entered engine."""

    def __init__(
        self,
        store: Store,
        reading: Threads,
        timers: Timers,
        patience: Patience,
        given: Given,
    ) -> None:
        registry, settings, clock = given.registry, given.settings, given.clock
        self.store, self._clock, self._settings, self._registry = store, clock, settings, registry
        self._reading, self._entered_at = reading, clock.now()
        self._stepping: Threads = (
            DaemonThreads() if given.executor is None else ExecutorThreads(given.executor)
        )
        self.timers, self.patience = timers, patience
        self.writer = Writer(store, observer=given.observer, chance=given.chance)
        self.loader = Loader(store, registry, reading, clock)
        self.ownership: Ownership = Alone() if store.crew is None else Holds(uuid.uuid4().hex)
        self.manager = ProcessManager(
            store=store,
            writer=self.writer,
            loader=self.loader,
            timers=timers,
            clock=clock,
            settings=settings,
            ownership=self.ownership,
            chance=given.chance,
            make_dispatcher=self._make_dispatcher,
        )
        self.asking = Asking(self.manager, timers, settings.store_timeout, self.not_recorded)
        self._ids = given.ids
        self.starts = Starts(self.asking, self.manager.watchers, registry, settings, self._new_id)
        self._follower = self._make_follower(given)
        self.recorded: set[str] = set()  # plans, by their digests
        self._inbox = self._make_inbox_reader()
        self._take_back = ask_for(settings.thread_switch, settings.gc_threshold)

    def _make_follower(self, given: Given) -> LogFollower | CrewFollower:
        if self.store.crew is None or not isinstance(self.ownership, Holds):
            return LogFollower(
                store=self.store,
                writer=self.writer,
                loader=self.loader,
                manager=self.manager,
                timers=self.timers,
                patience=self.patience,
                every=self._settings.poll,
            )
        return CrewFollower(
            self.store.crew,
            self.ownership,
            store=self.store,
            loader=self.loader,
            manager=self.manager,
            timers=self.timers,
            patience=self.patience,
            registry=self._registry,
            settings=self._settings,
            chance=given.chance,
        )

    def _make_inbox_reader(self) -> InboxReader | None:
        if self.store.inbox is None or not isinstance(self._follower, CrewFollower):
            return None
        follower = self._follower
        return InboxReader(
            self.store.inbox,
            holds=follower.holds,
            known=lambda: follower.known,
            sets_aside=lambda: follower.is_oldest,
            loader=self.loader,
            manager=self.manager,
            timers=self.timers,
            registry=self._registry,
            settings=self._settings,
            ensure_recorded=self.ensure_recorded,
        )

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
    async def open(cls, address: str | Mapping[str, str], given: Given) -> Works:
        """Open the store, take the engine's place on it, and resume what is unfinished."""
        reading, timers, settings = DaemonThreads(most=READERS), Timers(given.clock), given.settings
        patience = Patience(timers, url=shown(address), limit=settings.store_timeout, chance=given.chance)
        opening = Opening(partial(claimed, address, settings.migrate))
        try:
            store = await patience.ask(lambda: awaited(reading, opening), "opening the store")
        except BaseException:
            await opening.give_up(timers)
            raise
        works = cls(store, reading, timers, patience, given)
        try:
            await works._follower.begin()
            if works._inbox is not None:
                works._inbox.begin()
        except BaseException:
            await works.close()
            raise
        return works

    # -- for the engine ------------------------------------------------------------------------------

    def _new_id(self, definition: SagaDefinition) -> str:
        """Return an id; one that is made here is of a saga that this engine can move on without telling another."""
        saga_id = self._ids()
        if self.ownership.is_shared and self._ids is new_saga_id:
            for _ in range(DRAWS):
                if self.ownership.may_begin(Shard.of(definition, saga_id)):
                    break
                saga_id = new_saga_id()
        return saga_id

    async def ensure_recorded(self, definition: SagaDefinition, saga_id: str) -> None:
        """Record a plan before the first saga of it, once per digest."""
        if definition.digest not in self.recorded:
            recording = partial(self.store.record_definition, definition)
            await self.patience.ask(
                lambda: self.loader.read(recording), "recording the plan", saga_id=saga_id
            )
            self.recorded.add(definition.digest)

    async def bindings(self, saga_id: str) -> SagaBindings | None:
        """Return the callables of a recorded saga, ``None`` where they are not at hand, or UnknownSaga."""
        live = self.manager.in_hand(saga_id)
        if live is not None and live.state is not None and live.state.version:
            return live.bindings
        plan = await self.patience.ask(
            lambda: self.loader.read(lambda: self.loader.recorded_plan(saga_id)), f"reading saga {saga_id!r}"
        )
        return self._registry.fit(plan).bindings

    async def workers(self) -> tuple[WorkerInfo, ...]:
        """Return who owns what."""
        crew = self.store.crew
        if crew is None:
            return (self._alone(),)
        return await self.patience.ask(lambda: self.loader.read(crew.workers), "reading who owns what")

    def _alone(self) -> WorkerInfo:
        process, now = this_process(), self._clock.now()
        everything = tuple(range(SHARDS))
        return WorkerInfo(
            worker="alone",
            host=process.host,
            pid=process.pid,
            lease=self._settings.lease,
            entered_at=self._entered_at,
            heard_at=now,
            is_alive=True,
            owns=tuple(Owned(it.name, it.version, everything) for it in self._registry.definitions),
        )

    def not_ended(self, saga_id: str, timeout: timedelta | None) -> Exception:
        """Return the error for an outcome that did not come in time: how the saga stands, and why."""
        if self.writer.unavailable is not None:
            return StoreUnavailable(self.store.url, problem=self.writer.unavailable.problem)
        live = self.manager.in_hand(saga_id)
        if live is None or live.state is None or live.definition is None:
            return StoreUnavailable(
                self.store.url, problem=f"saga {saga_id!r} could not be read within {timeout}"
            )
        aside = None if self._is_run_elsewhere(live.definition) else live.set_aside
        return not_ended(live.definition, live.state, timeout, aside)

    def _is_run_elsewhere(self, definition: SagaDefinition) -> bool:
        follower = self._follower
        return isinstance(follower, CrewFollower) and definition.lane in {it.key for it in follower.known}

    def not_recorded(self, saga_id: str, patience: timedelta) -> Exception:
        """Return the error for a command that was not recorded in time."""
        problem = f"what was asked of saga {saga_id!r} was not recorded within {patience}"
        if self.writer.unavailable is not None:
            problem = f"{problem}: {self.writer.unavailable.problem}"
        return StoreUnavailable(self.store.url, problem=problem, saga_id=saga_id)

    async def close(self) -> None:
        """Undo what ``open`` made, in reverse; waits for what is in flight up to ``Settings.drain``.

        A store that does not answer is waited for a while in each phase, and then left as it is: its threads are
        daemons, and what they still write is checked by version.
        """
        try:
            self.manager.begin_nothing()
            if self._inbox is not None:
                self._inbox.stop()
            await self._a_while(self._follower.retire())
            await self.manager.drain(self._settings.drain)
            await self._a_while(self.manager.settle())
            await self._a_while(self.writer.close())
            self.manager.abandon(EngineClosed("waiting for a saga"))
            await self._a_while(self._follower.leave())
            await self._a_while(self.loader.read(self.store.close))
        finally:  # also where the store raises, or the leaving is cut short
            self.timers.close()
            self._stepping.close()
            self._reading.close()
            self._take_back()

    def hurry(self) -> None:
        """Wait no longer for what is in flight."""
        self.manager.dispatcher.close()

    async def _a_while(self, phase: Awaitable[object]) -> None:
        task = asyncio.ensure_future(phase)
        if await within(self.timers, task, later(self.timers.now(), LEAVING)):
            task.result()
        else:
            task.cancel()


def not_ended(
    definition: SagaDefinition, state: SagaState, timeout: timedelta | None, aside: str | None
) -> TimeoutError:
    """Return the error for an outcome that did not come in time: how the saga stands, and why."""
    reason = state.parked or aside
    parked = f"; parked: {reason}" if reason else ""
    paused = "; paused" if state.paused else ""
    to_come = ", ".join(f"{it.name} ({it.text})" for it in remaining(definition, state)) or "nothing"
    return TimeoutError(
        f"saga {state.saga_id!r} has not ended within {timeout}: it is {state.status}{parked}{paused}; still to come: "
        f"{to_come}. It goes on; ask again, or see history(saga_id).trace()."
    )


def claimed(address: str | Mapping[str, str], migrate: bool | None) -> Store:  # noqa: FBT001 - a setting passed on
    """Open a store, and take the engine's place on one that is not shared; blocking."""
    store = open_store(address, migrate=migrate)
    if store.crew is None:
        try:
            store.claim()
        except SagaError:
            store.close()
            raise
    return store
