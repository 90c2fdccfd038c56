"""Each lane is divided evenly among the workers that can run it, by the same sum in each of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from saga_es.runtime.shares import Balance, balance, share
from saga_es.store.crew import Member, Process
from saga_es.store.shards import SHARDS, Shard

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OLD, NEW = "v1", "v2"
pytestmark = pytest.mark.promise("owner.shares")


def member(worker: str, *lanes: str) -> Member:
    return Member(
        worker=worker,
        process=Process("here", "", 1, ""),
        lanes=frozenset(lanes),
        lease=timedelta(seconds=15),
        entered_at=NOON,
        heard_at=NOON,
        is_expired=False,
    )


def crew(count: int, *lanes: str) -> list[Member]:
    return [member(f"w{number:03}", *lanes) for number in range(count)]


def shards(lane: str, *numbers: int) -> set[Shard]:
    return {Shard(lane, number) for number in numbers}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 255, 256, 300])
def test_every_shard_has_a_place_and_no_share_is_larger_by_more_than_one(count):
    members = crew(count, OLD)
    shares = [share(it.worker, OLD, members) for it in members]
    assert sum(shares) == SHARDS
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True)  # who comes first by id has one more


def test_the_sum_is_the_same_in_whatever_order_the_store_tells_of_the_members():
    for members in permutations(crew(3, OLD)):
        shares = {it.worker: share(it.worker, OLD, members) for it in members}
        assert shares == {"w000": 86, "w001": 85, "w002": 85}


def test_a_lane_is_divided_among_those_alone_who_can_run_it():
    members = [member("a", OLD), member("b", OLD, NEW), member("c", OLD, NEW), member("d", "another")]
    assert [share(worker, OLD, members) for worker in "abc"] == [86, 85, 85]
    assert [share(worker, NEW, members) for worker in "bc"] == [128, 128]
    assert share("d", "another", members) == 256
    assert balance("a", (), members).lacking == {OLD: 86}
    assert balance("b", (), members).lacking == {OLD: 85, NEW: 128}


def test_who_holds_its_share_lacks_nothing_and_has_nothing_too_many():
    members = crew(2, OLD, NEW)
    holds = shards(OLD, *range(128)) | shards(NEW, *range(100, 228))
    assert balance("w000", holds, members) == Balance({}, {})


def test_what_is_lacking_and_what_is_too_much_is_told_by_lane():
    members = crew(2, OLD, NEW)
    holds = shards(OLD, *range(200)) | shards(NEW, 5, 6)
    assert balance("w001", holds, members) == Balance(lacking={NEW: 126}, surplus={OLD: 72})


def test_a_lane_that_it_can_not_run_is_too_much_whole():
    members = [member("a", NEW), member("b", OLD)]
    assert balance("a", shards(OLD, 1, 2, 3), members).surplus == {OLD: 3}


def test_who_is_leaving_wants_nothing_and_the_others_share_what_it_has():
    leaving, staying = member("a"), member("b", OLD)
    assert balance("a", shards(OLD, *range(128)), [leaving, staying]) == Balance({}, {OLD: 128})
    assert balance("b", shards(OLD, *range(128, 256)), [leaving, staying]) == Balance({OLD: 128}, {})


def test_who_is_no_member_wants_nothing():
    assert balance("gone", shards(OLD, 7), crew(2, OLD)) == Balance({}, {OLD: 1})
    assert balance("gone", (), crew(2, OLD)) == Balance({}, {})


def test_with_more_workers_than_shards_some_have_none():
    members = crew(SHARDS + 1, OLD)
    assert balance("w256", (), members) == Balance({}, {})
    assert balance("w256", shards(OLD, 3), members).surplus == {OLD: 1}
