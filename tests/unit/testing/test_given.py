"""The kit itself: what it asserts, and what it says when an assertion does not hold."""

import pytest
from pydantic import ValidationError

from saga_es.errors import IllegalTransition, PastPivot, UnknownSaga
from saga_es.model import decide as decide_module
from saga_es.model.events import Recorded
from saga_es.model.state import SagaState
from saga_es.testing.given import given
from tests.unit.model.plans import (
    act,
    at,
    cancel,
    dispatched,
    done,
    no,
    ok,
    plan,
    start,
    started,
    succeeded,
    tell,
    wake,
)  # fmt: skip

ONE = plan(act("a"))


def test_a_bug_report_is_pasted_into_given():
    saga = given(ONE, started(ONE), dispatched("a"))
    assert saga.state.status == "running"
    assert [effect.step for effect in saga.effects] == ["a"]
    saga.when(ok("a", 7)).then(succeeded("a", 7), done())


def test_events_may_come_as_they_stand_in_a_log():
    recorded = Recorded(1, "SagaStarted", at(), started(ONE), {"host": "x"})
    assert given(ONE, recorded).events == (started(ONE),)


def test_the_saga_s_id_is_what_new_keys_begin_with():
    made = given(ONE, started(ONE), saga_id="trip-42").when(wake())
    assert made.events[0].key == "trip-42/a/action/1"
    assert made.state.saga_id == "trip-42"


def test_one_command_follows_another():
    given(ONE).when(start()).when(ok("a")).then(succeeded("a"), done()).when(ok("a")).then()


def test_other_events_than_expected_are_shown_side_by_side():
    with pytest.raises(AssertionError) as caught:
        given(ONE, started(ONE), dispatched("a")).when(ok("a", 7)).then(succeeded("a", 8), done())
    message = str(caught.value)
    assert "- expected, + found" in message
    assert "- StepSucceeded(step='a', attempt=1, result=8)" in message
    assert "+ StepSucceeded(step='a', attempt=1, result=7)" in message
    assert "  SagaSucceeded()" in message


def test_a_refusal_s_type_and_fields_are_asserted():
    made = given(ONE, started(ONE), dispatched("a")).when(ok("a", attempt=3))
    error = made.then_raises(IllegalTransition, status="dispatched")
    assert "1 were dispatched" in str(error)
    with pytest.raises(AssertionError, match="status is 'dispatched', not 'waiting'"):
        made.then_raises(IllegalTransition, status="waiting")
    with pytest.raises(AssertionError, match="was refused with IllegalTransition, not PastPivot"):
        made.then_raises(PastPivot)
    with pytest.raises(AssertionError, match="was not refused with PastPivot; it gave\n  CancelRequested"):
        given(ONE, started(ONE)).when(cancel()).then_raises(PastPivot)


@pytest.mark.parametrize("ask", ["events", "state", "effects", "then"])
def test_a_refusal_that_was_not_expected_is_raised(ask):
    made = given(ONE).when(tell("w"))
    with pytest.raises(UnknownSaga):
        made.then() if ask == "then" else getattr(made, ask)


def test_a_decided_state_that_no_replay_gives_is_caught(monkeypatch):
    def other(definition, state, command):
        return decide_module.Decided((started(definition),), SagaState.unborn(definition, "saga-1"))

    monkeypatch.setattr("saga_es.testing.given.decide_with_state", other)
    with pytest.raises(AssertionError, match="a replay of its events does not give"):
        given(ONE).when(start())


def test_a_changed_state_is_caught(monkeypatch):
    def meddling(definition, state, command):
        state.fold.paused = True
        return decide_module.Decided((), state)

    monkeypatch.setattr("saga_es.testing.given.decide_with_state", meddling)
    with pytest.raises(AssertionError, match=r"a replay|changed the state"):
        given(ONE, started(ONE)).when(no("a"))


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"bytes", {1: 2}])
def test_what_can_t_be_recorded_is_refused(value):
    refused = (ValidationError, TypeError)  # the latter where it is compiled, and has looked itself
    with pytest.raises(refused):
        given(ONE).when(start(value))
    with pytest.raises(refused):
        given(ONE).when(start()).when(ok("a", value))


def test_a_result_is_not_shared_with_who_gave_it():
    shared = [1]
    saga = given(ONE).when(start()).when(ok("a", shared))

    shared.append(2)

    assert saga.events[0].result == [1]
    assert saga.state.steps["a"].result == [1]
