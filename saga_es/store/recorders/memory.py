"""`eventsourcing`'s in-memory recorder, with the index of sagas."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.popo import POPOApplicationRecorder, POPOFactory, POPOSubscription

from saga_es.model.summary import SagaSummary
from saga_es.store.encoding import StoredRow, event_of, predecessors_of, row_of
from saga_es.store.index import IndexRow, Wanted, order
from saga_es.store.schema import LAST, SCHEMA_VERSION


class SagaMemoryRecorder(POPOApplicationRecorder):
    """Keeps everything in this object; for tests, and for sagas that need not survive the process."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, IndexRow] = {}
        self._open: set[str] = set()
        self._claimed = False
        self._seen = -1

    # -- schema and place: nothing to make, one engine at a time ---------------------------------------

    def migrate(self) -> None:
        """Nothing to make in memory."""

    def schema_version(self) -> int | None:
        return SCHEMA_VERSION

    def claim(self) -> bool:
        """Take the engine's place; False if it is taken."""
        with self._database_lock:
            taken, self._claimed = self._claimed, True
        return not taken

    def holder(self) -> str | None:
        return "in this process"

    def release(self) -> None:
        self._claimed = False

    # -- writing -------------------------------------------------------------------------------------

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int]:
        """Append events; IntegrityError where a version is taken or leaves a gap."""
        return self.insert_batch([*map(row_of, stored_events)], ())

    def insert_batch(self, events: Sequence[StoredRow], rows: Sequence[IndexRow]) -> Sequence[int]:
        """Write events and index rows, or nothing."""
        with self._database_lock:
            for stream, before in predecessors_of(events).items():
                if before not in self._stored_events_index[stream]:
                    raise IntegrityError(f"version {before} of {stream!r} is not recorded")
            ids = self._insert_events([*map(event_of, events)]) or ()
            for row in rows:
                self._show(row)
        self._notify_listeners()
        return ids

    def _show(self, row: IndexRow) -> None:
        saga_id = row.summary.saga_id
        self._rows[saga_id] = row
        (self._open.add if row.is_open else self._open.discard)(saga_id)

    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None:
        with self._database_lock:
            row = self._rows.get(saga_id)
            if row is not None and row.summary.parked != reason and (row.is_open or reason is None):
                self._rows[saga_id] = row.with_parked(reason, at)

    # -- reading -------------------------------------------------------------------------------------

    def select_stream(self, stream: str, after: int, upto: int) -> Sequence[tuple[int, str, bytes]]:
        found = self.select_events(stream, gt=after, lte=upto)
        return [(event.originator_version, event.topic, event.state) for event in found]

    def select_many(self, streams: Sequence[str]) -> Sequence[tuple[int, str, bytes, str]]:
        return [(*row, stream) for stream in streams for row in self.select_stream(stream, 0, LAST)]

    def select_versions(self, streams: Sequence[str]) -> dict[str, int]:
        with self._database_lock:
            found = {stream: self._stored_events_index.get(stream) for stream in streams}
            return {stream: max(versions) for stream, versions in found.items() if versions}

    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]:
        with self._database_lock:
            found = [row.summary for row in self._rows.values() if wanted.takes(row.summary)]
        return heapq.nsmallest(wanted.limit, found, key=order)

    def select_summary(self, saga_id: str) -> SagaSummary | None:
        row = self._rows.get(saga_id)
        return row.summary if row else None

    def select_rows(self, saga_ids: Sequence[str]) -> Sequence[IndexRow]:
        with self._database_lock:
            return [self._rows[saga_id] for saga_id in saga_ids if saga_id in self._rows]

    def select_open(self, after: str | None, limit: int) -> Sequence[str]:
        with self._database_lock:
            return heapq.nsmallest(limit, (it for it in self._open if after is None or it > after))

    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]:
        with self._database_lock:
            new = self._stored_events[position : position + limit]
        versions = {str(event.originator_id): event.originator_version for event in new}
        return position + len(new), versions

    def changed_by_others(self) -> bool:
        """Whether the log has grown since the last call; here nobody can tell by whom."""
        seen, self._seen = self._seen, len(self._stored_events)
        return seen != self._seen

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> SagaMemorySubscription:
        return SagaMemorySubscription(self, gt, topics)

    def _notify_listeners(self) -> None:
        for listener in tuple(self._listeners):  # others come and go meanwhile
            listener.set()


class SagaMemorySubscription(POPOSubscription):
    """Looks once more when it has begun to listen: the stock one may miss an append between its first look and that."""

    def __init__(
        self, recorder: POPOApplicationRecorder, gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder, gt=gt, topics=topics)
        self._has_been_notified.set()


class SagaMemoryFactory(POPOFactory):
    """Named in an environment as the persistence module."""

    def application_recorder(self) -> SagaMemoryRecorder:
        return SagaMemoryRecorder()
