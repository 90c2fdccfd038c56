"""A saga's history: what happened, how it stood at each moment, and its story for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import overload

from saga_es.errors import InvalidInput
from saga_es.history import document
from saga_es.history.difference import Change, changes
from saga_es.history.timeline import Timeline, timeline
from saga_es.history.trace import trace
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded, SagaStarted
from saga_es.model.state import SagaState, replay


@dataclass(frozen=True, slots=True)
class History:
    """All that is recorded of one saga; made with ``History.of`` or ``History.from_json``.

    Attributes:
        definition: the plan as it was recorded; nobody's code is needed to read, fold or draw it.
        events: in the log's order, versions 1..n.
        state: how the saga stands after the last of them.
    """

    saga_id: str
    definition: SagaDefinition
    events: tuple[Recorded, ...]
    state: SagaState

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - compared by value, payloads may be lists

    @classmethod
    def of(cls, saga_id: str, definition: SagaDefinition, events: Iterable[Recorded]) -> History:
        """Return the history that the recorded events make, folded.

        Raises:
            InvalidInput: versions with a gap, a log that does not begin with ``SagaStarted``, or another
                definition than the one it was started with.
            IllegalTransition: the events are not a history of this definition.
        """
        log = tuple(events)
        _check(saga_id, definition, log)
        return cls(saga_id, definition, log, replay(definition, log, saga_id=saga_id))

    def trace(self) -> str:
        """Return the saga's story in the ❗ ✔ ❌ lines; see ``saga_es.history.trace``."""
        return trace(self.definition, self.events, self.state.residue)

    def timeline(self) -> Timeline:
        """Return every event in words, in the log's order and with its time; ``str()`` prints it all."""
        return timeline(self.events)

    @overload
    def at(self, *, version: int) -> SagaState: ...
    @overload
    def at(self, *, time: datetime) -> SagaState: ...
    def at(self, *, version: int | None = None, time: datetime | None = None) -> SagaState:
        """Return how the saga stood then.

        Args:
            version: after that event, 0 (before the start) to the last.
            time: after the last event that was decided at or before that time; an aware datetime.

        Raises:
            InvalidInput: not exactly one of the two, a version that is not recorded, a naive datetime.
        """
        if (version is None) == (time is None):
            raise InvalidInput("at()", problem="it takes exactly one of version=… and time=…")
        upto = self._version_at(time) if time is not None else self._known(version or 0)
        return replay(self.definition, self.events, upto, saga_id=self.saga_id)

    def diff(self, a: int, b: int) -> tuple[Change, ...]:
        """Return what changed from version ``a`` to version ``b``: the saga's fields, then each step's.

        Raises:
            InvalidInput: a version that is not recorded.
        """
        return tuple(changes(self.at(version=a), self.at(version=b)))

    def to_json(self) -> str:
        """Return the history as JSON text, format ``saga_es.history/1``; the same history, the same bytes."""
        return document.write(self.saga_id, self.definition, self.events)

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that ``to_json`` wrote; ``History.from_json(text).to_json() == text``.

        Raises:
            InvalidInput: not JSON, another format, or something in it that does not validate.
            IllegalTransition: the events are not a history of the definition beside them.
        """
        read = document.read(text)
        return cls.of(read.saga_id, read.definition, read.events)

    def _known(self, version: int) -> int:
        if not 0 <= version <= len(self.events):
            raise InvalidInput(
                "version",
                problem=f"{version}; saga {self.saga_id!r} has the versions 0 to {len(self.events)}",
            )
        return version

    def _version_at(self, time: datetime) -> int:
        if time.utcoffset() is None:
            raise InvalidInput(
                "time", problem=f"{time!r} is naive; give it a time zone, as datetime.now(UTC) has one"
            )
        return max((recorded.version for recorded in self.events if recorded.at <= time), default=0)


def _check(saga_id: str, definition: SagaDefinition, events: tuple[Recorded, ...]) -> None:
    what = f"the history of saga {saga_id!r}"
    for place, recorded in enumerate(events, start=1):
        if recorded.version != place:
            raise InvalidInput(what, problem=f"event {place} in it has the version {recorded.version}")
    started = events[0].event if events else None
    if not isinstance(started, SagaStarted):
        raise InvalidInput(what, problem="it does not begin with SagaStarted")
    if started.digest != definition.digest:
        raise InvalidInput(
            what,
            problem=f"it was started with the definition {started.digest}, and read with {definition.digest}",
        )
