"""What every store has to do, run on each: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta

import pytest
from eventsourcing.application import LocalNotificationLog
from eventsourcing.persistence import StoredEvent

from saga_es.errors import InvalidInput, StoredEventError, StoreInUse, VersionConflict
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.store.mapper import DefinitionRecorded, SagaEvent
from tests.support.stores import ENDED, NOON, PLAN, history, put, summary

# -- appending and reading ---------------------------------------------------------------------------


def test_what_is_appended_is_read_back(store):
    events = history(4)
    put(store, "trip-42", events)
    assert store.read("trip-42") == events
    assert store.read("trip-43") == ()


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
        store.prepare(f"trip-{n}", expected_version=0, events=events[: n + 1], summary=None, is_open=True)
        for n in range(5)
    ]
    store.append(batch)
    assert [len(store.read(f"trip-{n}")) for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_batch_may_go_on_with_a_saga_twice(store):
    events = history(5)
    batch = [
        store.prepare(
            "trip-42", expected_version=0, events=events[:2], summary=summary("trip-42"), is_open=True
        ),
        store.prepare(
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
    found = store.read_many(["trip-3", "nobody", "trip-1"])
    assert found == {"trip-3": history(3), "nobody": (), "trip-1": history(1)}
    assert store.read_many([]) == {}


# -- versions ----------------------------------------------------------------------------------------


def test_a_taken_version_is_a_conflict_and_nothing_of_the_batch_is_written(store):
    events = history(4)
    put(store, "trip-1", events[:2])
    position = store.position()
    batch = [
        store.prepare(
            "trip-0", expected_version=0, events=events[:1], summary=summary("trip-0"), is_open=True
        ),
        store.prepare(
            "trip-1",
            expected_version=1,
            events=events[1:3],
            summary=summary("trip-1", **ENDED),
            is_open=False,
        ),
        store.prepare("trip-2", expected_version=0, events=events[:1], summary=None, is_open=True),
    ]
    with pytest.raises(VersionConflict) as conflict:
        store.append(batch)
    assert (conflict.value.saga_id, conflict.value.expected) == ("trip-1", 1)
    assert store.read_many(["trip-0", "trip-1", "trip-2"]) == {
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
        store.prepare(
            "trip-0", expected_version=0, events=events[:1], summary=summary("trip-0"), is_open=True
        ),
        store.prepare(
            "trip-1", expected_version=3, events=events[3:], summary=summary("trip-1"), is_open=True
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
            [store.prepare("new", expected_version=1, events=events[1:], summary=None, is_open=True)]
        )
    assert store.read("new") == ()


def test_a_gap_between_two_appends_of_a_batch_is_a_conflict(store):
    events = history(6)
    batch = [
        store.prepare("trip-1", expected_version=0, events=events[:2], summary=None, is_open=True),
        store.prepare("trip-1", expected_version=3, events=events[3:], summary=None, is_open=True),
    ]
    with pytest.raises(VersionConflict) as conflict:
        store.append(batch)
    assert conflict.value.expected == 3
    assert store.read("trip-1") == ()


def test_versions_that_do_not_follow_each_other_are_not_prepared(store):
    events = history(4)
    with pytest.raises(InvalidInput) as error:
        store.prepare("trip-1", expected_version=1, events=events[2:], summary=None, is_open=True)
    assert error.value.what == "the append to 'trip-1'"
    with pytest.raises(InvalidInput):
        store.prepare("trip-1", expected_version=0, events=(events[0], events[2]), summary=None, is_open=True)


def test_of_two_that_append_at_once_one_is_first(shared_place):
    stores = [shared_place.open(), shared_place.open()]
    put(stores[0], "trip-42", history(1))
    batches = [
        store.prepare(
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
        store.prepare("trip-42", expected_version=1, events=[other], summary=None, is_open=True)
    )
    longer = store.prepare("trip-42", expected_version=0, events=events, summary=None, is_open=True)
    assert not store.already_recorded(longer)
    elsewhere = store.prepare("trip-43", expected_version=0, events=events[:3], summary=None, is_open=True)
    assert not store.already_recorded(elsewhere)


# -- the index ---------------------------------------------------------------------------------------


def sown(store):
    """Put sagas of every sort; return their ids as ``find`` orders them."""
    hour = timedelta(hours=1)
    rows = {
        "a": {"started_at": NOON, "status": SagaStatus.PENDING},
        "b": {"started_at": NOON, "parked": "no bank"},
        "c": {"started_at": NOON + hour, **ENDED},
        "d": {"started_at": NOON - hour, "definition": "visa", "definition_version": 3},
        "e": {"started_at": NOON, "status": SagaStatus.FAILED, "ending": Ending.RESIDUE},
        "f": {"started_at": NOON - 2 * hour, "status": SagaStatus.COMPENSATING, "parked": "stuck"},
    }
    for saga_id, row in rows.items():
        put(store, saga_id, history(1), is_open=row.get("ending") is None, **row)
    return ["c", "a", "b", "e", "d", "f"]


def found(store, **wanted):
    return [it.saga_id for it in store.find(**wanted).items]


def test_the_newest_come_first(store):
    assert found(store) == []
    order = sown(store)
    assert found(store) == order
    page = store.find()
    assert page.next is None
    assert page.items[0] == summary("c", started_at=NOON + timedelta(hours=1), **ENDED)
    assert page.items[4] == summary(
        "d", started_at=NOON - timedelta(hours=1), definition="visa", definition_version=3
    )


def test_they_are_found_by_what_they_are(store):
    sown(store)
    assert found(store, status=SagaStatus.RUNNING) == ["b", "d"]
    assert found(store, status=SagaStatus.SUCCEEDED) == ["c"]
    assert found(store, status=SagaStatus.FAILED) == ["e"]
    assert found(store, definition="visa") == ["d"]
    assert found(store, definition="nothing") == []
    assert found(store, parked=True) == ["b", "f"]
    assert found(store, parked=False) == ["c", "a", "e", "d"]
    assert found(store, started_before=NOON) == ["d", "f"]
    assert found(
        store, started_before=NOON, parked=True, status=SagaStatus.COMPENSATING, definition="trip"
    ) == ["f"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_follow_each_other(store, limit):
    order = sown(store)
    seen, after = [], None
    for _ in range(10):
        page = store.find(limit=limit, after=after)
        assert len(page.items) <= limit
        seen += [it.saga_id for it in page.items]
        after = page.next
        if after is None:
            break
    assert seen == order


def test_pages_are_of_the_filtered(store):
    sown(store)
    page = store.find(parked=False, limit=2)
    assert [it.saga_id for it in page.items] == ["c", "a"]
    put(store, "z", history(1), started_at=NOON + timedelta(days=1))  # newer ones don't shift the next page
    assert found(store, parked=False, limit=2, after=page.next) == ["e", "d"]


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ({"after": "x"}, "after"),
        ({"after": "12"}, "after"),
        ({"after": "9" * 30 + ":a"}, "after"),
        ({"after": "12:a\0"}, "after"),
        ({"limit": 0}, "limit"),
        ({"started_before": datetime(2026, 1, 1)}, "started_before"),  # noqa: DTZ001 - that is the point
    ],
)
def test_a_question_that_makes_no_sense_is_refused(store, wanted, what):
    sown(store)
    with pytest.raises(InvalidInput) as error:
        store.find(**wanted)
    assert error.value.what == what


def test_open_sagas_are_listed_by_id(store):
    sown(store)
    assert list(store.open_sagas()) == ["a", "b", "d", "f"]
    assert list(store.open_sagas(limit=2)) == ["a", "b"]
    assert list(store.open_sagas(after="b", limit=2)) == ["d", "f"]
    assert list(store.open_sagas(after="f")) == []


def test_ids_are_ordered_by_code_point_everywhere(store):
    ids = ["B", "_", "a", "a b", "a-b", "ab", "z", "Ä", "é", "哈"]
    for saga_id in reversed(ids):
        put(store, saga_id, history(1))
    assert list(store.open_sagas()) == sorted(ids)
    assert found(store) == sorted(ids)
    page = store.find(limit=5)
    assert found(store, after=page.next) == sorted(ids)[5:]


def test_the_index_changes_only_when_told(store):
    events = history(3)
    put(store, "trip-42", events[:1])
    store.append(
        [store.prepare("trip-42", expected_version=1, events=events[1:2], summary=None, is_open=False)]
    )
    assert store.summary("trip-42") == summary("trip-42")
    assert list(store.open_sagas()) == ["trip-42"]
    put(store, "trip-42", events[2:], is_open=False, changed_at=NOON + timedelta(1), **ENDED)
    assert store.summary("trip-42") == summary("trip-42", changed_at=NOON + timedelta(1), **ENDED)
    assert list(store.open_sagas()) == []
    assert store.summary("nobody") is None


def test_a_saga_is_shown_as_parked_without_an_event(store):
    put(store, "trip-42", history(1))
    later = NOON + timedelta(minutes=1)
    store.set_parked("trip-42", "incompatible: it was renamed", at=later)
    parked = summary("trip-42", parked="incompatible: it was renamed", changed_at=later)
    assert store.summary("trip-42") == parked
    assert found(store, parked=True) == ["trip-42"]
    store.set_parked("trip-42", "incompatible: it was renamed", at=later + timedelta(1))
    assert store.summary("trip-42") == parked  # nothing has changed
    store.set_parked("trip-42", None, at=later + timedelta(2))
    assert store.summary("trip-42") == summary("trip-42", changed_at=later + timedelta(2))
    store.set_parked("nobody", "reason", at=later)
    assert store.summary("nobody") is None
    assert len(store.read("trip-42")) == 1
    assert list(store.open_sagas()) == ["trip-42"]


def test_an_exceptions_words_are_stored_whatever_they_are(store):
    put(store, "trip-42", history(1), parked="a\0b \ud800 ü")
    kept = store.summary("trip-42").parked
    assert "ü" in kept
    store.set_parked("trip-42", "x\0", at=NOON)
    assert store.summary("trip-42").parked.startswith("x")


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
    assert found(store) == ["trip-42"]
    assert store.changes(0).versions == {"trip-42": 1}


# -- following ---------------------------------------------------------------------------------------


def test_changes_are_the_newest_versions_since(store):
    assert store.position() == 0
    assert store.changes(0).versions == {}
    put(store, "a", history(2))
    start = store.position()
    put(store, "b", history(3))
    put(store, "a", history(4)[2:])
    changes = store.changes(start)
    assert changes.versions == {"b": 3, "a": 4}
    assert changes.position == store.position()
    assert store.changes(changes.position).versions == {}
    assert store.changes(changes.position).position == changes.position


def test_changes_come_in_portions(store):
    for n in range(5):
        put(store, f"trip-{n}", history(2))
    seen, position, portions = {}, 0, 0
    while position < store.position():
        changes = store.changes(position, limit=3)
        seen.update(changes.versions)
        position, portions = changes.position, portions + 1
    assert seen == {f"trip-{n}": 2 for n in range(5)}
    assert portions == 4


def test_others_commits_are_noticed_and_ones_own_are_not(shared_place):
    mine, theirs = shared_place.open(), shared_place.open()
    assert mine.changed_by_others()  # before the first look, anything may have happened
    assert not mine.changed_by_others()
    put(mine, "a", history(1))
    mine.record_definition(PLAN)
    assert not mine.changed_by_others()
    put(theirs, "b", history(1))
    put(mine, "a", history(2)[1:])
    assert mine.changed_by_others()
    assert not mine.changed_by_others()
    put(theirs, "b", history(2)[1:])
    assert mine.changed_by_others()


def test_a_refused_append_of_ones_own_hides_nothing(shared_place):
    mine, theirs = shared_place.open(), shared_place.open()
    mine.changed_by_others()
    put(theirs, "a", history(1))
    with pytest.raises(VersionConflict):
        put(mine, "a", history(1))
    put(mine, "b", history(1))
    assert mine.changed_by_others()


def test_growth_in_memory_is_noticed(place):
    store = place.open()
    store.changed_by_others()
    put(place.open(), "a", history(1))
    store.changed_by_others()
    assert not store.changed_by_others()


def test_eventsourcing_follows_the_log(store):
    store.record_definition(PLAN)
    events = history(3)
    put(store, "trip-42", events)
    assert isinstance(store.notification_log, LocalNotificationLog)
    notifications = store.notification_log.select(start=1, limit=10)
    assert [it.originator_version for it in notifications] == [1, 1, 2, 3]
    assert [it.topic for it in notifications] == ["SagaDefined", *(event.type for event in events)]
    seen = [store.mapper.to_domain_event(it) for it in notifications]
    assert seen[0] == DefinitionRecorded(f"\tdefinition/{PLAN.digest}", 1, PLAN)
    assert seen[1:] == [SagaEvent("trip-42", event.version, event) for event in events]
    assert [store.mapper.to_stored_event(it).state for it in seen] == [it.state for it in notifications]


# -- what can't be read ------------------------------------------------------------------------------


def by_hand(store, saga_id, version, topic, state):
    store.recorder.insert_events([StoredEvent(saga_id, version, topic, state)])


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("os:system", b"{}"),
        ("StepExploded", b'{"at":"2026-11-24T05:00:00.123456Z","data":{}}'),
        ("StepSucceeded", b'{"at":"2026-11-24T05:00:00.123456Z","data":{"step":"a"}}'),
        (
            "StepSucceeded",
            b'{"at":"2026-11-24T05:00:00.123456Z","data":{"step":"a","attempt":1,"result":1,"x":1}}',
        ),
        ("SagaSucceeded", b'{"at":"2026-11-24T05:00:00.123456","data":{}}'),
        ("SagaSucceeded", b'{"at":"noon","data":{}}'),
        ("SagaSucceeded", b'{"at":"2026-11-24T05:00:00.123456Z","data":{},"v":2}'),
        ("SagaSucceeded", b'{"at":"2026-11-24T05:00:00.123456Z","data":{},"w":1}'),
        ("SagaSucceeded", b"\xff\x00"),
        ("SagaSucceeded", b""),
    ],
)
def test_a_poisoned_stream_harms_no_other(store, topic, state):
    put(store, "sound", history(2))
    put(store, "poisoned", history(2))
    by_hand(store, "poisoned", 3, topic, state)
    with pytest.raises(StoredEventError) as error:
        store.read("poisoned")
    assert (error.value.saga_id, error.value.version, error.value.type) == ("poisoned", 3, topic)
    assert error.value.problem
    assert store.read("poisoned", upto=2) == history(2)
    found = store.read_many(["poisoned", "sound"])
    assert isinstance(found["poisoned"], StoredEventError)
    assert found["sound"] == history(2)


def test_a_plan_that_can_not_be_read_says_so(store):
    by_hand(store, "\tdefinition/sha256:x", 1, "SagaDefined", b'{"name": 1}')
    with pytest.raises(StoredEventError) as error:
        store.definition("sha256:x")
    assert error.value.type == "SagaDefined"


# -- encryption --------------------------------------------------------------------------------------

HIDDEN = {"CIPHER_TOPIC": "tests.support.toy_cipher:ToyCipher", "CIPHER_KEY": "secret"}
PACKED = {"COMPRESSOR_TOPIC": "eventsourcing.compressor:ZlibCompressor"}


@pytest.mark.parametrize("more", [HIDDEN, PACKED, HIDDEN | PACKED])
def test_states_go_through_cipher_and_compressor(place, more):
    store = place.open(**more)
    store.record_definition(PLAN)
    append = put(store, "trip-42", history(3))
    assert store.read("trip-42") == history(3)
    assert store.already_recorded(append)
    for row in store.recorder.select_notifications(None, 10):
        assert b"Maria" not in row.state
        with pytest.raises(ValueError, match=r"decode|Expecting|Extra data"):
            json.loads(row.state)
    store._plans.clear()
    assert store.definition(PLAN.digest) == PLAN


def test_the_wrong_key_is_a_stored_event_error(shared_place):
    put(shared_place.open(**HIDDEN), "trip-42", history(1))
    for other in (shared_place.open(), shared_place.open(**{**HIDDEN, "CIPHER_KEY": "other"})):
        with pytest.raises(StoredEventError) as error:
            other.read("trip-42")
        assert error.value.saga_id == "trip-42"


# -- the engine's place ------------------------------------------------------------------------------


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
