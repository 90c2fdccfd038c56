"""Streams: folded on trust, and looked at closely where that fails."""

from __future__ import annotations

import json

import pytest
from eventsourcing.persistence import StoredEvent

from saga_es.errors import IllegalTransition, StoredEventError
from saga_es.model.events import Recorded, StepDispatched, StepSucceeded
from saga_es.model.state import SagaState, replay
from saga_es.store.stream import Stream
from tests.support.stores import NOON, PLAN, history, put

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
