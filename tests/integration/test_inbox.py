"""The inbox's rows: started once whatever is cut or killed, and set aside where they can't be."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from saga_es import Settings
from saga_es.errors import EngineClosed, UnknownSaga
from saga_es.store.address import open_store
from saga_es.store.inbox import ClaimLost, Scope
from saga_es.store.recorders.postgres_sql import STEPS, Statements
from tests.integration.engine.world import MARIA, SOON, drive, types, until
from tests.support.inbox import BOOKED, TRIP, Inbox, inbox, is_set_aside, outcome, working
from tests.support.stores import Place, history, prepare, put, summary

pytestmark = pytest.mark.promise("call.start_in")
__all__ = ["inbox"]

# -- the same again, and bad rows ---------------------------------------------------------------------


def test_the_same_again_is_a_no_op_that_leaves_the_inbox(inbox: Inbox):
    client = inbox.house.client(TRIP)

    async def main() -> None:
        async with working(inbox) as engine:
            await engine.run(TRIP, MARIA, saga_id="trip-42")
            with inbox.connect() as db:
                for _ in range(3):
                    client.start_in(db, TRIP, MARIA, saga_id="trip-42")
                    client.start_in(db, TRIP, MARIA, saga_id="trip-43")
            await until(lambda: not inbox.rows())
            await engine.outcome("trip-43", timeout=SOON)

    drive(main())
    for saga_id in ("trip-42", "trip-43"):
        assert types(inbox.house.recorded(saga_id)).count("SagaStarted") == 1


BAD = {
    "no such": ("journey", None, '{"customer": "Maria"}', "UnknownDefinition"),
    "no such version": ("trip", 7, '{"customer": "Maria"}', "version 7 of 'trip' is not registered"),
    "no input": ("trip", None, '{"nights": 2}', "InvalidInput"),
    "x" * 201: ("trip", None, '{"customer": "Maria"}', "InvalidInput"),
    "not\tprintable": ("trip", None, '{"customer": "Maria"}', "InvalidInput"),
    "too large": ("trip", None, json.dumps({"customer": "M" * 300_000}), "PayloadTooLarge"),
    "too deep": ("trip", None, "[" * 5000 + "]" * 5000, "Error|Payload|Input"),
    "taken": ("trip", None, '{"customer": "Kevin"}', "SagaIdConflict"),
}


def test_bad_rows_are_set_aside_and_others_go_on(inbox: Inbox):
    async def main() -> None:
        async with working(inbox) as engine:
            await engine.run(TRIP, MARIA, saga_id="taken")
            for saga_id, (name, version, value, _) in BAD.items():
                columns = "saga_id, definition, definition_version, input"
                statement = f"INSERT INTO saga_inbox ({columns}) VALUES (%s, %s, %s, %s)"
                await asyncio.to_thread(inbox.ask, statement, [saga_id, name, version, value])
            await asyncio.to_thread(
                inbox.ask, "SELECT saga_start('trip', 1, '{\"customer\": \"Maria\"}', 'good')"
            )
            assert (await engine.outcome("good", timeout=SOON)).results == BOOKED
            await until(lambda: is_set_aside(inbox))

    drive(main())
    said = dict(inbox.rows())
    assert list(said) == list(BAD)
    for saga_id, (*_, words) in BAD.items():
        assert any(word in said[saga_id] for word in words.split("|")), said[saga_id]
    assert inbox.ask("SELECT count(*) FROM saga_inbox WHERE failed_at IS NULL") == [(0,)]


def test_a_bad_row_is_corrected_and_released(inbox: Inbox):
    inbox.ask("SELECT saga_start('journey', NULL, '{\"customer\": \"Maria\"}', 'trip-42')")

    async def main() -> None:
        async with working(inbox) as engine:
            await until(lambda: is_set_aside(inbox))
            with pytest.raises(TimeoutError, match="set aside in the inbox: UnknownDefinition"):
                await engine.outcome("trip-42", timeout=timedelta(0))
            statement = "UPDATE saga_inbox SET definition = 'trip', error = NULL"
            await asyncio.to_thread(inbox.ask, statement)
            assert (await engine.outcome("trip-42", timeout=SOON)).results == BOOKED

    drive(main())
    assert inbox.rows() == []


# -- crashes and outages ------------------------------------------------------------------------------


class CrashesAt:
    """Ends the writer's thread before or after a commit that starts the saga."""

    def __init__(self, n: int, *, after: bool) -> None:
        self.n, self.after, self.crashed = n, after, False

    def before_commit(self, n: int) -> None:
        if n == self.n and not self.after:
            self._crash()

    def after_commit(self, n: int) -> None:
        if n == self.n and self.after:
            self._crash()

    def _crash(self) -> None:
        self.crashed = True
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the crash
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_about_the_commit_neither_loses_nor_doubles_it(inbox: Inbox, after: bool):
    with inbox.connect() as db:
        inbox.house.client(TRIP).start_in(db, TRIP, MARIA, saga_id="trip-42")
    observer = CrashesAt(1, after=after)

    async def crash() -> None:
        options: dict[str, Any] = {"settings": Settings(drain=timedelta(0)), "observer": observer}
        async with inbox.house.engine(TRIP, **options):
            await until(lambda: observer.crashed)

    drive(crash())
    assert inbox.rows() == ([] if after else [("trip-42", None)])
    assert bool(inbox.house.recorded("trip-42")) is after
    assert drive(outcome(inbox, "trip-42")) == BOOKED
    assert inbox.rows() == []
    assert types(inbox.house.recorded("trip-42")).count("SagaStarted") == 1


def test_cut_connections_lose_nothing(inbox: Inbox):
    client = inbox.house.client(TRIP)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'saga_es%' AND pid <> pg_backend_pid()"
    )

    async def main() -> None:
        async with working(inbox) as engine:
            for n in range(20):
                with inbox.connect() as db:
                    client.start_in(db, TRIP, MARIA, saga_id=f"trip-{n}")
                await asyncio.to_thread(inbox.ask, cut)
            for n in range(20):
                assert (await engine.outcome(f"trip-{n}", timeout=SOON)).results == BOOKED

    drive(main())
    assert inbox.rows() == []
    for n in range(20):
        assert types(inbox.house.recorded(f"trip-{n}")).count("SagaStarted") == 1


def test_an_append_whose_row_was_taken_writes_nothing(inbox: Inbox):
    with inbox.connect() as db:
        inbox.house.client(TRIP).start_in(db, TRIP, MARIA, saga_id="trip-42")
    ((number,),) = inbox.ask("SELECT number FROM saga_inbox")
    store = open_store(inbox.house.place.address)
    claiming = prepare(
        store,
        "trip-42",
        expected_version=0,
        events=history(1),
        summary=summary("trip-42"),
        is_open=True,
        claims=(number,),
    )
    with inbox.connect() as other:
        other.execute("SELECT 1 FROM saga_inbox FOR UPDATE")
        with pytest.raises(ClaimLost):  # in somebody's hands, and not waited for
            store.append([claiming])
        assert not store.read("trip-42")
    assert store.summary("trip-42") is None
    store.append([claiming])
    assert inbox.rows() == []
    assert len(store.read("trip-42")) == 1
    again = prepare(
        store, "trip-43", expected_version=0, events=history(1), summary=None, is_open=True, claims=(number,)
    )
    with pytest.raises(ClaimLost):
        store.append([again])
    assert not store.read("trip-43")
    store.close()


# -- waiting, and older stores ------------------------------------------------------------------------


def test_a_client_waits_for_what_is_in_the_inbox(inbox: Inbox):
    async def main() -> None:
        async with inbox.house.client(TRIP) as client:
            with inbox.connect() as db:
                client.start_in(db, TRIP, MARIA, saga_id="trip-42")
            with pytest.raises(TimeoutError, match="waits in the inbox"):
                await client.outcome("trip-42", timeout=timedelta(0))
            waiting = asyncio.create_task(client.outcome("trip-42", timeout=SOON))
            async with working(inbox):
                assert (await waiting).results == BOOKED
            with pytest.raises(UnknownSaga):
                await client.outcome("trip-43", timeout=SOON)

    drive(main())


def test_a_store_of_the_first_version_gets_an_inbox(postgres_url: str):
    say = Statements("public", "unused")
    with psycopg.connect(postgres_url) as db:
        for statement in STEPS[0]:
            db.execute(say.of(statement))
    store = open_store(postgres_url, migrate=True)
    assert store.inbox is not None
    assert store.inbox.waiting(100, Scope(beside=(), mine=(), known=(), unknown=True)) == []
    put(store, "trip-42", history(2))
    store.close()
    with psycopg.connect(postgres_url) as db:
        assert db.execute("SELECT version FROM saga_schema").fetchall() == [(3,)]
        assert db.execute("SELECT saga_start('trip', 1, '{}', 'trip-43')").fetchone() == ("trip-43",)


def test_only_postgresql_has_an_inbox(place: Place):
    assert (place.open().inbox is not None) is (place.kind == "postgresql")


@pytest.mark.promise("case.shutting-down", "error.EngineClosed", "call.outcome")
def test_who_waits_for_a_start_in_the_inbox_is_told_when_the_engine_is_left(inbox: Inbox):
    async def main() -> None:
        seldom = timedelta(seconds=20)
        async with inbox.house.client(TRIP) as client:
            with inbox.connect() as db:
                client.start_in(db, TRIP, MARIA, saga_id="trip-42")
                db.execute("UPDATE saga_inbox SET error = 'by hand'")
            engine = inbox.house.engine(TRIP, settings=Settings(poll=seldom))
            await engine.__aenter__()
            waiting = asyncio.ensure_future(engine.outcome("trip-42"))
            while engine._works.timers._gates == set():
                await asyncio.sleep(0)
            await engine.__aexit__(None, None, None)
            with pytest.raises(EngineClosed):
                await waiting

    drive(main())
