"""Where sagas belong that several engines share: found by their shards, placed, and shown as parked."""

from __future__ import annotations

import pytest

from saga_es.store.shards import NO_LANE, Call, Shard, number_of
from tests.support.stores import ENDED, NOON, history, prepare, put
from tests.support.workers import NEW, OLD, ONE, THREE, TWO, A, B, C, id_in, next_of, shared, store

__all__ = ["shared", "store"]


def test_open_sagas_of_shards_come_in_pages_by_their_ids(store):
    ids = sorted(id_in(number, skip=skip) for number in (1, 2, 3) for skip in range(3))
    for saga_id in ids:
        store.append([next_of(store, saga_id, parked="stuck" if saga_id == A else None)])
    put(store, B, history(2)[1:], is_open=False, **ENDED)
    mine = [saga_id for saga_id in ids if number_of(saga_id) in {1, 2} and saga_id != B]
    found: list[tuple[str, str | None]] = []
    while page := store.crew.open_in([ONE, TWO], after=found[-1][0] if found else "", limit=2):
        assert len(page) <= 2
        found += page
    assert found == [(saga_id, "stuck" if saga_id == A else None) for saga_id in mine]
    assert store.crew.open_in([Shard(NEW.key, 1)], after="", limit=9) == []
    assert store.crew.open_in([], after="", limit=9) == []
    assert store.crew.ended([A, B, C, "nobody"]) == [B]


def unplaced(store, after=""):
    return [saga_id for saga_id, _ in store.crew.unplaced(after=after, limit=9)]


def test_a_saga_of_which_the_index_does_not_tell_the_shard_can_be_placed(store):
    for saga_id in (A, B, C):
        put(store, saga_id, history(1), parked="stuck" if saga_id == B else None)
    put(store, "ended", history(1), is_open=False, **ENDED)
    store.append([next_of(store, "placed")])
    first, second, third = sorted([A, B, C])
    assert unplaced(store) == [first, second, third]
    assert unplaced(store, after=first) == [second, third]
    assert len(store.crew.unplaced(after="", limit=2)) == 2
    assert dict(store.crew.unplaced(after="", limit=9))[B] == "stuck"
    assert store.crew.open_in([ONE, TWO], after="", limit=9) == []
    store.crew.place({A: ONE, B: TWO, "nobody": THREE})
    assert unplaced(store) == [C]
    assert store.crew.open_in([ONE, TWO], after="", limit=9) == sorted([(A, None), (B, "stuck")])


def test_what_could_not_be_read_is_looked_at_again_and_placed_once(store):
    for saga_id in (A, B):
        put(store, saga_id, history(1))
    store.crew.place({A: Shard(NO_LANE, 1), B: TWO})
    assert unplaced(store) == [A]
    store.crew.place({A: ONE, B: THREE})
    assert unplaced(store) == []
    assert store.crew.open_in([ONE, TWO, THREE], after="", limit=9) == sorted([(A, None), (B, None)])


@pytest.mark.promise("owner.calls")
def test_the_owner_is_told_of_what_is_placed_in_its_shards(store):
    for saga_id in (A, C):
        put(store, saga_id, history(1))
    store.crew.release("ann", [THREE])
    store.crew.place({A: ONE, C: THREE})
    assert [held.call for held in store.crew.calls("ann", limit=9)] == [Call(A, 1)]


def test_what_follows_leaves_a_saga_where_it_belongs(store):
    store.append([next_of(store, A)])
    put(store, A, history(2)[1:])
    assert unplaced(store) == []
    assert store.crew.open_in([ONE], after="", limit=9) == [(A, None)]


@pytest.mark.promise("owner.deploy")
def test_lanes_that_no_worker_can_run_can_be_shown_as_parked_whole(store):
    assert store.crew.open_lanes() == []
    for saga_id, lane in ((A, OLD), (B, OLD), (C, NEW)):
        shard = Shard(lane.key, number_of(saga_id))
        events = {"expected_version": 0, "events": history(1)}
        append = next_of(store, saga_id)
        store.append([prepare(store, saga_id, **events, summary=append.summary, is_open=True, shard=shard)])
    put(store, B, history(2)[1:], is_open=False, **ENDED)
    assert set(store.crew.open_lanes()) == {OLD.key, NEW.key}
    assert store.crew.going_on(OLD.key) == A
    store.crew.leave("ann")
    store.crew.park(OLD.key, "bob can run it", at=NOON, limit=9)
    assert store.crew.going_on(OLD.key) == A
    store.crew.retire("bob")
    store.crew.park(OLD.key, "no code \0 for it", at=NOON, limit=9)
    assert store.crew.going_on(OLD.key) is None
    assert store.crew.going_on(NEW.key) == C
    assert {it.saga_id: it.parked for it in store.find().items} == {
        A: "no code \ufffd for it",
        B: None,
        C: None,
    }
    store.crew.park(OLD.key, "another reason", at=NOON, limit=9)
    assert store.summary(A).parked == "no code \ufffd for it"
    put(store, A, history(2)[1:], is_open=False, **ENDED)
    assert store.crew.open_lanes() == [NEW.key]


@pytest.mark.promise("owner.deploy")
def test_a_lane_is_shown_as_parked_in_pages(store):
    ids = [id_in(number) for number in range(5)]
    for saga_id in ids:
        store.append([next_of(store, saga_id)])
    store.crew.retire("ann")
    store.crew.retire("bob")
    assert [store.crew.park(OLD.key, "no code", at=NOON, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert {it.parked for it in store.find().items} == {"no code"}


@pytest.mark.promise("owner.deploy")
def test_many_are_shown_as_they_are_at_once_and_what_has_ended_is_never_parked(store):
    for saga_id in (A, B, C):
        store.append([next_of(store, saga_id, parked="no code")])
    put(store, C, history(2)[1:], is_open=False, **ENDED)
    store.crew.show_parked({A: None, B: "its own \0 reason", C: "late", "nobody": None}, at=NOON)
    shown = {it.saga_id: it.parked for it in store.find().items}
    assert shown == {A: None, B: "its own \ufffd reason", C: None}
