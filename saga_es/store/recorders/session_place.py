"""A place on a PostgreSQL schema for one alone, held by a lock of a session's: it dies with its connection."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import psycopg
from psycopg.rows import DictRow

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
    """

    def __init__(self, datastore: SagaPostgresDatastore, key: int) -> None:
        self._datastore, self._key = datastore, key
        self._session: psycopg.Connection[DictRow] | None = None

    def take(self) -> bool:
        """Take the place; False if it is still taken after a moment's grace."""
        session = self._datastore.connect(application_name=f"saga_es, process {os.getpid()}")
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
        return True

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
            self._session.close()
            self._session = None
