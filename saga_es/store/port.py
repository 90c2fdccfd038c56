"""What the rest of saga_es asks of a store. Synchronous: it is called from one executor hop per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import JsonValue

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Event, Recorded
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.summary import Page, SagaSummary
from saga_es.store.append import Append
from saga_es.store.crew import Crew
from saga_es.store.encoding import StoredRow
from saga_es.store.inbox import Inbox
from saga_es.store.stream import Stream


@dataclass(frozen=True, slots=True)
class Changes:
    """What others appended: the newest version of each stream seen, and where to go on from."""

    position: int
    versions: Mapping[str, int]


class Store(Protocol):
    """The port every store implements; one contract suite (tests/contract) runs against all."""

    @property
    def url(self) -> str:
        """The store's address for messages, without its password."""
        ...

    @property
    def inbox(self) -> Inbox | None:
        """Where starts wait that were asked for in somebody's own transaction; ``None`` where there is none."""
        ...

    @property
    def crew(self) -> Crew | None:
        """Who divides the sagas where several engines may share this store; ``None`` where one has it alone."""
        ...

    def encode(
        self,
        saga_id: str,
        after: int,
        events: Sequence[Event],
        at: datetime,
        metadata: Mapping[str, JsonValue],
        /,
    ) -> tuple[StoredRow, ...]:
        """Return the rows of what was decided at an instant, for an ``Append``; their versions follow ``after``.

        Without I/O, so that it can overlap a commit in flight.
        """
        ...

    def append(self, batch: Sequence[Append]) -> None:
        """Write all of the batch in one transaction and return once it is durable, or write none of it.

        Raises:
            VersionConflict: a stream (``saga_id`` of the error, where it is known) is past what was expected.
            ClaimLost: a row of the inbox is not there to be claimed.
            Fenced: shards are not held any more in the epochs that the batch names.
            StoreUnavailable: the connection failed; whether the batch was committed is unknown.
        """
        ...

    def already_recorded(self, append: Append) -> bool:
        """Whether exactly these events stand in the stream: the read-back after an unknown commit."""
        ...

    def read(self, saga_id: str, *, after: int = 0, upto: int | None = None) -> tuple[Recorded, ...]:
        """Return the stream's events with ``after < version <= upto``; empty if there is none."""
        ...

    def stream(self, saga_id: str, *, after: int = 0) -> Stream:
        """Return the rows with ``version > after``, not decoded yet; none if there is no such stream."""
        ...

    def streams(self, saga_ids: Sequence[str]) -> Mapping[str, Stream]:
        """Return each stream whole, not decoded yet: what is wrong in one concerns no other."""
        ...

    def versions(self, saga_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the last version of each of these sagas that is recorded."""
        ...

    def record_definition(self, definition: SagaDefinition) -> None:
        """Record the plan under its digest unless it is there; a stream of its own."""
        ...

    def definition(self, digest: str) -> SagaDefinition | None: ...

    def summary(self, saga_id: str) -> SagaSummary | None: ...

    def find(
        self,
        *,
        status: SagaStatus | None = None,
        definition: str | None = None,
        parked: bool | None = None,
        started_before: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page: ...

    def open_sagas(self, *, after: str | None = None, limit: int = 1000) -> Sequence[str]:
        """Return ids (ascending) of the sagas that recovery has to look at, from the index alone."""
        ...

    def set_parked(self, saga_id: str, reason: str | None, *, at: datetime) -> None:
        """Show an open saga as parked, or any as not, in the index without an event: incompatible, or set aside."""
        ...

    def position(self) -> int:
        """The end of the log now, for ``changes``."""
        ...

    def changes(self, position: int, *, limit: int = 10_000) -> Changes:
        """Return what was appended after ``position`` by anybody, this process included."""
        ...

    def changed_by_others(self) -> bool:
        """Whether another connection may have committed since the last call; cheap enough to poll."""
        ...

    def claim(self) -> None:
        """Take the one place on this store until ``close``, or raise StoreInUse: a lone engine's, or a copy's."""
        ...

    def close(self) -> None: ...
