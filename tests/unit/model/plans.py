"""Plans, commands and events in few letters: what the model's tests are written with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from saga_es.model import commands as cmd
from saga_es.model import events as ev
from saga_es.model.definition import (
    CompensationDefinition,
    Retry,
    SagaDefinition,
    SignalDefinition,
    StepDefinition,
)
from saga_es.model.lifecycle import Ending
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState
from saga_es.testing.given import SAGA_ID, Given, When, given

MINUTES = 300  # seconds: the default timeout of an attempt
TWICE = Retry(attempts=2, delay=timedelta(seconds=1))
BY = {"by": "ann", "reason": "because"}


def at(seconds: float = 0) -> datetime:
    return datetime(2026, 11, 24, 5, 0, tzinfo=UTC) + timedelta(seconds=seconds)


# -- plans -------------------------------------------------------------------------------------------


def act(
    name: str,
    needs: str = "",
    *,
    undo: bool = True,
    undo_retry: Retry | None = None,
    undo_timeout: object = "default",
    **policy: object,
) -> StepDefinition:
    """A step; ``needs`` are names between blanks."""
    compensation = None
    if undo:
        compensation = CompensationDefinition.model_validate(
            {"name": f"undo_{name}", "title": f"undo {name}", "retry": undo_retry, "timeout": undo_timeout}
        )
    fields = {"name": name, "title": name, "needs": tuple(needs.split()), "compensation": compensation}
    return StepDefinition.model_validate({**fields, **policy})


def wait(name: str, needs: str = "", *, timeout: float | None = None) -> SignalDefinition:
    due = None if timeout is None else timedelta(seconds=timeout)
    return SignalDefinition(name=name, title=name, needs=tuple(needs.split()), timeout=due)


def plan(*nodes: StepDefinition | SignalDefinition, **fields: object) -> SagaDefinition:
    return SagaDefinition.model_validate(
        {
            "name": "trip",
            "steps": tuple(node for node in nodes if isinstance(node, StepDefinition)),
            "signals": tuple(node for node in nodes if isinstance(node, SignalDefinition)),
            "order": tuple(node.name for node in nodes),
            **fields,
        }
    )


# -- problems ----------------------------------------------------------------------------------------

NO = Problem(kind=ProblemKind.REJECTED, type="Rejected", message="no rooms")
OOPS = Problem(kind=ProblemKind.ERROR, type="OSError", message="oops")
SLOW = Problem(kind=ProblemKind.TIMEOUT, type="TimeoutError", message="slow")
CUT = Problem(kind=ProblemKind.CANCELLED, type="CancelledError", message="cut")
BIG = Problem(kind=ProblemKind.TOO_LARGE, type="PayloadTooLarge", message="big")
CANCEL = Problem(kind=ProblemKind.CANCELLED, type="CancelRequested", message="because")


def abandoned(last: str) -> Problem:
    message = f"waited for a retry when the saga failed; the last answer: {last}"
    return Problem(kind=ProblemKind.ABANDONED, type="Abandoned", message=message)


def timed_out(signal: str) -> Problem:
    message = f"the signal {signal!r} did not come in time"
    return Problem(kind=ProblemKind.TIMEOUT, type="SignalTimedOut", message=message)


def supplied_no() -> Problem:
    return Problem(kind=ProblemKind.REJECTED, type="RejectionSupplied", message="because")


# -- commands: ``t`` is the second at which they come, ``room`` the attempts that may begin ----------------


def start(value: JsonValue = None, *, t: float = 0, room: int = 9, **fields: object) -> cmd.Command:
    return cmd.StartSaga(at=at(t), room=room, input=value, **fields)  # type: ignore[arg-type]


def wake(*, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.Wake(at=at(t), room=room)


def answer(
    step: str,
    outcome: cmd.Succeeded | cmd.Failed,
    *,
    op: ev.Op = "action",
    round: int = 1,  # noqa: A002 - the word of the log
    attempt: int = 1,
    t: float = 0,
    room: int = 9,
    **flags: bool,
) -> cmd.Command:
    return cmd.RecordOutcome(
        at=at(t), room=room, step=step, op=op, round=round, attempt=attempt, outcome=outcome, **flags
    )


def ok(step: str, result: JsonValue = None, **fields: object) -> cmd.Command:
    return answer(step, cmd.Succeeded(result), **fields)  # type: ignore[arg-type]


def no(step: str, problem: Problem = NO, **fields: object) -> cmd.Command:
    """The step's own ``raise Rejected``."""
    return answer(step, cmd.Failed(problem, final=True), **fields)  # type: ignore[arg-type]


def bad(step: str, problem: Problem = OOPS, **fields: object) -> cmd.Command:
    return answer(step, cmd.Failed(problem), **fields)  # type: ignore[arg-type]


def undone(step: str, **fields: object) -> cmd.Command:
    return ok(step, op="compensation", **fields)


def undo_bad(step: str, problem: Problem = OOPS, **fields: object) -> cmd.Command:
    return bad(step, problem, op="compensation", **fields)


def tell(signal: str, payload: JsonValue = "yes", *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.DeliverSignal(at=at(t), room=room, signal=signal, payload=payload)


def cancel(*, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.CancelSaga(at=at(t), room=room, **BY)


def pause(*, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.PauseSaga(at=at(t), room=room, **BY)


def resume(*, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.ResumeSaga(at=at(t), room=room, **BY)


def retry(step: str, *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.RetryStep(at=at(t), room=room, step=step, **BY)


def supply(step: str, result: JsonValue = "by hand", *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.SupplyResult(at=at(t), room=room, step=step, result=result, **BY)


def deny(step: str, *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.SupplyRejection(at=at(t), room=room, step=step, **BY)


def skip(step: str, *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.SkipStep(at=at(t), room=room, step=step, **BY)


def force(step: str, *, t: float = 0, room: int = 9) -> cmd.Command:
    return cmd.ForceCompensated(at=at(t), room=room, step=step, **BY)


# -- events ------------------------------------------------------------------------------------------


def started(definition: SagaDefinition, value: JsonValue = None) -> ev.Event:
    return ev.SagaStarted(
        definition=definition.name,
        definition_version=definition.version,
        digest=definition.digest,
        input=value,
    )


def dispatched(step: str, attempt: int = 1, *, t: float = 0, wait: float | None = MINUTES) -> ev.Event:
    deadline = None if wait is None else at(t + wait)
    return ev.StepDispatched(step=step, attempt=attempt, key=f"{SAGA_ID}/{step}/action/1", deadline=deadline)


def undoing(
    step: str,
    attempt: int = 1,
    *,
    round: int = 1,  # noqa: A002 - the word of the log
    t: float = 0,
    wait: float | None = MINUTES,
) -> ev.Event:
    deadline = None if wait is None else at(t + wait)
    key = f"{SAGA_ID}/{step}/compensation/{round}"
    return ev.CompensationDispatched(step=step, round=round, attempt=attempt, key=key, deadline=deadline)


def succeeded(step: str, result: JsonValue = None, attempt: int = 1) -> ev.Event:
    return ev.StepSucceeded(step=step, attempt=attempt, result=result)


def rejected(step: str, error: Problem = NO, attempt: int = 1) -> ev.Event:
    return ev.StepRejected(step=step, attempt=attempt, error=error)


def unknown(step: str, why: Problem = OOPS, attempt: int = 1) -> ev.Event:
    return ev.StepOutcomeUnknown(step=step, attempt=attempt, why=why)


def again(step: str, error: Problem = OOPS, attempt: int = 1, *, t: float = 1) -> ev.Event:
    return ev.StepRetryScheduled(step=step, attempt=attempt, error=error, due=at(t))


def turning(cause: Problem, step: str | None) -> ev.Event:
    return ev.SagaCompensating(cause=cause.at(step))


def compensated(step: str, attempt: int = 1, *, round: int = 1) -> ev.Event:  # noqa: A002 - the log's word
    return ev.StepCompensated(step=step, round=round, attempt=attempt)


def undo_again(
    step: str,
    error: Problem = OOPS,
    attempt: int = 1,
    *,
    t: float,
    round: int = 1,  # noqa: A002 - the log's
) -> ev.Event:
    return ev.CompensationRetryScheduled(step=step, round=round, attempt=attempt, error=error, due=at(t))


def done() -> ev.Event:
    return ev.SagaSucceeded()


def failed(ending: str, cause: Problem, step: str | None, *residue: str) -> ev.Event:
    return ev.SagaFailed(ending=Ending(ending), cause=cause.at(step), residue=residue)


def parked(step: str, reason: Problem, attempt: int | None = 1, op: ev.Op | None = "action") -> ev.Event:
    return ev.SagaParked(reason=reason, step=step, op=op, round=None if op is None else 1, attempt=attempt)


def unparked(step: str) -> ev.Event:
    return ev.SagaUnparked(step=step)


def awaited(signal: str, *, t: float | None = None) -> ev.Event:
    return ev.SignalAwaited(signal=signal, due=None if t is None else at(t))


def received(signal: str, payload: JsonValue = "yes") -> ev.Event:
    return ev.SignalReceived(signal=signal, payload=payload)


def late(
    step: str,
    outcome: Problem | JsonValue,
    attempt: int = 1,
    op: ev.Op = "action",
    round: int = 1,  # noqa: A002 - the word of the log
) -> ev.Event:
    what = outcome if isinstance(outcome, Problem) else ev.LateSuccess(result=outcome)
    return ev.LateOutcomeReceived(step=step, op=op, round=round, attempt=attempt, outcome=what)


# -- stories -----------------------------------------------------------------------------------------


def after(definition: SagaDefinition, *asked: cmd.Command) -> Given:
    """A saga that these commands have brought to where it stands."""
    saga = given(definition)
    for command in asked:
        made = saga.when(command)
        saga = made.then(*made.events)
    return saga


def statuses(saga: Given | When | SagaState) -> Mapping[str, str]:
    state = saga if isinstance(saga, SagaState) else saga.state
    return {"saga": state.status.value} | {name: step.status.value for name, step in state.steps.items()}
