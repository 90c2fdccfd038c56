"""Connections to a SQLite file for reading."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from eventsourcing.persistence import OperationalError

Row = tuple[Any, ...]  # Any: what SQLite gives; whoever asked knows


MOST_IDLE: Final = 8


def connected(path: str, busy_seconds: float) -> sqlite3.Connection:
    """Return a connection that any thread may use, one at a time, and that begins no transaction by itself."""
    return sqlite3.connect(
        path, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )


class Readers:
    """Lends a connection to each query, of any thread, and keeps the idle ones.

    `eventsourcing`'s own pool takes longer to lend a connection than SQLite takes to read a saga.

    Args:
        path: the database's file, or a ``file:`` URI of one.
    """

    def __init__(self, path: str, *, busy_seconds: int) -> None:
        self._path, self._busy_seconds = path, busy_seconds
        self._idle: deque[sqlite3.Connection] = deque()
        self._is_closed = False

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        """Return all rows of one SELECT, which sees one state of the database.

        Raises:
            OperationalError: the file can't be read, or this was closed.
        """
        try:
            connection = self._idle.pop() if self._idle else self._connected()
        except IndexError:  # another thread was quicker
            connection = self._connected()
        try:
            found = connection.execute(query, values).fetchall()
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise OperationalError(str(error)) from error
            raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        if self._is_closed:
            self.close()
        return found

    def _connected(self) -> sqlite3.Connection:
        if self._is_closed:
            raise OperationalError("it is closed")
        try:
            return connected(self._path, self._busy_seconds)
        except sqlite3.Error as error:
            raise OperationalError(str(error)) from error

    def close(self) -> None:
        self._is_closed = True
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
