"""What a recorded state asks of the world: the same after a crash as in normal running."""

import pytest

from saga_es.model.effects import CancelAttempt, NeedRoom, RunAttempt, WakeAt
from saga_es.model.react import Handed, react
from saga_es.model.state import replay
from saga_es.testing.given import SAGA_ID, given
from tests.unit.model.plans import (
    OOPS,
    SLOW,
    TWICE,
    act,
    after,
    at,
    bad,
    no,
    ok,
    pause,
    plan,
    resume,
    skip,
    start,
    started,
    tell,
    undo_bad,
    undone,
    wait,
    wake,
)  # fmt: skip


def test_an_action_gets_the_input_and_the_results_in_the_order_of_its_needs():
    graph = plan(act("a"), act("b"), wait("w"), act("c", "w b a"))
    (attempt,) = after(graph, start({"n": 1}), ok("a", "A"), tell("w", "W"), ok("b", "B")).effects
    assert attempt == RunAttempt(
        saga_id=SAGA_ID, step="c", op="action", round=1, number=1,
        key="saga-1/c/action/1", action_key="saga-1/c/action/1", deadline=at(300),
        arguments=({"n": 1}, "W", "B", "A"), absent=0, doubtful=False,
    )  # fmt: skip


@pytest.mark.promise("case.crash")
def test_recovery_is_replay_then_react():
    graph = plan(act("a"), act("b", retry=TWICE), act("c"), wait("w", timeout=60))
    live = after(graph, start(), ok("c"), bad("b"), wake(t=2))
    recovered = replay(graph, live.events, saga_id=SAGA_ID)
    assert react(graph, recovered) == live.effects
    assert [(e.step, e.number) for e in live.effects if isinstance(e, RunAttempt)] == [("a", 1), ("b", 2)]


@pytest.mark.promise("case.crash")
def test_a_call_issued_again_is_the_same_attempt_under_the_same_key():
    first = after(plan(act("a")), start())
    (again,) = given(first.definition, *first.events).effects
    (once,) = first.effects
    assert again == once
    first.when(wake(t=9999)).then()  # and its dispatch is not recorded again


def test_what_is_in_hand_already_is_left_out():
    graph = plan(act("a"), act("b"), act("c"))
    state = after(graph, start()).state
    assert [e.step for e in react(graph, state, Handed(actions=0b101)) if isinstance(e, RunAttempt)] == ["b"]
    back = after(graph, start(), ok("a"), ok("b"), no("c")).state
    assert [e.step for e in react(graph, back, Handed(undos=0b01)) if isinstance(e, RunAttempt)] == ["b"]


def test_retries_keep_the_key_and_count_the_number():
    saga = after(plan(act("a", retry=TWICE)), start(), bad("a"), wake(t=1))
    (attempt,) = saga.effects
    assert (attempt.key, attempt.number, attempt.doubtful) == ("saga-1/a/action/1", 2, True)


def test_the_earliest_due_time_is_the_alarm():
    graph = plan(act("a", retry=TWICE), wait("v", timeout=60), wait("w", timeout=30))
    saga = after(graph, start())
    assert WakeAt(SAGA_ID, at(30)) in saga.effects
    assert saga.when(bad("a")).effects == (WakeAt(SAGA_ID, at(1)),)
    assert WakeAt(SAGA_ID, at(30)) in after(graph, start(), bad("a"), wake(t=2)).effects


@pytest.mark.promise("case.pause")
def test_a_paused_saga_asks_for_no_alarm_and_no_room():
    graph = plan(act("a", retry=TWICE), wait("w", timeout=30), act("b", "w"))
    saga = after(graph, start(), bad("a"), tell("w", room=0), pause())
    assert saga.effects == ()
    assert after(graph, start(), bad("a"), tell("w", room=0), pause(), resume(room=0)).effects == (
        WakeAt(SAGA_ID, at(1)),
        NeedRoom(SAGA_ID),
    )


def test_what_found_no_room_asks_for_it_forward_and_back():
    graph = plan(act("a"), act("b"), act("c"))
    assert NeedRoom(SAGA_ID) in given(graph, started(graph)).effects
    assert NeedRoom(SAGA_ID) not in after(graph, start()).effects
    back = after(graph, start(), ok("a"), ok("b"), no("c", room=1))
    assert NeedRoom(SAGA_ID) in back.effects
    assert NeedRoom(SAGA_ID) not in back.when(wake()).effects


def test_what_is_ready_when_the_saga_drains_asks_for_nothing():
    saga = after(plan(act("a"), act("b"), act("c", "a")), start(), ok("a", room=0), no("b"))
    assert saga.state.status == "compensating"
    draining = after(plan(act("a"), act("b"), act("c")), start(room=2), no("a"))
    assert [type(effect) for effect in draining.effects] == [RunAttempt]


@pytest.mark.promise("case.a-step-fails")
def test_with_cancel_on_failure_what_flies_is_to_be_stopped():
    graph = plan(act("a"), act("b", retry=TWICE), on_failure="cancel")
    assert CancelAttempt(SAGA_ID, "b", 2) in after(graph, start(), bad("b"), wake(t=1), no("a")).effects
    assert after(graph, start()).effects[-1] != CancelAttempt(SAGA_ID, "b", 1)


def test_an_undo_keeps_what_it_was_first_given():
    graph = plan(act("a", undo_retry=TWICE))
    saga = after(graph, start(), bad("a", SLOW), undo_bad("a"), ok("a", 7), wake(t=1))
    (undo,) = saga.effects
    assert (undo.number, undo.arguments, undo.absent) == (2, (None, None), 0b10)


def test_an_ended_saga_asks_for_nothing():
    graph = plan(act("a"), act("b"))
    assert after(graph, start(), ok("a"), ok("b")).effects == ()
    assert after(graph, start(), ok("a"), no("b"), undone("a")).effects == ()


def test_a_parked_saga_asks_for_nothing():
    assert after(plan(act("p", pivot=True, undo=False)), start(), bad("p", OOPS)).effects == ()


def test_a_skipped_need_is_absent_and_a_null_is_not():
    graph = plan(act("a"), act("b"), act("c", "a b", optional=("a", "b")))
    (attempt,) = after(graph, start(room=0), skip("a", room=0), wake(), ok("b", None)).effects
    assert (attempt.arguments, attempt.absent) == ((None, None, None), 0b010)
