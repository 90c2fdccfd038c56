"""Events to and from what is stored: stable names, validation, upcasters, encryption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from pydantic import JsonValue, TypeAdapter, ValidationError

from saga_es.errors import StoredEventError
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import EVENT_TYPES, Event, Recorded

DEFINED: Final = "SagaDefined"
_INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True)
class SagaEvent:
    """A recorded event with its stream: what followers of the log get from ``mapper.to_domain_event``."""

    originator_id: str
    originator_version: int
    recorded: Recorded


@dataclass(frozen=True, slots=True)
class DefinitionRecorded:
    """A plan's own stream holds one of these."""

    originator_id: str
    originator_version: int
    definition: SagaDefinition


class SagaMapper(Mapper[str]):
    """Maps by a closed registry of names; a stored topic never imports anything.

    An event class whose ``schema_version`` is N has ``upcast_v1_v2`` … up to N as static methods, each of which
    takes and returns the stored ``data``.
    """

    def __init__(self, *args: Any, events: Mapping[str, type[Event]] = EVENT_TYPES, **options: Any) -> None:
        # Any: eventsourcing's factory passes its own arguments through.
        super().__init__(*args, **options)
        self._events = events

    def encode(self, saga_id: str, recorded: Recorded) -> StoredEvent:
        """Return the row of an event: its name as topic, ``{"at","data","metadata","v"}`` as state."""
        event = recorded.event
        parts = [b'{"at":"', _iso(recorded.at), b'","data":', event.__pydantic_serializer__.to_json(event)]
        if recorded.metadata:
            parts += [b',"metadata":', pydantic_core.to_json(recorded.metadata)]
        if event.schema_version > 1:
            parts.append(b',"v":%d' % event.schema_version)
        parts.append(b"}")
        return StoredEvent(saga_id, recorded.version, recorded.type, self._wrap(b"".join(parts)))

    def decode(self, stored: StoredEvent) -> Recorded:
        """Return the event of a row, validated, or raise StoredEventError."""
        try:
            return self._decode(stored)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoredEventError(
                str(stored.originator_id),
                version=stored.originator_version,
                type=stored.topic,
                problem=_said(error),
            ) from error

    def _decode(self, stored: StoredEvent) -> Recorded:
        kind = self._events.get(stored.topic)
        if kind is None:
            raise ValueError("no event has this name")
        state: dict[str, Any] = pydantic_core.from_json(self._unwrap(stored.state))
        data, version = state["data"], state.get("v", 1)
        if version > kind.schema_version:
            raise ValueError(f"its schema version {version} is newer than {kind.schema_version}")
        for old in range(version, kind.schema_version):
            data = getattr(kind, f"upcast_v{old}_v{old + 1}")(data)
        event = kind.__pydantic_validator__.validate_python(data, strict=None, from_attributes=False)
        at = _INSTANT.validate_python(state["at"]).astimezone(UTC)
        return Recorded(stored.originator_version, stored.topic, at, event, state.get("metadata", {}))

    def encode_definition(self, stream: str, definition: SagaDefinition) -> StoredEvent:
        value: dict[str, JsonValue] = definition.to_json_value()
        return StoredEvent(stream, 1, DEFINED, self._wrap(pydantic_core.to_json(value)))

    def decode_definition(self, stored: StoredEvent) -> SagaDefinition:
        return SagaDefinition.from_json_value(pydantic_core.from_json(self._unwrap(stored.state)))

    # -- eventsourcing's own interface, for whoever follows the log with its tools ---------------------

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # Any: the protocol's own type
        if isinstance(domain_event, DefinitionRecorded):
            return self.encode_definition(domain_event.originator_id, domain_event.definition)
        return self.encode(domain_event.originator_id, domain_event.recorded)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:  # Any: the protocol's own type
        stream, version = str(stored_event.originator_id), stored_event.originator_version
        if stored_event.topic == DEFINED:
            return DefinitionRecorded(stream, version, self.decode_definition(stored_event))
        return SagaEvent(stream, version, self.decode(stored_event))

    def _wrap(self, state: bytes) -> bytes:
        if self.compressor:
            state = self.compressor.compress(state)
        return self.cipher.encrypt(state) if self.cipher else state

    def _unwrap(self, state: bytes) -> bytes:
        if self.cipher:
            state = self.cipher.decrypt(state)
        return self.compressor.decompress(state) if self.compressor else state


def make_mapper(compressor: Any = None, cipher: Any = None) -> SagaMapper:
    """Return a mapper with `eventsourcing`'s compressor and cipher, where configured."""
    return SagaMapper(JSONTranscoder(), compressor=compressor, cipher=cipher)


def _iso(at: datetime) -> bytes:
    # Aware UTC, always with microseconds: one width, so that equal instants are equal bytes.
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'data'}: {first['msg']}"
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
