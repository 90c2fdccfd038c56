"""The sagas in the process manager's hands, by id and by shard."""

from __future__ import annotations

from collections.abc import Collection

from saga_es.runtime.live import Live
from saga_es.store.shards import Shard, number_of


class Lives(dict[str, Live]):
    """Sagas by id."""

    def of(self, shards: Collection[Shard]) -> list[Live]:
        """Return the sagas of some shards."""
        return [live for live in self.values() if live.shard in shards] if shards else []

    def unread_of(self, shards: Collection[Shard]) -> list[Live]:
        """Return the sagas that are being read for the first time, and may turn out to be of these shards."""
        numbers = {shard.number for shard in shards}
        unread = [it for it in self.values() if it.definition is None and it.busy]
        return [it for it in unread if number_of(it.saga_id) in numbers]

    def busy_shards(self) -> set[Shard]:
        """Return the shards of which something is in flight, or being recorded."""
        busy = (live.shard for live in self.values() if live.busy or live.held)
        return {shard for shard in busy if shard is not None}
