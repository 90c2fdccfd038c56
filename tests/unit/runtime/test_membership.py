"""What a worker makes of the others' silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from saga_es import Settings
from saga_es.errors import StoreUnavailable
from saga_es.runtime import membership
from saga_es.runtime.membership import Membership
from saga_es.runtime.ownership import Holds
from saga_es.store.crew import Member, Muster, Process
from saga_es.store.shards import SHARDS, Lane, Shard

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
    is_away: bool = False
    claims_fail: bool = False
    claims: list[set[str]] = field(default_factory=list)  # who was named as dead

    def beat(self, worker: str) -> bool:
        if self.is_away:
            raise StoreUnavailable("postgresql://", problem="away")
        return True

    def muster(self, worker: str) -> Muster:
        me = replace(self.other, worker=worker, is_expired=False)
        return Muster((me, self.other), {it: 1 for it, who in self.owners.items() if who == worker}, (LANE,))

    def claim(
        self, worker: str, wanted: Mapping[str, int], dead: Collection[str], *, spare_the_silent: bool
    ) -> None:
        if self.claims_fail:
            raise StoreUnavailable("postgresql://", problem="appends take long")
        self.claims.append({*dead})
        if "other" in dead or (self.other.is_expired and not spare_the_silent):
            self.owners = {it: worker if who == "other" else who for it, who in self.owners.items()}

    def release(self, worker: str, shards: Collection[Shard]) -> None: ...


class Aside:
    async def read(self, function: Callable[[], T]) -> T:
        return function()


class Hands:
    def busy_shards(self) -> set[Shard]:
        return set()

    def lose(self, shards: Collection[Shard]) -> None: ...
    def resume(self, shards: Collection[Shard]) -> None: ...
    def sure(self) -> None: ...


def half_and_half() -> Crew:
    shards = [Shard(LANE.key, number) for number in range(SHARDS)]
    return Crew(owners={it: "me" if it.number % 2 else "other" for it in shards})


def member_of(crew: Crew, observed: list[Sequence[Member]]) -> Membership:
    return Membership(
        crew, Holds("me"), lanes=[LANE], aside=Aside(), hands=Hands(), settings=Settings(lease=LEASE),
        chance=lambda: 0.5, url="postgresql://", gain=lambda _: None,
        observe=lambda living, _: observed.append(living),
    )  # fmt: skip


def rounds(silences: Sequence[float]) -> list[int]:
    """Return how many shards a worker holds after each round; before each the store had not heard of it for so long."""

    async def main() -> list[int]:
        crew, held = half_and_half(), []
        member = member_of(crew, [])
        await member.look_round()
        crew.other = replace(OTHER, is_expired=True)
        for silence in silences:
            member._heard -= silence
            await member.look_round()
            held.append(len(member._holds.shards))
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


def test_whether_one_is_still_silent_when_its_shards_are_claimed_is_the_stores_to_say():
    async def main() -> list[set[str]]:
        crew = half_and_half()
        crew.other = replace(OTHER, is_expired=True)
        await member_of(crew, []).look_round()
        return crew.claims

    assert asyncio.run(main()) == [set()]


def test_a_process_that_is_known_to_be_dead_is_named(monkeypatch):
    async def main() -> list[set[str]]:
        crew = half_and_half()
        monkeypatch.setattr(membership, "is_dead", lambda process: process == OTHER.process)
        await member_of(crew, []).look_round()
        return crew.claims

    assert asyncio.run(main()) == [{"other"}]


@pytest.mark.promise("case.store-goes-away")
def test_a_store_that_is_away_is_asked_less_and_less_often_and_at_every_beat_at_least(monkeypatch):
    async def main() -> list[float | None]:
        crew, delays = half_and_half(), []
        member = member_of(crew, [])
        monkeypatch.setattr(member, "_set_timer", delays.append)

        async def look() -> float | None:
            member.begin_soon()
            await member._round
            return delays[-1]

        crew.is_away = True
        away = [await look() for _ in range(8)]
        crew.is_away = False
        back = [await look()]
        crew.is_away = True
        return [*away, *back, await look()]

    beat = LEASE.total_seconds() / 3 * 0.9
    assert asyncio.run(main()) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, beat, beat, beat, 0.1])


@pytest.mark.promise("owner.takeover")
def test_a_worker_is_sure_of_what_it_holds_for_a_lease_from_when_it_said_that_it_lives(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def main() -> list[bool]:
        nonlocal now
        member = member_of(half_and_half(), [])
        sure = [member._holds.is_sure]
        await member.look_round()
        for _ in range(2):
            sure.append(member._holds.is_sure)
            now += LEASE.total_seconds()
        return sure

    assert asyncio.run(main()) == [False, True, False]


@pytest.mark.promise("owner.takeover")
def test_what_was_lost_is_known_though_nothing_can_be_claimed():
    async def main() -> tuple[int, bool]:
        crew = half_and_half()
        member = member_of(crew, [])
        await member.look_round()
        crew.owners = dict.fromkeys(crew.owners, "other")
        crew.claims_fail = True
        crew.other = replace(OTHER, is_expired=True)
        with pytest.raises(StoreUnavailable):
            await member.look_round()
        return len(member._holds.shards), member._holds.is_sure

    assert asyncio.run(main()) == (0, True)
