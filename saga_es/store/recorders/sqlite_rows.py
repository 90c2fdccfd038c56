"""Many rows in one statement: each gives the interpreter up, and a busy loop is slow to give it back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

MOST: Final = 256
"""How many rows a statement has at most; fewer where this SQLite takes fewer values."""

MISSING: Final = """
SELECT wanted.key, wanted.value FROM json_each(?) AS wanted WHERE NOT EXISTS (
  SELECT 1 FROM saga_log WHERE originator_id = wanted.key AND originator_version = wanted.value) LIMIT 1"""


class Inserting:
    """An INSERT of rows.

    Args:
        before, after: what stands about the rows in its text.
        columns: how many values a row has.
    """

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        self._before, self._after, self._columns = before, after, columns
        self._row = f"({','.join('?' * columns)})"

    def insert(self, db: sqlite3.Cursor, rows: Sequence[Sequence[object]]) -> None:
        """Insert the rows, in their order."""
        values = db.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        most = min(MOST, values // self._columns)
        for begin in range(0, len(rows), most):
            some = rows[begin : begin + most]
            text = f"{self._before} VALUES {','.join([self._row] * len(some))} {self._after}"
            db.execute(text, list(chain.from_iterable(some)))


def first_missing(db: sqlite3.Cursor, versions: Mapping[str, int]) -> tuple[str, int] | None:
    """Return one of these streams, with its version, that is not recorded so far."""
    if not versions:
        return None
    found: Iterable[tuple[str, int]] = db.execute(MISSING, [json.dumps(versions)])
    return next(iter(found), None)
