"""What every store shows of its sagas in the index, run on each: memory, SQLite, PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from saga_es.errors import InvalidInput
from saga_es.model.lifecycle import Ending, SagaStatus
from tests.support.stores import ENDED, NOON, history, prepare, put, summary


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
        [prepare(store, "trip-42", expected_version=1, events=events[1:2], summary=None, is_open=False)]
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
    put(store, "trip-43", history(1), parked="0")
    assert store.summary("trip-43").parked == "0"
