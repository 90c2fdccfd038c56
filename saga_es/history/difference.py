"""What changed in a saga's state between two versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from saga_es.model.state import SagaState, StepState

_OF_THE_SAGA: Final = ("status", "ending", "parked", "paused", "cancel_requested", "cause", "residue")
_OF_A_STEP: Final = tuple(field.name for field in fields(StepState))


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs.

    Attributes:
        step: the step or signal, or ``None`` for a field of the saga.
        field: the name of the ``SagaState`` or ``StepState`` field.
        before, after: its values at the two versions.
    """

    step: str | None
    field: str
    before: object
    after: object

    def __str__(self) -> str:
        where = f"{self.step}." if self.step else ""
        return f"{where}{self.field}: {_shown(self.before)} → {_shown(self.after)}"


def changes(before: SagaState, after: SagaState) -> Iterator[Change]:
    """Yield what differs: the saga's fields first, then each step's, in the definition's order."""
    yield from _changes(None, _OF_THE_SAGA, before, after)
    for name, was in before.steps.items():
        yield from _changes(name, _OF_A_STEP, was, after.steps[name])


def _changes(step: str | None, names: tuple[str, ...], before: object, after: object) -> Iterator[Change]:
    for name in names:
        was, now = getattr(before, name), getattr(after, name)
        if (type(was), was) != (type(now), now):  # 1, 1.0 and True are three results
            yield Change(step, name, was, now)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else repr(value)
