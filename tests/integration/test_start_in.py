"""Starts in somebody's own transaction: what they commit is started once, what they roll back never was."""

from __future__ import annotations

import json

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from saga_es import SagaClient, Settings
from saga_es.errors import (
    InvalidInput,
    PayloadTooLarge,
    UnknownDefinition,
    UnknownSaga,
)
from tests.integration.engine.world import KEVIN, MARIA, SOON, Trip, drive, types
from tests.support.inbox import BOOKED, TRIP, Inbox, inbox, outcome, working

pytestmark = pytest.mark.promise("call.start_in")
__all__ = ["inbox"]

# -- commit and rollback -----------------------------------------------------------------------------


def test_a_committed_start_is_started_and_leaves_the_inbox(inbox: Inbox):
    client = inbox.house.client(TRIP)  # not entered: sync code can ask too
    with inbox.connect() as db:
        db.execute("INSERT INTO bookings VALUES ('Maria')")
        assert client.start_in(db, TRIP, MARIA, saga_id="trip-42") == "trip-42"
        assert db.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert inbox.rows() == []  # nobody else sees it yet
    assert (inbox.rows(), inbox.bookings()) == ([("trip-42", None)], [("Maria",)])
    assert drive(outcome(inbox, "trip-42")) == BOOKED
    assert inbox.rows() == []
    assert types(inbox.house.recorded("trip-42")).count("SagaStarted") == 1


def test_a_start_that_is_rolled_back_never_was(inbox: Inbox):
    client = inbox.house.client(TRIP)
    with inbox.connect() as db:
        db.execute("INSERT INTO bookings VALUES ('Maria')")
        client.start_in(db, "trip", MARIA, saga_id="trip-42")
        db.rollback()
    assert (inbox.rows(), inbox.bookings()) == ([], [])
    with pytest.raises(UnknownSaga):
        drive(outcome(inbox, "trip-42"))


def test_an_engine_hears_of_it_while_it_works(inbox: Inbox):
    async def main() -> None:
        async with working(inbox) as engine, await inbox.connect_async() as db:
            saga_id = await engine.start_in(db, TRIP, MARIA)
            assert len(saga_id) == 32
            with pytest.raises(UnknownSaga):
                await engine.outcome(saga_id, timeout=SOON)
            await db.commit()
            assert (await engine.outcome(saga_id, timeout=SOON)).results == BOOKED
            with inbox.connect() as plain:
                saga_id = engine.start_in(plain, TRIP, MARIA)
            assert (await engine.outcome(saga_id, timeout=SOON)).results == BOOKED

    drive(main())


def test_in_autocommit_it_is_committed_at_once(inbox: Inbox):
    client = inbox.house.client(TRIP)
    with inbox.connect(autocommit=True, row_factory=dict_row) as db:
        db.cursor_factory = psycopg.RawCursor
        client.start_in(db, TRIP, MARIA, saga_id="one")
        assert inbox.rows() == [("one", None)]
        with db.transaction(force_rollback=True):
            client.start_in(db, TRIP, MARIA, saga_id="two")
        assert (db.autocommit, db.row_factory, db.cursor_factory) == (True, dict_row, psycopg.RawCursor)
    assert inbox.rows() == [("one", None)]


def test_many_wait_and_all_are_started(inbox: Inbox):
    client = inbox.house.client(TRIP)
    ids = [f"trip-{n}" for n in range(350)]
    with inbox.connect() as db:
        for saga_id in ids:
            client.start_in(db, TRIP, MARIA, saga_id=saga_id)

    async def main() -> None:
        async with working(inbox) as engine:
            for saga_id in ids:
                assert (await engine.outcome(saga_id, timeout=SOON)).results == BOOKED

    drive(main())
    assert inbox.rows() == []


# -- SQLAlchemy --------------------------------------------------------------------------------------


def test_sqlalchemys_connection_and_session(inbox: Inbox):
    client = inbox.house.client(TRIP)
    engine = sqlalchemy.create_engine(inbox.sqlalchemy())
    with engine.connect() as connection:
        assert client.start_in(connection, TRIP, MARIA, saga_id="one") == "one"
        connection.commit()
        client.start_in(connection, TRIP, MARIA, saga_id="never")
        connection.rollback()
    with Session(engine) as session:
        client.start_in(session, TRIP, KEVIN, saga_id="two")
        session.commit()
        client.start_in(session, TRIP, KEVIN, saga_id="never")
    engine.dispose()
    assert inbox.rows() == [("one", None), ("two", None)]
    assert drive(outcome(inbox, "one")) == BOOKED


def test_sqlalchemys_async_connection_and_session(inbox: Inbox):
    pytest.importorskip("greenlet")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    client = inbox.house.client(TRIP)

    async def main() -> None:
        engine = create_async_engine(inbox.sqlalchemy())
        async with engine.begin() as connection:
            assert await client.start_in(connection, TRIP, MARIA, saga_id="one") == "one"
        async with AsyncSession(engine) as session, session.begin():
            assert await client.start_in(session, TRIP, KEVIN, saga_id="two") == "two"
        async with AsyncSession(engine) as session:
            await client.start_in(session, TRIP, KEVIN, saga_id="never")
        await engine.dispose()
        assert inbox.rows() == [("one", None), ("two", None)]
        assert await outcome(inbox, "one") == BOOKED

    drive(main())


def test_sqlalchemy_to_another_database_is_refused(inbox: Inbox):
    with (
        sqlalchemy.create_engine("sqlite://").connect() as connection,
        pytest.raises(InvalidInput, match="sqlite"),
    ):
        inbox.house.client(TRIP).start_in(connection, TRIP, MARIA)


# -- refused before any effect -----------------------------------------------------------------------


@pytest.mark.promise("error.UnknownDefinition", "error.InvalidInput", "error.PayloadTooLarge")
def test_what_start_refuses_is_refused(inbox: Inbox):
    client = inbox.house.client(TRIP, settings=Settings(max_payload=40))
    with inbox.connect() as db:
        for error, saga, value, saga_id in (
            (UnknownDefinition, "journey", MARIA, "trip-42"),
            (InvalidInput, TRIP, {"nights": 2}, "trip-42"),
            (InvalidInput, TRIP, MARIA, "trip\n42"),
            (PayloadTooLarge, TRIP, Trip(customer="M" * 50), "trip-42"),
        ):
            with pytest.raises(error):
                client.start_in(db, saga, value, saga_id=saga_id)
        assert db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with pytest.raises(InvalidInput, match=r"psycopg\.Cursor"):
            client.start_in(db.cursor(), TRIP, MARIA)


@pytest.mark.parametrize("store", ["memory://", "sqlite:///sagas.db"])
def test_another_kind_of_store_has_no_inbox(inbox: Inbox, store: str):
    with inbox.connect() as db, pytest.raises(InvalidInput, match="needs a PostgreSQL store"):
        SagaClient(store, sagas=[TRIP]).start_in(db, TRIP, MARIA)


def test_a_connection_to_where_the_table_is_not_gets_a_hint(inbox: Inbox, postgres_url: str):
    with psycopg.connect(postgres_url) as db, pytest.raises(psycopg.errors.UndefinedTable) as raised:
        inbox.house.client(TRIP).start_in(db, TRIP, MARIA)
    assert "saga-es --store URL migrate" in raised.value.__notes__[0]


# -- the function ------------------------------------------------------------------------------------


def test_any_language_calls_the_function(inbox: Inbox):
    trip = json.dumps({"customer": "Maria", "nights": 2})
    ((given,),) = inbox.ask("SELECT saga_start('trip', NULL, %s, 'trip-42')", [trip])
    ((made,),) = inbox.ask("SELECT saga_start('trip', 1, %s, NULL)", [trip])
    ((named,),) = inbox.ask("SELECT saga_start(name => 'trip', version => 1, input => %s)", [trip])
    assert (given, len(made), len(named)) == ("trip-42", 32, 32)
    assert len({made, named}) == 2
    for saga_id in (given, made, named):
        assert drive(outcome(inbox, saga_id)) == BOOKED
    assert inbox.rows() == []


def test_who_may_insert_may_call_the_function(inbox: Inbox):
    role = f"r{inbox.schema}"
    inbox.ask(f"CREATE ROLE {role}")
    try:
        inbox.ask(f"GRANT USAGE ON SCHEMA {inbox.schema} TO {role}")
        inbox.ask(f"GRANT INSERT ON saga_inbox TO {role}")
        with inbox.connect() as db:
            db.execute(f"SET ROLE {role}")
            db.execute("SELECT saga_start('trip', NULL, '{}', 'one')")
            inbox.house.client(TRIP).start_in(db, TRIP, MARIA, saga_id="two")
    finally:
        inbox.ask(f"DROP OWNED BY {role}")
        inbox.ask(f"DROP ROLE {role}")
    assert inbox.rows() == [("one", None), ("two", None)]
