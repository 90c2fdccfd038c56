"""From recorded events to rows of the log: the bytes that everything else is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import pydantic_core
from eventsourcing.persistence import StoredEvent
from pydantic import JsonValue

from saga_es.errors import InvalidInput
from saga_es.model.events import Recorded
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
        wrap: compresses and encrypts a state; ``None`` where it is kept as it is.
    """

    __slots__ = ("_instants", "_metadata", "_wrap")

    def __init__(self, wrap: Callable[[bytes], bytes] | None) -> None:
        self._wrap, self._instants = wrap, Instants()
        self._metadata: tuple[Mapping[str, JsonValue], bytes] = (
            NO_METADATA,
            b"",
        )  # set at once: any thread may encode

    def encode_all(self, saga_id: str, after: int, events: Sequence[Recorded]) -> tuple[StoredRow, ...]:
        """Return the rows of events that follow a version one by one, or raise InvalidInput."""
        rows: list[StoredRow] = []
        for recorded in events:
            after += 1
            if recorded.version != after:
                versions, first = [it.version for it in events], after - len(rows) - 1
                problem = f"versions {versions} do not follow {first} one by one"
                raise InvalidInput(f"the append to {saga_id!r}", problem=problem)
            rows.append(self.encode(saga_id, recorded))
        return tuple(rows)

    def encode(self, saga_id: str, recorded: Recorded) -> StoredRow:
        """Return the row of an event."""
        version, name, at, event, metadata = recorded
        known, beside = self._metadata
        if metadata is not known:  # a worker's is the same for all its events of an epoch
            beside = b',"metadata":%b' % pydantic_core.to_json(metadata) if metadata else b""
            self._metadata = (metadata, beside)
        if event.schema_version > 1:
            beside += b',"v":%d' % event.schema_version
        state = b'{"at":"%b","data":%b%b}' % (self._instants.text_of(at), data_of(event), beside)
        if self._wrap is not None:
            state = self._wrap(state)
        return saga_id, version, name, state
