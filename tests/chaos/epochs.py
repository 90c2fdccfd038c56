"""Whose the sagas were: what the metadata of their events say of workers and epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import psycopg

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded
from saga_es.store.shards import Shard

DISPATCHES = ("StepDispatched", "CompensationDispatched")
IN_ORDER = "SELECT originator_id, originator_version FROM saga_log ORDER BY notification_id"

Mark = tuple[int, str]
"""An epoch, and the worker that recorded an event in it."""


def marks_of(events: Sequence[Recorded]) -> dict[int, Mark]:
    """Return, by version, the marks of those events that a saga's owner recorded."""
    owned = [event for event in events if "epoch" in event.metadata]
    return {it.version: (int(str(it.metadata["epoch"])), str(it.metadata["worker"])) for it in owned}


def check_marks(marks: Sequence[Mark]) -> list[str]:
    """Return what is wrong with them, in the order of the log: an old epoch after a new one, or one of two workers."""
    found = [f"epoch {after} after {before}" for (before, _), (after, _) in pairwise(marks) if after < before]
    workers: dict[int, set[str]] = {}
    for epoch, worker in marks:
        workers.setdefault(epoch, set()).add(worker)
    return found + [f"epoch {epoch} is of {sorted(them)}" for epoch, them in workers.items() if len(them) > 1]


@dataclass
class Epochs:
    """Gathers the marks of sagas, and looks at them saga by saga and shard by shard.

    Attributes:
        takeovers: how often a saga went on in another epoch than before.
    """

    takeovers: int = 0
    _of_shards: dict[tuple[str, int], tuple[Shard, Mark]] = field(default_factory=dict)

    def complaints(self, definition: SagaDefinition, saga_id: str, events: Sequence[Recorded]) -> list[str]:
        """Return what is wrong with a saga's marks: its owner alone dispatches, and no old one after a new one."""
        marks = marks_of(events)
        shard = Shard.of(definition, saga_id)
        self._of_shards.update({(saga_id, version): (shard, mark) for version, mark in marks.items()})
        self.takeovers += max(len(set(marks.values())) - 1, 0)
        nobodys = [it for it in events if it.type in DISPATCHES and it.version not in marks]
        return check_marks([*marks.values()]) + [
            f"nobody's {it.type}, version {it.version}" for it in nobodys
        ]

    def complaints_of_shards(self, store: str) -> list[str]:
        """Return the same of all sagas of a shard together, in the order of the log."""
        marks: dict[Shard, list[Mark]] = {}
        with psycopg.connect(store) as db:
            for place in db.execute(IN_ORDER):
                if place in self._of_shards:
                    shard, mark = self._of_shards[place]
                    marks.setdefault(shard, []).append(mark)
        return [f"shard {shard}: {text}" for shard, them in marks.items() for text in check_marks(them)]
