"""What is owned where several engines share a store, and what an append says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from saga_es.errors import SagaError
from saga_es.model.definition import SagaDefinition

SHARDS: Final = 256
"""Of each lane."""

NO_LANE: Final = ""
"""Where sagas are that can't be read: nobody's."""


class Shard(NamedTuple):
    """What is owned: a part of the sagas that the same code can go on with.

    Attributes:
        lane: of their definition: its name, version and structure. A worker owns of those it knows
            alone, so that a deploy can go on with old and new workers side by side.
        number: from the saga's id, 0 to 255.
    """

    lane: str
    number: int

    @classmethod
    def of(cls, definition: SagaDefinition, saga_id: str) -> Shard:
        return cls(definition.lane, number_of(saga_id))


Fence = tuple[Shard, int]
"""A shard, and the epoch in which it is held."""


def number_of(saga_id: str) -> int:
    """Return a saga's shard among those of its lane: the first byte of its id's MD5."""
    return hashlib.md5(saga_id.encode(), usedforsecurity=False).digest()[0]


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane, and what it is called for people."""

    key: str
    definition: str
    version: int

    @classmethod
    def of(cls, definition: SagaDefinition) -> Lane:
        return cls(definition.lane, definition.name, definition.version)


class Call(NamedTuple):
    """Somebody else than its owner appended to a saga.

    Attributes:
        version: which it has by that, at least.
    """

    saga_id: str
    version: int


class HeldCall(NamedTuple):
    """A call that waits for the saga's owner, by its number."""

    number: int
    call: Call


class Fenced(SagaError):
    """Shards were lost before a commit: what was to be appended to their sagas is another worker's to decide."""

    def __init__(self, lost: Collection[Fence]) -> None:
        self.lost = frozenset(lost)
        listed = ", ".join(f"{shard.lane}/{shard.number} epoch {epoch}" for shard, epoch in sorted(self.lost))
        super().__init__(
            f"another worker has taken over what this one held ({listed}); nothing was recorded."
        )


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes into a batch's transaction beside its events and index rows.

    Attributes:
        claims: rows of the inbox to be removed.
        fences: what has to be held still, or nothing is written.
        calls: for the owners: which sagas were appended to by others than these.
    """

    claims: Sequence[int] = ()
    fences: Sequence[Fence] = ()
    calls: Sequence[tuple[Shard, Call]] = ()


NOTHING: Final = Beside()
