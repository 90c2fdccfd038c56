"""Appends where several engines share a store: fenced by epochs, told to owners, and shown where each saga belongs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue
from typing import TypeVar

import pytest

from saga_es.errors import SagaError, VersionConflict
from saga_es.store.application import SagaApplication
from saga_es.store.shards import Call, Fenced, Shard
from tests.support.stores import history, prepare, put, summary
from tests.support.workers import (
    NEW,
    OLD,
    ONE,
    TWO,
    A,
    B,
    C,
    claim,
    fall_silent,
    id_in,
    join,
    next_of,
    say,
    shared,
    store,
)

__all__ = ["shared", "store"]
T = TypeVar("T")
PATIENCE = 20  # real seconds until a thread is given up
WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
NOBODYS = Shard(NEW.key, 7)  # of a lane that no worker ever had


class Waiting:
    """While nobody appends or claims, what is added waits for its turn, in the order it came."""

    def __init__(self, store: SagaApplication, threads: ThreadPoolExecutor) -> None:
        self._store, self._threads, self._count = store, threads, 0

    def add(self, action: Callable[[], T]) -> Future[T]:
        self._count += 1
        added = self._threads.submit(action)
        while say(self._store, WAITING) != [{"count": self._count}]:
            assert not added.done(), added.exception()
        return added


@contextmanager
def queueing(store: SagaApplication) -> Generator[Waiting]:
    """Hold the lock that appends and claims take one after another; all that waits is done at the end."""
    key = store.recorder._say.lock_key("append")
    with ThreadPoolExecutor() as threads, store.recorder.datastore.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (key,))
        yield Waiting(store, threads)
        holder.execute("SELECT pg_advisory_unlock(%s)", (key,))


def hand_over(store: SagaApplication, *shards: Shard) -> None:
    """Have bob hold these in the epoch that follows."""
    store.crew.release("ann", shards)
    claim(store, "bob", len(shards))


def written(store: SagaApplication, *saga_ids: str) -> list[int]:
    versions = store.versions(saga_ids)
    return [versions.get(saga_id, 0) for saga_id in saga_ids]


# -- fences ------------------------------------------------------------------------------------------


@pytest.mark.promise("owner.fence")
def test_whoever_holds_a_shard_appends_and_whoever_has_lost_it_does_not(store):
    store.append([next_of(store, A, epoch=1)])
    hand_over(store, ONE)
    with pytest.raises(Fenced) as error:
        store.append([next_of(store, A, epoch=1)])
    assert error.value.lost == {(ONE, 1)}
    assert f"{OLD.key}/1 epoch 1" in str(error.value)
    assert written(store, A) == [1]
    store.append([next_of(store, A, epoch=2)])
    assert written(store, A) == [2]


@pytest.mark.parametrize("epoch", [0, 2, 7])
def test_an_epoch_that_is_not_the_shards_is_refused(store, epoch):
    with pytest.raises(Fenced):
        store.append([next_of(store, A, epoch=epoch)])


def test_a_shard_of_a_lane_that_nobody_ever_knew_can_not_be_held(store):
    append = prepare(
        store,
        A,
        expected_version=0,
        events=history(1),
        summary=None,
        is_open=True,
        shard=Shard("?", 1),
        epoch=0,
    )
    with pytest.raises(Fenced):
        store.append([append])


def test_of_a_batch_that_is_half_lost_nothing_is_written_and_the_lost_are_named(store):
    hand_over(store, ONE, TWO)
    batch = [next_of(store, saga_id, epoch=1) for saga_id in (C, A, B)]
    called = next_of(store, id_in(3, skip=1))
    with pytest.raises(Fenced) as error:
        store.append([*batch, called])
    assert error.value.lost == {(ONE, 1), (TWO, 1)}
    assert written(store, A, B, C, called.saga_id) == [0, 0, 0, 0]
    assert store.find().items == ()
    assert calls_of(store, "ann") == []
    store.append([batch[0], called])
    assert written(store, C, called.saga_id) == [1, 1]


def test_of_two_epochs_of_one_shard_in_a_batch_the_older_alone_is_lost(store):
    hand_over(store, ONE)
    older = next_of(store, A, epoch=1)
    newer = next_of(store, id_in(1, skip=1), epoch=2)
    with pytest.raises(Fenced) as error:
        store.append([older, newer])
    assert error.value.lost == {(ONE, 1)}
    assert written(store, A, newer.saga_id) == [0, 0]
    store.append([newer])


def test_a_shard_is_lost_before_a_version_is_taken(store):
    """Who is told of a conflict reads back and decides again, and who has lost the shard must not."""
    stale = next_of(store, A, epoch=1)
    store.append([stale])
    with pytest.raises(VersionConflict):
        store.append([stale])
    hand_over(store, ONE)
    with pytest.raises(Fenced):
        store.append([stale])


def test_a_row_of_the_inbox_stays_where_its_append_was_refused(store):
    say(store, "INSERT INTO {inbox} (saga_id, definition, input) VALUES (%s, 'trip', '1')", A)
    (number,) = say(store, "SELECT number FROM {inbox}")[0].values()
    hand_over(store, ONE)
    with pytest.raises(Fenced):
        store.append([next_of(store, A, epoch=1, claims=(number,))])
    assert say(store, "SELECT number FROM {inbox}") == [{"number": number}]
    store.append([next_of(store, A, epoch=2, claims=(number,))])
    assert say(store, "SELECT number FROM {inbox}") == []


@pytest.mark.promise("owner.fence")
def test_a_claim_between_an_appends_first_look_and_its_turn_is_seen(shared, store):
    """A statement looks at the state of when it was sent, unless it is told not to; it may wait for its turn long."""
    append = next_of(store, A, epoch=1)
    fall_silent(store, "ann")
    with queueing(store) as queue:
        claimed = queue.add(lambda: claim(shared.open(), "bob"))
        refused = queue.add(lambda: store.append([append]))
    assert claimed.result()[ONE] == 2
    assert isinstance(refused.exception(), Fenced)
    assert written(store, A) == [0]


def test_an_append_that_had_its_turn_before_a_claim_is_written(shared, store):
    append = next_of(store, A, epoch=1)
    fall_silent(store, "ann")
    with queueing(store) as queue:
        first = queue.add(lambda: store.append([append]))
        claimed = queue.add(lambda: claim(shared.open(), "bob"))
    assert first.exception() is None
    assert claimed.result()[ONE] == 2
    assert written(store, A) == [1]
    with pytest.raises(Fenced):
        store.append([next_of(store, A, epoch=1)])


# -- calls -------------------------------------------------------------------------------------------


def calls_of(store: SagaApplication, worker: str, limit: int = 9) -> list[Call]:
    return [held.call for held in store.crew.calls(worker, limit=limit)]


@pytest.mark.promise("owner.calls")
def test_what_others_append_is_told_to_the_owner_alone_the_oldest_first(store):
    hand_over(store, ONE)
    store.append([next_of(store, B)])
    store.append([next_of(store, A), next_of(store, C)])
    store.append([next_of(store, A)])
    assert calls_of(store, "nobody") == []
    assert calls_of(store, "bob") == [Call(A, 1), Call(A, 2)]
    assert calls_of(store, "ann") == [Call(B, 1), Call(C, 1)]
    assert calls_of(store, "ann", 1) == [Call(B, 1)]


def test_it_is_told_until_it_is_answered_and_then_never_again(store):
    for saga_id in (A, B, C):
        store.append([next_of(store, saga_id)])
    first, second = store.crew.calls("ann", limit=2)
    assert store.crew.calls("ann", limit=2) == [first, second]
    told = store.crew.calls("ann", limit=2, answered=[second.number])
    assert (told[0], told[1].call) == (first, Call(C, 1))
    assert calls_of(store, "ann") == [Call(A, 1), Call(C, 1)]
    assert store.crew.calls("ann", limit=2, answered=[first.number, second.number]) == told[1:]
    store.append([next_of(store, A)])
    assert calls_of(store, "ann") == [Call(C, 1), Call(A, 2)]


def test_a_saga_is_told_of_once_for_all_that_one_batch_appends_to_it(store):
    first = next_of(store, A)
    events = history(3)[1:]
    second = prepare(store, A, expected_version=1, events=events, summary=None, is_open=True, shard=ONE)
    store.append([first, second])
    assert calls_of(store, "ann") == [Call(A, 3)]


def test_what_an_owner_appends_itself_is_told_to_nobody(store):
    store.append([next_of(store, A, epoch=1)])
    put(store, "a-copy", history(2))  # whose shard nobody said
    assert say(store, "SELECT * FROM {calls}") == []


def test_a_call_waits_for_whoever_owns_the_shard_next(store):
    store.append([next_of(store, A)])
    store.crew.release("ann", [ONE])
    assert calls_of(store, "ann") == []
    store.append([next_of(store, A)])
    hand_over(store, ONE)
    assert calls_of(store, "ann") == []
    assert calls_of(store, "bob") == [Call(A, 1), Call(A, 2)]


def test_calls_that_nobody_is_there_to_be_told_can_be_forgotten(store):
    for saga_id in (A, B):
        store.append([next_of(store, saga_id)])
    put(store, C, history(1))
    store.append([next_of(store, C)])  # of no shard
    unknown = prepare(
        store, "u", expected_version=0, events=history(1), summary=summary("u"), is_open=True, shard=NOBODYS
    )
    store.append([unknown])
    store.crew.release("ann", [ONE])
    store.crew.forget_calls()
    assert [row["saga_id"] for row in say(store, "SELECT saga_id FROM {calls} ORDER BY number")] == [B, C]


def test_an_append_that_is_refused_tells_nobody(store):
    stale = next_of(store, A)
    store.append([stale])
    with pytest.raises(VersionConflict):
        store.append([stale])
    assert calls_of(store, "ann") == [Call(A, 1)]


def test_an_append_that_can_not_be_told_is_not_written(store):
    say(store, "ALTER TABLE {calls} ADD CONSTRAINT quiet CHECK (version < 2)")
    store.append([next_of(store, A)])
    with pytest.raises(SagaError):
        store.append([next_of(store, A)])
    assert written(store, A) == [1]
    assert calls_of(store, "ann") == [Call(A, 1)]


# -- news --------------------------------------------------------------------------------------------


@pytest.fixture
def news(store) -> Iterator[dict[str, Queue[str]]]:
    """What ann and bob hear, from when both are connected."""
    heard: dict[str, Queue[str]] = {worker: Queue() for worker in ("ann", "bob")}
    listening = [store.crew.listen(worker, queue.put) for worker, queue in heard.items()]
    for queue in heard.values():
        assert queue.get(timeout=PATIENCE) == "crew"  # what was missed before may be anything
    assert all(it.hears for it in listening)
    yield heard
    for it in listening:
        it.stop()


def test_an_owner_hears_of_a_call_and_nobody_else_does(store, news):
    hand_over(store, ONE)
    for queue in news.values():
        assert queue.get(timeout=PATIENCE) == "crew"  # of the hand over
    store.append([next_of(store, A), next_of(store, id_in(1, skip=1))])
    store.append([next_of(store, A, epoch=2)])
    store.append([next_of(store, B)])
    store.crew.release("ann", [])  # what is told last
    assert heard_upto_crew(news["bob"]) == ["call", "crew"]
    assert heard_upto_crew(news["ann"]) == ["call", "crew"]


def heard_upto_crew(queue: Queue[str]) -> list[str]:
    heard = [queue.get(timeout=PATIENCE)]
    while heard[-1] != "crew":
        heard.append(queue.get(timeout=PATIENCE))
    return heard


@pytest.mark.parametrize(
    "change",
    [
        lambda store: join(store, "cid"),
        lambda store: store.crew.release("ann", [ONE]),
        lambda store: store.crew.retire("ann"),
        lambda store: store.crew.leave("bob"),
    ],
    ids=["join", "release", "retire", "leave"],
)
def test_all_hear_of_a_change_among_the_workers(store, news, change):
    change(store)
    assert news["ann"].get(timeout=PATIENCE) == "crew"


def test_who_has_stopped_to_listen_hears_nothing(store):
    heard: Queue[str] = Queue()
    listening = store.crew.listen("ann", heard.put)
    heard.get(timeout=PATIENCE)
    listening.stop()
    assert not listening.hears
    store.append([next_of(store, A)])
    assert heard.empty()
