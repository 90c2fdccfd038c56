"""From recorded events to rows of the log: the bytes that everything else is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import pydantic_core
from eventsourcing.persistence import StoredEvent
from pydantic import JsonValue

from saga_es.model.events import Event, Recorded
from saga_es.store.writing import Instants, data_of

NO_METADATA: Final[Mapping[str, JsonValue]] = {}


StoredRow = tuple[str, int, str, bytes]
"""An event as databases take it: stream, version, topic and state, of `eventsourcing`'s `StoredEvent`."""


def row_of(event: StoredEvent) -> StoredRow:
    return str(event.originator_id), event.originator_version, event.topic, event.state


def event_of(row: StoredRow) -> StoredEvent:
    return StoredEvent(*row)


def predecessors_of(events: Iterable[StoredRow]) -> dict[str, int]:
    """Return the version that has to stand before what a batch appends, for each stream that it goes on with."""
    first: dict[str, int] = {}
    for stream, version, _, _ in events:
        first.setdefault(stream, version)
    return {stream: version - 1 for stream, version in first.items() if version > 1}


class Encoder:
    """Makes rows, each with its event's name as topic and ``{"at","data","metadata","v"}`` as state.

    Args:
        events: all kinds there are, by the names they are stored under.
        wrap: compresses and encrypts a state; ``None`` where it is kept as it is.
    """

    __slots__ = ("_instants", "_kinds", "_metadata", "_wrap")

    def __init__(self, events: Mapping[str, type[Event]], wrap: Callable[[bytes], bytes] | None) -> None:
        self._wrap, self._instants = wrap, Instants()
        self._kinds = {
            kind: (name, b',"v":%d' % kind.schema_version if kind.schema_version > 1 else b"")
            for name, kind in events.items()
        }
        # Set at once: any thread may encode.
        self._metadata: tuple[Mapping[str, JsonValue], bytes] = (NO_METADATA, b"")

    def encode_all(
        self,
        saga_id: str,
        after: int,
        events: Sequence[Event],
        at: datetime,
        metadata: Mapping[str, JsonValue],
    ) -> tuple[StoredRow, ...]:
        """Return the rows of events that were decided at an instant and follow a version one by one."""
        when, known, beside = self._instants.text_of(at), *self._metadata
        if metadata is not known:  # a worker's is the same for all its events of an epoch
            beside = b',"metadata":%b' % pydantic_core.to_json(metadata) if metadata else b""
            self._metadata = (metadata, beside)
        rows: list[StoredRow] = []
        for event in events:
            after += 1
            name, newer = self._kinds[type(event)]
            state = b'{"at":"%b","data":%b%b%b}' % (when, data_of(event), beside, newer)
            if self._wrap is not None:
                state = self._wrap(state)
            rows.append((saga_id, after, name, state))
        return tuple(rows)

    def encode(self, saga_id: str, recorded: Recorded) -> StoredRow:
        """Return the row of an event, under the name that its class is registered by."""
        version, _, at, event, metadata = recorded
        return self.encode_all(saga_id, version - 1, (event,), at, metadata)[0]
