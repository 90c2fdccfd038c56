"""The index of sagas as rows: what every store keeps beside the log, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from saga_es.errors import InvalidInput
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.summary import SagaSummary

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
COLUMNS: Final = (
    "saga_id", "definition", "definition_version", "status", "ending", "parked", "is_open", "started_at", "changed_at",
)  # fmt: skip

Value = str | int | bool | None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One saga's row; instants are whole microseconds since 1970, so that every database orders them alike."""

    summary: SagaSummary
    is_open: bool

    def values(self) -> tuple[Value, ...]:
        """Return the values of ``COLUMNS``."""
        it = self.summary
        ending = it.ending.value if it.ending else None
        return (
            it.saga_id,
            it.definition,
            it.definition_version,
            it.status.value,
            ending,
            it.parked,
            self.is_open,
            micros(it.started_at),
            micros(it.changed_at),
        )


    def with_parked(self, reason: str | None, at: int) -> IndexRow:
        return replace(self, summary=replace(self.summary, parked=reason, changed_at=instant(at)))


def summary_from(row: Sequence[object]) -> SagaSummary:
    """Return what a row of ``COLUMNS`` shows."""
    saga_id, definition, version, status, ending, parked, _, started_at, changed_at = row
    return SagaSummary(
        saga_id=str(saga_id),
        definition=str(definition),
        definition_version=int(str(version)),
        status=SagaStatus(str(status)),
        ending=None if ending is None else Ending(str(ending)),
        parked=None if parked is None else str(parked),
        started_at=instant(int(str(started_at))),
        changed_at=instant(int(str(changed_at))),
    )


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def instant(value: int) -> datetime:
    return EPOCH + value * MICROSECOND


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``find`` is asked for."""

    status: SagaStatus | None = None
    definition: str | None = None
    parked: bool | None = None
    started_before: datetime | None = None
    limit: int = 100
    after: str | None = None

    def conditions(self) -> list[tuple[str, tuple[Value, ...]]]:
        """Return SQL conditions with ``?`` for their values, all of which have to hold."""
        found: list[tuple[str, tuple[Value, ...]]] = []
        if self.status is not None:
            found.append(("status = ?", (self.status.value,)))
        if self.definition is not None:
            found.append(("definition = ?", (self.definition,)))
        if self.parked is not None:
            found.append(("parked IS NOT NULL" if self.parked else "parked IS NULL", ()))
        if self.started_before is not None:
            if self.started_before.tzinfo is None:
                raise InvalidInput("started_before", problem="an instant without a time zone; pass an aware one")
            found.append(("started_at < ?", (micros(self.started_before),)))
        if self.after is not None:
            found.append(("(started_at, saga_id) < (?, ?)", self.place()))
        return found

    def takes(self, it: SagaSummary) -> bool:
        """Say whether a summary is wanted: the conditions again, for a store without SQL."""
        place = (micros(it.started_at), it.saga_id)
        return (
            (self.status is None or it.status is self.status)
            and (self.definition is None or it.definition == self.definition)
            and (self.parked is None or (it.parked is not None) is self.parked)
            and (self.started_before is None or place[0] < micros(self.started_before))
            and (self.after is None or place < self.place())
        )

    def place(self) -> tuple[int, str]:
        """Return where the page before this one ended."""
        started, _, saga_id = (self.after or "").partition(":")
        if not started.lstrip("-").isdigit() or not saga_id:
            raise InvalidInput("after", problem=f"{self.after!r} is not what an earlier page's next said")
        return int(started), saga_id


def place_after(summary: SagaSummary) -> str:
    """Return what goes into ``after`` to go on behind this saga."""
    return f"{micros(summary.started_at)}:{summary.saga_id}"
