"""A small saga's history at a fixed time, for the pages that show one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from saga_es import History, define
from saga_es.model.commands import Command, Failed, RecordOutcome, StartSaga, Succeeded
from saga_es.model.decide import decide_with_state
from saga_es.model.events import Recorded
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState
from saga_es.model.summary import SagaSummary

BEGIN = datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=UTC)


class Trip(BaseModel):
    customer: str


async def book_plane(trip: Trip) -> str:
    return "TP 58"


async def cancel_plane(trip: Trip, flight: str | None) -> None: ...


async def book_hotel(trip: Trip, flight: str) -> str:
    return "Copacabana"


PLAN = (
    define("buy package", Trip)
    .step(book_plane, undo=cancel_plane, title="book plane ticket")
    .step(book_hotel, needs=(book_plane,), timeout=timedelta(seconds=10))
    .definition
)


def history() -> History:
    """Return the history of a saga whose second step is rejected."""
    full = Problem(kind=ProblemKind.REJECTED, type="NoRooms", message="no available hotel rooms")
    commands = [
        StartSaga(at=BEGIN, room=9, input={"customer": "Kevin"}),
        answer(1, "book_plane", Succeeded("TP 58")),
        answer(2, "book_hotel", Failed(full, final=True)),
        answer(3, "book_plane", Succeeded(None), undo=True),
    ]
    state, recorded = SagaState.unborn(PLAN, "trip-42"), list[Recorded]()
    for command in commands:
        decided = decide_with_state(PLAN, state, command)
        recorded += [
            Recorded(version, type(event).__name__, command.at, event, {})
            for version, event in enumerate(decided.events, start=state.version + 1)
        ]
        state = decided.state
    return History.of("trip-42", PLAN, recorded)


def answer(after: int, step: str, outcome: Succeeded | Failed, *, undo: bool = False) -> Command:
    at = BEGIN + timedelta(seconds=after)
    op = "compensation" if undo else "action"
    return RecordOutcome(at=at, room=9, step=step, op=op, round=1, attempt=1, outcome=outcome)


def summary(of: History) -> SagaSummary:
    return SagaSummary(
        of.saga_id,
        of.definition.name,
        of.definition.version,
        of.state.status,
        of.state.ending,
        of.state.parked,
        of.events[0].at,
        of.events[-1].at,
    )
