"""What a fold says of its saga, in the words of a state: for the rooms that ask at every commit."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from saga_es.model.fold import Fold
from saga_es.model.lifecycle import UNBORN, Ending, SagaStatus
from saga_es.model.masks import bits, union
from saga_es.model.problem import Problem

STATUSES: Final = {UNBORN: SagaStatus.PENDING, **{status.value: status for status in SagaStatus}}


def status_of(fold: Fold) -> SagaStatus:
    return STATUSES[fold.status]


def is_open(fold: Fold) -> bool:
    """Whether anything is still to be done: not ended, or a late success is being undone."""
    return not fold.has_ended or fold.owed != 0


def ending_of(fold: Fold) -> Ending | None:
    if fold.status == "succeeded":
        return Ending.SUCCEEDED
    if fold.status != "failed":
        return None
    if fold.left or fold.owed:
        return Ending.RESIDUE
    return Ending.FORCED if fold.forced() else Ending.COMPENSATED


def residue_of(fold: Fold) -> tuple[str, ...]:
    if fold.status != "failed":
        return ()
    # As recorded, not worked out again: newer code may have made a step read_only meanwhile.
    return tuple([fold.plan.names[index] for index in bits(union(fold.left, fold.owed))])


def results_of(fold: Fold) -> list[tuple[str, JsonValue]]:
    """Return what is recorded of steps that succeeded, undone since or not, and of signals, by name."""
    names = fold.plan.names
    return [
        (names[index], node.result)
        for index, node in enumerate(fold.nodes)
        if node.done or node.status == "received"
    ]


def parked_of(fold: Fold) -> str | None:
    """Return why it is parked, in words."""
    if not fold.parks:
        return None
    return "; ".join([_in_words(fold, index, reason) for index, reason in fold.parks])


def _in_words(fold: Fold, index: int, reason: Problem) -> str:
    return reason.in_words() if index < 0 else f"{fold.plan.names[index]}: {reason.in_words()}"
