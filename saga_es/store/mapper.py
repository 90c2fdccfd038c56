"""Events to and from what is stored: stable names, validation, upcasters, encryption."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Generic, NotRequired, TypeVar, cast

import pydantic_core
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from saga_es.errors import StoredEventError
from saga_es.model.base import Frozen
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import EVENT_TYPES, RECORDED, Event, Recorded
from saga_es.model.facts import Fact
from saga_es.store.encoding import NO_METADATA, Encoder, StoredRow, event_of

DEFINED: Final = "SagaDefined"
BUILDING: Final = threading.Lock()
"""Not every pydantic that will do builds a class from two threads at once."""

E = TypeVar("E")
Row = tuple[int, str, bytes] | tuple[int, str, bytes, str]
"""Version, topic and state of an event in its stream; where many streams were read at once, the stream too."""


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


class State(TypedDict, Generic[E]):
    """What a row's state says, as JSON; ``v`` is the event's schema version where that is not 1."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # pydantic's own place for it

    at: str
    data: E
    metadata: NotRequired[dict[str, JsonValue]]
    v: NotRequired[int]


def build(kind: type[Frozen]) -> None:
    """Build the validators of a class and all below it, which importing them has left for later."""
    kind.model_rebuild()
    for below in kind.__subclasses__():
        build(below)


@cache
def shape_of(kind: Any) -> TypeAdapter[State[Any]]:
    """Return the validator of a row's state whose ``data`` is of ``kind``: one pass over the bytes."""
    # Any: the parameter of the generic is a class known at run time only.
    return TypeAdapter(cast("Any", State)[kind])


class SagaMapper(Mapper[str]):
    """Maps by a closed registry of names; a stored topic never imports anything.

    An event class whose ``schema_version`` is N has ``upcast_v1_v2`` … up to N as static methods, each of which
    takes and returns the stored ``data``.
    """

    def __init__(self, *args: Any, events: Mapping[str, type[Event]] = EVENT_TYPES, **options: Any) -> None:
        # Any: eventsourcing's factory passes its own arguments through.
        super().__init__(*args, **options)
        self._events = events
        with BUILDING:  # here, since the first saga would wait for it
            build(Frozen)
        self._validators = {
            name: shape_of(kind).validator.validate_json
            for name, kind in events.items()
            if kind.schema_version == 1
        }
        self._is_plain = self.cipher is None and self.compressor is None
        encoder = Encoder(events, None if self._is_plain else self._wrap)
        self.encode: Final = encoder.encode
        self.encode_all: Final = encoder.encode_all

    def decode_stream(self, saga_id: str, rows: Sequence[Row], *, after: int = 0) -> tuple[Recorded, ...]:
        """Return the events of a stream's rows, validated, or raise StoredEventError for the first that is none.

        Nor may one be missing: the rows are those that follow version ``after``.
        """
        events = self._decoded_rows(saga_id, rows)
        if events and events[-1].version != after + len(events):
            self._find_the_gap(saga_id, events, after)
        return events

    def _decoded_rows(self, saga_id: str, rows: Sequence[Row]) -> tuple[Recorded, ...]:
        # Written out for what nearly every row is, plain and of the newest schema: a long replay spends most of its
        # time here. Whatever is otherwise is looked at with care.
        validators, is_plain = self._validators, self._is_plain
        made = RECORDED
        events: list[Recorded] = []
        last = ""
        said: Mapping[str, Any] | None  # Any: what a State says
        at: datetime | None = None
        for row in rows:
            version, topic, state = row[0], row[1], row[2]
            validate = validators.get(topic)
            if is_plain and validate is not None:
                try:
                    said = cast("Mapping[str, Any]", validate(state))
                except ValidationError:
                    said = None
                if said is not None and len(said) == 2:  # noqa: PLR2004 - neither metadata nor a schema's version
                    text = said["at"]
                    if text != last:  # the events of one decision share their instant
                        at, last = _instant(text), text
                    if at is not None:
                        events.append(made(Recorded, (version, topic, at, said["data"], NO_METADATA)))
                        continue
            events.append(self._decoded(saga_id, row))
        return tuple(events)

    def facts(self, rows: Sequence[Row], *, after: int = 0) -> Iterable[Fact]:
        """Return what a stream's rows say, in the newest schema, for a fold that trusts the log.

        Looked at is that no row is missing and that each is of the newest schema, or can be made so: no field is
        validated, and what is wrong may raise anything.
        """
        if rows and rows[-1][0] != after + len(rows):
            raise ValueError(
                f"{len(rows)} events end at version {rows[-1][0]}; some after {after} are missing"
            )
        states = [row[2] if self._is_plain else self._unwrap(row[2]) for row in rows]
        # One text for all: that takes half the time of a text each.
        said = pydantic_core.from_json(b"[%b]" % b",".join(states))
        of_version_1 = self._validators
        plain = 2  # members: "at" and "data", without the "v" of a later schema
        return [
            (
                topic := row[1],
                each["data"]
                if len(each) == plain and topic in of_version_1
                else _newest(self._events[topic], each),
            )
            for row, each in zip(rows, said, strict=True)
        ]

    @staticmethod
    def _find_the_gap(saga_id: str, events: Iterable[Recorded], after: int) -> None:
        for expected, event in enumerate(events, start=after + 1):
            if event.version != expected:
                problem = f"version {expected} is missing before it"
                raise StoredEventError(saga_id, version=event.version, type=event.type, problem=problem)

    def decode(self, stored: StoredEvent) -> Recorded:
        """Return the event of a row, validated, or raise StoredEventError."""
        row = stored.originator_version, stored.topic, stored.state
        return self._decoded(str(stored.originator_id), row)

    def _decoded(self, saga_id: str, row: Row) -> Recorded:
        version, topic, state = row[0], row[1], row[2]
        try:
            text = state if self._is_plain else self._unwrap(state)
            validate = self._validators.get(topic)
            if validate is not None:
                said = validate(text)
                at = datetime.fromisoformat(said["at"])
                if at.tzinfo is UTC and said.get("v", 1) == 1:
                    return Recorded(version, topic, at, said["data"], said.get("metadata", NO_METADATA))
        except ValidationError:
            pass  # perhaps of a newer schema: said below
        except Exception as error:  # ciphers and compressors are others' code, and raise what they like
            raise unreadable(saga_id, version, topic, error) from error
        try:
            return self._decoded_with_care(row)
        except Exception as error:  # the same
            raise unreadable(saga_id, version, topic, error) from error

    def _decoded_with_care(self, row: Row) -> Recorded:
        version, topic, wrapped = row[0], row[1], row[2]
        kind = self._events.get(topic)
        if kind is None:
            raise ValueError("no event has this name")
        state = self._upcast(kind, self._unwrap(wrapped))
        at = datetime.fromisoformat(state["at"])
        if at.tzinfo is None:
            raise ValueError(f"at: {state['at']!r} has no time zone")
        return Recorded(version, topic, at.astimezone(UTC), state["data"], state.get("metadata", NO_METADATA))

    @staticmethod
    def _upcast(kind: type[Event], text: bytes) -> State[Event]:
        old = shape_of(JsonValue).validator.validate_json(text)
        data = _newest(kind, old)
        return cast("State[Event]", {**old, "data": kind.__pydantic_validator__.validate_python(data)})

    # -- plans ---------------------------------------------------------------------------------------

    def encode_definition(self, stream: str, definition: SagaDefinition) -> StoredRow:
        return stream, 1, DEFINED, self._wrap(definition.text)

    def decode_definition(self, stored: StoredEvent) -> SagaDefinition:
        """Return the plan of a row, validated, or raise StoredEventError."""
        try:
            return SagaDefinition.from_json_value(pydantic_core.from_json(self._unwrap(stored.state)))
        except Exception as error:  # as in decode
            stream, version = str(stored.originator_id), stored.originator_version
            raise unreadable(stream, version, stored.topic, error) from error

    # -- eventsourcing's own interface, for whoever follows the log with its tools ---------------------

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # Any: the protocol's own type
        if isinstance(domain_event, DefinitionRecorded):
            return event_of(self.encode_definition(domain_event.originator_id, domain_event.definition))
        return event_of(self.encode(domain_event.originator_id, domain_event.recorded))

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


def make_mapper(
    compressor: Any = None, cipher: Any = None, events: Mapping[str, type[Event]] = EVENT_TYPES
) -> SagaMapper:
    """Return a mapper with `eventsourcing`'s compressor and cipher, where configured."""
    # Any: instances of eventsourcing's interfaces, passed through.
    return SagaMapper(JSONTranscoder(), compressor=compressor, cipher=cipher, events=events)


def unreadable(stream: str, version: int, topic: str, error: Exception) -> StoredEventError:
    """Return what to raise for a row that can't be read."""
    return StoredEventError(stream, version=version, type=topic, problem=_said(error))


def _newest(kind: type[Event], old: Mapping[str, Any]) -> dict[str, JsonValue]:  # Any: what a State says
    """Return the data of a state in the newest schema of its event; ValueError if it is of a newer one."""
    version, data = old.get("v", 1), old["data"]
    if not 1 <= version <= kind.schema_version:
        raise ValueError(f"its schema version is {version}; known here are 1 to {kind.schema_version}")
    for known in range(version, kind.schema_version):
        data = getattr(kind, f"upcast_v{known}_v{known + 1}")(data)
    return cast("dict[str, JsonValue]", data)


def _instant(text: str) -> datetime | None:
    """Return an instant that is written as UTC, ``None`` for anything else."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is UTC else None


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'data'}: {first['msg']}"
    if type(error) is ValueError:
        return str(error)
    return f"{type(error).__name__}: {error}"
