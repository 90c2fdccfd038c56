from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from saga_es.model.base import record
from saga_es.model.lifecycle import Ending, SagaStatus


@record
class SagaSummary:
    """What the index of sagas shows of one saga.

    Attributes:
        ending: ``None`` until it ends.
        parked: the reason in words, or ``None``.
        started_at, changed_at: aware UTC; ``changed_at`` is when one of these fields last changed.
    """

    saga_id: str
    definition: str
    definition_version: int
    status: SagaStatus
    ending: Ending | None
    parked: str | None
    started_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One page of ``find``; ``next`` goes into ``after`` and is ``None`` at the end."""

    items: Sequence[SagaSummary]
    next: str | None
