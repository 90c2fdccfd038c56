"""Reads a history and says where it breaks a promise: for crash tests and chaos.

It shares no code with the fold or the decisions: it knows the definition, the lifecycles' rows and the words
of the promises, and looks at nothing but the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from saga_es.model import events as ev
from saga_es.model.definition import SagaDefinition
from saga_es.model.problem import Problem, ProblemKind
from saga_es.testing.reader import DONE, OWED, Reader, Seen


def check_history(
    definition: SagaDefinition, events: Iterable[ev.Event | ev.Recorded], *, settled: bool = False
) -> list[str]:
    """Return, in sentences, what in these events breaks a promise; empty when nothing does.

    Args:
        definition: the saga's plan.
        events: the saga's whole stream so far, bare or as recorded (versions and times are checked then).
        settled: whether everything has come to rest, so that the saga must have ended or be parked.
    """
    reader = Reader(definition)
    for item in events:
        node = reader.take(item)
        event = item.event if isinstance(item, ev.Recorded) else item
        if node is None:
            _OF_THE_SAGA.get(type(event), _nothing_at_all)(reader, event)
        else:
            _OF_A_NODE.get(type(event), _nothing)(reader, node, event)
        reader.end_turn()
    if settled:
        reader.check_settled()
    return reader.complaints


# -- the saga's events -------------------------------------------------------------------------------


def _saga_started(reader: Reader, event: ev.SagaStarted) -> None:
    reader.expect(event.definition == reader.definition.name, f"is a saga of {event.definition!r}")


def _saga_succeeded(reader: Reader, _: ev.SagaSucceeded) -> None:
    for name, node in reader.nodes.items():
        reader.expect(node.status in DONE, f"{name!r} is {node.status}", invariant=2)


def _saga_compensating(reader: Reader, event: ev.SagaCompensating) -> None:
    reader.expect(not reader.past_pivot, "comes although the pivot has closed the way back")
    reader.expect(event.cause == reader.cause, f"tells another cause than the first, {reader.cause!r}")
    busy = [name for name, node in reader.nodes.items() if node.status in ("dispatched", "retrying")]
    reader.expect(not busy, f"comes while {', '.join(busy)} may still act", invariant=5)


def _saga_failed(reader: Reader, event: ev.SagaFailed) -> None:
    owed = [name for name, node in reader.nodes.items() if node.is_owed]
    reader.expect(not owed, f"comes while {', '.join(owed)} is not compensated", invariant=3)
    standing = reader.standing()
    reader.expect(
        event.residue == standing, f"names the residue {event.residue}, not {standing}", invariant=3
    )
    forced = any(node.status == "forced" for node in reader.nodes.values())
    ending = "residue" if standing else "forced" if forced else "compensated"
    reader.expect(event.ending == ending, f"says {event.ending.value}, not {ending}", invariant=3)
    reader.expect(event.cause == reader.cause, f"tells another cause than the first, {reader.cause!r}")


def _cancel_requested(reader: Reader, event: ev.CancelRequested) -> None:
    reader.expect(not reader.cancelled, "comes twice")
    if reader.pivot is not None and reader.pivot.attempts and reader.cause is None:
        reader.say("comes after the pivot's dispatch")
    reader.cancelled = True
    message = event.reason or f"cancelled by {event.by}"
    reader.fails(Problem(kind=ProblemKind.CANCELLED, type="CancelRequested", message=message))


def _saga_paused(reader: Reader, _: ev.SagaPaused) -> None:
    reader.expect(not reader.paused, "comes twice")
    reader.paused = True


def _saga_resumed(reader: Reader, _: ev.SagaResumed) -> None:
    reader.expect(reader.paused, "comes without a pause")
    reader.paused = False


# -- a step's action ---------------------------------------------------------------------------------


def _step_dispatched(reader: Reader, node: Seen, event: ev.StepDispatched) -> None:
    reader.check_begins(node)
    reader.check_call(node.name, "action", 1, event.key)
    reader.check_due(node)
    reader.expect(event.attempt == node.attempts + 1, f"is attempt {event.attempt}", invariant=8)
    node.attempts = event.attempt


def _check_answer(reader: Reader, node: Seen, attempt: int, *, last: bool) -> None:
    fits = attempt == node.attempts if last else 1 <= attempt <= node.attempts
    reader.expect(fits, f"answers attempt {attempt}; {node.attempts} were dispatched", invariant=13)


def _step_succeeded(reader: Reader, node: Seen, event: ev.StepSucceeded) -> None:
    _check_answer(reader, node, event.attempt, last=False)
    node.known = True
    node.due = None


def _step_rejected(reader: Reader, node: Seen, event: ev.StepRejected) -> None:
    _check_answer(reader, node, event.attempt, last=True)
    reader.fails(event.error.at(node.name))


def _step_retry_scheduled(reader: Reader, node: Seen, event: ev.StepRetryScheduled) -> None:
    _check_answer(reader, node, event.attempt, last=True)
    reader.expect(reader.cause is None, f"tries {node.name!r} again after a failure or cancel", invariant=7)
    node.due = event.due
    node.doubtful = event.error.kind is not ProblemKind.REJECTED


def _step_outcome_unknown(reader: Reader, node: Seen, event: ev.StepOutcomeUnknown) -> None:
    _check_answer(reader, node, event.attempt, last=True)
    node.doubtful, node.due = True, None
    if node.has_undo or node is not reader.pivot:
        reader.fails(event.why.at(node.name))


# -- a step's compensation ---------------------------------------------------------------------------


def _compensation_dispatched(reader: Reader, node: Seen, event: ev.CompensationDispatched) -> None:
    reader.expect(reader.status in ("compensating", "failed"), f"comes while {reader.status}", invariant=5)
    reader.check_call(node.name, "compensation", event.round, event.key)
    reader.check_due(node)
    if event.round != node.round:
        another = node.blind and node.known and event.round == node.round + 1
        reader.expect(another, f"opens round {event.round} without a late success")
        node.round, node.undo_attempts = event.round, 0
    if node.undo_attempts == 0:
        node.blind = not node.known
        _check_order(reader, node)
    reader.expect(event.attempt == node.undo_attempts + 1, f"is attempt {event.attempt}", invariant=8)
    node.undo_attempts = event.attempt


def _check_order(reader: Reader, node: Seen) -> None:
    first = [
        later.name
        for later in reader.nodes.values()
        if node.name in later.before and later.round == 1 and later.has_undo and later.status in OWED
    ]
    if node.round == 1:
        reader.expect(not first, f"undoes {node.name!r} before {', '.join(first)}", invariant=4)


def _check_undo_answer(reader: Reader, node: Seen, round_: int, attempt: int) -> None:
    fits = round_ == node.round and 1 <= attempt <= node.undo_attempts
    reader.expect(fits, f"answers attempt {attempt} of round {round_}", invariant=13)


def _compensation_retry_scheduled(reader: Reader, node: Seen, event: ev.CompensationRetryScheduled) -> None:
    _check_undo_answer(reader, node, event.round, event.attempt)
    node.due = event.due


def _step_compensated(reader: Reader, node: Seen, event: ev.StepCompensated) -> None:
    _check_undo_answer(reader, node, event.round, event.attempt)


# -- signals, parking, late replies, repair ----------------------------------------------------------


def _signal_awaited(reader: Reader, node: Seen, _: ev.SignalAwaited) -> None:
    reader.check_begins(node)


def _signal_received(reader: Reader, node: Seen, _: ev.SignalReceived) -> None:
    reader.expect(reader.cause is None, f"uses {node.name!r} after a failure or cancel", invariant=7)


def _signal_timed_out(reader: Reader, node: Seen, _: ev.SignalTimedOut) -> None:
    reader.expect(reader.cause is None and not reader.paused, f"{node.name!r} had stopped waiting")
    message = f"the signal {node.name!r} did not come in time"
    reader.fails(Problem(kind=ProblemKind.TIMEOUT, type="SignalTimedOut", message=message, step=node.name))


def _saga_parked(reader: Reader, node: Seen, _: ev.SagaParked) -> None:
    reader.expect(not node.parked, f"parks {node.name!r} twice")
    waits = node.status in ("rejected", "unknown", "timed_out") and reader.cause is None
    reader.expect(node.status == "stuck" or waits, f"parks {node.name!r}, which is {node.status}")
    node.parked = True


def _saga_unparked(reader: Reader, node: Seen, _: ev.SagaUnparked) -> None:
    reader.expect(node.parked, f"{node.name!r} was not parked")
    node.parked = False


def _late_outcome(reader: Reader, node: Seen, event: ev.LateOutcomeReceived) -> None:
    success = isinstance(event.outcome, ev.LateSuccess)
    told = (event.op, event.round, event.attempt, success)
    reader.expect(told not in node.late, "tells what was told before")
    node.late.add(told)
    if event.op == "compensation":
        _check_undo_answer(reader, node, event.round, event.attempt)
        return
    _check_answer(reader, node, event.attempt, last=False)
    if success and node.status in ("rejected", "skipped", "waiting"):
        node.stands = True
    elif success and node.status != "forced":
        node.known = True


def _retry_requested(_: Reader, node: Seen, __: ev.RetryRequested) -> None:
    node.due = None


def _result_supplied(_: Reader, node: Seen, __: ev.ResultSupplied) -> None:
    node.known, node.stands, node.due = True, False, None


def _rejection_supplied(reader: Reader, node: Seen, event: ev.RejectionSupplied) -> None:
    node.known = node.stands = node.doubtful = False
    node.due = None
    reader.fails(
        Problem(kind=ProblemKind.REJECTED, type="RejectionSupplied", message=event.reason, step=node.name)
    )


def _step_skipped(reader: Reader, node: Seen, _: ev.StepSkipped) -> None:
    reader.expect(reader.cause is None, f"skips {node.name!r} on the way back")
    node.stands = node.stands or node.known or node.doubtful
    node.known, node.due = False, None


def _compensation_forced(reader: Reader, node: Seen, _: ev.CompensationForced) -> None:
    reader.expect(reader.status in ("compensating", "failed"), f"forces {node.name!r} while {reader.status}")
    node.stands, node.due = False, None


def _nothing(_: Reader, __: Seen, ___: ev.Event) -> None:
    pass  # its move says all


def _nothing_at_all(_: Reader, __: ev.Event) -> None:
    pass  # what concerns the whole saga alone: parking it


_OF_A_NODE: Final = cast(
    "Mapping[type[ev.Event], Callable[[Reader, Seen, ev.Event], None]]",
    {
        ev.StepDispatched: _step_dispatched,
        ev.StepSucceeded: _step_succeeded,
        ev.StepRejected: _step_rejected,
        ev.StepRetryScheduled: _step_retry_scheduled,
        ev.StepOutcomeUnknown: _step_outcome_unknown,
        ev.CompensationDispatched: _compensation_dispatched,
        ev.CompensationRetryScheduled: _compensation_retry_scheduled,
        ev.StepCompensated: _step_compensated,
        ev.SignalAwaited: _signal_awaited,
        ev.SignalReceived: _signal_received,
        ev.SignalTimedOut: _signal_timed_out,
        ev.SagaParked: _saga_parked,
        ev.SagaUnparked: _saga_unparked,
        ev.LateOutcomeReceived: _late_outcome,
        ev.RetryRequested: _retry_requested,
        ev.ResultSupplied: _result_supplied,
        ev.RejectionSupplied: _rejection_supplied,
        ev.StepSkipped: _step_skipped,
        ev.CompensationForced: _compensation_forced,
    },
)
_OF_THE_SAGA: Final = cast(
    "Mapping[type[ev.Event], Callable[[Reader, ev.Event], None]]",
    {
        ev.SagaStarted: _saga_started,
        ev.SagaSucceeded: _saga_succeeded,
        ev.SagaCompensating: _saga_compensating,
        ev.SagaFailed: _saga_failed,
        ev.CancelRequested: _cancel_requested,
        ev.SagaPaused: _saga_paused,
        ev.SagaResumed: _saga_resumed,
    },
)
