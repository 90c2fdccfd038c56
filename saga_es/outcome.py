"""How a saga ended, for the code that started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saga_es.errors import SagaFailed
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.problem import Problem


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
