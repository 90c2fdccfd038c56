"""Sagas played by hand: commands in, a history out; no clock, no asyncio, no store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from saga_es.history import History
from saga_es.model.commands import (
    CancelSaga,
    Command,
    DeliverSignal,
    Failed,
    PauseSaga,
    RecordOutcome,
    ResumeSaga,
    StartSaga,
    Succeeded,
    Wake,
)
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import (
    CompensationDefinition,
    Retry,
    SagaDefinition,
    SignalDefinition,
    StepDefinition,
)
from saga_es.model.events import Recorded
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState

BEGIN = datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=UTC)


class Play:
    """Gives commands to one saga, a second apart, and keeps what is recorded."""

    def __init__(self, definition: SagaDefinition, saga_id: str = "trip-42", *, room: int = 10) -> None:
        self.definition = definition
        self.saga_id = saga_id
        self.room = room
        self.now = BEGIN
        self.state = SagaState.unborn(definition, saga_id)
        self.events: list[Recorded] = []

    def ask(self, command: type[Command], **fields: Any) -> Play:
        made = command(at=self.now, room=self.room, **fields)
        decided = decide_with_state(self.definition, self.state, made)
        for event in decided.events:
            self.events.append(
                Recorded(len(self.events) + 1, type(event).__name__, self.now, event, {"host": "läptop"})
            )
        self.state = decided.state
        self.now += timedelta(seconds=1)
        return self

    def start(self, value: Any = None) -> Play:
        return self.ask(StartSaga, input=value)

    def ok(self, step: str, result: Any = None, attempt: int = 1) -> Play:
        return self._outcome(step, "action", attempt, 1, Succeeded(result))

    def rejected(self, step: str, message: str, attempt: int = 1) -> Play:
        problem = Problem(kind=ProblemKind.REJECTED, type="NoRooms", message=message)
        return self._outcome(step, "action", attempt, 1, Failed(problem, final=True))

    def error(self, step: str, message: str, attempt: int = 1) -> Play:
        problem = Problem(kind=ProblemKind.ERROR, type="OSError", message=message)
        return self._outcome(step, "action", attempt, 1, Failed(problem))

    def undone(self, step: str, attempt: int = 1, round_: int = 1) -> Play:
        return self._outcome(step, "compensation", attempt, round_, Succeeded(None))

    def undo_error(self, step: str, message: str, attempt: int = 1, round_: int = 1) -> Play:
        problem = Problem(kind=ProblemKind.ERROR, type="OSError", message=message)
        return self._outcome(step, "compensation", attempt, round_, Failed(problem))

    def _outcome(self, step: str, op: str, attempt: int, round_: int, outcome: Any) -> Play:
        return self.ask(RecordOutcome, step=step, op=op, round=round_, attempt=attempt, outcome=outcome)

    def wait(self, duration: timedelta) -> Play:
        self.now += duration
        return self.ask(Wake)

    def signal(self, name: str, payload: Any = None) -> Play:
        return self.ask(DeliverSignal, signal=name, payload=payload)

    def cancel(self, reason: str = "customer asked") -> Play:
        return self.ask(CancelSaga, by="ann", reason=reason)

    def pause(self) -> Play:
        return self.ask(PauseSaga, by="ann", reason="look first")

    def resume(self) -> Play:
        return self.ask(ResumeSaga, by="ann", reason="looked")

    def repair(self, command: type[Command], step: str, **fields: Any) -> Play:
        return self.ask(command, step=step, by="ann", reason="saw it", **fields)

    @property
    def history(self) -> History:
        return History.of(self.saga_id, self.definition, self.events)

    @property
    def trace(self) -> str:
        return self.history.trace()


def a_step(name: str, title: str | None = None, undo: str | None = "", **fields: Any) -> StepDefinition:
    compensation = None
    if undo is not None:
        fields_of_undo = {"retry": Retry(attempts=1)}
        compensation = CompensationDefinition(
            name=f"undo_{name}", title=undo or f"undo {name}", **fields_of_undo
        )
    return StepDefinition(name=name, title=title or name, compensation=compensation, **fields)


def a_saga(*nodes: StepDefinition | SignalDefinition, name: str = "buy package") -> SagaDefinition:
    return SagaDefinition(
        name=name,
        steps=tuple(node for node in nodes if isinstance(node, StepDefinition)),
        signals=tuple(node for node in nodes if isinstance(node, SignalDefinition)),
        order=tuple(node.name for node in nodes),
    )


class Theatre:
    """What the tests of this folder share."""

    step = staticmethod(a_step)
    saga = staticmethod(a_saga)
    signal = SignalDefinition
    begin = BEGIN

    def play(self, *nodes: StepDefinition | SignalDefinition, room: int = 10) -> Play:
        return Play(a_saga(*nodes), room=room)

    def trip(self, *, room: int = 10) -> Play:
        return self.play(
            a_step("book_plane", "book plane ticket", "cancel plane ticket booking"),
            a_step("book_hotel", "book hotel room", "cancel hotel room reservation"),
            a_step("buy_tickets", "buy tourist tickets", "cancel tourist ticket reservations"),
            room=room,
        )

    def kevin(self) -> Play:
        play = self.trip().start({"customer": "Kevin", "nights": 1.0}).ok("buy_tickets", [])
        play.rejected("book_hotel", "no available hotel rooms").ok("book_plane", {"seat": "11A"})
        return play.undone("buy_tickets").undone("book_plane")


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()
