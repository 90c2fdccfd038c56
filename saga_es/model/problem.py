from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import Field

from saga_es.model.base import Frozen


class ProblemKind(StrEnum):
    """What sort of thing went wrong."""

    REJECTED = "rejected"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    TOO_LARGE = "too_large"
    ABANDONED = "abandoned"
    INCOMPATIBLE = "incompatible"


NO_ANSWER: Final = frozenset({ProblemKind.TIMEOUT, ProblemKind.CANCELLED, ProblemKind.ABANDONED})
"""Kinds with which the engine closes an attempt itself: the participant's own word may still come."""


class Problem(Frozen):
    """Something that went wrong: the exception's class name as ``type``, its text as ``message``.

    ``step`` names the step (or signal) where that is not the one of the event that carries the problem.
    """

    kind: ProblemKind
    type: str
    message: str
    step: str | None = Field(default=None, exclude_if=lambda step: step is None)

    def at(self, step: str | None) -> Problem:
        """Return the same problem, naming the step it happened in."""
        return Problem(kind=self.kind, type=self.type, message=self.message, step=step)

    def in_words(self) -> str:
        return self.message or self.type or self.kind.value
