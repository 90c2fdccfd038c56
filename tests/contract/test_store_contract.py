"""What every store has to do, run on each: memory, SQLite, PostgreSQL. How its log is written and read."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from saga_es.errors import StoreInUse, VersionConflict
from saga_es.model.events import Recorded
from saga_es.store.append import Append
from tests.support.stores import ENDED, NOON, PLAN, events_of, history, prepare, put, summary

# -- appending and reading ---------------------------------------------------------------------------


def test_what_is_appended_is_read_back(store):
    events = history(4)
    put(store, "trip-42", events)
    assert store.read("trip-42") == events
    assert store.read("trip-43") == ()


def test_what_is_decided_together_is_encoded_together(store):
    events, metadata = [it.event for it in history(5)], {"worker": "ann", "epoch": 3}
    rows = store.encode("trip-42", 0, events[:2], NOON, {}) + store.encode(
        "trip-42", 2, events[2:], NOON, metadata
    )
    assert [(stream, version) for stream, version, _, _ in rows] == [("trip-42", n) for n in range(1, 6)]
    store.append([Append("trip-42", 0, rows, None, is_open=True)])
    assert store.read("trip-42") == tuple(
        Recorded(n, type(event).__name__, NOON, event, metadata if n > 2 else {})
        for n, event in enumerate(events, 1)
    )


def test_a_range_of_versions_is_read(store):
    events = history(5)
    put(store, "trip-42", events)
    assert store.read("trip-42", after=2) == events[2:]
    assert store.read("trip-42", upto=3) == events[:3]
    assert store.read("trip-42", after=1, upto=4) == events[1:4]
    assert store.read("trip-42", after=5) == ()


def test_ids_are_any_printable_text(store):
    for saga_id in ("a b/ü-哈哈 🐈", "x" * 200, "%s ? \\ ' \" {}"):
        put(store, saga_id, history(2))
        assert store.read(saga_id) == history(2)
        assert store.summary(saga_id) == summary(saga_id)


@pytest.mark.parametrize("saga_id", ["", "a\0b", "a\nb", "\ud800", "\tdefinition/" + PLAN.digest])
def test_what_can_be_no_id_is_of_no_saga(store, saga_id):
    store.record_definition(PLAN)
    assert store.read(saga_id) == ()
    assert store.summary(saga_id) is None


def test_instants_keep_their_microseconds_and_become_utc(store):
    at = datetime.fromisoformat("2026-11-24T13:00:00.000001+01:00")
    first = history(1)[0]._replace(at=at, metadata={"by": "ann", "n": [1, None]})
    put(store, "trip-42", [first])
    (read,) = store.read("trip-42")
    assert read == first
    assert read.at.utcoffset() == timedelta(0)


def test_a_batch_is_of_many_sagas(store):
    events = history(6)
    batch = [
        prepare(store, f"trip-{n}", expected_version=0, events=events[: n + 1], summary=None, is_open=True)
        for n in range(5)
    ]
    store.append(batch)
    assert [len(store.read(f"trip-{n}")) for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_batch_may_go_on_with_a_saga_twice(store):
    events = history(5)
    batch = [
        prepare(
            store, "trip-42", expected_version=0, events=events[:2], summary=summary("trip-42"), is_open=True
        ),
        prepare(
            store,
            "trip-42",
            expected_version=2,
            events=events[2:],
            summary=summary("trip-42", **ENDED),
            is_open=False,
        ),
    ]
    store.append(batch)
    assert store.read("trip-42") == events
    assert store.summary("trip-42") == summary("trip-42", **ENDED)
    assert store.open_sagas() == []


def test_many_streams_are_read_at_once(store):
    for n in range(1, 4):
        put(store, f"trip-{n}", history(n))
    found = events_of(store, ["trip-3", "nobody", "trip-1"])
    assert found == {"trip-3": history(3), "nobody": (), "trip-1": history(1)}
    assert store.streams([]) == {}


# -- versions ----------------------------------------------------------------------------------------


def test_a_taken_version_is_a_conflict_and_nothing_of_the_batch_is_written(store):
    events = history(4)
    put(store, "trip-1", events[:2])
    position = store.position()
    batch = [
        prepare(
            store, "trip-0", expected_version=0, events=events[:1], summary=summary("trip-0"), is_open=True
        ),
        prepare(
            store,
            "trip-1",
            expected_version=1,
            events=events[1:3],
            summary=summary("trip-1", **ENDED),
            is_open=False,
        ),
        prepare(store, "trip-2", expected_version=0, events=events[:1], summary=None, is_open=True),
    ]
    with pytest.raises(VersionConflict) as conflict:
        store.append(batch)
    assert (conflict.value.saga_id, conflict.value.expected) == ("trip-1", 1)
    assert events_of(store, ["trip-0", "trip-1", "trip-2"]) == {
        "trip-0": (),
        "trip-1": events[:2],
        "trip-2": (),
    }
    assert store.summary("trip-0") is None
    assert store.summary("trip-1") == summary("trip-1")
    assert store.position() == position
    put(store, "trip-1", events[2:])
    assert store.read("trip-1") == events


def test_a_gap_is_a_conflict_too(store):
    events = history(6)
    put(store, "trip-1", events[:2])
    batch = [
        prepare(
            store, "trip-0", expected_version=0, events=events[:1], summary=summary("trip-0"), is_open=True
        ),
        prepare(
            store, "trip-1", expected_version=3, events=events[3:], summary=summary("trip-1"), is_open=True
        ),
    ]
    with pytest.raises(VersionConflict) as conflict:
        store.append(batch)
    assert (conflict.value.saga_id, conflict.value.expected) == ("trip-1", 3)
    assert store.read("trip-0") == ()
    assert store.summary("trip-0") is None
    with pytest.raises(VersionConflict):
        store.append(batch[1:])
    with pytest.raises(VersionConflict):
        store.append(
            [prepare(store, "new", expected_version=1, events=events[1:], summary=None, is_open=True)]
        )
    assert store.read("new") == ()


def test_a_gap_between_two_appends_of_a_batch_is_a_conflict(store):
    events = history(6)
    batch = [
        prepare(store, "trip-1", expected_version=0, events=events[:2], summary=None, is_open=True),
        prepare(store, "trip-1", expected_version=3, events=events[3:], summary=None, is_open=True),
    ]
    with pytest.raises(VersionConflict) as conflict:
        store.append(batch)
    assert conflict.value.expected == 3
    assert store.read("trip-1") == ()


def test_of_two_that_append_at_once_one_is_first(shared_place):
    stores = [shared_place.open(), shared_place.open()]
    put(stores[0], "trip-42", history(1))
    batches = [
        prepare(
            store,
            "trip-42",
            expected_version=1,
            events=history(3, at=NOON + timedelta(hours=n))[1:],
            summary=None,
            is_open=True,
        )
        for n, store in enumerate(stores)
    ]
    start = threading.Barrier(2)
    outcomes = []

    def append(n):
        start.wait()
        try:
            stores[n].append([batches[n]])
        except VersionConflict:
            outcomes.append("lost")
        else:
            outcomes.append("won")

    threads = [threading.Thread(target=append, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost", "won"]
    assert [recorded.version for recorded in stores[0].read("trip-42")] == [1, 2, 3]


def test_what_was_recorded_is_told_by_its_bytes(store):
    events = history(4)
    append = put(store, "trip-42", events[:3])
    assert store.already_recorded(append)
    other = events[1]._replace(at=NOON + timedelta(days=1))
    assert not store.already_recorded(
        prepare(store, "trip-42", expected_version=1, events=[other], summary=None, is_open=True)
    )
    longer = prepare(store, "trip-42", expected_version=0, events=events, summary=None, is_open=True)
    assert not store.already_recorded(longer)
    elsewhere = prepare(store, "trip-43", expected_version=0, events=events[:3], summary=None, is_open=True)
    assert not store.already_recorded(elsewhere)


# -- plans -------------------------------------------------------------------------------------------


def test_a_plan_is_recorded_once(place):
    store = place.open()
    assert store.definition(PLAN.digest) is None
    store.record_definition(PLAN)
    position = store.position()
    store.record_definition(PLAN)
    assert store.definition(PLAN.digest) == PLAN
    other = place.open()
    assert other.definition(PLAN.digest) == PLAN
    assert other.definition(PLAN.digest).digest == PLAN.digest
    other.record_definition(PLAN)
    assert other.position() == position
    assert other.definition("sha256:none") is None


def test_of_two_that_record_a_plan_at_once_both_succeed(shared_place):
    stores = [shared_place.open() for _ in range(4)]
    start = threading.Barrier(4)
    errors = []

    def record(store):
        start.wait()
        try:
            store.record_definition(PLAN)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=record, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert stores[0].position() == 1


def test_plans_are_no_sagas(store):
    store.record_definition(PLAN)
    put(store, "trip-42", history(1))
    assert [it.saga_id for it in store.find().items] == ["trip-42"]
    assert store.changes(0).versions == {"trip-42": 1}


# -- the engine's place ------------------------------------------------------------------------------


@pytest.mark.promise("error.StoreInUse")
def test_one_engine_at_a_time(place):
    first, second = place.open(), place.open()
    first.claim()
    with pytest.raises(StoreInUse) as error:
        second.claim()
    assert error.value.store == second.url
    assert error.value.holder
    put(second, "trip-42", history(1))  # clients need no place
    first.close()
    if place.kind != "memory":
        second.claim()
