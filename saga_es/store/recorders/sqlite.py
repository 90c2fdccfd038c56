# ruff: noqa: S608 - the names in these statements are our own; values are bound
"""`eventsourcing`'s SQLite recorder, with durable batches, the index of sagas and the schema's version."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, cast

from eventsourcing.persistence import IntegrityError, Notification, OperationalError, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore, SQLiteFactory

from saga_es.errors import InvalidInput
from saga_es.model.summary import SagaSummary
from saga_es.store.encoding import StoredRow, predecessors_of, row_of
from saga_es.store.index import CHANGING, COLUMNS, IndexRow, Wanted, row_from, storable, summary_from
from saga_es.store.recorders.file_place import FilePlace
from saga_es.store.recorders.readers import Readers, Row, connected
from saga_es.store.recorders.sqlite_rows import Inserting, bound_events, bound_rows, first_missing
from saga_es.store.schema import SCHEMA_VERSION, steps_from

BUSY_SECONDS: Final = 2
"""How long SQLite itself waits for another writer; whoever asked then waits on, and may be told meanwhile."""

TURN_SECONDS: Final = 0.01
SHOWN: Final = ", ".join(COLUMNS)
STORED: Final = "originator_id, originator_version, topic, state"
STREAM: Final = """
SELECT originator_version, topic, state FROM saga_log
WHERE originator_id=? AND originator_version>? AND originator_version<=? ORDER BY originator_version"""
VERSION: Final = "SELECT max(version) FROM saga_schema"
HAS_VERSION: Final = "SELECT 1 FROM sqlite_master WHERE name = 'saga_schema'"
OPEN: Final = "(is_open OR :reason IS NULL)"
"""An ended saga is not shown as parked, however late somebody says so."""

EVENTS: Final = Inserting(f"INSERT INTO saga_log ({STORED})", [f"column{place}" for place in range(1, 5)])
INDEX_ROWS: Final = Inserting(
    f"INSERT INTO saga_index ({SHOWN})",
    [
        f"nullif(column{place}, 0)" if name in ("ending", "parked") else f"column{place}"
        for place, name in enumerate(COLUMNS, start=1)
    ],
    "ON CONFLICT (saga_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in CHANGING),
)
KNOWN: Final = 4096
"""Of how many streams is remembered where they end; of others SQLite is asked."""

# The rowid is the notification id. It is declared: VACUUM renumbers those that are not.
LOG: Final = """
CREATE TABLE saga_log (
  rowid INTEGER PRIMARY KEY, originator_id TEXT NOT NULL, originator_version INTEGER NOT NULL,
  topic TEXT NOT NULL, state BLOB NOT NULL, UNIQUE (originator_id, originator_version))"""
ROWS: Final = """
CREATE TABLE saga_index (
  saga_id TEXT PRIMARY KEY, definition TEXT NOT NULL, definition_version INTEGER NOT NULL, status TEXT NOT NULL,
  ending TEXT, parked TEXT, is_open INTEGER NOT NULL, started_at INTEGER NOT NULL, changed_at INTEGER NOT NULL)"""
STEPS: Final = (
    (
        LOG,
        ROWS,
        "CREATE INDEX saga_index_open ON saga_index (saga_id) WHERE is_open",
        "CREATE INDEX saga_index_parked ON saga_index (started_at DESC, saga_id) WHERE parked IS NOT NULL",
        "CREATE INDEX saga_index_status ON saga_index (status, started_at DESC, saga_id) WHERE status <> 'succeeded'",
        "CREATE INDEX saga_index_definition ON saga_index (definition, started_at DESC, saga_id)",
        "CREATE INDEX saga_index_started ON saga_index (started_at DESC, saga_id)",
        "CREATE TABLE saga_schema (version INTEGER NOT NULL)",
        "INSERT INTO saga_schema VALUES (1)",
    ),
    (),  # an inbox is PostgreSQL's alone
    (),  # and so is a crew
)


class SagaSQLiteRecorder(SQLiteApplicationRecorder):
    """Appends a batch and its index rows in one durable transaction.

    Writes go through one connection of its own: PRAGMA data_version on it counts the commits of all others,
    which is how an engine notices a client in another process.

    Args:
        path: the database's file, or a ``file:`` URI of one.
    """

    def __init__(self, datastore: SQLiteDatastore, *, path: str, busy_seconds: int = BUSY_SECONDS) -> None:
        super().__init__(datastore, events_table_name="saga_log")
        self._path, self._busy_seconds = path, busy_seconds
        self._readers = Readers(path, busy_seconds=busy_seconds)
        self._write_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._data_version: int | None = None
        self._place: FilePlace | None = None
        self._ends: dict[str, int] = {}  # the last versions of streams that were written here

    # -- schema --------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Make what is missing, in one transaction."""
        with self._writing() as db:
            is_there = db.execute(HAS_VERSION).fetchone()
            found = newest(db.execute(VERSION).fetchall()) if is_there else None
            for statement in steps_from(found, STEPS):
                db.execute(statement)
            if found is None or found < SCHEMA_VERSION:
                db.execute("UPDATE saga_schema SET version = ?", [SCHEMA_VERSION])

    def schema_version(self) -> int | None:
        """Return the version of the tables, or ``None`` where there are none."""
        rows = self._readers.rows
        return newest(rows(VERSION)) if rows(HAS_VERSION) else None

    # -- place: an operating system's lock, which dies with its process --------------------------------

    def claim(self) -> bool:
        """Take the engine's place on this file; False if another process, or engine, holds it."""
        place = FilePlace(f"{self._file()}-engine.lock")
        if not place.take():
            return False
        self._place = place
        return True

    def holder(self) -> str | None:
        """Return who says to hold the place."""
        return FilePlace(f"{self._file()}-engine.lock").holder()

    def release(self) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None
        with self._write_lock:
            self._drop_writer()
        self._readers.close()

    def _file(self) -> str:
        listed = self._readers.rows("PRAGMA database_list")
        return next(str(file) for _, name, file in listed if name == "main")

    # -- writing -------------------------------------------------------------------------------------

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int]:
        """Append events; IntegrityError where a version is taken or leaves a gap."""
        last = self._insert([*map(row_of, stored_events)], (), tells_last=True)
        return list(range(last - len(stored_events) + 1, last + 1))

    def insert_batch(self, events: Sequence[StoredRow], rows: Sequence[IndexRow]) -> None:
        """Write events and index rows, or nothing."""
        self._insert(events, rows)

    def _insert(
        self, events: Sequence[StoredRow], rows: Sequence[IndexRow], *, tells_last: bool = False
    ) -> int:
        """Write them, and return the last event's place in the log if asked to."""
        values, shown = bound_events(events), bound_rows(rows)
        unknown = self._unknown(predecessors_of(events))
        with self._writing(begins=bool(unknown)) as db:
            missing = first_missing(db, unknown)
            if missing is not None:
                raise IntegrityError(f"version {missing[1]} of {missing[0]!r} is not recorded")
            EVENTS.insert(db, values)
            last: int = db.execute("SELECT last_insert_rowid()").fetchone()[0] if tells_last else 0
            INDEX_ROWS.insert(db, shown)
        self._remember(events)
        return last

    def _unknown(self, versions: Mapping[str, int]) -> dict[str, int]:
        """Return those that were not written here: what was stays written."""
        known = self._ends
        return {stream: version for stream, version in versions.items() if known.get(stream, 0) < version}

    def _remember(self, events: Sequence[StoredRow]) -> None:
        if len(self._ends) > KNOWN:
            self._ends.clear()
        self._ends.update([(event[0], event[1]) for event in events])

    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None:
        values = {"saga_id": saga_id, "reason": storable(reason), "at": at}
        update = "UPDATE saga_index SET parked = :reason, changed_at = :at"
        with self._writing(begins=False) as db:
            db.execute(f"{update} WHERE saga_id = :saga_id AND parked IS NOT :reason AND {OPEN}", values)

    @contextmanager
    def _writing(self, *, begins: bool = True) -> Generator[sqlite3.Cursor]:
        """Run a transaction; where the first statement is an INSERT or UPDATE, it need not begin it by a call more."""
        with self._write_lock, translated():
            connection = self._write_connection()
            db = connection.cursor()
            try:
                if begins:
                    db.execute("BEGIN IMMEDIATE")
                yield db
                connection.commit()
                db.close()
            except BaseException as error:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                    db.close()
                if isinstance(error, sqlite3.OperationalError):
                    self._drop_writer()  # whatever is wrong, the next call begins with a new one
                raise

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            made = connected(self._path, self._busy_seconds)
            try:
                turn_to_wal(made, self._busy_seconds)
                made.isolation_level = "IMMEDIATE"  # of what sqlite3 begins for an INSERT
                # In WAL mode less than FULL may lose the last commits with the power: no speed is worth that.
                made.execute("PRAGMA synchronous=FULL")
            except BaseException:
                made.close()
                raise
            self._writer = made
        return self._writer

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = self._data_version = None

    # -- reading -------------------------------------------------------------------------------------

    def select_events(
        self,
        originator_id: object,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        query = f"SELECT {STORED} FROM saga_log WHERE originator_id=?"
        values: list[object] = [originator_id]
        for condition, value in ((" AND originator_version>?", gt), (" AND originator_version<=?", lte)):
            if value is not None:
                query, values = query + condition, [*values, value]
        query += f" ORDER BY originator_version {'DESC' if desc else 'ASC'}"
        if limit is not None:
            query, values = query + " LIMIT ?", [*values, limit]
        return [StoredEvent(*row) for row in self._readers.rows(query, values)]

    def select_stream(self, stream: str, after: int, upto: int) -> Sequence[Row]:
        """Return (version, topic, state) of ``after < version <= upto``, in order."""
        return self._readers.rows(STREAM, (stream, after, upto))

    def select_many(self, streams: Sequence[str]) -> Sequence[Row]:
        """Return (version, topic, state, stream) of whole streams, in no order."""
        among = "originator_id IN (SELECT value FROM json_each(?))"
        query = f"SELECT originator_version, topic, state, originator_id FROM saga_log WHERE {among}"
        return self._readers.rows(query, [json.dumps(streams)])

    def select_versions(self, streams: Sequence[str]) -> dict[str, int]:
        """Return the last version of each stream that has any."""
        query = "SELECT originator_id, max(originator_version) FROM saga_log"
        query += " WHERE originator_id IN (SELECT value FROM json_each(?)) GROUP BY 1"
        return dict(self._readers.rows(query, [json.dumps(streams)]))

    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]:
        conditions = wanted.conditions()
        where = " AND ".join(text for text, _ in conditions) or "1"
        values = [value for _, each in conditions for value in each]
        query = f"SELECT {SHOWN} FROM saga_index WHERE {where} ORDER BY started_at DESC, saga_id LIMIT ?"
        return [summary_from(row) for row in self._readers.rows(query, [*values, wanted.limit])]

    def select_summary(self, saga_id: str) -> SagaSummary | None:
        query = f"SELECT {SHOWN} FROM saga_index WHERE saga_id = ?"
        found = self._readers.rows(query, [saga_id])
        return summary_from(found[0]) if found else None

    def select_rows(self, saga_ids: Sequence[str]) -> Sequence[IndexRow]:
        """Return the index rows of these sagas, in no order."""
        query = f"SELECT {SHOWN} FROM saga_index WHERE saga_id IN (SELECT value FROM json_each(?))"
        return [row_from(row) for row in self._readers.rows(query, [json.dumps(saga_ids)])]

    def select_open(self, after: str | None, limit: int) -> Sequence[str]:
        query = "SELECT saga_id FROM saga_index WHERE is_open AND saga_id > ? ORDER BY saga_id LIMIT ?"
        return [saga_id for (saga_id,) in self._readers.rows(query, [after or "", limit])]

    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]:
        query = "SELECT rowid, originator_id, originator_version FROM saga_log WHERE rowid>? ORDER BY rowid LIMIT ?"
        found = self._readers.rows(query, [position, limit])
        versions: dict[str, int] = {stream: version for _, stream, version in found}
        return found[-1][0] if found else position, versions

    # The stock two read on connections of a pool that closes them in use: the process would end of that.

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        query = f"SELECT rowid, {STORED} FROM saga_log WHERE rowid {'>=' if inclusive_of_start else '>'} ?"
        values: list[object] = [0 if start is None else start]
        if stop is not None:
            query, values = query + " AND rowid <= ?", [*values, stop]
        if topics:
            query, values = query + f" AND topic IN ({','.join('?' * len(topics))})", [*values, *topics]
        found = self._readers.rows(f"{query} ORDER BY rowid LIMIT ?", [*values, limit])
        return [Notification(row[1], row[2], row[3], row[4], row[0]) for row in found]

    def max_notification_id(self) -> int:
        ((last,),) = self._readers.rows("SELECT max(rowid) FROM saga_log")
        return cast("int", last)  # or None, whatever the stock signature says

    def changed_by_others(self) -> bool:
        """Whether another connection may have committed since the last call; the first call can't know."""
        with self._write_lock, translated():
            (now,) = self._write_connection().execute("PRAGMA data_version").fetchone()
            before, self._data_version = self._data_version, now
        return bool(before != now)


class SagaSQLiteFactory(SQLiteFactory):
    """Named in an environment as the persistence module."""

    def application_recorder(self) -> SagaSQLiteRecorder:
        path = self.env.get(self.SQLITE_DBNAME, "")
        if ":memory:" in path or "mode=memory" in path:
            problem = f"{path!r}: sagas are kept in a file by SQLite; in memory by memory://"
            raise InvalidInput(self.SQLITE_DBNAME, problem=problem)
        busy_seconds = int(self.env.get(self.SQLITE_LOCK_TIMEOUT) or BUSY_SECONDS)
        return SagaSQLiteRecorder(self.datastore, path=path, busy_seconds=busy_seconds)


def turn_to_wal(db: sqlite3.Connection, patience: float) -> None:
    """Keep the log of a file in WAL mode; of several that turn a new file at once SQLite lets none wait for another."""
    until = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(TURN_SECONDS)
        else:
            return


def newest(found: Sequence[Row]) -> int | None:
    """Return the version that VERSION found, ``None`` where the table is empty."""
    (version,) = found[0]
    return None if version is None else int(version)


@contextmanager
def translated() -> Generator[None]:
    """Raise `eventsourcing`'s errors in place of sqlite3's."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise IntegrityError(str(error)) from error
    except sqlite3.Error as error:
        raise OperationalError(str(error)) from error
