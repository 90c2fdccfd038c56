"""What a recorded state asks of the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from saga_es.model.base import record, reduced
from saga_es.model.events import Op


@dataclass(init=False, unsafe_hash=True, slots=True)
class RunAttempt:
    """Make a call whose dispatch is recorded.

    Attributes:
        key: the call's stable name; the dispatcher ignores one that is already in flight with this number.
        action_key: the key of the step's action (the same as ``key`` for an action).
        deadline: when the attempt times out, aware UTC; ``None`` waits for ever.
        arguments: recorded JSON. An action's: the input, then the results it needs in order.
            A compensation's: the input, then the step's result.
        absent: mask of the arguments that are passed as ``None`` undecoded: a skipped step's
            result, or, for a compensation, an outcome that is unknown.
        doubtful: an earlier attempt has no definite answer, so a rejection of this one is not definite.
    """

    saga_id: str
    step: str
    op: Op
    round: int
    number: int
    key: str
    action_key: str
    deadline: datetime | None
    arguments: tuple[JsonValue, ...]
    absent: int
    doubtful: bool

    # Written out, since what a dataclass makes of it is never compiled: one is made for every call.
    def __init__(  # noqa: PLR0917 - a record's fields
        self,
        saga_id: str,
        step: str,
        op: Op,
        round: int,  # noqa: A002 - the field's name
        number: int,
        key: str,
        action_key: str,
        deadline: datetime | None,
        arguments: tuple[JsonValue, ...],
        absent: int,
        doubtful: bool,  # noqa: FBT001
    ) -> None:
        self.saga_id, self.step, self.op, self.round, self.number = saga_id, step, op, round, number
        self.key, self.action_key, self.deadline, self.arguments = key, action_key, deadline, arguments
        self.absent, self.doubtful = absent, doubtful

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)


@record
class CancelAttempt:
    """Stop waiting for an action in flight (``on_failure="cancel"``): a coroutine is cancelled, a thread drains."""

    saga_id: str
    step: str
    number: int


@record
class WakeAt:
    """Ask again at ``due`` (aware UTC): a retry's delay or a signal's wait ends then."""

    saga_id: str
    due: datetime


@record
class NeedRoom:
    """Something could begin, but had no room: wake the saga when there is some."""

    saga_id: str


Effect = RunAttempt | CancelAttempt | WakeAt | NeedRoom
