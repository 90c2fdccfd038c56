"""Reads sagas back from the log: fold, and find what can go on with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from saga_es.errors import StoredEventError, StoreUnavailable, UnknownSaga
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded, SagaStarted
from saga_es.model.state import SagaState
from saga_es.runtime.clock import Clock
from saga_es.runtime.live import Live
from saga_es.runtime.registry import Fit, Registry
from saga_es.runtime.threads import Threads, awaited
from saga_es.runtime.together import Together
from saga_es.store.port import Store
from saga_es.store.shards import NO_LANE, Shard, number_of
from saga_es.store.stream import Stream

T = TypeVar("T")
PAGE = 500
READERS: Final = 16
"""Threads that read at the same time."""

LEAVING: Final = timedelta(seconds=2)
"""How long each phase of leaving waits for a store that does not answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A saga as its stream tells it, what can go on with it, and when it was started."""

    state: SagaState
    fit: Fit
    started_at: datetime

    def give(self, live: Live) -> None:
        fit = self.fit
        live.define(fit.definition, fit.bindings)
        live.incompatible = fit.incompatible
        live.state, live.started_at = self.state, self.started_at


class Loader:
    """Reads on threads of its own, so that neither the loop nor the writer waits for it."""

    def __init__(self, store: Store, registry: Registry, threads: Threads, clock: Clock) -> None:
        self._store, self._registry, self._threads, self._clock = store, registry, threads, clock
        self._plans: dict[str, SagaDefinition] = {}
        self._together = Together(lambda saga_ids: self.read(lambda: self._found_each(saga_ids)))

    async def read(self, function: Callable[[], T]) -> T:
        """Return what ``function`` returns on a thread for reading."""
        return await awaited(self._threads, function)

    async def load(self, live: Live) -> None:
        """Bring a saga up to what is recorded; its state stays ``None`` where nothing is."""
        before = live.state
        if before is None or before.version == 0:
            live.state = None
            found = await self._together.ask(live.saga_id)
            if isinstance(found, Exception):
                raise found
            if found is not None:
                found.give(live)
        else:
            live.state = await self.read(
                lambda: self._store.stream(live.saga_id, after=before.version).replay_onto(before)
            )

    def _found_each(self, saga_ids: Sequence[str]) -> dict[str, Found | Exception | None]:
        """Return each saga, ``None`` where there is none, or why it can't be read; blocking."""
        found: dict[str, Found | Exception | None] = {}
        for saga_id, stream in self._store.streams([it for it in saga_ids if it.isprintable()]).items():
            try:
                found[saga_id] = self.found(stream) if stream else None
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one saga's fault stops no other
                found[saga_id] = error
        return found

    def found(self, stream: Stream) -> Found:
        """Return a saga as a stream that has events tells it; blocking."""
        first = stream.first()
        fit = self._registry.fit(self.plan_of(stream.saga_id, first))
        return Found(stream.replay(fit.definition), fit, first.at)

    def plan_of(self, saga_id: str, first: Recorded) -> SagaDefinition:
        """Return the recorded plan of a stream that begins with ``first``; blocking."""
        if not isinstance(first.event, SagaStarted):
            problem = "a saga's first event has to be SagaStarted"
            raise StoredEventError(saga_id, version=first.version, type=first.type, problem=problem)
        digest = first.event.digest
        if digest not in self._plans:
            here = self._registry.get(first.event.definition, first.event.definition_version)
            if here is not None and here.definition.digest == digest:
                self._plans[digest] = here.definition
            else:
                plan = self._store.definition(digest)
                if plan is None:
                    problem = f"its plan {digest} is not recorded"
                    raise StoredEventError(saga_id, version=first.version, type=first.type, problem=problem)
                self._plans[digest] = plan
        return self._plans[digest]

    def recorded_plan(self, saga_id: str) -> SagaDefinition:
        """Return the plan of a recorded saga, or raise UnknownSaga; blocking."""
        events = self._store.read(saga_id, upto=1)
        if not events:
            raise UnknownSaga(saga_id)
        return self.plan_of(saga_id, events[0])

    async def open_page(self, after: str | None) -> tuple[list[Live], str | None]:
        """Return the next page of sagas that recovery looks at, and where the one after it begins.

        What can't be folded, or run here, is shown as parked in the index and left out.
        """
        return await self.read(lambda: self._open_page(after))

    def _open_page(self, after: str | None) -> tuple[list[Live], str | None]:
        saga_ids = self._store.open_sagas(after=after, limit=PAGE)
        return self._lives_of(saga_ids), saga_ids[-1] if len(saga_ids) == PAGE else None

    async def lives_of(self, saga_ids: Sequence[str]) -> list[Live]:
        """Return sagas as they are recorded; what can't be folded, or run here, as ``open_page`` has it."""
        return await self.read(lambda: self._lives_of(saga_ids))

    def _lives_of(self, saga_ids: Sequence[str]) -> list[Live]:
        lives: list[Live] = []
        for saga_id, found in self._found_each(saga_ids).items():
            if not isinstance(found, Found):
                self._set_aside(saga_id, found or UnknownSaga(saga_id))
                continue
            live = Live(saga_id, is_shared=self._store.crew is not None)
            found.give(live)
            if live.set_aside is not None:
                self._store.set_parked(saga_id, live.set_aside, at=self._clock.now())
            else:
                lives.append(live)
        return lives

    async def ended(self, saga_ids: Sequence[str]) -> dict[str, Found | None]:
        """Return sagas as they are recorded; ``None`` for what can't be read."""
        found = await self.read(lambda: self._found_each(saga_ids))
        return {saga_id: it if isinstance(it, Found) else None for saga_id, it in found.items()}

    def places_of(self, saga_ids: Sequence[str]) -> dict[str, Shard]:
        """Return where recorded sagas belong; blocking. What can't be read is shown as parked, and in no lane."""
        streams = self._store.streams(saga_ids)
        return {saga_id: self._place_of(stream) for saga_id, stream in streams.items()}

    def _place_of(self, stream: Stream) -> Shard:
        saga_id = stream.saga_id
        plan = self._or_set_aside(saga_id, lambda: self.plan_of(saga_id, stream.first()))
        return Shard(NO_LANE, number_of(saga_id)) if plan is None else Shard.of(plan, saga_id)

    def reasons_of(self, saga_ids: Sequence[str]) -> dict[str, str | None]:
        """Return why each of these sagas is parked by its stream, or can't be read; blocking."""
        found = self._found_each(saga_ids).items()
        return {
            saga_id: it.state.parked if isinstance(it, Found) else reason_of(it or UnknownSaga(saga_id))
            for saga_id, it in found
        }

    def why_not(self, saga_id: str) -> str | None:
        """Return why nothing here can run a recorded saga; blocking. ``None`` where it can.

        ``None`` too where the saga can't be read: it is shown as parked for that.
        """
        fit = self._or_set_aside(saga_id, lambda: self._registry.fit(self.recorded_plan(saga_id)))
        return None if fit is None or fit.incompatible is None else f"incompatible: {fit.incompatible}"

    def _or_set_aside(self, saga_id: str, read: Callable[[], T]) -> T | None:
        """Return what ``read`` finds; where a saga can't be read, show it as parked."""
        try:
            return read()
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one saga's fault stops no other
            self._set_aside(saga_id, error)
            return None

    def _set_aside(self, saga_id: str, error: Exception) -> None:
        self._store.set_parked(saga_id, reason_of(error), at=self._clock.now())

    async def parked_in_index(self) -> dict[str, str]:
        """Return what the index shows as parked: id to reason."""
        return await self.read(self._parked_in_index)

    def _parked_in_index(self) -> dict[str, str]:
        found: dict[str, str] = {}
        after: str | None = None
        while True:
            page = self._store.find(parked=True, limit=PAGE, after=after)
            found.update((item.saga_id, item.parked or "") for item in page.items)
            if page.next is None:
                return found
            after = page.next

    async def show_parked(self, saga_id: str, reason: str | None) -> None:
        at: datetime = self._clock.now()
        await self.read(lambda: self._store.set_parked(saga_id, reason, at=at))


def reason_of(error: Exception) -> str:
    """Return why a saga is shown as parked, or a start set aside: what was raised."""
    return f"{type(error).__name__}: {error}"
