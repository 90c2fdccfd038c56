"""The log in words, in its own order and with its times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from saga_es.history.text import by_whom, instant, printable
from saga_es.model import events as ev
from saga_es.model.problem import Problem


@dataclass(frozen=True, slots=True)
class Moment:
    """One recorded event, in words.

    Attributes:
        version: its place in the log.
        at: when it was decided, aware UTC.
        type: the event's name.
        step: the step or signal it is about, or ``None`` for the whole saga.
        text: what happened, one line without control characters.
    """

    version: int
    at: datetime
    type: str
    step: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.version:>4}  {instant(self.at)}  {self.text}"


class Timeline(tuple[Moment, ...]):
    """Moments in the log's order; ``str()`` of it is the whole story, a line each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self))


def timeline(events: Iterable[ev.Recorded]) -> Timeline:
    """Return a moment for each event, in the log's order."""
    return Timeline(_moment(recorded) for recorded in events)


def _moment(recorded: ev.Recorded) -> Moment:
    event = recorded.event
    step: str | None = getattr(event, "step", None) or getattr(event, "signal", None)
    words = printable(_IN_WORDS[type(event)](event))
    text = f"{step}: {words}" if step else words
    return Moment(recorded.version, recorded.at, recorded.type, step, text)


def _told(problem: Problem) -> str:
    where = f" in {problem.step}" if problem.step else ""
    return f"{problem.kind.value}{where}: {problem.in_words()}"


def _started(event: ev.SagaStarted) -> str:
    return f"{event.definition!r} version {event.definition_version} started"


def _dispatched(event: ev.StepDispatched) -> str:
    return f"attempt {event.attempt} dispatched"


def _succeeded(event: ev.StepSucceeded) -> str:
    return f"succeeded in attempt {event.attempt}"


def _rejected(event: ev.StepRejected) -> str:
    return f"rejected in attempt {event.attempt} ({_told(event.error)})"


def _retry_scheduled(event: ev.StepRetryScheduled) -> str:
    return f"attempt {event.attempt} failed ({_told(event.error)}), retry at {instant(event.due)}"


def _unknown(event: ev.StepOutcomeUnknown) -> str:
    return f"outcome unknown after attempt {event.attempt} ({_told(event.why)})"


def _compensating(event: ev.SagaCompensating) -> str:
    return f"reverting ({_told(event.cause)})"


def _undo_dispatched(event: ev.CompensationDispatched) -> str:
    return f"compensation round {event.round}, attempt {event.attempt} dispatched"


def _undo_retry_scheduled(event: ev.CompensationRetryScheduled) -> str:
    return (
        f"compensation round {event.round}, attempt {event.attempt} failed ({_told(event.error)}), "
        f"retry at {instant(event.due)}"
    )


def _compensated(event: ev.StepCompensated) -> str:
    return f"compensated in round {event.round}, attempt {event.attempt}"


def _all_succeeded(_: ev.SagaSucceeded) -> str:
    return "succeeded"


def _failed(event: ev.SagaFailed) -> str:
    stands = f"; stands: {', '.join(event.residue)}" if event.residue else ""
    return f"failed, {event.ending.value} ({_told(event.cause)}{stands})"


def _parked(event: ev.SagaParked) -> str:
    undo = " its compensation" if event.op == "compensation" else ""
    return f"parked{undo} ({_told(event.reason)})"


def _unparked(_: ev.SagaUnparked) -> str:
    return "no longer parked"


def _cancel(event: ev.CancelRequested) -> str:
    return f"cancel requested by {by_whom(event.by, event.reason)}"


def _awaited(event: ev.SignalAwaited) -> str:
    return f"awaited until {instant(event.due)}" if event.due else "awaited"


def _received(_: ev.SignalReceived) -> str:
    return "received"


def _timed_out(_: ev.SignalTimedOut) -> str:
    return "timed out"


def _late(event: ev.LateOutcomeReceived) -> str:
    outcome = event.outcome
    what = "succeeded" if isinstance(outcome, ev.LateSuccess) else f"failed ({_told(outcome)})"
    return f"late reply to {event.op} round {event.round}, attempt {event.attempt}: {what}"


def _repaired(what: str) -> Callable[[ev.RepairEvent | ev.SagaPaused | ev.SagaResumed], str]:
    return lambda event: f"{what} by {by_whom(event.by, event.reason)}"


_WORDS: Final = {
    ev.SagaStarted: _started,
    ev.StepDispatched: _dispatched,
    ev.StepSucceeded: _succeeded,
    ev.StepRejected: _rejected,
    ev.StepRetryScheduled: _retry_scheduled,
    ev.StepOutcomeUnknown: _unknown,
    ev.SagaCompensating: _compensating,
    ev.CompensationDispatched: _undo_dispatched,
    ev.CompensationRetryScheduled: _undo_retry_scheduled,
    ev.StepCompensated: _compensated,
    ev.SagaSucceeded: _all_succeeded,
    ev.SagaFailed: _failed,
    ev.SagaParked: _parked,
    ev.SagaUnparked: _unparked,
    ev.CancelRequested: _cancel,
    ev.SignalAwaited: _awaited,
    ev.SignalReceived: _received,
    ev.SignalTimedOut: _timed_out,
    ev.LateOutcomeReceived: _late,
    ev.RetryRequested: _repaired("retry requested"),
    ev.ResultSupplied: _repaired("result supplied"),
    ev.RejectionSupplied: _repaired("rejection supplied"),
    ev.StepSkipped: _repaired("skipped"),
    ev.CompensationForced: _repaired("compensation forced"),
    ev.SagaPaused: _repaired("paused"),
    ev.SagaResumed: _repaired("resumed"),
}
_IN_WORDS: Final = cast("Mapping[type[ev.Event], Callable[[ev.Event], str]]", _WORDS)
