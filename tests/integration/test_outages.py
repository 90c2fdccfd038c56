"""A store that is there and does not answer: callers are told in their own time, and asking again is safe."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from saga_es import SagaClient, SagaEngine, Settings, define
from saga_es.authoring.bindings import bindings_of
from saga_es.errors import SagaError, StoreUnavailable
from saga_es.store.address import open_store
from tests.integration.engine.world import MARIA, SOON, Trip, drive, seen, types

T = TypeVar("T")
LIMIT = timedelta(seconds=3)  # longer than SQLite itself waits for another writer, which is two
SHORT = timedelta(milliseconds=300)
GENEROUS = 15.0  # seconds that LIMIT may take on a busy machine; the default would take thirty
LEFT = 25.0  # seconds in which whoever leaves has left: three phases of two seconds, and much to spare


@dataclass
class Call:
    """What a call that was made of a locked store came to, and in how many seconds."""

    error: BaseException | None
    took: float


async def tried(asked: Awaitable[object]) -> Call:
    begun = time.monotonic()
    try:
        await asked
    except (SagaError, TimeoutError) as error:
        return Call(error, time.monotonic() - begun)
    return Call(None, time.monotonic() - begun)


async def tried_all(**asked: Awaitable[object]) -> dict[str, Call]:
    """Make all the calls at the same time."""
    return dict(zip(asked, await asyncio.gather(*map(tried, asked.values())), strict=True))


@dataclass
class Office:
    """Sagas that count their calls."""

    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def one(trip: Trip) -> int:
            self.calls.append(trip.customer)
            return 1

        self.known = define("known", Trip).step(one)
        self.new = define("new", Trip).step(one)
        self.newer = define("newer", Trip).step(one)
        self.waiting = define("waiting", Trip).signal("word", int)

    @property
    def sagas(self):
        return [self.known, self.new, self.newer, self.waiting]


@dataclass
class Store:
    """A store, and how another program locks it."""

    url: str
    lock: Callable[[], object]
    unlock: Callable[[], object]

    def engine(self, office: Office, limit: timedelta = LIMIT) -> SagaEngine:
        settings = Settings(store_timeout=limit, drain=timedelta(0))
        return SagaEngine(self.url, sagas=office.sagas, settings=settings)

    def client(self, office: Office, limit: timedelta = LIMIT) -> SagaClient:
        return SagaClient(self.url, sagas=office.sagas, settings=Settings(store_timeout=limit))


@contextmanager
def locked_file(path: Path) -> Iterator[Store]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield Store(
            f"sqlite:///{path}", lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK")
        )


@contextmanager
def locked_database(dsn: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[Store]:
    open_store(dsn, migrate=True).close()
    with psycopg.connect(dsn) as other:
        lock = f"LOCK TABLE saga_log IN {mode} MODE"
        yield Store(dsn, lambda: other.execute(lock), other.rollback)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Store]:
    with locked_file(tmp_path / "sagas.db") as store:
        yield store


@pytest.fixture
def database(postgres_url: str) -> Iterator[Store]:
    with locked_database(postgres_url) as store:
        yield store


@pytest.fixture
def read_only(postgres_url: str) -> Iterator[Store]:
    """Nobody is kept from reading."""
    with locked_database(postgres_url, "SHARE") as store:
        yield store


@pytest.fixture(params=["file", "database", "read_only"])
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


async def prepared(engine: SagaEngine, office: Office) -> None:
    """Have one saga that ended, and one that waits for a word."""
    await engine.run(office.known, MARIA, saga_id="ended", timeout=SOON)
    await engine.start(office.waiting, MARIA, saga_id="w")
    await seen(engine, "w", "SignalAwaited")


def check(calls: dict[str, Call], **saga_ids: str | None) -> None:
    """Each call ended in its time with a StoreUnavailable, which names its saga if something may be recorded."""
    for name, call in calls.items():
        assert isinstance(call.error, StoreUnavailable), (name, call)
        assert call.took < GENEROUS, (name, call)
        assert call.error.saga_id == saga_ids[name], name
        assert "closed database" not in call.error.problem, name


@pytest.mark.promise(
    "case.store-goes-away",
    "error.StoreUnavailable",
    "field.Settings.store_timeout",
    "call.start",
    "call.signal",
)
def test_while_another_writes_to_a_file_callers_are_told_in_their_time_and_why(file: Store):
    async def main():
        office = Office()
        async with file.engine(office) as engine, file.client(office) as client:
            await prepared(engine, office)
            file.lock()
            calls = await tried_all(
                engine_start=engine.start(office.known, MARIA, saga_id="x1"),
                engine_signal=engine.signal("w", "word", 1),
                client_start=client.start(office.known, MARIA, saga_id="x2"),
                client_signal=client.signal("w", "word", 1),
            )
            read = types(await client.history("ended"))  # who reads is not held up
            file.unlock()
            assert await engine.start(office.known, MARIA, saga_id="x1") == "x1"
            assert await client.start(office.known, MARIA, saga_id="x2") == "x2"
            await engine.signal("w", "word", 1)
            await client.signal("w", "word", 1)
            ended = [(await engine.outcome(saga_id, timeout=SOON)).status for saga_id in ("x1", "x2", "w")]
            return calls, read, ended, office.calls, types(await engine.history("w"))

    calls, read, ended, made, word = drive(main())
    check(calls, engine_start="x1", engine_signal="w", client_start="x2", client_signal="w")
    for name, call in calls.items():
        assert call.took > 2.5, (name, call)  # nobody is sent away before the time is up
    assert "database is locked" in calls["engine_start"].error.problem
    assert "database is locked" in calls["engine_signal"].error.problem
    assert read[-1] == "SagaSucceeded"
    assert ended == ["succeeded"] * 3
    assert len(made) == 3  # "ended", and both of those that were started twice
    assert word == ["SagaStarted", "SignalAwaited", "SignalReceived", "SagaSucceeded"]


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable", "call.start")
def test_so_are_those_whose_plan_is_not_recorded_yet(file: Store):
    async def main():
        office = Office()
        async with file.engine(office, SHORT) as engine, file.client(office, SHORT) as client:
            await prepared(engine, office)
            file.lock()
            calls = await tried_all(
                engine=engine.start(office.new, MARIA, saga_id="x1"),
                client=client.start(office.newer, MARIA, saga_id="x2"),
            )
            file.unlock()
            async with file.client(office) as patient:
                await patient.start(office.new, MARIA, saga_id="x1")
                await patient.start(office.newer, MARIA, saga_id="x2")
            ended = [(await engine.outcome(saga_id, timeout=SOON)).status for saga_id in ("x1", "x2")]
            return calls, ended, office.calls

    calls, ended, made = drive(main())
    check(calls, engine="x1", client="x2")
    assert ended == ["succeeded"] * 2
    assert len(made) == 3


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable")
def test_a_file_says_of_itself_that_it_is_locked_each_time(file: Store):
    store = open_store(file.url)
    with closing(store):
        store.record_definition(bindings_of(Office().known).definition)
        file.lock()
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable) as error:
                store.record_definition(bindings_of(Office().waiting).definition)
            assert error.value.problem == "database is locked"
            assert time.monotonic() - begun < GENEROUS
        file.unlock()
        store.record_definition(bindings_of(Office().waiting).definition)


@pytest.mark.promise(
    "case.store-goes-away",
    "error.StoreUnavailable",
    "call.history",
    "call.outcome",
    "field.Settings.store_timeout",
)
def test_while_the_log_is_locked_those_who_read_are_told_as_well(database: Store):
    async def main():
        office, limit = Office(), timedelta(seconds=1)
        async with database.engine(office, limit) as engine, database.client(office, limit) as client:
            await prepared(engine, office)
            database.lock()
            calls = await tried_all(
                engine_start=engine.start(office.known, MARIA, saga_id="x1"),
                engine_start_new=engine.start(office.new, MARIA, saga_id="x2"),
                engine_signal=engine.signal("w", "word", 1),
                engine_history=engine.history("ended"),
                engine_outcome=engine.outcome("ended", timeout=limit),
                client_start=client.start(office.known, MARIA, saga_id="x3"),
                client_start_new=client.start(office.newer, MARIA, saga_id="x4"),
                client_signal=client.signal("w", "word", 1),
                client_history=client.history("w"),
                client_outcome=client.outcome("ended", timeout=limit),
            )
            database.unlock()
            for saga_id, saga in (("x1", office.known), ("x2", office.new)):
                assert await engine.start(saga, MARIA, saga_id=saga_id) == saga_id
            for saga_id, saga in (("x3", office.known), ("x4", office.newer)):
                assert await client.start(saga, MARIA, saga_id=saga_id) == saga_id
            await client.signal("w", "word", 1)
            ended = {
                saga_id: (await engine.outcome(saga_id, timeout=SOON)).status
                for saga_id in ("ended", "x1", "x2", "x3", "x4", "w")
            }
            return calls, ended, office.calls

    calls, ended, made = drive(main())
    check(
        calls,
        engine_start="x1",
        engine_start_new="x2",
        engine_signal="w",
        engine_history=None,
        engine_outcome=None,
        client_start="x3",
        client_start_new="x4",
        client_signal=None,  # it reads first, and nothing was asked of the saga by then
        client_history=None,
        client_outcome=None,
    )
    assert set(ended.values()) == {"succeeded"}
    assert len(made) == 5


@pytest.mark.promise("case.store-goes-away", "call.outcome")
def test_whoever_waits_for_a_saga_in_hand_has_the_time_that_was_given(database: Store):
    async def main():
        office = Office()
        async with database.engine(office, SHORT) as engine, database.client(office, SHORT) as client:
            await prepared(engine, office)
            database.lock()
            calls = await tried_all(
                engine=engine.outcome("w", timeout=SHORT), client=client.outcome("w", timeout=SHORT)
            )
            database.unlock()
            return calls

    calls = drive(main())
    assert isinstance(calls["engine"].error, TimeoutError | StoreUnavailable)
    assert isinstance(calls["client"].error, StoreUnavailable)
    assert max(call.took for call in calls.values()) < GENEROUS


@pytest.mark.promise("case.store-goes-away", "case.shutting-down")
def test_leaving_a_locked_store_is_bounded_and_the_next_entry_has_it_all(store: Store):
    async def main():
        office = Office()
        engine, client = store.engine(office, SHORT), store.client(office, SHORT)
        await engine.__aenter__()
        await client.__aenter__()
        await prepared(engine, office)
        store.lock()
        calls = await tried_all(
            engine=engine.start(office.known, MARIA, saga_id="x"),
            client=client.start(office.known, MARIA, saga_id="y"),
        )
        leaving = [asyncio.ensure_future(it.__aexit__(None, None, None)) for it in (engine, client)]
        _, still_there = await asyncio.wait(leaving, timeout=LEFT)
        store.unlock()
        await asyncio.gather(*leaving)
        async with store.engine(office, timedelta(seconds=30)) as engine:
            for saga_id in ("x", "y"):  # recorded or not, by now it is
                await engine.start(office.known, MARIA, saga_id=saga_id)
            ended = [(await engine.outcome(saga_id, timeout=SOON)).status for saga_id in ("ended", "x", "y")]
        return calls, still_there, ended, office.calls

    calls, still_there, ended, made = drive(main())
    check(calls, engine="x", client="y")
    assert not still_there
    assert ended == ["succeeded"] * 3
    assert len(made) == 3


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable", "call.start", "invariant.11")
@pytest.mark.parametrize("by", ["engine", "client"])
def test_a_start_without_an_id_can_be_made_again_under_the_id_it_was_given(store: Store, by):
    async def main():
        office = Office()
        async with store.engine(office, SHORT) as engine, store.client(office, SHORT) as client:
            await prepared(engine, office)
            face = engine if by == "engine" else client
            store.lock()
            call = await tried(face.start(office.known, Trip(customer="Kevin")))
            store.unlock()
            given = call.error.saga_id
            async with store.client(office) as patient:
                again = await patient.start(office.known, Trip(customer="Kevin"), saga_id=given)
                await patient.outcome(again, timeout=SOON)
            found = {it.saga_id for it in (await engine.find(definition="known")).items}
            return call, given, again, found - {"ended"}, office.calls

    call, given, again, found, made = drive(main())
    assert isinstance(call.error, StoreUnavailable)
    assert len(given) == 32
    assert again == given
    assert found == {given}
    assert made.count("Kevin") == 1


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable", "call.SagaEngine", "call.SagaClient")
@pytest.mark.parametrize("face", [SagaEngine, SagaClient])
def test_entering_a_store_that_does_not_answer_ends_in_time(database: Store, face):
    async def main():
        settings = Settings(store_timeout=timedelta(seconds=1))
        async with database.engine(office := Office()) as engine:
            await prepared(engine, office)
        with psycopg.connect(database.url) as other:
            other.execute("LOCK TABLE saga_schema, saga_log IN ACCESS EXCLUSIVE MODE")
            return await tried(face(database.url, sagas=[], settings=settings).__aenter__())

    call = drive(main())
    assert isinstance(call.error, StoreUnavailable)
    assert call.error.saga_id is None
    assert call.took < GENEROUS
