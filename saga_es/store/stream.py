"""A saga's rows, read and not yet decoded: folded on trust, or looked at closely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded
from saga_es.model.facts import Fact, replay_facts, replay_facts_onto
from saga_es.model.state import SagaState, replay, replay_onto
from saga_es.store.mapper import Row, SagaMapper


class Stream:
    """What follows version ``after`` of one saga's stream.

    To fold it takes the log on trust: that costs half of what it costs to validate every event. Where the fold fails,
    the events are validated after all, so that the error says which one is wrong.
    """

    __slots__ = ("_after", "_mapper", "_rows", "saga_id")

    def __init__(self, mapper: SagaMapper, saga_id: str, rows: Sequence[Row], *, after: int = 0) -> None:
        self.saga_id = saga_id
        self._mapper, self._rows, self._after = mapper, rows, after

    def __len__(self) -> int:
        return len(self._rows)

    def first(self) -> Recorded:
        """Return the first event, validated, or raise StoredEventError."""
        return self._mapper.decode_stream(self.saga_id, self._rows[:1], after=self._after)[0]

    def events(self) -> tuple[Recorded, ...]:
        """Return all events, validated, or raise StoredEventError for the first that is none, or is missing."""
        return self._mapper.decode_stream(self.saga_id, self._rows, after=self._after)

    def replay(self, definition: SagaDefinition) -> SagaState:
        """Return the state after the whole stream.

        Raises:
            StoredEventError: a row can't be read, or one is missing.
            IllegalTransition, UnknownStep, UnknownSignal: it is not a history of this definition.
        """
        try:
            return replay_facts(definition, self._facts(), saga_id=self.saga_id)
        except Exception:  # noqa: BLE001 - what is wrong is said below
            return replay(definition, self.events(), saga_id=self.saga_id)

    def replay_onto(self, state: SagaState) -> SagaState:
        """Return ``state``, which is at version ``after``, after these events; raise as ``replay`` does."""
        if not self._rows:
            return state
        try:
            return replay_facts_onto(state, self._facts())
        except Exception:  # noqa: BLE001 - as above
            return replay_onto(state, self.events())

    def _facts(self) -> Iterable[Fact]:
        return self._mapper.facts(self._rows, after=self._after)
