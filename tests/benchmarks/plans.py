"""Plans as data, and their histories by decide alone: no engine, no store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from saga_es.model.commands import RecordOutcome, StartSaga, Succeeded
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import CompensationDefinition, SagaDefinition, StepDefinition
from saga_es.model.events import Event
from saga_es.model.state import SagaState

AT = datetime(2026, 11, 24, 5, tzinfo=UTC)


def fan_out(steps: int) -> SagaDefinition:
    """Return a plan of so many steps that need nothing of each other, each with a compensation."""
    names = [f"step_{number}" for number in range(steps)]
    made = tuple(
        StepDefinition(
            name=name,
            title=name,
            compensation=CompensationDefinition(name=f"undo_{name}", title=f"undo {name}"),
        )
        for name in names
    )
    return SagaDefinition(name=f"fan-out of {steps}", steps=made, order=tuple(names))


def outcomes_of(definition: SagaDefinition) -> Sequence[RecordOutcome]:
    """Return one success for each step, a millisecond apart."""
    return [
        RecordOutcome(
            at=AT + timedelta(milliseconds=number),
            room=64,
            step=name,
            op="action",
            round=1,
            attempt=1,
            outcome=Succeeded({"number": f"{number:05d}"}),
        )
        for number, name in enumerate(definition.order, start=1)
    ]


def history_of(definition: SagaDefinition) -> list[Event]:
    """Return the events of a run in which every step succeeds, 64 in flight at most."""
    state = SagaState.unborn(definition, "fan-out")
    start = StartSaga(at=AT, room=64, input={"customer": "Maria", "nights": 7})
    events: list[Event] = []
    for command in (start, *outcomes_of(definition)):
        decided = decide_with_state(definition, state, command)
        state = decided.state
        events.extend(decided.events)
    return events
