"""What may be asked of a saga. Time, chance, capacity and defaults come along as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from saga_es.model.base import reduced
from saga_es.model.defaults import Defaults
from saga_es.model.events import Op
from saga_es.model.problem import Problem


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
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


@dataclass(init=False, slots=True, unsafe_hash=True, kw_only=True)
class StartSaga(Command):
    """Start a saga, once.

    Attributes:
        definition: the name of the definition asked for; by default that of the plan it is decided with.
    """

    input: JsonValue
    definition: str | None

    # Written out, since what a dataclass makes of it is never compiled: one is made for every saga.
    def __init__(
        self,
        *,
        at: datetime,
        input: JsonValue,  # noqa: A002 - the field's name
        definition: str | None = None,
        room: int = 0,
        jitter: float = 0.5,
        defaults: Defaults | None = None,
    ) -> None:
        self.at, self.room, self.jitter, self.defaults = at, room, jitter, defaults or Defaults()
        self.input, self.definition = input, definition

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class Wake(Command):
    """Time has passed or room was made: go on with what is due."""


@dataclass(init=False, slots=True, unsafe_hash=True)
class Succeeded:
    """The attempt returned; ``result`` is JSON (``None`` for a compensation)."""

    result: JsonValue

    def __init__(self, result: JsonValue) -> None:
        self.result = result

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)


@dataclass(slots=True, unsafe_hash=True)
class Failed:
    """The attempt ended otherwise.

    A problem of kind ``rejected`` is a definite answer: no effect. ``final`` is the step's own word for
    it, ``raise Rejected``, which no retry follows; otherwise it is a probe's, which policy may retry.
    """

    problem: Problem
    final: bool = False


@dataclass(init=False, slots=True, unsafe_hash=True, kw_only=True)
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
    reissued: bool
    probed: bool

    # Written out, since what a dataclass makes of it is never compiled: one is made for every call.
    def __init__(
        self,
        *,
        at: datetime,
        step: str,
        op: Op,
        round: int,  # noqa: A002 - the field's name
        attempt: int,
        outcome: Succeeded | Failed,
        reissued: bool = False,
        probed: bool = False,
        room: int = 0,
        jitter: float = 0.5,
        defaults: Defaults | None = None,
    ) -> None:
        self.at, self.room, self.jitter, self.defaults = at, room, jitter, defaults or Defaults()
        self.step, self.op, self.round, self.attempt = step, op, round, attempt
        self.outcome, self.reissued, self.probed = outcome, reissued, probed

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class DeliverSignal(Command):
    signal: str
    payload: JsonValue


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class OperatorCommand(Command):
    """A command that says who gave it, and why."""

    by: str
    reason: str


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class CancelSaga(OperatorCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class PauseSaga(OperatorCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class ResumeSaga(OperatorCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class RepairCommand(OperatorCommand):
    """An operator's repair of one step."""

    step: str


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class RetryStep(RepairCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class SupplyResult(RepairCommand):
    result: JsonValue


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class SupplyRejection(RepairCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class SkipStep(RepairCommand):
    pass


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class ForceCompensated(RepairCommand):
    pass
