"""What happened. The class names are the stored names; fields are promises (DESIGN.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Final, Literal, NamedTuple, cast

from pydantic import AwareDatetime, Field, JsonValue

from saga_es.model.base import Frozen
from saga_es.model.lifecycle import Ending
from saga_es.model.problem import Problem

Op = Literal["action", "compensation"]


class Event(Frozen):
    """One thing that happened to one saga. When and at which version stands in its ``Recorded``."""

    schema_version: ClassVar[int] = (
        1  # raised with a field's change, beside an upcast_vN_vN+1 in the store's mapper
    )


class StepEvent(Event):
    """An event of one step, named in ``step``."""

    step: str


class SagaStarted(Event):
    definition: str
    definition_version: int
    digest: str
    input: JsonValue


class StepDispatched(StepEvent):
    attempt: int
    key: str
    deadline: AwareDatetime | None


class StepSucceeded(StepEvent):
    attempt: int
    result: JsonValue


class StepRejected(StepEvent):
    attempt: int
    error: Problem


class StepRetryScheduled(StepEvent):
    attempt: int
    error: Problem
    due: AwareDatetime


class StepOutcomeUnknown(StepEvent):
    attempt: int
    why: Problem


class SagaCompensating(Event):
    cause: Problem


class CompensationDispatched(StepEvent):
    round: int
    attempt: int
    key: str
    deadline: AwareDatetime | None


class CompensationRetryScheduled(StepEvent):
    round: int
    attempt: int
    error: Problem
    due: AwareDatetime


class StepCompensated(StepEvent):
    round: int
    attempt: int


class SagaSucceeded(Event):
    pass


class SagaFailed(Event):
    ending: Ending
    cause: Problem
    residue: tuple[str, ...]


class SagaParked(Event):
    """One for each stuck step; ``step``, ``op``, ``round`` and ``attempt`` are null for the whole saga."""

    reason: Problem
    step: str | None
    op: Op | None
    round: int | None
    attempt: int | None


class SagaUnparked(Event):
    step: str | None


class CancelRequested(Event):
    by: str
    reason: str


class SignalEvent(Event):
    signal: str


class SignalAwaited(SignalEvent):
    due: AwareDatetime | None


class SignalReceived(SignalEvent):
    payload: JsonValue


class SignalTimedOut(SignalEvent):
    pass


class LateSuccess(Frozen):
    """The outcome of a late reply that says: it had happened after all."""

    kind: Literal["succeeded"] = "succeeded"
    result: JsonValue


class LateOutcomeReceived(StepEvent):
    op: Op
    round: int
    attempt: int
    outcome: LateSuccess | Problem = Field(union_mode="left_to_right")


class RepairEvent(StepEvent):
    """Something an operator did to one step: who, and why."""

    by: str
    reason: str


class RetryRequested(RepairEvent):
    pass


class ResultSupplied(RepairEvent):
    result: JsonValue


class RejectionSupplied(RepairEvent):
    pass


class StepSkipped(RepairEvent):
    pass


class CompensationForced(RepairEvent):
    pass


class SagaPaused(Event):
    by: str
    reason: str


class SagaResumed(Event):
    by: str
    reason: str


EVENT_TYPES: Mapping[str, type[Event]] = {
    event.__name__: event
    for event in (
        SagaStarted, StepDispatched, StepSucceeded, StepRejected, StepRetryScheduled, StepOutcomeUnknown,
        SagaCompensating, CompensationDispatched, CompensationRetryScheduled, StepCompensated, SagaSucceeded,
        SagaFailed, SagaParked, SagaUnparked, CancelRequested, SignalAwaited, SignalReceived, SignalTimedOut,
        LateOutcomeReceived, RetryRequested, ResultSupplied, RejectionSupplied, StepSkipped, CompensationForced,
        SagaPaused, SagaResumed,
    )
}  # fmt: skip
"""The closed registry: a stored name that is not here is an error, never an import."""


class Recorded(NamedTuple):
    """An event as it stands in the log. A tuple, since a long replay makes as many of these as of events.

    Attributes:
        version: its place in the saga's stream, 1..n without gaps.
        type: its stored name, a key of ``EVENT_TYPES``.
        at: when it was decided, aware UTC.
        event: what happened.
        metadata: who recorded it and the like; never read by the fold.
    """

    version: int
    type: str
    at: datetime
    event: Event
    metadata: Mapping[str, JsonValue]


RECORDED: Final = cast(
    "Callable[[type[Recorded], tuple[int, str, datetime, Event, Mapping[str, JsonValue]]], Recorded]",
    getattr(tuple, "__new__"),  # noqa: B009 - its type says less
)
"""Makes a Recorded in half the time that its own constructor takes."""
