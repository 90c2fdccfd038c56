"""A batch in as few calls of sqlite3 as can be.

Each call gives the interpreter up five times over, and a busy loop is slow to give it back: that takes longer than to
write a row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from saga_es.store.encoding import StoredRow
from saga_es.store.index import IndexRow

MOST: Final = 256
"""How many rows a statement has at most; fewer where this SQLite takes fewer values."""

STEP: Final = 16
"""A statement has a multiple of so many rows, the last ones empty: so few texts stay prepared, which takes long."""

MISSING: Final = """
SELECT wanted.key, wanted.value FROM json_each(?) AS wanted WHERE NOT EXISTS (
  SELECT 1 FROM saga_log WHERE originator_id = wanted.key AND originator_version = wanted.value) LIMIT 1"""


class Inserting:
    """An INSERT of rows, in their order.

    Args:
        before, after: what stands about the rows in its text.
        row: what goes into each column, of the bound values ``column1`` and so on; no row begins with a 0.
    """

    def __init__(self, before: str, row: Sequence[str], after: str = "") -> None:
        self._before, self._row, self._after = before, row, after
        self._texts: dict[int, str] = {}

    def insert(self, db: sqlite3.Cursor, values: list[object]) -> None:
        """Insert rows whose values stand one after another."""
        width = len(self._row)
        most = min(MOST, db.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // width)
        for begin in range(0, len(values), most * width):
            some = values[begin : begin + most * width]
            count = min(most, -(-len(some) // (width * STEP)) * STEP)
            some += [0] * (count * width - len(some))
            db.executemany(self._text_of(count), [some])  # asks for no last row's number: a turn less

    def _text_of(self, count: int) -> str:
        text = self._texts.get(count)
        if text is None:
            row = f"({','.join('?' * len(self._row))})"
            rows = f"(VALUES {','.join([row] * count)}) WHERE column1 <> 0"
            text = f"{self._before} SELECT {', '.join(self._row)} FROM {rows} {self._after}"  # noqa: S608 - our own names
            self._texts[count] = text
        return text


# sqlite3 looks for an adapter of every value that is no int, float, str or bytearray, and that takes it longer than all
# else it does with the value; so bytes, bool and None are passed as what it takes as it is.


def bound_events(events: Sequence[StoredRow]) -> list[object]:
    """Return the values of events, one after another, as sqlite3 takes them at once."""
    values: list[object] = []
    for stream, version, topic, state in events:
        values += (stream, version, topic, bytearray(state))
    return values


def bound_rows(rows: Sequence[IndexRow]) -> list[object]:
    """Return the values of index rows, one after another; 0 stands for ``None``: no text equals a number."""
    values: list[object] = []
    for row in rows:
        for value in row.values():
            if value is None:
                values.append(0)
            else:
                values.append(int(value) if isinstance(value, bool) else value)
    return values


def first_missing(db: sqlite3.Cursor, versions: Mapping[str, int]) -> tuple[str, int] | None:
    """Return one of these streams, with its version, that is not recorded so far."""
    if not versions:
        return None
    found: Iterable[tuple[str, int]] = db.execute(MISSING, [json.dumps(versions)])
    return next(iter(found), None)
