"""How others' writes to a store are noticed and followed, on each: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import pytest
from eventsourcing.application import LocalNotificationLog

from saga_es.errors import VersionConflict
from saga_es.store.mapper import DefinitionRecorded, SagaEvent
from tests.support.stores import PLAN, history, put


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
