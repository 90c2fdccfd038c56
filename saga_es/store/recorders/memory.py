"""`eventsourcing`'s in-memory recorder, with the index of sagas."""

from __future__ import annotations

from collections.abc import Sequence

from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder, POPOFactory

from saga_es.model.summary import SagaSummary
from saga_es.store.index import IndexRow, Wanted, micros
from saga_es.store.schema import SCHEMA_VERSION


class SagaMemoryRecorder(POPOApplicationRecorder):
    """Keeps everything in this object; for tests, and for sagas that need not survive the process."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, IndexRow] = {}
        self._claimed = False
        self._seen = 0

    # -- schema and place: nothing to make, one engine at a time ---------------------------------------

    def migrate(self) -> None:
        """Nothing to make in memory."""

    def schema_version(self) -> int | None:
        return SCHEMA_VERSION

    def holder(self) -> str | None:
        return "in this process"

    def claim(self) -> bool:
        """Take the engine's place; False if it is taken."""
        if self._claimed:
            return False
        self._claimed = True
        return True

    def release(self) -> None:
        self._claimed = False

    # -- writing -------------------------------------------------------------------------------------

    def insert_batch(self, events: Sequence[StoredEvent], rows: Sequence[IndexRow]) -> None:
        with self._database_lock:
            for stream, first in first_versions(events).items():
                if first > 1 and first - 1 not in self._stored_events_index[stream]:
                    raise IntegrityError(f"version {first - 1} of {stream!r} is not recorded")
            self._insert_events(events)
            for row in rows:
                self._rows[row.summary.saga_id] = row
        self._notify_listeners()

    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None:
        with self._database_lock:
            row = self._rows.get(saga_id)
            if row is not None:
                self._rows[saga_id] = row.with_parked(reason, at)

    # -- reading -------------------------------------------------------------------------------------

    def select_many(self, streams: Sequence[str]) -> Sequence[StoredEvent]:
        return [event for stream in streams for event in self.select_events(stream)]

    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]:
        with self._database_lock:
            found = [row.summary for row in self._rows.values() if wanted.takes(row.summary)]
        found.sort(key=lambda it: (micros(it.started_at), it.saga_id), reverse=True)
        return found[: wanted.limit]

    def select_summary(self, saga_id: str) -> SagaSummary | None:
        row = self._rows.get(saga_id)
        return row.summary if row else None

    def select_open(self, after: str | None, limit: int) -> Sequence[str]:
        with self._database_lock:
            ids = sorted(saga_id for saga_id, row in self._rows.items() if row.is_open)
        return [saga_id for saga_id in ids if after is None or saga_id > after][:limit]

    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]:
        with self._database_lock:
            new = self._stored_events[position : position + limit]
        versions: dict[str, int] = {}
        for event in new:
            versions[str(event.originator_id)] = event.originator_version
        return position + len(new), versions

    def changed_by_others(self) -> bool:
        seen, self._seen = self._seen, len(self._stored_events)
        return seen != self._seen


class SagaMemoryFactory(POPOFactory):
    """Named in an environment as the persistence module."""

    def application_recorder(self) -> SagaMemoryRecorder:
        return SagaMemoryRecorder()


def first_versions(events: Sequence[StoredEvent]) -> dict[str, int]:
    """Return the first version that a batch appends to each of its streams."""
    first: dict[str, int] = {}
    for event in events:
        first.setdefault(str(event.originator_id), event.originator_version)
    return first
