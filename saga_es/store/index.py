"""The index of sagas as rows: what every store keeps beside the log, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from saga_es.errors import InvalidInput
from saga_es.model.base import reduced
from saga_es.model.keys import check_saga_id
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.summary import SagaSummary
from saga_es.store.shards import Shard

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
COLUMNS: Final = (
    "saga_id", "definition", "definition_version", "status", "ending", "parked", "is_open", "started_at", "changed_at",
)  # fmt: skip
CHANGING: Final = ("status", "ending", "parked", "is_open", "changed_at")
"""What of a row changes after its saga was started; the rest is left alone, and its indexes with it."""

Value = str | int | bool | None


@dataclass(init=False, slots=True, unsafe_hash=True)
class IndexRow:
    """One saga's row; instants are whole microseconds since 1970, so that every database orders them alike.

    Attributes:
        shard: where several engines share the store; ``None`` where it is not known.
    """

    summary: SagaSummary
    is_open: bool
    shard: Shard | None

    # Written out, since what a dataclass makes of it is never compiled.
    def __init__(self, summary: SagaSummary, is_open: bool, shard: Shard | None = None) -> None:  # noqa: FBT001
        self.summary, self.is_open, self.shard = summary, is_open, shard

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)

    def values(self) -> tuple[Value, ...]:
        """Return the values of ``COLUMNS``."""
        it = self.summary
        changed = micros(it.changed_at)
        return (
            it.saga_id,
            it.definition,
            it.definition_version,
            it.status._value_,  # as it is kept: `value` is looked up through two functions
            it.ending._value_ if it.ending else None,
            storable(it.parked),
            self.is_open,
            changed if it.started_at is it.changed_at else micros(it.started_at),
            changed,
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


def row_from(row: Sequence[object]) -> IndexRow:
    """Return a row of ``COLUMNS``, whole."""
    return IndexRow(summary_from(row), bool(row[COLUMNS.index("is_open")]))


def storable(text: str | None) -> str | None:
    """Return an exception's words as every database takes them: no NUL, no half of a surrogate pair."""
    return text and text.encode(errors="replace").decode().replace("\0", "\ufffd")


def micros(at: datetime) -> int:
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # a third of what // takes


def instant(value: int) -> datetime:
    return EPOCH + value * MICROSECOND


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``find`` is asked for: newest first, and by id among those started at one instant.

    Attributes:
        place: where the page before this one ended.

    Raises:
        InvalidInput: an instant without a time zone, or a place that no page gave.
    """

    status: SagaStatus | None
    definition: str | None
    parked: bool | None
    started_before: int | None
    place: tuple[int, str] | None
    limit: int

    @classmethod
    def of(
        cls,
        *,
        status: SagaStatus | None,
        definition: str | None,
        parked: bool | None,
        started_before: datetime | None,
        after: str | None,
        limit: int,
    ) -> Wanted:
        if started_before is not None and started_before.tzinfo is None:
            raise InvalidInput("started_before", problem="an instant without a time zone; pass an aware one")
        before = None if started_before is None else micros(started_before)
        return cls(status, definition, parked, before, None if after is None else place_from(after), limit)

    def conditions(self) -> list[tuple[str, tuple[Value, ...]]]:
        """Return SQL conditions with ``?`` for their values, all of which have to hold."""
        found: list[tuple[str, tuple[Value, ...]]] = []
        if self.status is not None:
            # Said again in the words of the index of the few that have not succeeded, so that it serves.
            few = "" if self.status is SagaStatus.SUCCEEDED else " AND status <> 'succeeded'"
            found.append((f"status = ?{few}", (self.status.value,)))
        if self.definition is not None:
            found.append(("definition = ?", (self.definition,)))
        if self.parked is not None:
            found.append(("parked IS NOT NULL" if self.parked else "parked IS NULL", ()))
        if self.started_before is not None:
            found.append(("started_at < ?", (self.started_before,)))
        if self.place is not None:
            started, saga_id = self.place
            found.append(("started_at <= ? AND (started_at < ? OR saga_id > ?)", (started, started, saga_id)))
        return found

    def takes(self, it: SagaSummary) -> bool:
        """Say whether a summary is wanted: the conditions again, for a store without SQL."""
        started = micros(it.started_at)
        return (
            (self.status is None or it.status is self.status)
            and (self.definition is None or it.definition == self.definition)
            and (self.parked is None or (it.parked is not None) is self.parked)
            and (self.started_before is None or started < self.started_before)
            and (self.place is None or order(it) > (-self.place[0], self.place[1]))
        )


def order(summary: SagaSummary) -> tuple[int, str]:
    """Return the key by which ``find`` sorts."""
    return -micros(summary.started_at), summary.saga_id


def place_after(summary: SagaSummary) -> str:
    """Return what goes into ``after`` to go on behind this saga."""
    return f"{micros(summary.started_at)}:{summary.saga_id}"


def place_from(after: str) -> tuple[int, str]:
    """Return the place that ``place_after`` wrote down, or raise InvalidInput."""
    started, _, saga_id = after.partition(":")
    try:
        place = int(started), check_saga_id(saga_id)
        instant(place[0])
    except (ValueError, OverflowError):
        raise InvalidInput("after", problem=f"{after!r} is not what an earlier page's next said") from None
    return place
