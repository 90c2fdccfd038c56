"""The services that the trip is booked with, kept in a database of their own so that the end can be looked at.

Each call carries the key of its attempt and is recorded under it: the same key again changes nothing, so a
call that is made again after a crash books nothing twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from saga_es import Rejected

SCHEMA = """
CREATE TABLE IF NOT EXISTS rooms (hotel TEXT PRIMARY KEY, free INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS bookings (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, customer TEXT NOT NULL, what TEXT NOT NULL, cancelled INTEGER NOT NULL
);
"""


class NoRooms(Rejected):
    """The hotel is full."""


class Agency:
    """Books and cancels flights, hotel rooms and tickets in one SQLite file."""

    def __init__(self, path: Path, *, rooms: int) -> None:
        self._path = path
        with self._transaction() as db:
            db.executescript(SCHEMA)
            db.execute("INSERT OR IGNORE INTO rooms VALUES ('Copacabana Palace', ?)", [rooms])

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10)
        try:
            with db:
                yield db
        finally:
            db.close()

    def book(self, kind: str, customer: str, what: str, *, key: str) -> str:
        """Book something once for each key, and return the booking's number; NoRooms when the hotel is full."""
        with self._transaction() as db:
            db.execute("BEGIN IMMEDIATE")
            known = db.execute("SELECT cancelled FROM bookings WHERE key = ?", [key]).fetchone()
            if known is None:
                if kind == "hotel":
                    self._take_room(db)
                db.execute("INSERT INTO bookings VALUES (?, ?, ?, ?, 0)", [key, kind, customer, what])
            elif known[0]:
                raise Rejected(f"{key} was cancelled before it arrived")
        return f"{kind}:{key}"

    def _take_room(self, db: sqlite3.Connection) -> None:
        taken = db.execute("UPDATE rooms SET free = free - 1 WHERE free > 0")
        if taken.rowcount == 0:
            raise NoRooms("no available hotel rooms")

    def cancel(self, kind: str, customer: str, *, action_key: str) -> None:
        """Undo a booking by the key it was made with; one that never arrived is refused if it still does."""
        with self._transaction() as db:
            db.execute("BEGIN IMMEDIATE")
            undone = db.execute(
                "UPDATE bookings SET cancelled = 1 WHERE key = ? AND NOT cancelled", [action_key]
            )
            if undone.rowcount and kind == "hotel":
                db.execute("UPDATE rooms SET free = free + 1")
            db.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, '', 1)", [action_key, kind, customer])

    def booked_for(self, customer: str) -> list[str]:
        """Return what stands booked for a customer, by kind."""
        query = "SELECT kind FROM bookings WHERE customer = ? AND NOT cancelled ORDER BY kind"
        with self._transaction() as db:
            return [kind for (kind,) in db.execute(query, [customer])]
