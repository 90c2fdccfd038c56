"""`eventsourcing`'s SQLite recorder, with durable batches, the index of sagas and the schema's version."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore, SQLiteFactory

from saga_es.model.summary import SagaSummary
from saga_es.store.index import COLUMNS, IndexRow, Wanted, summary_from
from saga_es.store.recorders.memory import first_versions
from saga_es.store.schema import SCHEMA_VERSION

BUSY_SECONDS: Final = 30
SHOWN: Final = ", ".join(COLUMNS)
INSERT: Final = "INSERT INTO stored_events VALUES (?,?,?,?)"
UPSERT: Final = f"INSERT OR REPLACE INTO saga_index ({SHOWN}) VALUES ({','.join('?' * len(COLUMNS))})"  # noqa: S608 - our own column names

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS stored_events (originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL,"
    " topic TEXT, state BLOB, PRIMARY KEY (originator_id, originator_version))",
    "CREATE TABLE IF NOT EXISTS saga_index (saga_id TEXT PRIMARY KEY, definition TEXT NOT NULL,"
    " definition_version INTEGER NOT NULL, status TEXT NOT NULL, ending TEXT, parked TEXT,"
    " is_open INTEGER NOT NULL, started_at INTEGER NOT NULL, changed_at INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS saga_index_open ON saga_index (saga_id) WHERE is_open",
    "CREATE INDEX IF NOT EXISTS saga_index_parked ON saga_index (started_at, saga_id) WHERE parked IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS saga_index_started ON saga_index (started_at, saga_id)",
    "CREATE TABLE IF NOT EXISTS saga_schema (version INTEGER NOT NULL)",
)


class SagaSQLiteRecorder(SQLiteApplicationRecorder):
    """Appends a batch and its index rows in one durable transaction.

    Writes go through one connection of its own: PRAGMA data_version on it counts the commits of all others,
    which is how an engine notices a client in another process.
    """

    def __init__(self, datastore: SQLiteDatastore) -> None:
        super().__init__(datastore)
        self._write_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._data_version: int | None = None
        self._place: int | None = None

    @property
    def path(self) -> str:
        return self.datastore.pool.db_name  # type: ignore[attr-defined,no-any-return]  # pyright: ignore

    def construct_create_table_statements(self) -> list[str]:
        return list(SCHEMA)

    # -- schema --------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Make what is missing, in one transaction."""
        with self._writing() as db:
            for statement in SCHEMA:
                db.execute(statement)
            if db.execute("SELECT count(*) FROM saga_schema").fetchone()[0] == 0:
                db.execute("INSERT INTO saga_schema VALUES (?)", [SCHEMA_VERSION])

    def schema_version(self) -> int | None:
        """Return the version of the tables, or ``None`` where there are none."""
        with self._reading() as db:
            known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'saga_schema'").fetchone()
            row = db.execute("SELECT max(version) FROM saga_schema").fetchone() if known else None
        return row[0] if row else None

    # -- place: an operating system's lock, which dies with its process --------------------------------

    def claim(self) -> bool:
        """Take the engine's place on this file; False if another process, or engine, holds it."""
        import fcntl  # noqa: PLC0415 - not on every system; a memory or PostgreSQL store never needs it

        place = os.open(f"{self.path}-engine.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(place)
            return False
        os.ftruncate(place, 0)
        os.write(place, f"process {os.getpid()}".encode())
        self._place = place
        return True

    def holder(self) -> str | None:
        """Return who says to hold the place."""
        with suppress(OSError), open(f"{self.path}-engine.lock", encoding="utf-8") as file:  # noqa: PTH123
            return file.read() or None
        return None

    def release(self) -> None:
        if self._place is not None:
            os.close(self._place)
            self._place = None
        with self._write_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    # -- writing -------------------------------------------------------------------------------------

    def insert_batch(self, events: Sequence[StoredEvent], rows: Sequence[IndexRow]) -> None:
        """Write events and index rows, or nothing; IntegrityError where a version is taken or leaves a gap."""
        values = [(e.originator_id, e.originator_version, e.topic, e.state) for e in events]
        with self._writing() as db:
            self._check_gaps(db, events)
            try:
                db.executemany(INSERT, values)
            except sqlite3.IntegrityError as error:
                raise IntegrityError(str(error)) from error
            if rows:
                db.executemany(UPSERT, [row.values() for row in rows])

    @staticmethod
    def _check_gaps(db: sqlite3.Cursor, events: Sequence[StoredEvent]) -> None:
        query = "SELECT 1 FROM stored_events WHERE originator_id=? AND originator_version=?"
        for stream, first in first_versions(events).items():
            if first > 1 and db.execute(query, (stream, first - 1)).fetchone() is None:
                raise IntegrityError(f"version {first - 1} of {stream!r} is not recorded: {first} would leave a gap")

    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None:
        with self._writing() as db:
            db.execute("UPDATE saga_index SET parked=?, changed_at=? WHERE saga_id=?", (reason, at, saga_id))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        with self._write_lock:
            db = self._write_connection().cursor()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            finally:
                db.close()

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = sqlite3.connect(
                self.path, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._writer.execute("PRAGMA journal_mode=WAL")
            # In WAL mode less than FULL may lose the last commits with the power: nothing is traded for speed.
            self._writer.execute("PRAGMA synchronous=FULL")
        return self._writer

    # -- reading -------------------------------------------------------------------------------------

    def select_many(self, streams: Sequence[str]) -> Sequence[StoredEvent]:
        """Return whole streams, one after another, each in order."""
        marks = ",".join("?" * len(streams))
        query = f"SELECT * FROM stored_events WHERE originator_id IN ({marks}) ORDER BY 1, 2"  # noqa: S608 - marks only
        with self._reading() as db:
            return [StoredEvent(*row) for row in db.execute(query, list(streams))]

    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]:
        conditions = wanted.conditions()
        where = " AND ".join(text for text, _ in conditions) or "1"
        values = [value for _, each in conditions for value in each]
        query = f"SELECT {SHOWN} FROM saga_index WHERE {where} ORDER BY started_at DESC, saga_id DESC LIMIT ?"  # noqa: S608 - values are bound
        with self._reading() as db:
            return [summary_from(row) for row in db.execute(query, [*values, wanted.limit])]

    def select_summary(self, saga_id: str) -> SagaSummary | None:
        query = f"SELECT {SHOWN} FROM saga_index WHERE saga_id = ?"  # noqa: S608 - our own column names
        with self._reading() as db:
            row = db.execute(query, [saga_id]).fetchone()
        return summary_from(row) if row else None

    def select_open(self, after: str | None, limit: int) -> Sequence[str]:
        query = "SELECT saga_id FROM saga_index WHERE is_open AND saga_id > ? ORDER BY saga_id LIMIT ?"
        with self._reading() as db:
            return [saga_id for (saga_id,) in db.execute(query, [after or "", limit])]

    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]:
        query = "SELECT rowid, originator_id, originator_version FROM stored_events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        versions: dict[str, int] = {}
        with self._reading() as db:
            for rowid, stream, version in db.execute(query, [position, limit]):
                position = rowid
                versions[stream] = version
        return position, versions

    def changed_by_others(self) -> bool:
        """Whether another connection has committed since the last call."""
        with self._write_lock:
            (now,) = self._write_connection().execute("PRAGMA data_version").fetchone()
        before, self._data_version = self._data_version, now
        return before is not None and before != now

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Cursor]:
        with self.datastore.transaction(commit=False) as cursor:
            plain = cursor.sqlite_cursor
            plain.row_factory = None
            yield plain


class SagaSQLiteFactory(SQLiteFactory):
    """Named in an environment as the persistence module."""

    application_recorder_class = SagaSQLiteRecorder

    def env_create_table(self) -> bool:
        return False  # by migrate, under a lock and with a version
