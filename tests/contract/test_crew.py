"""What a store that several engines share holds of them: members, shards and epochs, and a copy that wants quiet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from saga_es.errors import SagaError, StoreInUse
from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication
from saga_es.store.crew import Owned, Process
from saga_es.store.processes import this_process
from saga_es.store.shards import SHARDS, Fenced, Shard
from tests.integration.cutting_proxy import CuttingProxy
from tests.support.workers import (
    FAR_AWAY,
    HOUR,
    NEW,
    OLD,
    claim,
    fall_silent,
    held,
    id_in,
    join,
    members,
    next_of,
    say,
    shared,
)

__all__ = ["shared"]
PATIENCE = 20  # real seconds until a thread is given up
EVERY = {Shard(OLD.key, number) for number in range(SHARDS)}


@pytest.fixture
def store(shared) -> SagaApplication:
    return shared.open()


def test_one_engine_has_memory_or_a_file_alone_and_postgresql_is_shared(place):
    assert (place.open().crew is None) is (place.kind != "postgresql")


# -- members -----------------------------------------------------------------------------------------


def test_whoever_joins_is_a_member_and_what_it_can_run_is_known(store):
    assert join(store, "ann", OLD, NEW)
    assert join(store, "bob", OLD, lease=timedelta(seconds=3), process=Process("near", "boot/1", 7, "42"))
    muster = store.crew.muster("ann")
    ann, bob = muster.members
    assert (ann.worker, ann.lanes, ann.lease) == ("ann", {OLD.key, NEW.key}, HOUR)
    assert (bob.worker, bob.lanes, bob.lease) == ("bob", {OLD.key}, timedelta(seconds=3))
    assert (ann.process, bob.process) == (FAR_AWAY, Process("near", "boot/1", 7, "42"))
    assert muster.lanes == (OLD, NEW)
    assert muster.holds == {}
    assert not ann.is_expired
    assert ann.heard_at.utcoffset() == timedelta(0)


def test_joining_again_is_being_heard_of(store):
    join(store, "ann")
    (before,) = store.crew.muster("ann").members
    fall_silent(store, "ann")
    assert join(store, "ann")
    (after,) = store.crew.muster("ann").members
    assert after.entered_at == before.entered_at
    assert after.heard_at > before.heard_at


def test_a_beat_says_that_a_worker_lives(store):
    join(store, "ann")
    join(store, "bob")
    fall_silent(store, "ann", "bob")
    assert [it.is_expired for it in store.crew.muster("ann").members] == [True, True]
    assert store.crew.beat("ann")
    assert [it.is_expired for it in store.crew.muster("ann").members] == [False, True]


def test_a_beat_of_no_member_is_refused(store):
    assert not store.crew.beat("nobody")
    assert members(store) == []


def test_who_has_left_is_no_member_and_what_it_could_run_is_still_known(store):
    join(store, "ann", NEW)
    store.crew.leave("ann")
    assert members(store) == []
    assert store.crew.muster("ann").lanes == (NEW,)
    assert not store.crew.beat("ann")


# -- shards ------------------------------------------------------------------------------------------


def test_each_shard_has_one_owner_and_the_first_epoch_is_one(store):
    join(store, "ann")
    join(store, "bob")
    of_ann, of_bob = claim(store, "ann", 100), claim(store, "bob", 256)
    assert (len(of_ann), len(of_bob)) == (100, 156)
    assert of_ann.keys() | of_bob.keys() == EVERY
    assert {*of_ann.values(), *of_bob.values()} == {1}


def test_as_many_as_were_asked_for_are_taken_of_each_lane(store):
    join(store, "ann", OLD, NEW)
    store.crew.claim("ann", {OLD.key: 3, NEW.key: 5}, ())
    store.crew.claim("ann", {OLD.key: 1}, ())
    lanes = [shard.lane for shard in held(store, "ann")]
    assert (lanes.count(OLD.key), lanes.count(NEW.key)) == (4, 5)


def test_what_is_given_back_is_claimed_in_a_later_epoch(store):
    join(store, "ann")
    join(store, "bob")
    mine = sorted(claim(store, "ann"))
    store.crew.release("ann", mine[:5])
    assert held(store, "ann").keys() == {*mine[5:]}
    assert claim(store, "bob") == dict.fromkeys(mine[:5], 2)
    store.crew.release("bob", mine[:1])
    assert claim(store, "ann")[mine[0]] == 3


def test_nobody_gives_back_what_is_anothers(store):
    join(store, "ann")
    join(store, "bob")
    mine = claim(store, "ann", 2)
    store.crew.release("bob", [*mine])
    assert held(store, "ann") == mine


def test_who_is_no_member_gets_nothing(store):
    join(store, "ann")
    assert claim(store, "nobody") == {}
    store.crew.leave("ann")
    assert claim(store, "ann") == {}


def test_leaving_gives_everything_back(store):
    join(store, "ann")
    join(store, "bob")
    claim(store, "ann")
    store.crew.leave("ann")
    assert claim(store, "bob") == dict.fromkeys(EVERY, 2)


def test_who_retires_holds_what_it_has_and_can_run_nothing_more(store):
    join(store, "ann")
    mine = claim(store, "ann", 7)
    store.crew.retire("ann")
    assert store.crew.beat("ann")
    (ann,) = store.crew.muster("ann").members
    assert ann.lanes == frozenset()
    assert held(store, "ann") == mine


@pytest.mark.promise("owner.takeover")
def test_of_the_silent_everything_is_free_and_they_are_members_no_more(store):
    for worker in ("ann", "bob", "cid"):
        join(store, worker)
    claim(store, "ann", 100)
    of_bob = claim(store, "bob", 100)
    fall_silent(store, "ann")
    assert len(claim(store, "cid")) == 156
    assert members(store) == ["bob", "cid"]
    assert held(store, "bob") == of_bob
    assert sorted(held(store, "cid").values()) == [1] * 56 + [2] * 100


@pytest.mark.promise("owner.takeover", "case.crash")
def test_so_it_is_of_those_who_are_known_to_be_dead_however_long_their_lease(store):
    join(store, "ann")
    join(store, "bob")
    claim(store, "ann")
    assert claim(store, "bob") == {}
    assert claim(store, "bob", 10, dead=["ann"]) == {Shard(OLD.key, number): 2 for number in range(10)}
    assert members(store) == ["bob"]
    assert held(store, "ann") == {}


@pytest.mark.promise("owner.takeover")
def test_the_silent_may_be_spared_and_the_dead_are_not(store):
    for worker in ("ann", "bob", "cid"):
        join(store, worker)
    of_ann = claim(store, "ann", 100)
    claim(store, "bob", 100)
    fall_silent(store, "ann")
    store.crew.claim("cid", {OLD.key: 256}, ["bob"], spare_the_silent=True)
    assert members(store) == ["ann", "cid"]
    assert held(store, "ann") == of_ann
    assert len(held(store, "cid")) == 156


def test_the_dead_are_forgotten_by_one_who_wants_nothing(store):
    join(store, "ann")
    join(store, "bob")
    claim(store, "ann")
    store.crew.claim("bob", {}, ["ann"])
    assert members(store) == ["bob"]
    assert held(store, "ann") == {}


def test_who_was_silent_itself_keeps_what_nobody_took(store):
    join(store, "ann")
    mine = claim(store, "ann", 5)
    fall_silent(store, "ann")
    assert claim(store, "ann", 1).items() > mine.items()
    assert members(store) == ["ann"]


# -- who is at work ----------------------------------------------------------------------------------


@pytest.mark.promise("call.workers")
def test_it_is_told_who_is_at_work_and_what_each_owns(store):
    join(store, "zoe", OLD, NEW, lease=timedelta(seconds=9))
    join(store, "ann", process=Process("near", "", 7, ""))
    claim(store, "zoe", 3)
    claim(store, "zoe", 2, NEW)
    claim(store, "ann", 2)
    fall_silent(store, "ann")
    zoe, ann = store.crew.workers()  # the oldest first
    assert (zoe.worker, zoe.lease, zoe.is_alive) == ("zoe", timedelta(seconds=9), True)
    assert zoe.owns == (Owned("trip", 1, (0, 1, 2)), Owned("trip", 2, (0, 1)))
    assert (ann.worker, ann.host, ann.pid, ann.is_alive) == ("ann", "near", 7, False)
    assert ann.owns == (Owned("trip", 1, (3, 4)),)
    assert ann.entered_at > ann.heard_at


# -- a copy wants quiet ------------------------------------------------------------------------------


@pytest.mark.promise("error.StoreInUse")
def test_a_worker_keeps_a_copy_out_and_is_named(shared, store):
    join(store, "ann", process=replace(FAR_AWAY, host="a-host", pid=4711))
    with pytest.raises(StoreInUse) as error:
        shared.open().claim()
    assert error.value.holder == "worker ann at a-host, process 4711"
    store.crew.leave("ann")
    shared.open().claim()


@pytest.mark.promise("owner.fence", "cli.copy")
def test_a_copy_does_not_wait_for_the_dead_and_one_that_was_not_dead_can_write_nothing(shared, store):
    join(store, "ann")
    join(store, "bob", process=replace(this_process(), began="0"))  # another has its number now
    epochs = claim(store, "ann", 100)
    claim(store, "bob")
    append = next_of(store, id_in(7), epoch=epochs[Shard(OLD.key, 7)])
    fall_silent(store, "ann")
    shared.open().claim()
    assert members(store) == []
    with pytest.raises(Fenced):
        store.append([append])
    assert not store.crew.beat("ann")
    assert not join(store, "ann")


@pytest.mark.promise("error.StoreInUse")
def test_while_a_copy_is_at_work_no_worker_joins(shared, store):
    copy = shared.open()
    copy.claim()
    assert not join(store, "ann")
    assert members(store) == []
    assert store.crew.muster("ann").lanes == ()
    with pytest.raises(StoreInUse):
        shared.open().claim()
    copy.close()
    assert join(store, "ann")
    assert len(claim(store, "ann")) == SHARDS


# -- several at the same time ------------------------------------------------------------------------


def all_at_once(*actions) -> None:
    """Do each on a thread of its own, at the same time."""
    together = threading.Barrier(len(actions))

    def act(action) -> None:
        together.wait(PATIENCE)
        action()

    with ThreadPoolExecutor(len(actions)) as threads:
        for each in [threads.submit(act, action) for action in actions]:
            each.result(PATIENCE)


@pytest.mark.promise("owner.shares")
def test_two_claims_at_the_same_time_never_give_one_shard_to_both(shared, store):
    handles = {worker: shared.open() for worker in ("ann", "bob", "cid")}
    for worker in handles:
        join(store, worker)
    epochs = dict.fromkeys(EVERY, 0)
    for _ in range(10):
        all_at_once(*(lambda it=it, worker=worker: claim(it, worker, 200) for worker, it in handles.items()))
        holds = {worker: held(store, worker) for worker in handles}
        owned = [shard for shards in holds.values() for shard in shards]
        assert sorted(owned) == sorted(EVERY)
        for shards in holds.values():
            for shard, epoch in shards.items():
                assert epoch == epochs[shard] + 1
                epochs[shard] = epoch
        all_at_once(
            *(lambda it=it, worker=worker: it.crew.release(worker, EVERY) for worker, it in handles.items())
        )


def test_many_come_and_go_at_the_same_time_and_nobody_waits_for_ever(shared, store):
    def come_and_go(worker: str) -> None:
        mine = shared.open()
        for _ in range(5):
            assert join(mine, worker, OLD, NEW)
            mine.crew.claim(worker, {OLD.key: 90, NEW.key: 90}, ())
            mine.append([next_of(mine, f"of-{worker}")])
            mine.crew.release(worker, sorted(held(mine, worker), reverse=True)[:50])
            mine.crew.leave(worker)

    all_at_once(*(lambda worker=worker: come_and_go(worker) for worker in ("ann", "bob", "cid", "dan")))
    assert members(store) == []
    assert say(store, "SELECT count(*) FROM {shards} WHERE owner IS NOT NULL") == [{"count": 0}]
    assert {len(store.read(f"of-{worker}")) for worker in ("ann", "bob", "cid", "dan")} == {5}


def live_through(dsn: str) -> None:
    """All that a worker says to a store; whatever becomes of its connections."""
    with suppress(SagaError):
        mine = open_store(dsn)
        try:
            join(mine, "stopped")
            epochs = claim(mine, "stopped", 100)
            mine.append([next_of(mine, id_in(7), epoch=epochs.get(Shard(OLD.key, 7), 0))])
            mine.append([next_of(mine, id_in(7))])
            mine.crew.beat("stopped")
            mine.crew.calls(
                "stopped", limit=10, answered=[it.number for it in mine.crew.calls("stopped", limit=10)]
            )
            mine.crew.release("stopped", [*epochs][50:])
            mine.crew.retire("stopped")
            mine.crew.leave("stopped")
        finally:
            mine.close()


def test_nobody_waits_for_one_that_was_stopped_wherever_that_was(postgres_url):
    """As a process is that was sent SIGSTOP, or a machine that sleeps: its connections are there, and are mute."""
    store = open_store(postgres_url, migrate=True)
    for at in count(1):
        is_stopped, may_end = threading.Event(), threading.Event()

        def stop(is_stopped=is_stopped, may_end=may_end) -> None:
            is_stopped.set()
            may_end.wait()

        with (
            ThreadPoolExecutor(2) as threads,
            CuttingProxy(postgres_url, stop, side="request", at=at) as proxy,
        ):
            living = threads.submit(live_through, proxy.dsn)
            while not (is_stopped.is_set() or living.done()):
                is_stopped.wait(0.005)
            try:
                others = threads.submit(claim_and_append, store)
                others.result(PATIENCE)
            finally:
                may_end.set()
            living.result(PATIENCE)
        if not proxy.has_cut:
            break
    store.close()
    assert at > 15  # messages that it takes


def claim_and_append(store: SagaApplication) -> None:
    join(store, "other")
    epochs = claim(store, "other", 256, dead=["stopped"])
    assert len(epochs) == SHARDS
    saga_id = id_in(7, "other")
    store.append([next_of(store, saga_id, epoch=epochs[Shard(OLD.key, 7)])])
    store.append([next_of(store, saga_id)])
    store.crew.leave("other")
