"""The attempt a step runs in: who is calling, for the how many-th time, under which key."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from saga_es.model.effects import RunAttempt
from saga_es.model.events import Op
from saga_es.model.keys import call_key


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a step's action or compensation.

    Attributes:
        op: "action" or "compensation".
        round: of the compensation, from 1.
        number: of the try, from 1; metadata, not part of the key.
        key: the call's stable idempotency key, the same over retries and crashes.
        action_key: the key of the step's action, by which its compensation finds what to undo.
        deadline: when it times out, aware UTC; ``None`` for never.
    """

    saga_id: str
    step: str
    op: Op
    round: int
    number: int
    key: str
    action_key: str
    deadline: datetime | None

    @classmethod
    def of(cls, run: RunAttempt) -> Attempt:
        """Return what a step sees of a call that is made."""
        return cls(
            run.saga_id, run.step, run.op, run.round, run.number, run.key, run.action_key, run.deadline
        )

    @classmethod
    def current(cls) -> Attempt:
        """Return the attempt this code runs in, in coroutines and threads alike.

        Raises:
            LookupError: it runs in none.
        """
        found = CURRENT.get(None)
        if found is None:
            raise LookupError(
                "Attempt.current() was called outside a step; it works inside steps, compensations and probes only"
            )
        if not isinstance(found, Attempt):  # nobody has asked for it in this context before
            found = cls.of(found)
            CURRENT.set(found)
        return found

    @classmethod
    def stand_in(cls, step: str, op: Op = "action") -> Attempt:
        """Return an attempt for calling a step directly, as a unit test does."""
        saga_id = "unit-test"
        return cls(
            saga_id,
            step,
            op,
            1,
            1,
            call_key(saga_id, step, op, 1),
            call_key(saga_id, step, "action", 1),
            None,
        )


CURRENT: ContextVar[Attempt | RunAttempt | None] = ContextVar("saga_es_attempt", default=None)
"""What runs: whoever makes a call sets it, for the rest of the context, which is the call's own copy."""
