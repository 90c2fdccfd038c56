"""The trip that ``saga-es demo`` sells, and the world it books in."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from saga_es import Attempt, Rejected, Saga, step

PLANE: Final = "plane ticket"
HOTEL: Final = "hotel room"
TICKETS: Final = "tourist ticket"


class Trip(BaseModel):
    customer: str


class World:
    """The airline's, the hotel's and the ticket office's books: a database that has nothing to do with sagas.

    Every call comes with its key, and the same key books once: that is all a participant has to do for an
    effect to happen exactly once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as books, books:
            books.execute("CREATE TABLE IF NOT EXISTS calls (key TEXT, what TEXT)")
            books.execute("CREATE TABLE IF NOT EXISTS booked (key TEXT PRIMARY KEY, what TEXT)")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10)

    def book(self, what: str, key: str) -> str:
        """Book once for each key, and return the key as the booking's number."""
        with closing(self._connect()) as books, books:
            books.execute("INSERT INTO calls VALUES (?, ?)", (key, what))
            books.execute("INSERT OR IGNORE INTO booked VALUES (?, ?)", (key, what))
        return key

    def cancel(self, key: str) -> None:
        """Take back what was booked with this key, if anything was."""
        with closing(self._connect()) as books, books:
            books.execute("DELETE FROM booked WHERE key = ?", (key,))

    def booked(self, saga_id: str) -> list[str]:
        """Return what is booked for a saga."""
        return self._ask("SELECT what FROM booked WHERE substr(key, 1, length(?1)) = ?1", saga_id)

    def calls(self, saga_id: str) -> list[str]:
        """Return what was asked for a saga, repetitions included."""
        return self._ask("SELECT what FROM calls WHERE substr(key, 1, length(?1)) = ?1", saga_id)

    def _ask(self, query: str, saga_id: str) -> list[str]:
        with closing(self._connect()) as books:
            return [what for (what,) in books.execute(query, (f"{saga_id}/",))]


class BuyPackage(Saga[Trip], name="buy package", version=1):
    """A trip to Rio: plane, hotel and tickets together, or none of them.

    Args:
        pace: how long each call takes, so that a person can watch.
        hotel_hangs: the hotel books the room, and its answer never comes.
    """

    def __init__(self, world: World, pace: timedelta, *, hotel_hangs: bool = False) -> None:
        self.world, self.pace, self.hotel_hangs = world, pace, hotel_hangs

    @step(title="book plane ticket")
    async def book_plane(self, trip: Trip, *, attempt: Attempt) -> str:  # noqa: ARG002 - what a step takes
        await self._take_time(1)
        return self.world.book(PLANE, attempt.key)

    @book_plane.compensation(title="cancel plane ticket booking")
    async def cancel_plane(self, trip: Trip, booking: str | None, *, attempt: Attempt) -> None:  # noqa: ARG002 - what a compensation takes
        await self._take_time(1)
        self.world.cancel(attempt.action_key)

    @step(title="book hotel room")
    async def book_hotel(self, trip: Trip, *, attempt: Attempt) -> str:
        await self._take_time(2)
        if trip.customer == "Kevin":
            raise Rejected("no available hotel rooms")
        booking = self.world.book(HOTEL, attempt.key)
        if self.hotel_hangs:
            await asyncio.Event().wait()
        return booking

    @book_hotel.compensation(title="cancel hotel room reservation")
    async def cancel_hotel(self, trip: Trip, booking: str | None, *, attempt: Attempt) -> None:  # noqa: ARG002 - the same
        await self._take_time(2)
        self.world.cancel(attempt.action_key)

    @step(title="buy tourist tickets")
    async def buy_tickets(self, trip: Trip, *, attempt: Attempt) -> str:  # noqa: ARG002 - the same
        await self._take_time(3)
        return self.world.book(TICKETS, attempt.key)

    @buy_tickets.compensation(title="cancel tourist ticket reservations")
    async def cancel_tickets(self, trip: Trip, booking: str | None, *, attempt: Attempt) -> None:  # noqa: ARG002 - the same
        await self._take_time(3)
        self.world.cancel(attempt.action_key)

    async def _take_time(self, times: int) -> None:
        await asyncio.sleep(self.pace.total_seconds() * times)
