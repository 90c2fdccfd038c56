"""How many shards are whose: the same sum in every worker, from what the store says of the crew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from saga_es.store.crew import Member
from saga_es.store.shards import SHARDS, Shard


@dataclass(frozen=True, slots=True)
class Balance:
    """What a worker holds too few of, and too many, by lane."""

    lacking: Mapping[str, int]
    surplus: Mapping[str, int]


def balance(worker: str, holds: Iterable[Shard], members: Collection[Member]) -> Balance:
    """Compare what a worker holds with its share.

    Each lane is divided evenly among those of the ``members``, who live, that can run it; who comes first by id has
    one more where it does not divide.
    """
    held = Counter(shard.lane for shard in holds)
    wanted = {lane: share(worker, lane, members) for lane in _lanes_of(worker, members)}
    differences = {lane: wanted.get(lane, 0) - held[lane] for lane in wanted.keys() | held.keys()}
    return Balance(
        lacking={lane: more for lane, more in sorted(differences.items()) if more > 0},
        surplus={lane: -more for lane, more in sorted(differences.items()) if more < 0},
    )


def share(worker: str, lane: str, members: Collection[Member]) -> int:
    able = sorted(member.worker for member in members if lane in member.lanes)
    each, left = divmod(SHARDS, len(able))
    return each + (able.index(worker) < left)


def _lanes_of(worker: str, members: Iterable[Member]) -> frozenset[str]:
    nothing: frozenset[str] = frozenset()
    return next((member.lanes for member in members if member.worker == worker), nothing)
