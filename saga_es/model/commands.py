"""What may be asked of a saga. Time, chance, capacity and defaults come along as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import JsonValue

from saga_es.model.base import keyword_record, record
from saga_es.model.definition import Retry
from saga_es.model.events import Op
from saga_es.model.problem import Problem


@dataclass(frozen=True, slots=True)
class Defaults:
    """The engine's policies for what a plan leaves open; ``step_timeout=None`` waits for ever."""

    step_timeout: timedelta | None = timedelta(minutes=5)
    step_retry: Retry = field(default_factory=Retry)
    compensation_retry: Retry = field(default_factory=lambda: Retry(attempts=10))


@keyword_record
class Command:
    """What every command carries.

    Attributes:
        at: now, aware UTC.
        room: how many attempts may begin at once; a client, which dispatches nothing, has 0.
        jitter: chance for the delays of retries, in [0, 1).
    """

    at: datetime
    room: int = 0
    jitter: float = 0.5
    defaults: Defaults = field(default_factory=Defaults)


@keyword_record
class StartSaga(Command):
    """Start a saga, once.

    Attributes:
        definition: the name of the definition asked for; by default that of the plan it is decided with.
    """

    input: JsonValue
    definition: str | None = None


@keyword_record
class Wake(Command):
    """Time has passed or room was made: go on with what is due."""


@record
class Succeeded:
    """The attempt returned; ``result`` is JSON (``None`` for a compensation)."""

    result: JsonValue


@record
class Failed:
    """The attempt ended otherwise.

    A problem of kind ``rejected`` is a definite answer: no effect. ``final`` is the step's own word for
    it, ``raise Rejected``, which no retry follows; otherwise it is a probe's, which policy may retry.
    """

    problem: Problem
    final: bool = False


@keyword_record
class RecordOutcome(Command):
    """An attempt's answer.

    Attributes:
        reissued: the call was issued again after a crash, so its answer speaks for itself alone.
        probed: the answer is the probe's, which speaks for every earlier attempt too.
    """

    step: str
    op: Op
    round: int
    attempt: int
    outcome: Succeeded | Failed
    reissued: bool = False
    probed: bool = False


@keyword_record
class DeliverSignal(Command):
    signal: str
    payload: JsonValue


@keyword_record
class OperatorCommand(Command):
    """A command that says who gave it, and why."""

    by: str
    reason: str


@keyword_record
class CancelSaga(OperatorCommand):
    pass


@keyword_record
class PauseSaga(OperatorCommand):
    pass


@keyword_record
class ResumeSaga(OperatorCommand):
    pass


@keyword_record
class RepairCommand(OperatorCommand):
    """An operator's repair of one step."""

    step: str


@keyword_record
class RetryStep(RepairCommand):
    pass


@keyword_record
class SupplyResult(RepairCommand):
    result: JsonValue


@keyword_record
class SupplyRejection(RepairCommand):
    pass


@keyword_record
class SkipStep(RepairCommand):
    pass


@keyword_record
class ForceCompensated(RepairCommand):
    pass
