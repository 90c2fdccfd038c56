"""Several engines in one process, on one PostgreSQL: who called what, who holds what, and who falls silent."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from saga_es import Attempt, History, Retry, Saga, SagaClient, SagaEngine, Settings, signal, step
from saga_es.authoring.bindings import name_of as name_and_version
from saga_es.errors import StoreUnavailable
from saga_es.store.application import SagaApplication
from saga_es.store.shards import SHARDS
from saga_es.testing.invariants import check_history
from tests.integration.engine.world import SOON, Trip
from tests.support.workers import fall_silent, id_in, say

HOURLY = Retry(attempts=3, delay=timedelta(hours=1), max_delay=timedelta(hours=1))
NEVER = timedelta(days=4000)
"""How often an engine looks round that has to be told."""

TURN = 0.002  # seconds; engines that turn their loop without a pause starve their own threads


class Calls:
    """Who called what. Calls that are held wait until they are let go."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, int]] = []  # engine, key, number
        self._held: set[str] = set()
        self._gates: dict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)

    def hold(self, *engines: str) -> None:
        self._held.update(engines)

    def let_go(self, engine: str, *saga_ids: str) -> None:
        """Let an engine's calls return: those of some sagas, or all."""
        if not saga_ids:
            self._held.discard(engine)
        for (held, saga_id), gate in self._gates.items():
            if held == engine and (not saga_ids or saga_id in saga_ids):
                gate.set()

    async def make(self, engine: str, attempt: Attempt) -> str:
        self.made.append((engine, attempt.key, attempt.number))
        if engine in self._held:
            await self._gates[engine, attempt.saga_id].wait()
        return engine

    def by(self, engine: str) -> list[str]:
        return [key for caller, key, _ in self.made if caller == engine]

    def engines_of(self, key: str) -> list[str]:
        return [caller for caller, called, _ in self.made if called == key]

    def callers_of(self, saga_id: str) -> set[str]:
        return {caller for caller, key, _ in self.made if key.startswith(f"{saga_id}/")}

    @property
    def twice(self) -> list[tuple[str, int]]:
        """The attempts that were made more than once, by whomever."""
        counted = Counter((key, number) for _, key, number in self.made)
        return [call for call, times in counted.items() if times > 1]


class Parcel(Saga[Trip], name="parcel"):
    """Three steps in a row; the result of each is the engine that called it."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step
    async def pack(self, trip: Trip, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)

    @step(needs=(pack,))
    async def send(self, trip: Trip, pack: str, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)

    @step(needs=(send,))
    async def thank(self, trip: Trip, send: str, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)


class Errand(Saga[Trip], name="errand"):
    """Goes, waits for a word, and tells it. On more than one night it rains, and the first attempt fails."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step(retry=HOURLY)
    async def go(self, trip: Trip, *, attempt: Attempt) -> str:
        called = await self.calls.make(self.engine, attempt)
        if trip.nights > 1 and attempt.number == 1:
            raise OSError("rain")
        return called

    @go.compensation
    async def come_back(self, trip: Trip, went: str | None, *, attempt: Attempt) -> None:
        await self.calls.make(self.engine, attempt)

    word = signal(str, needs=(go,))

    @step(needs=(word,))
    async def tell(self, trip: Trip, word: str, *, attempt: Attempt) -> str:
        await self.calls.make(self.engine, attempt)
        return f"{self.engine} says {word}"


class Weighed(Saga[Trip], name="parcel", version=2):
    """What Parcel has become: one step more, and a word to wait for."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step
    async def pack(self, trip: Trip, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)

    @pack.compensation
    async def unpack(self, trip: Trip, packed: str | None, *, attempt: Attempt) -> None:
        await self.calls.make(self.engine, attempt)

    weight = signal(int, needs=(pack,))

    @step(needs=(weight,))
    async def send(self, trip: Trip, weight: int, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)


SAGAS = (Parcel, Errand)


def engine(
    address: Any, name: str, calls: Calls, *, kinds: Iterable[Any] = SAGAS, **settings: Any
) -> SagaEngine:
    sagas = [kind(name, calls) for kind in kinds]
    return SagaEngine(address, sagas=sagas, settings=Settings(**settings))


@asynccontextmanager
async def pair(address: Any, calls: Calls) -> AsyncGenerator[tuple[SagaEngine, SagaEngine]]:
    """Two engines, A and B, that have divided the sagas."""
    async with engine(address, "A", calls) as first, engine(address, "B", calls) as other:
        await divided(first, other)
        yield first, other


def client(address: Any) -> SagaClient:
    return SagaClient(address, sagas=[kind("nobody", Calls()) for kind in (*SAGAS, Weighed)])


async def until(condition: Callable[[], object]) -> None:
    """Look until something holds. Between two looks the threads that speak to the store have the processor."""
    while not condition():
        await asyncio.sleep(TURN)


# -- who holds what ----------------------------------------------------------------------------------


def name_of(engine: SagaEngine) -> str:
    """Return an engine's name among the workers."""
    return engine._works.ownership.worker


def numbers(engine: SagaEngine, kind: type[Saga[Any]] = Parcel) -> set[int]:
    """Return the shards that an engine holds of a definition, as far as it knows, and is not about to give back."""
    holds = engine._works.ownership
    lane = lane_of(engine, kind)
    return {shard.number for shard in holds.shards - holds.leaving if shard.lane == lane}


def leaving(engine: SagaEngine, kind: type[Saga[Any]] = Parcel) -> set[int]:
    """Return those that it gives back as soon as nothing of theirs is in flight."""
    lane = lane_of(engine, kind)
    return {shard.number for shard in engine._works.ownership.leaving if shard.lane == lane}


def ids_of(engine: SagaEngine, count: int, kind: type[Saga[Any]] = Parcel, *, skip: int = 0) -> list[str]:
    """Return ids of sagas that fall to an engine, each in a shard of its own."""
    mine = sorted(numbers(engine, kind))[:count]
    return [id_in(number, kind.__name__.lower(), skip=skip) for number in mine]


def lane_of(engine: SagaEngine, kind: type[Saga[Any]]) -> str:
    return engine._registry.find(*name_and_version(kind)).definition.lane


async def divided(*engines: SagaEngine, kinds: Collection[type[Saga[Any]]] = SAGAS) -> None:
    """Wait until each holds its share, and knows it."""

    def is_divided() -> bool:
        return all(is_fair([numbers(it, kind) for it in engines]) for kind in kinds) and not any(
            leaving(it, kind) for it in engines for kind in kinds
        )

    await until(is_divided)


def is_fair(shares: Sequence[Collection[int]]) -> bool:
    sizes = [len(share) for share in shares]
    return sum(sizes) == SHARDS and max(sizes) - min(sizes) <= 1


def poke(store: SagaApplication) -> None:
    """Have all workers look round now: their leases need not be short for that."""
    say(store, "SELECT pg_notify('saga_es_' || worker, 'crew') FROM {workers}")


# -- silence -----------------------------------------------------------------------------------------


@contextmanager
def silent(engine: SagaEngine, how: str = "fails") -> Generator[None]:
    """Keep an engine from saying that it lives, while all else of it goes on."""
    crew, speaks = engine._works._follower._apart, threading.Event()

    def beat(_: str) -> bool:
        if how == "fails":
            raise StoreUnavailable("postgresql://…", problem="no word comes through")
        speaks.wait()
        return crew.__class__.beat(crew, name_of(engine))

    crew.beat = beat
    try:
        yield
    finally:
        del crew.beat
        speaks.set()


async def replaced(engine: SagaEngine, others: Collection[SagaEngine], store: SagaApplication) -> None:
    """Wait until others hold all that a silent engine still takes for its own; its lease need not be short."""
    await at_rest(engine)
    fall_silent(store, name_of(engine))
    poke(store)
    await divided(*others)


async def at_rest(*engines: SagaEngine) -> None:
    """Wait until none is just looking round: what it said then would be heard later."""
    memberships = [it._works._follower._membership for it in engines]
    await until(lambda: not any(it._round for it in memberships))


# -- what is recorded --------------------------------------------------------------------------------


def check_owners(history: History) -> list[tuple[str, int]]:
    """Return who moved a saga on, in which epochs, in the log's order; none is older than what stands before it."""
    stamps = [(it.metadata["epoch"], it.metadata["worker"]) for it in history.events if it.metadata]
    assert stamps == sorted(stamps, key=lambda stamp: stamp[0]), history.timeline()
    of_epochs: dict[int, set[str]] = defaultdict(set)
    for epoch, worker in stamps:
        of_epochs[epoch].add(worker)
    assert all(len(workers) == 1 for workers in of_epochs.values()), history.timeline()
    return [(worker, epoch) for epoch, worker in dict.fromkeys(stamps)]


async def settled(face: SagaEngine | SagaClient, saga_ids: Iterable[str]) -> list[History]:
    """Wait for sagas' ends, and return their histories, in which nothing is broken."""
    histories: list[History] = []
    for saga_id in saga_ids:
        await face.outcome(saga_id, timeout=SOON)
        history = await face.history(saga_id)
        assert not check_history(history.definition, history.events, settled=True)
        check_owners(history)
        histories.append(history)
    return histories


def recorded_by(history: History, event: str, step: str) -> list[str | None]:
    """Return who recorded what of a step; nobody's name stands with what those appended who don't own the saga."""
    return [
        it.metadata.get("worker")
        for it in history.events
        if it.type == event and getattr(it.event, "step", None) == step
    ]
