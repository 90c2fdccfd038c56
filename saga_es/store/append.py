from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saga_es.model.base import reduced
from saga_es.model.summary import SagaSummary
from saga_es.store.encoding import StoredRow
from saga_es.store.shards import Shard


@dataclass(init=False, slots=True, unsafe_hash=True)
class Append:
    """Events of one saga, encoded and ready for a transaction.

    Attributes:
        expected_version: the version the stream has to be at; the events follow it without gaps.
        summary: the saga's new index row, or ``None`` where what it shows did not change.
        is_open: whether recovery has to look at this saga (goes into the index row).
        shard: the saga's, where several engines share the store.
        epoch: in which the shard is held by whoever appends: fenced by it. ``None`` where the version alone is
            checked, and the shard's owner is told.
        claims: rows of the inbox that go in the same transaction, or nothing of it is written.
    """

    saga_id: str
    expected_version: int
    events: tuple[StoredRow, ...]
    summary: SagaSummary | None
    is_open: bool
    shard: Shard | None
    epoch: int | None
    claims: tuple[int, ...]

    # Written out, since what a dataclass makes of it is never compiled.
    def __init__(  # noqa: PLR0917 - a record's fields
        self,
        saga_id: str,
        expected_version: int,
        events: tuple[StoredRow, ...],
        summary: SagaSummary | None,
        is_open: bool,  # noqa: FBT001
        shard: Shard | None = None,
        epoch: int | None = None,
        claims: tuple[int, ...] = (),
    ) -> None:
        self.saga_id, self.expected_version, self.events = saga_id, expected_version, events
        self.summary, self.is_open = summary, is_open
        self.shard, self.epoch, self.claims = shard, epoch, claims

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return reduced(self)
