"""(a) What the database alone does: the same event bytes, and no state, no decisions, no calls, no index."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import psycopg

from tests.benchmarks.ids import new_id

Row = tuple[int, str, bytes]
"""Version, topic and state of an event, as saga_es stores it."""


class RawSqlite:
    """One connection of `sqlite3`, WAL, synchronous=FULL.

    Args:
        sagas: how many are written in one transaction.
    """

    def __init__(self, path: str, rows: Sequence[Row], *, sagas: int) -> None:
        self._rows, self._sagas = rows, sagas
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (id TEXT, version INTEGER, topic TEXT, state BLOB,"
            " PRIMARY KEY (id, version))"
        )

    def write(self) -> None:
        rows = [(saga_id, *row) for saga_id in new_ids(self._sagas) for row in self._rows]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO raw_events VALUES (?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class RawPostgres:
    """One connection of psycopg.

    Args:
        sagas: how many are written in one transaction.
        one_statement: by one INSERT of arrays, which saves the round trips of BEGIN and COMMIT, and a statement
            for each event.
    """

    def __init__(self, dsn: str, rows: Sequence[Row], *, sagas: int, one_statement: bool) -> None:
        self._rows, self._sagas = rows, sagas
        self.write = self._write_at_once if one_statement else self._write_each
        self._db = psycopg.connect(dsn, autocommit=True)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS raw_events (place BIGSERIAL PRIMARY KEY, id TEXT, version BIGINT,"
            " topic TEXT, state BYTEA, UNIQUE (id, version))"
        )

    def _new_rows(self) -> list[tuple[str, int, str, bytes]]:
        return [(saga_id, *row) for saga_id in new_ids(self._sagas) for row in self._rows]

    def _write_each(self) -> None:
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO raw_events (id, version, topic, state) VALUES (%s, %s, %s, %s)", self._new_rows()
            )

    def _write_at_once(self) -> None:
        columns = [list(column) for column in zip(*self._new_rows(), strict=True)]
        self._db.execute(
            "INSERT INTO raw_events (id, version, topic, state) SELECT * FROM unnest("
            "%s::text[], %s::bigint[], %s::text[], %s::bytea[])",
            columns,
        )

    def close(self) -> None:
        self._db.close()


def new_ids(count: int) -> list[str]:
    return [new_id() for _ in range(count)]
