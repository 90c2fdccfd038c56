"""A writer on a scripted store, with a gate before its first commit; what its tests share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from saga_es.errors import StoredEventError, StoreUnavailable, VersionConflict
from saga_es.runtime.writer import Writer
from saga_es.store.append import Append
from saga_es.store.encoding import StoredRow

AWAY = StoreUnavailable("memory://", problem="scripted")


class BadBytesError(Exception):
    """What a database says of data it can't take."""


def events(saga_id: str, expected: int, count: int = 1, *, size: int = 2) -> Append:
    """Return an append of so many events, of so many bytes each."""
    stored = tuple((saga_id, expected + n + 1, "SagaStarted", bytes(size)) for n in range(count))
    return Append(saga_id, expected, stored, None, is_open=True)


@dataclass
class ScriptedStore:
    """The writer's part of a store, in memory; `faults` are raised by (or around) the next appends, in order."""

    url: str = "memory://"
    streams: dict[str, list[StoredRow]] = field(default_factory=dict)
    batches: list[list[tuple[str, int]]] = field(default_factory=list)
    read_back: list[str] = field(default_factory=list)
    faults: list[Exception | None] = field(default_factory=list)
    lost_answers: int = 0  # commits that succeed and raise StoreUnavailable all the same
    deaf: int = 0  # how many read-backs find the store away
    poison: frozenset[str] = frozenset()  # sagas whose bytes the store refuses
    unreadable: frozenset[str] = frozenset()
    names_the_guilty: bool = True
    gate: threading.Event | None = None  # an append waits for it
    entered: threading.Event = field(default_factory=threading.Event)

    def append(self, batch: Sequence[Append]) -> None:
        self.batches.append([(append.saga_id, append.expected_version) for append in batch])
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        written = {append.saga_id: list(self.streams.get(append.saga_id, [])) for append in batch}
        for append in batch:
            stream = written[append.saga_id]
            assert append.expected_version <= len(stream), "a gap"
            if append.expected_version < len(stream):
                guilty = append.saga_id if self.names_the_guilty else "?"
                raise VersionConflict(guilty, expected=append.expected_version)
            if append.saga_id in self.poison:
                raise BadBytesError(append.saga_id)
            stream.extend(append.events)
        self.streams.update(written)
        if self.lost_answers:
            self.lost_answers -= 1
            raise AWAY

    def already_recorded(self, append: Append) -> bool:
        self.read_back.append(append.saga_id)
        if self.deaf:
            self.deaf -= 1
            raise AWAY
        if append.saga_id in self.unreadable:
            raise StoredEventError(append.saga_id, version=1, type="?", problem="scripted")
        start = append.expected_version
        standing = self.streams.get(append.saga_id, [])[start : start + len(append.events)]
        return [id(event) for event in standing] == [id(event) for event in append.events]

    def versions(self) -> dict[str, int]:
        return {saga_id: len(stream) for saga_id, stream in self.streams.items()}


class Desk:
    """A writer with a gate before its first commit, so that what is put gathers in one batch."""

    def __init__(self, store: ScriptedStore, **options: Any) -> None:
        self.store = store
        self.pauses: list[timedelta] = []
        self.answers: list[tuple[str, int, Exception | None]] = []
        self.turns: list[int] = []
        self.turn = 0
        self.on_pause: Callable[[], None] = lambda: None
        store.gate = threading.Event()
        self.writer = Writer(store, pause=self.pause, chance=lambda: 1.0, **options)  # type: ignore[arg-type]
        self.opening = self.put("opening", 0)
        assert store.entered.wait(10)

    def pause(self, delay: timedelta, closing: threading.Event) -> None:
        self.pauses.append(delay)
        self.on_pause()

    def put(
        self, saga_id: str, expected: int, count: int = 1, *, size: int = 2
    ) -> asyncio.Future[Exception | None]:
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def done(error: Exception | None) -> None:
            self.answers.append((saga_id, expected, error))
            self.turns.append(self.turn)
            future.set_result(error)

        self.writer.put(events(saga_id, expected, count, size=size), done)
        return future

    async def open(self) -> None:
        assert self.store.gate is not None
        self.store.gate.set()
        await self.opening

    def outcomes(self) -> dict[tuple[str, int], type[Exception] | None]:
        return {
            (saga_id, expected): type(error) if error else None
            for saga_id, expected, error in self.answers
            if saga_id != "opening"
        }


def at_desk(store: ScriptedStore, story: Callable[[Desk], Awaitable[None]], **options: Any) -> Desk:
    async def main() -> Desk:
        desk = Desk(store, **options)
        await story(desk)
        await desk.writer.close()
        assert desk.writer.unavailable is None
        return desk

    return asyncio.run(asyncio.wait_for(main(), 30))


def end_of_writer() -> None:
    for thread in threading.enumerate():
        if thread.name == "saga_es-writer":
            thread.join(10)
            assert not thread.is_alive()
