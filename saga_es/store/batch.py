"""A batch of appends as what recorders write: rows of the log, and of the index."""

from __future__ import annotations

from collections.abc import Sequence

from saga_es.errors import VersionConflict
from saga_es.store.append import Append
from saga_es.store.encoding import StoredRow
from saga_es.store.index import IndexRow


def rows_of(batch: Sequence[Append]) -> tuple[list[StoredRow], list[IndexRow]]:
    """Return the events, and the last row of each saga whose index row changes.

    Raises:
        VersionConflict: appends of a saga do not follow each other.
    """
    last: dict[str, int] = {}
    events: list[StoredRow] = []
    rows: dict[str, IndexRow] = {}
    for append in batch:
        saga_id, version = append.saga_id, append.expected_version
        if last.setdefault(saga_id, version) != version:
            raise VersionConflict(saga_id, expected=version)
        last[saga_id] = version + len(append.events)
        events += append.events
        if append.summary is not None:
            rows[saga_id] = IndexRow(append.summary, append.is_open, append.shard)
    return events, list(rows.values())
