"""One engine per PostgreSQL schema, held by a lock of a session's: it dies with its connection."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import psycopg
from eventsourcing.persistence import OperationalError
from psycopg.rows import DictRow, tuple_row

from saga_es.store.recorders.connections import SagaPostgresDatastore, translated

GRACE: Final = "1s"
"""How long a predecessor's session is waited for: of a process just killed it may linger for a moment."""

HOLDER: Final = """
SELECT application_name AS name, coalesce(host(client_addr), 'this machine') AS address, pid
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = %s AND objid = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class SessionPlace:
    """A place that one session on the database can hold.

    Args:
        key: of the advisory lock, 64 bits signed.

    Attributes:
        held: the how many-th time it was taken, 0 where it is lost; as far as is known since something was asked.
    """

    def __init__(self, datastore: SagaPostgresDatastore, key: int) -> None:
        self._datastore, self._key = datastore, key
        self._session: psycopg.Connection[DictRow] | None = None
        self.held = self._taken = 0

    def take(self) -> bool:
        """Take the place; False if it is still taken after a moment's grace."""
        session = self._connect()
        try:
            with translated():
                session.execute(f"SET lock_timeout = '{GRACE}'")
                session.execute("SELECT pg_advisory_lock(%s)", (self._key,))
        except BaseException as error:
            session.close()
            if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        self._session = session
        self._note_taken()
        return True

    def _note_taken(self) -> None:
        self._taken += 1
        self.held = self._taken

    def ask(self, query: bytes) -> object:
        """Return what a query says, asked on the session that holds the place, and so see that it lives.

        A session that was cut is made anew, at the latest at the next question; its lock is taken again as soon as
        nobody else has it. Until then another engine may have it, and this one has to stand back.
        """
        try:
            if self._session is None:
                self._session = self._connect()
            with translated(), self._session.cursor(row_factory=tuple_row) as cursor:
                if not self.held:
                    got = cursor.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
                    if got == (True,):
                        self._note_taken()
                row = cursor.execute(query, prepare=True).fetchone()
        except OperationalError:
            self._drop()
            raise
        return row[0] if row else None

    def holder(self) -> str | None:
        """Return who holds the place."""
        unsigned = self._key % (1 << 64)
        with self._datastore.get_connection() as connection:
            row = connection.execute(HOLDER, (unsigned >> 32, unsigned & 0xFFFFFFFF)).fetchone()
        return f"{row['name']} at {row['address']}, backend {row['pid']}" if row else None

    def leave(self) -> None:
        if self._session is not None:
            with suppress(psycopg.Error):  # before the session ends, which the server does in its own time
                self._session.execute("SELECT pg_advisory_unlock(%s)", (self._key,))
        self._drop()

    def _connect(self) -> psycopg.Connection[DictRow]:
        return self._datastore.connect(application_name=f"saga_es engine, process {os.getpid()}")

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self.held = None, 0
