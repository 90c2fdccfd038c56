"""Events to JSON: what pydantic's serializers write, to the byte; for the events that sagas are made of, sooner."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final, cast

import pydantic_core
from pydantic import JsonValue

from saga_es.model.events import Event, StepDispatched, StepSucceeded
from saga_es.model.making import SAGA_SUCCEEDED

# By names of its own: what is imported from a module that is not compiled, compiled code looks up each time.
_UTC: Final = UTC
_SUCCEEDED: Final = StepSucceeded
_DISPATCHED: Final = StepDispatched
_THE_END: Final = SAGA_SUCCEEDED
_TO_JSON: Final = pydantic_core.to_json
_QUOTED: Final = encode_basestring
_DIGITS: Final = [b"%03d" % number for number in range(1000)]


class Instants:
    """Writes instants as RFC 3339 in UTC; those of the same second, as most in a row are, share all but its end."""

    __slots__ = ("_last", "_second")

    def __init__(self) -> None:
        # Pairs, each set at once: any thread may write.
        first = datetime.min.replace(tzinfo=UTC)
        self._second: tuple[datetime, bytes] = (first, b"0001-01-01T00:00:00")
        self._last: tuple[datetime, bytes] = (first, b"0001-01-01T00:00:00.000000Z")

    def text_of(self, at: datetime) -> bytes:
        """Return an aware instant, always with microseconds: one width, so that equal instants are equal bytes."""
        last, written = self._last
        if at is last:
            return written
        second, text = self._second
        since = at - second
        if since.days or since.seconds:
            second, text = _second_of(at)
            since = at - second
            self._second = (second, text)
        micros = since.microseconds
        written = b"%b.%b%bZ" % (text, _DIGITS[micros // 1000], _DIGITS[micros % 1000])
        self._last = (at, written)
        return written


def _second_of(at: datetime) -> tuple[datetime, bytes]:
    if at.tzinfo is not _UTC:
        at = at.astimezone(UTC)
    date = at.year, at.month, at.day, at.hour, at.minute, at.second
    return at.replace(microsecond=0), b"%04d-%02d-%02dT%02d:%02d:%02d" % date  # isoformat takes twice as long


class Deadlines:
    """Writes the deadlines of UTC as pydantic does; what is dispatched together has the same."""

    __slots__ = ("_instants", "_last")

    def __init__(self) -> None:
        self._instants = Instants()
        self._last: tuple[datetime | None, bytes] = (None, b"null")  # set at once: any thread may write

    def text_of(self, due: datetime | None) -> bytes:
        """Return one as JSON: without microseconds where there are none."""
        last, written = self._last
        if due is not last:
            written = b"null"
            if due is not None:
                text = self._instants.text_of(due)
                written = b'"%b"' % (text.replace(b".000000", b"") if text.endswith(b".000000Z") else text)
            self._last = (due, written)
        return written


_DEADLINES: Final = Deadlines()


def data_of(event: Event) -> bytes:
    """Return an event's fields as JSON."""
    kind = type(event)
    if kind is _SUCCEEDED:
        return _step_succeeded(_fields_of(event))
    if kind is _DISPATCHED:
        fields = _fields_of(event)
        deadline = cast("datetime | None", fields["deadline"])
        if deadline is None or deadline.tzinfo is _UTC:
            return _step_dispatched(fields, deadline)
    return b"{}" if event is _THE_END else event.__pydantic_serializer__.to_json(event)


def _fields_of(event: Event) -> dict[str, Any]:  # Any: each is what its class says
    return event.__dict__  # pyright: ignore[reportReturnType] - an instance's; `vars` takes thrice as long


def _step_dispatched(fields: dict[str, Any], deadline: datetime | None) -> bytes:
    key = _QUOTED(cast("str", fields["key"])).encode()
    attempt = cast("int", fields["attempt"])
    return b'{"step":%b,"attempt":%d,"key":%b,"deadline":%b}' % (
        _name(fields["step"]),
        attempt,
        key,
        _DEADLINES.text_of(deadline),
    )


def _step_succeeded(fields: dict[str, Any]) -> bytes:
    result: JsonValue = fields["result"]
    attempt = cast("int", fields["attempt"])
    return b'{"step":%b,"attempt":%d,"result":%b}' % (
        _name(fields["step"]),
        attempt,
        _TO_JSON(result, inf_nan_mode="null"),
    )


@lru_cache(maxsize=1 << 16)  # a wide saga's steps come round and round: fewer than they are would be none
def _name(step: str) -> bytes:
    return _QUOTED(step).encode()
