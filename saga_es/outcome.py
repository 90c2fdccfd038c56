"""How a saga ended, for the code that started it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from saga_es.errors import InvalidInput, SagaFailed
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.problem import Problem
from saga_es.model.standing import ending_of, residue_of, results_of, status_of
from saga_es.model.state import SagaState


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the log says of how a saga ended.

    Attributes:
        status: succeeded or failed.
        ending: ``succeeded``; ``compensated`` when all was undone; ``residue`` when an effect may stand;
            ``forced`` when an operator declared an undo done.
        results: of every step that succeeded, since compensated or not, by name, as its return annotation
            says; signals' payloads under theirs.
        cause: the first failure with its step (or signal), or the cancel, which has no step.
        residue: the names of the steps of which an effect may stand, in the definition's order.
    """

    saga_id: str
    status: SagaStatus
    ending: Ending
    results: Mapping[str, object]
    cause: Problem | None
    residue: tuple[str, ...]

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - compared by value, results may be lists

    def raise_for_failure(self) -> None:
        """Return if the saga succeeded.

        Raises:
            SagaFailed: it did not; the error carries the ending, the cause in words and the residue.
        """
        if self.status is not SagaStatus.SUCCEEDED:
            cause = self.cause.in_words() if self.cause else "no cause is recorded"
            raise SagaFailed(self.saga_id, ending=self.ending.value, cause=cause, residue=self.residue)


def outcome_of(state: SagaState, decode: Callable[[str, JsonValue], object]) -> Outcome:
    """Return the outcome that a recorded state tells.

    Args:
        state: of a saga that has ended.
        decode: makes a node's recorded result what its annotation says: ``decode(name, recorded)``.

    Raises:
        InvalidInput: the saga has not ended.
    """
    fold = state.fold
    ending = ending_of(fold)
    if ending is None:
        raise InvalidInput(
            f"the outcome of saga {state.saga_id!r}", problem=f"it has none yet, it is {state.status.value}"
        )
    results = {name: decode(name, recorded) for name, recorded in results_of(fold)}
    return Outcome(fold.saga_id, status_of(fold), ending, results, fold.cause, residue_of(fold))
