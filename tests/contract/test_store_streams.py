"""Streams: folded on trust, and looked at closely where that fails."""

from __future__ import annotations

import json
import sqlite3
from typing import cast

import pytest
from eventsourcing.persistence import StoredEvent

from saga_es.errors import IllegalTransition, StoredEventError, VersionConflict
from saga_es.model.events import Recorded, StepDispatched, StepSucceeded
from saga_es.model.state import SagaState, replay
from saga_es.store.address import open_store
from saga_es.store.recorders.sqlite import SagaSQLiteRecorder
from saga_es.store.stream import Stream
from tests.support.stores import NOON, PLAN, events_of, history, prepare, put, summary

DISPATCHED = StepDispatched(step="book", attempt=1, key="k", deadline=NOON)
SUCCEEDED = StepSucceeded(step="book", attempt=1, result={"seat": "12A"})
LOG = (
    *history(1),
    Recorded(2, "StepDispatched", NOON, DISPATCHED, {"worker": "w"}),
    Recorded(3, "StepSucceeded", NOON, SUCCEEDED, {}),
)


def test_a_stream_is_folded_as_its_events_are(store):
    put(store, "trip-1", LOG)
    state = replay(PLAN, LOG, saga_id="trip-1")
    assert store.stream("trip-1").replay(PLAN) == state
    assert store.streams(["trip-1"])["trip-1"].replay(PLAN) == state
    assert store.stream("trip-1", after=1).replay_onto(replay(PLAN, LOG, 1, saga_id="trip-1")) == state
    assert store.stream("trip-1", after=3).replay_onto(state) == state
    assert store.stream("trip-1").first() == LOG[0]
    assert store.stream("trip-1", after=1).events() == LOG[1:]


@pytest.mark.parametrize("saga_id", ["nobody", "\tdefinition/sha256:x"])
def test_what_is_no_saga_has_no_rows(store, saga_id):
    stream = store.stream(saga_id)
    assert not stream
    assert len(stream) == 0
    assert stream.replay(PLAN) == SagaState.unborn(PLAN, saga_id)


@pytest.mark.promise("error.StoredEventError", "case.poison")
@pytest.mark.parametrize(
    "state",
    [
        b'{"at":"2026-11-24T12:00:00.000000Z","data":{"step":"book","attempt":1}}',
        b'{"at":"2026-11-24T12:00:00.000000Z","data":[]}',
        b'{"at":"2026-11-24T12:00:00.000000Z"}',
        b'{"at":"2026-11-24T12:00:00.000000Z","data":{"step":"book","attempt":1,"result":1},"v":2}',
        b"[]",
        b"",
        b"1,2",
        b"\xff",
    ],
)
def test_the_error_says_which_event_is_wrong(store, state):
    put(store, "trip-1", LOG[:2])
    store.recorder.insert_events([StoredEvent("trip-1", 3, "StepSucceeded", state)])
    before = store.stream("trip-1")
    with pytest.raises(StoredEventError) as error:
        before.replay(PLAN)
    assert (error.value.saga_id, error.value.version, error.value.type) == ("trip-1", 3, "StepSucceeded")
    with pytest.raises(StoredEventError) as error:
        store.stream("trip-1", after=2).replay_onto(replay(PLAN, LOG, 2, saga_id="trip-1"))
    assert error.value.version == 3


def test_what_is_no_history_of_the_plan_is_an_illegal_transition(store):
    put(store, "trip-1", [LOG[0], LOG[2]._replace(version=2)])
    with pytest.raises(IllegalTransition):
        store.stream("trip-1").replay(PLAN)


def test_a_sound_stream_is_folded_without_looking_closely(store, monkeypatch):
    put(store, "trip-1", LOG)
    stream = store.stream("trip-1")
    monkeypatch.setattr(Stream, "events", None)
    assert stream.replay(PLAN).steps["book"].result == json.loads('{"seat": "12A"}')


def test_a_batch_may_be_larger_than_a_statement(store):
    ids = [f"trip-{number:03}" for number in range(300)]

    store.append(
        [
            prepare(
                store, saga_id, expected_version=0, events=history(2), summary=summary(saga_id), is_open=True
            )
            for saga_id in ids
        ]
    )

    assert events_of(store, ids) == dict.fromkeys(ids, history(2))
    assert [*store.open_sagas()] == ids
    put(store, "wide", history(700))
    assert store.read("wide") == history(700)


@pytest.mark.parametrize("missing", ["trip-1", "trip-2"])
def test_a_batch_with_a_gap_is_not_written_whatever_else_goes_on(store, missing):
    for saga_id in {"trip-1", "trip-2"} - {missing}:
        put(store, saga_id, history(2))
    batch = [
        prepare(store, saga_id, expected_version=2, events=history(3)[2:], summary=None, is_open=True)
        for saga_id in ("trip-1", "trip-2")
    ]

    with pytest.raises(VersionConflict) as error:
        store.append(batch)

    assert error.value.saga_id == missing
    assert sorted(len(store.read(saga_id)) for saga_id in ("trip-1", "trip-2")) == [0, 2]


def test_rows_of_one_batch_keep_their_own_texts(store):
    texts = {"a": None, "b": "line 1\nline 2", "c": "", "d": "line 1\nline 2", "e": "\\N,{}\"'"}
    rows = {
        saga_id: summary(saga_id, parked=parked, definition=f"trip\n{saga_id}" if saga_id < "c" else "trip")
        for saga_id, parked in texts.items()
    }

    store.append(
        [
            prepare(store, saga_id, expected_version=0, events=history(1), summary=row, is_open=True)
            for saga_id, row in rows.items()
        ]
    )

    assert {saga_id: store.summary(saga_id) for saga_id in rows} == rows


def test_rows_may_come_in_any_order(store, monkeypatch):
    ids = ["trip-1", "trip-2"]
    for saga_id in ids:
        put(store, saga_id, LOG)
    select = store.recorder.select_many
    monkeypatch.setattr(store.recorder, "select_many", lambda streams: [*reversed([*select(streams)])])

    streams = store.streams(ids)

    assert {saga_id: streams[saga_id].events() for saga_id in ids} == dict.fromkeys(ids, LOG)
    assert streams["trip-1"].replay(PLAN) == replay(PLAN, LOG, saga_id="trip-1")


def test_an_sqlite_that_takes_fewer_values_is_given_fewer_rows_at_once(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/sagas.db", migrate=True)
    put(store, "first", history(2))  # its writer is connected by then
    recorder = cast("SagaSQLiteRecorder", store.recorder)
    recorder._write_connection().setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 40)

    put(store, "wide", history(30))

    assert store.read("wide") == history(30)
    store.close()
