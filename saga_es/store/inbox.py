"""The inbox: starts that were asked for in somebody's own transaction, until an engine claims them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from saga_es.errors import SagaError

INBOX: Final = "saga_inbox"
START: Final = "saga_start"


@dataclass(frozen=True, slots=True)
class AskedStart:
    """A row of the inbox, as it was committed; nothing in it has been checked.

    Attributes:
        number: of the row.
        version: of the definition; ``None`` for the highest that the engine knows.
        text: the input as JSON.
    """

    number: int
    saga_id: str
    definition: str
    version: int | None
    text: str


@dataclass(frozen=True, slots=True)
class HeldStart:
    """A saga waits in the inbox: to be started, or set aside with an ``error``."""

    error: str | None


class ClaimLost(SagaError):
    """A row of the inbox is not there to be claimed: taken by another engine, removed, or in somebody's hands."""

    def __init__(self) -> None:
        super().__init__(
            "a row of the inbox was taken by somebody else meanwhile; nothing of this append was recorded. "
            "Look at the inbox again."
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Of the starts of one definition and version, those that fall to a worker.

    Attributes:
        is_highest: whether it is the version for rows that ask for none.
        shards: numbers, of 256.
    """

    definition: str
    version: int
    is_highest: bool
    shards: Collection[int]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows of the inbox are looked for.

    Attributes:
        beside: rows in hand, which are not.
        mine: those that are.
        known: definitions and versions that any worker knows, or knew a moment ago.
        unknown: whether what asks for another is looked for, too.
    """

    beside: Collection[int]
    mine: Collection[Part]
    known: Collection[tuple[str, int]]
    unknown: bool


class InboxRows(Protocol):
    """What the inbox asks of a recorder that has one."""

    def select_asked(self, limit: int, scope: Scope) -> Sequence[AskedStart]: ...
    def select_held(self, saga_id: str) -> HeldStart | None: ...
    def delete_asked(self, numbers: Sequence[int]) -> None: ...
    def update_error(self, number: int, error: str, at: datetime, *, only_unknown: bool) -> None: ...


class Inbox:
    """What the runtime asks of an inbox; synchronous, as all of a store.

    A row that is started goes in the transaction of its first events: ``Append.claims``.

    Args:
        rows: the recorder's.
        reaching: turns what a database says into our errors.
    """

    def __init__(self, rows: InboxRows, reaching: Callable[[], AbstractContextManager[None]]) -> None:
        self._rows, self._reaching = rows, reaching

    def waiting(self, limit: int, scope: Scope) -> Sequence[AskedStart]:
        """Return the first rows in a scope that wait to be started; none is claimed by that."""
        with self._reaching():
            return self._rows.select_asked(limit, scope)

    def held(self, saga_id: str) -> HeldStart | None:
        """Return how a saga waits here, or ``None`` if it does not."""
        if not saga_id.isprintable():
            return None
        with self._reaching():
            return self._rows.select_held(saga_id)

    def remove(self, numbers: Collection[int]) -> None:
        """Remove rows of sagas that were started before; those that are gone already are no matter."""
        with self._reaching():
            self._rows.delete_asked(list(numbers))

    def set_aside(self, number: int, error: str, *, at: datetime, only_unknown: bool = False) -> None:
        """Leave a row for an operator, with why it can't be started.

        With ``only_unknown`` not where the store knows of a worker that has the definition: it came just now.
        """
        with self._reaching():
            self._rows.update_error(number, error, at, only_unknown=only_unknown)
