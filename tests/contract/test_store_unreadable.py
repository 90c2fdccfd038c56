"""What a store does with rows that can't be read, and with hidden ones, on each: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import json

import pytest
from eventsourcing.persistence import StoredEvent

from saga_es.errors import StoredEventError
from tests.support.stores import PLAN, history, put

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
    found = store.streams(["poisoned", "sound"])
    with pytest.raises(StoredEventError, match="poisoned"):
        found["poisoned"].replay(PLAN)
    assert found["sound"].events() == history(2)


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
