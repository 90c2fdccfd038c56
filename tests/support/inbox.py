"""An inbox for tests: a store on PostgreSQL, beside a user's own table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from saga_es import SagaEngine, define
from tests.integration.engine.world import SOON, House, Trip
from tests.support.stores import place_of


async def book(trip: Trip) -> str:
    return f"a bed for {trip.customer}"


TRIP = define("trip", Trip).step(book)
BOOKED = {"book": "a bed for Maria"}


@dataclass(frozen=True)
class Inbox:
    """A store on PostgreSQL, beside the user's own table ``bookings``."""

    house: House
    dsn: str
    schema: str

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn, options=f"-c search_path={self.schema}", **options)

    async def connect_async(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self.dsn, options=f"-c search_path={self.schema}")

    def sqlalchemy(self, of: str = "postgresql+psycopg") -> str:
        return f"{of}{self.dsn.removeprefix('postgresql')}"

    def ask(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        with self.connect() as db:
            cursor = db.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT saga_id, error FROM saga_inbox ORDER BY number")

    def bookings(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT customer FROM bookings")


@pytest.fixture
def inbox(postgres_dsn: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Inbox]:
    with ExitStack() as stack:
        place = place_of("postgresql", request.getfixturevalue, tmp_path, stack)
        place.open()
        schema = dict(place.address)["POSTGRES_SCHEMA"]
        made = Inbox(House(place), postgres_dsn, schema)
        made.ask("CREATE TABLE bookings (customer text)")
        yield made


@asynccontextmanager
async def working(inbox: Inbox, *sagas: Any) -> AsyncIterator[SagaEngine]:
    async with inbox.house.engine(*(sagas or (TRIP,))) as engine:
        yield engine


async def outcome(inbox: Inbox, saga_id: str, *sagas: Any) -> dict[str, object]:
    async with working(inbox, *sagas) as engine:
        return dict((await engine.outcome(saga_id, timeout=SOON)).results)


def is_set_aside(inbox: Inbox) -> bool:
    return all(error for _, error in inbox.rows())
