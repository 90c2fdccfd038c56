"""What the index shows of a saga, and when that changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import pytest

from saga_es.errors import VersionConflict
from saga_es.model.commands import Command
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import Retry
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.state import SagaState
from saga_es.model.summary import Page, SagaSummary
from saga_es.runtime.recording import make_append
from saga_es.store.address import open_store
from saga_es.store.append import Append
from saga_es.store.application import SagaApplication
from tests.unit.model.plans import (
    SLOW,
    act,
    at,
    bad,
    cancel,
    force,
    no,
    ok,
    plan,
    start,
    undo_bad,
    undone,
    wake,
)  # fmt: skip

PLAN = plan(act("a", undo_retry=Retry(attempts=1)), act("b"), version=3)


@pytest.fixture
def store() -> Iterator[SagaApplication]:
    store = open_store("memory://")
    store.record_definition(PLAN)
    yield store
    store.close()


def next_append(store: SagaApplication, state: SagaState, command: Command) -> tuple[Append, SagaState]:
    decided = decide_with_state(PLAN, state, command)
    started_at = store.summary(state.saga_id)
    append = make_append(
        store,
        state,
        decided.state,
        decided.events,
        at=command.at,
        started_at=started_at and started_at.started_at,
        shard=None,
    )
    return append, decided.state


def record(store: SagaApplication, saga_id: str, *asked: Command) -> SagaState:
    state = SagaState.unborn(PLAN, saga_id)
    for command in asked:
        append, state = next_append(store, state, command)
        store.append([append])
    return state


def shown(store: SagaApplication) -> SagaSummary:
    (summary,) = store.find().items
    return summary


@pytest.mark.promise("field.SagaSummary.saga_id", "field.SagaSummary.definition")
@pytest.mark.promise("field.SagaSummary.definition_version", "field.SagaSummary.status")
@pytest.mark.promise("field.SagaSummary.ending", "field.SagaSummary.parked", "field.SagaSummary.started_at")
def test_a_summary_says_how_a_saga_stands(store):
    asked = (start(), ok("a", t=1), no("b", t=2), undo_bad("a", t=3))
    record(store, "trip-42", *asked)
    assert shown(store) == SagaSummary(
        saga_id="trip-42",
        definition="trip",
        definition_version=3,
        status=SagaStatus.COMPENSATING,
        ending=None,
        parked="a: oops",
        started_at=at(0),
        changed_at=at(3),
    )
    assert [field.name for field in fields(SagaSummary)] == [
        "saga_id", "definition", "definition_version", "status", "ending", "parked", "started_at", "changed_at",
    ]  # fmt: skip


@pytest.mark.promise("field.SagaSummary.ending", "field.SagaSummary.changed_at", "field.SagaSummary.status")
def test_it_changes_when_what_it_shows_changes_and_at_no_other_time(store):
    asked = [start(room=0), wake(t=1), ok("a", t=2), no("b", t=3), undo_bad("a", t=4), force("a", t=5)]
    state, seen = SagaState.unborn(PLAN, "s"), []
    for command in asked:
        append, state = next_append(store, state, command)
        store.append([append])
        summary = shown(store)
        seen.append((summary.status.value, summary.ending, summary.parked, summary.changed_at))
    assert seen == [
        ("pending", None, None, at(0)),
        ("running", None, None, at(1)),
        ("running", None, None, at(1)),
        ("compensating", None, None, at(3)),
        ("compensating", None, "a: oops", at(4)),
        ("failed", Ending.FORCED, None, at(5)),
    ]
    assert {shown(store).started_at} == {at(0)}


@pytest.mark.promise("case.late-reply", "field.SagaSummary.ending")
def test_a_failed_saga_is_shown_as_open_while_a_late_success_is_undone(store):
    ended = (start(), bad("a", SLOW), no("b", t=1), undone("a", t=2))
    late = (ok("a", {"seat": 1}, t=3), undone("a", round=2, t=4))
    seen = []
    state = record(store, "s", *ended)
    for command in (None, *late):
        if command is not None:
            append, state = next_append(store, state, command)
            store.append([append])
        seen.append((state.status.value, shown(store).ending, [*store.open_sagas()]))

    assert seen == [
        ("failed", Ending.COMPENSATED, []),
        ("failed", Ending.RESIDUE, ["s"]),
        ("failed", Ending.COMPENSATED, []),
    ]


@pytest.mark.promise("field.Page.items", "field.Page.next", "call.find")
def test_a_page_holds_the_newest_first_and_says_where_the_next_begins(store):
    for number in range(5):
        record(store, f"saga-{number}", start(t=number))
    pages = [store.find(limit=2)]
    while (place := pages[-1].next) is not None:
        pages.append(store.find(limit=2, after=place))
    assert [[item.saga_id for item in page.items] for page in pages] == [
        ["saga-4", "saga-3"],
        ["saga-2", "saga-1"],
        ["saga-0"],
    ]
    assert [field.name for field in fields(Page)] == ["items", "next"]
    assert store.find(limit=5).next is None


@pytest.mark.promise("error.VersionConflict")
def test_whoever_comes_second_to_a_stream_is_told(store):
    state = record(store, "s", start(room=0))
    first, _ = next_append(store, state, wake())
    second, _ = next_append(store, state, cancel())
    store.append([first])
    with pytest.raises(VersionConflict) as caught:
        store.append([second])
    assert (caught.value.saga_id, caught.value.expected) == ("s", 1)
    assert [recorded.type for recorded in store.read("s")] == [
        "SagaStarted",
        "StepDispatched",
        "StepDispatched",
    ]
