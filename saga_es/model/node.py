from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import JsonValue

from saga_es.model.events import Op
from saga_es.model.problem import Problem

FIELDS: Final = (
    "answered", "attempts", "blockers", "budget_from", "deadline", "done", "doubtful", "due", "error", "has_result",
    "late", "released", "result", "round", "stands", "status", "supplied", "undo_attempts", "undo_blind",
    "undo_budget_from", "undo_error", "unmet",
)  # fmt: skip


class Node:
    """What the fold knows of one step or signal. Never changed once it stands in a state: copied, then set.

    Attributes:
        attempts, undo_attempts: of the action; of the compensation in its current ``round``.
        budget_from, undo_budget_from: attempts made before the retry budget was last renewed.
        result, has_result: the action's result or the signal's payload, once known.
        undo_error: the compensation's last error while it is unfinished.
        unmet: needs that are not released; released when it is done and all it needs is.
        blockers: dependents that must be undone before this one.
        doubtful: an attempt has no definite answer, so a later rejection is not definite either.
        undo_blind: the current round's compensation was given ``None``.
        stands: a late reply says that the effect happened although the step is settled as not done.
        done: the step succeeded at some time (or an operator supplied its result), undone since or not.
        supplied: an operator settled it, so that the same repair again appends nothing.
        late: successes recorded late so far, as (op, round, attempt).
        answered: mask of the attempts of the action whose failing answer is recorded.
    """

    __slots__ = FIELDS

    status: str
    attempts: int
    undo_attempts: int
    budget_from: int
    undo_budget_from: int
    round: int
    result: JsonValue
    has_result: bool
    error: Problem | None
    undo_error: Problem | None
    deadline: datetime | None
    due: datetime | None
    unmet: int
    blockers: int
    released: bool
    doubtful: bool
    undo_blind: bool
    stands: bool
    done: bool
    supplied: bool
    late: tuple[tuple[Op, int, int], ...]
    answered: int

    def __init__(self, unmet: int, like: Node | None = None) -> None:
        if like is not None:
            self._be_like(like)
            return
        self.status = "waiting"
        self.attempts = self.undo_attempts = self.budget_from = self.undo_budget_from = 0
        self.round = 1
        self.result = None
        self.error = self.undo_error = None
        self.deadline = self.due = None
        self.unmet = unmet
        self.blockers = 0
        self.has_result = self.released = self.doubtful = self.undo_blind = False
        self.stands = self.done = self.supplied = False
        self.late = ()
        self.answered = 0

    def _be_like(self, like: Node) -> None:
        # Written out: this runs for every event, and a loop over FIELDS takes five times as long.
        self.status = like.status
        self.attempts = like.attempts
        self.undo_attempts = like.undo_attempts
        self.budget_from = like.budget_from
        self.undo_budget_from = like.undo_budget_from
        self.round = like.round
        self.result = like.result
        self.has_result = like.has_result
        self.error = like.error
        self.undo_error = like.undo_error
        self.deadline = like.deadline
        self.due = like.due
        self.unmet = like.unmet
        self.blockers = like.blockers
        self.released = like.released
        self.doubtful = like.doubtful
        self.undo_blind = like.undo_blind
        self.stands = like.stands
        self.done = like.done
        self.supplied = like.supplied
        self.late = like.late
        self.answered = like.answered

    def copy(self) -> Node:
        return Node(self.unmet, self)

    def signature(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in FIELDS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.signature() == other.signature()

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - compared by value, results may be lists
