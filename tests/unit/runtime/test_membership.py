"""What a worker makes of the others' silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from saga_es import Settings
from saga_es.runtime.membership import Membership
from saga_es.runtime.ownership import Holds
from saga_es.store.crew import SHARDS, Lane, Member, Muster, Process, Shard

T = TypeVar("T")
LANE = Lane("lane", "trip", 1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEASE = timedelta(seconds=15)
OTHER = Member("other", Process("far", "", 1, ""), frozenset({LANE.key}), LEASE, NOON, NOON, is_expired=False)


@dataclass
class Crew:
    """The store's side, in memory: two members, and who owns which shard."""

    other: Member = OTHER
    owners: dict[Shard, str] = field(default_factory=dict)

    def beat(self, worker: str) -> bool:
        return True

    def muster(self, worker: str) -> Muster:
        me = replace(self.other, worker=worker, is_expired=False)
        return Muster((me, self.other), {it: 1 for it, who in self.owners.items() if who == worker}, (LANE,))

    def claim(
        self, worker: str, wanted: Mapping[str, int], dead: Collection[str], *, spare_the_silent: bool
    ) -> None:
        if "other" in dead or (self.other.is_expired and not spare_the_silent):
            self.owners = {it: worker if who == "other" else who for it, who in self.owners.items()}

    def release(self, worker: str, shards: Collection[Shard]) -> None: ...


class Loader:
    async def read(self, function: Callable[[], T]) -> T:
        return function()


class Hands:
    def busy_shards(self) -> set[Shard]:
        return set()

    def lose(self, shards: Collection[Shard]) -> None: ...
    def resume(self, shards: Collection[Shard]) -> None: ...


def half_and_half() -> Crew:
    shards = [Shard(LANE.key, number) for number in range(SHARDS)]
    return Crew(owners={it: "me" if it.number % 2 else "other" for it in shards})


def member_of(crew: Crew, observed: list[Sequence[Member]]) -> Membership:
    return Membership(
        crew, Holds("me"), lanes=[LANE], loader=Loader(), hands=Hands(), settings=Settings(lease=LEASE),
        chance=lambda: 0.5, url="postgresql://", gain=lambda _: None,
        observe=lambda living, _: observed.append(living),
    )  # fmt: skip


def rounds(silences: Sequence[float]) -> list[int]:
    """Return how many shards a worker holds after each round; before each the store had not heard of it for so long."""

    async def main() -> list[int]:
        crew, held = half_and_half(), []
        membership = member_of(crew, [])
        await membership.look_round()
        crew.other = replace(OTHER, is_expired=True)
        for silence in silences:
            membership._heard -= silence
            await membership.look_round()
            held.append(len(membership._holds.shards))
        return held

    return asyncio.run(main())


@pytest.mark.promise("owner.takeover")
def test_who_is_silent_past_its_lease_is_taken_for_dead_at_once():
    assert rounds([5]) == [SHARDS]


@pytest.mark.promise("owner.takeover", "case.store-goes-away")
def test_after_an_outage_longer_than_a_lease_the_others_have_a_beats_time_to_be_heard_of():
    assert rounds([20, 5]) == [SHARDS // 2, SHARDS]


@pytest.mark.promise("owner.takeover")
def test_who_looks_seldom_itself_does_not_spare_the_silent_for_ever():
    assert rounds([20, 20]) == [SHARDS // 2, SHARDS]
