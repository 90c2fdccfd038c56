"""Which sagas are this engine's to move on: all of a store it has alone, or its shards of one that is shared."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Protocol

from pydantic import JsonValue

from saga_es.runtime.recording import NOBODY
from saga_es.store.shards import Shard


class Ownership(Protocol):
    """Asked by whoever decides, dispatches and appends."""

    @property
    def is_shared(self) -> bool:
        """Whether other engines may be at work on this store."""
        ...

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken what is held; else the store is asked before a command is decided."""
        ...

    def holds(self, shard: Shard | None, /) -> bool:
        """Whether a saga of this shard is this engine's to move on.

        ``None`` where its plan is not known, or the store is one engine's alone.
        """
        ...

    def may_begin(self, shard: Shard | None, /) -> bool:
        """Whether attempts may begin: it holds the shard, and is not about to give it back."""
        ...

    def epoch(self, shard: Shard | None, /) -> int | None:
        """Return the epoch that appends to a saga of this shard have to name; ``None`` where none is needed."""
        ...

    def metadata(self, shard: Shard | None, /) -> Mapping[str, JsonValue]:
        """Return what is recorded with events of a saga of this shard: who moved it on, and in which epoch."""
        ...


class Alone:
    """One engine, all sagas."""

    is_shared = False
    is_sure = True

    def holds(self, _: Shard | None, /) -> bool:
        return True

    def may_begin(self, _: Shard | None, /) -> bool:
        return True

    def epoch(self, _: Shard | None, /) -> int | None:
        return None

    def metadata(self, _: Shard | None, /) -> Mapping[str, JsonValue]:
        return NOBODY


class Holds:
    """What one worker holds of a shared store, as far as it knows.

    It may know too late, and does no harm by that: its commits are checked against the store's own word.

    Attributes:
        worker: its id.
        leaving: shards that are given back as soon as nothing of theirs is in flight.
        sure_until: when its lease is over, by this process's monotonic clock, unless the store hears of it before.
    """

    is_shared = True

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.leaving: set[Shard] = set()
        self.sure_until = -math.inf
        self._epochs: dict[Shard, int] = {}
        self._over: dict[Shard, int] = {}  # the newest epoch of a shard that a commit was refused for
        self._metadata: dict[int, Mapping[str, JsonValue]] = {}

    @property
    def is_sure(self) -> bool:
        return time.monotonic() < self.sure_until

    @property
    def shards(self) -> frozenset[Shard]:
        return frozenset(self._epochs)

    def holds(self, shard: Shard | None, /) -> bool:
        return shard in self._epochs

    def may_begin(self, shard: Shard | None, /) -> bool:
        return shard in self._epochs and shard not in self.leaving

    def epoch(self, shard: Shard | None, /) -> int | None:
        return None if shard is None else self._epochs.get(shard)

    def metadata(self, shard: Shard | None, /) -> Mapping[str, JsonValue]:
        epoch = self.epoch(shard)
        if epoch is None:
            return NOBODY
        if epoch not in self._metadata:
            self._metadata[epoch] = {"worker": self.worker, "epoch": epoch}
        return self._metadata[epoch]

    @property
    def epochs(self) -> Mapping[Shard, int]:
        """What is held now, to be compared with what is later."""
        return dict(self._epochs)

    def lose(self, shard: Shard, epoch: int) -> bool:
        """Note that an epoch is over; false where it was known, or a newer one has begun."""
        self._over[shard] = max(epoch, self._over.get(shard, epoch))
        if self._epochs.get(shard) != epoch:
            return False
        self.drop([shard])
        return True

    def drop(self, shards: Collection[Shard]) -> None:
        for shard in shards:
            self._epochs.pop(shard, None)
            self.leaving.discard(shard)

    def take(self, told: Mapping[Shard, int]) -> tuple[set[Shard], set[Shard]]:
        """Hold what the store says, and return what was gained by that, and what was lost.

        A shard that is held in another epoch than before was lost in between, and is gained anew. What the store said
        before a commit was refused is not taken for what it says since.
        """
        over = self._over
        held = {shard: epoch for shard, epoch in told.items() if shard not in over or epoch > over[shard]}
        lost = {shard for shard, epoch in self._epochs.items() if held.get(shard) != epoch}
        self.drop(lost)
        gained = {shard for shard in held if shard not in self._epochs}
        self._epochs.update((shard, held[shard]) for shard in gained)
        return gained, lost
