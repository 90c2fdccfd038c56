from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from saga_es.model.definition import Retry


@dataclass(frozen=True, slots=True)
class Defaults:
    """The engine's policies for what a plan leaves open; ``step_timeout=None`` waits for ever."""

    step_timeout: timedelta | None = timedelta(minutes=5)
    step_retry: Retry = field(default_factory=Retry)
    compensation_retry: Retry = field(default_factory=lambda: Retry(attempts=10))
