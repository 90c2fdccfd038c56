"""What saga_es is measured against, each doing its least: raw SQL, and a hand-written `eventsourcing` aggregate."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent

from tests.benchmarks.trip import new_id

Row = tuple[int, str, bytes]


class Peer(Protocol):
    def run_one(self) -> None:
        """Record one saga."""

    def close(self) -> None: ...


# -- (a) raw SQL: the same event bytes, one transaction per saga ----------------------------------------


class RawSqlite:
    """One connection of `sqlite3`, WAL, synchronous=FULL."""

    def __init__(self, path: Path, events: Sequence[StoredEvent]) -> None:
        self._rows: list[Row] = [(e.originator_version, e.topic, e.state) for e in events]
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (id TEXT, version INTEGER, topic TEXT, state BLOB,"
            " PRIMARY KEY (id, version))"
        )

    def run_one(self) -> None:
        saga_id = new_id()
        rows = [(saga_id, *row) for row in self._rows]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO raw_events VALUES (?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class RawPostgres:
    """One connection of psycopg; ``one_statement`` saves the two round trips of BEGIN and COMMIT."""

    def __init__(self, dsn: str, events: Sequence[StoredEvent], *, one_statement: bool) -> None:
        self._rows: list[Row] = [(e.originator_version, e.topic, e.state) for e in events]
        self._one_statement = one_statement
        self._db = psycopg.connect(dsn, autocommit=True)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (place BIGSERIAL PRIMARY KEY, id TEXT, version BIGINT,"
            " topic TEXT, state BYTEA, UNIQUE (id, version))"
        )
        self._many = (
            "INSERT INTO raw_events (id, version, topic, state) SELECT * FROM unnest("
            "%s::text[], %s::bigint[], %s::text[], %s::bytea[])"
        )

    def run_one(self) -> None:
        saga_id = new_id()
        if self._one_statement:
            versions, topics, states = (list(column) for column in zip(*self._rows, strict=True))
            self._db.execute(self._many, ([saga_id] * len(versions), versions, topics, states))
            return
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO raw_events (id, version, topic, state) VALUES (%s, %s, %s, %s)",
                [(saga_id, *row) for row in self._rows],
            )

    def close(self) -> None:
        self._db.close()


# -- (b) a hand-written aggregate, saved once per event -------------------------------------------------

STEPS = ("book_plane", "book_hotel", "buy_tickets")
Result = Mapping[str, Any]  # Any: eventsourcing's transcoder takes JSON values


class HandWrittenTrip(Aggregate):
    """The same facts as the saga's log; no definition, no dispatch, no checks."""

    @event("Started")
    def __init__(self, customer: str, nights: int) -> None:
        self.customer, self.nights = customer, nights
        self.status = "running"
        self.dispatched: dict[str, int] = {}
        self.results: dict[str, Result] = {}
        self.undone: set[str] = set()
        self.problem = ""

    @event("Dispatched")
    def dispatch(self, step: str, attempt: int, key: str, deadline: str) -> None:
        self.dispatched[step] = attempt

    @event("Succeeded")
    def succeed(self, step: str, attempt: int, result: Result) -> None:
        self.results[step] = result

    @event("Rejected")
    def reject(self, step: str, attempt: int, problem: str) -> None:
        self.problem = problem

    @event("Compensating")
    def turn_round(self, cause: str) -> None:
        self.status = "compensating"

    @event("UndoDispatched")
    def dispatch_undo(self, step: str, attempt: int, key: str, deadline: str) -> None:
        self.dispatched[step] = attempt

    @event("Undone")
    def undo(self, step: str, attempt: int) -> None:
        self.undone.add(step)

    @event("Ended")
    def end(self, status: str) -> None:
        self.status = status


class HandWritten:
    """`eventsourcing`'s own application and stock recorder; its tables are made by itself.

    Args:
        intents: whether a step's dispatch is recorded before its outcome, as in a saga's log; without it the
            aggregate has its least: one event per step (which can't tell after a crash what was begun).
    """

    def __init__(self, env: Mapping[str, str], case: str, *, intents: bool = True) -> None:
        self._app: Application[UUID] = Application(dict(env))
        self._case, self._intents = case, intents

    def run_one(self) -> None:
        self.record()

    def record(self) -> UUID:
        trip = HandWrittenTrip(customer="Maria", nights=7)
        app, when = self._app, "2026-11-24T05:00:00.123456Z"
        app.save(trip)
        for name in STEPS if self._intents else ():
            trip.dispatch(step=name, attempt=1, key=f"{trip.id}/{name}/action/1", deadline=when)
            app.save(trip)
        for name in STEPS:
            if self._case == "failing" and name == "book_hotel":
                trip.reject(step=name, attempt=1, problem="no available hotel rooms")
            else:
                trip.succeed(step=name, attempt=1, result={"number": "LIS-GIG"})
            app.save(trip)
        if self._case == "failing":
            self._turn_round(trip, when)
        trip.end(status="succeeded" if self._case == "happy" else "failed")
        app.save(trip)
        return trip.id

    def _turn_round(self, trip: HandWrittenTrip, when: str) -> None:
        app, done = self._app, ("book_plane", "buy_tickets")
        trip.turn_round(cause="no available hotel rooms")
        app.save(trip)
        for name in done if self._intents else ():
            trip.dispatch_undo(step=name, attempt=1, key=f"{trip.id}/{name}/compensation/1", deadline=when)
            app.save(trip)
        for name in done:
            trip.undo(step=name, attempt=1)
            app.save(trip)

    def record_long(self, events: int) -> UUID:
        """Record one aggregate of so many events, saved at once."""
        trip = HandWrittenTrip(customer="Maria", nights=7)
        for number in itertools.islice(itertools.count(), events - 1):
            name = f"step_{number // 2}"
            if number % 2:
                trip.succeed(step=name, attempt=1, result={"number": f"{number:05d}"})
            else:
                key = f"{trip.id}/{name}/action/1"
                trip.dispatch(step=name, attempt=1, key=key, deadline="2026-11-24T05:00:00.123456Z")
        self._app.save(trip)
        return trip.id

    def events_of(self, trip_id: UUID) -> int:
        """Read the aggregate back through the repository, and return its version."""
        return self._app.repository.get(trip_id).version

    def close(self) -> None:
        self._app.close()
