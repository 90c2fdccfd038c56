"""The same trip as a workflow of DBOS; this module alone imports it, in a process of its own.

The workflow is awaited where it is called, which is faster than to start it and to poll for its result. Its steps are
coroutines too, run in parallel, without retries, and so are its two compensations. Its database keeps what was
acknowledged: each connection is asked, and one that would not is refused.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig
from sqlalchemy import event

from tests.benchmarks.measuring import Run

POOL = 20
"""Connections, as by its own default. With 50 of them it was no faster with 50 sagas at once, and slower on SQLite."""

CUSTOMERS = {"happy": "Maria", "failing": "Kevin"}
ENDS = {"happy": "succeeded", "failing": "failed"}
STEPS = {"happy": 3, "failing": 5}
DURABLE: Mapping[str, Mapping[str, object]] = {
    "sqlite": {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2},
    "postgresql": {"SHOW fsync": "on", "SHOW synchronous_commit": "on"},
}
PAYLOADS = {
    "workflow_status": ("inputs", "output", "error"),
    "workflow_input": ("inputs",),
    "workflow_output": ("output", "error"),
    "operation_outputs": ("output", "error"),
}
"""The columns that hold inputs, outputs and errors, by table."""


class NoRooms(Exception):
    pass


@DBOS.step()
async def book_plane(customer: str, nights: int) -> dict[str, str]:
    return {"number": "LIS-GIG"}


@DBOS.step()
async def book_hotel(customer: str, nights: int) -> dict[str, str]:
    if customer == "Kevin":
        raise NoRooms("no available hotel rooms")
    return {"number": "room 12"}


@DBOS.step()
async def buy_tickets(customer: str, nights: int) -> dict[str, str]:
    return {"number": "Maracanã"}


@DBOS.step()
async def cancel_plane(customer: str, nights: int, booking: object) -> None:
    pass


@DBOS.step()
async def cancel_tickets(customer: str, nights: int, booking: object) -> None:
    pass


@DBOS.workflow()
async def buy_package(customer: str, nights: int) -> str:
    trip = customer, nights
    plane, hotel, tickets = await asyncio.gather(
        book_plane(*trip), book_hotel(*trip), buy_tickets(*trip), return_exceptions=True
    )
    if isinstance(hotel, NoRooms):
        await asyncio.gather(cancel_plane(*trip, plane), cancel_tickets(*trip, tickets))
        return "failed"
    return "succeeded"


# -- measuring it ---------------------------------------------------------------------------------------


def measure(
    url: str, case: str, run: Callable[[Callable[[], Awaitable[object]]], Awaitable[Run]]
) -> tuple[Run, int]:
    """Run workflows as ``run`` does, and return what that came to, and the bytes of payload that each stored."""
    if url.startswith("sqlite"):
        use_wal(url.removeprefix("sqlite:///"))
    event.listen(sa.Engine, "connect", make_durable)
    config = DBOSConfig(name="trip", system_database_url=url, log_level="ERROR", sys_db_pool_size=POOL)
    dbos = DBOS(config=config)
    try:
        return asyncio.run(_measure(dbos, case, run))
    finally:
        DBOS.destroy()


async def _measure(
    dbos: DBOS, case: str, run: Callable[[Callable[[], Awaitable[object]]], Awaitable[Run]]
) -> tuple[Run, int]:
    DBOS.launch()
    engine = dbos._sys_db.engine
    before, done = stored_in(engine), 0

    async def once() -> None:
        nonlocal done
        ended = await buy_package(CUSTOMERS[case], 7)
        if ended != ENDS[case]:
            raise SystemExit(f"a workflow ended as {ended!r}, not as {ENDS[case]!r}")
        done += 1

    found = await run(once)
    check_durable(engine)
    after = stored_in(engine)
    if (after.workflows - before.workflows, after.steps - before.steps) != (done, done * STEPS[case]):
        raise SystemExit(f"{done} workflows ended, and its tables went from {before} to {after}")
    return found, round((after.payload - before.payload) / done)


def use_wal(path: str) -> None:
    """Make the file one in WAL mode, which it stays."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.close()


def make_durable(connection: Any, _: object) -> None:  # Any: of whichever driver
    """Set what a new connection decides for itself, and refuse one that would lose commits."""
    dialect = "sqlite" if isinstance(connection, sqlite3.Connection) else "postgresql"
    cursor = connection.cursor()
    if dialect == "sqlite":
        cursor.execute("PRAGMA synchronous=FULL")
    for question, answer in DURABLE[dialect].items():
        refuse_unless(question, cursor.execute(question).fetchone()[0], answer)
    cursor.close()
    connection.rollback()


def check_durable(engine: sa.Engine) -> None:
    """Ask a connection that was worked with, too."""
    with engine.connect() as connection:
        for question, answer in DURABLE[engine.dialect.name].items():
            refuse_unless(question, connection.exec_driver_sql(question).scalar_one(), answer)


def refuse_unless(question: str, found: object, answer: object) -> None:
    if found != answer:
        raise SystemExit(f"DBOS's {question} is {found!r}: figures of a store that loses commits say nothing")


@dataclass(frozen=True)
class Stored:
    """What is in its tables: workflows that succeeded, steps, and bytes of payload."""

    workflows: int
    steps: int
    payload: int


def stored_in(engine: sa.Engine) -> Stored:
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    sums = {
        table: " + ".join(f"coalesce(sum(length({column})), 0)" for column in columns)
        for table, columns in PAYLOADS.items()
    }
    with engine.connect() as connection:

        def ask(question: str) -> int:
            return int(connection.exec_driver_sql(question).scalar_one())

        return Stored(
            workflows=ask(f"SELECT count(*) FROM {schema}workflow_status WHERE status = 'SUCCESS'"),
            steps=ask(f"SELECT count(*) FROM {schema}operation_outputs"),
            payload=sum(ask(f"SELECT {what} FROM {schema}{table}") for table, what in sums.items()),
        )
