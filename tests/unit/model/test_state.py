"""One fold: live state and replay are the same, frozen, and cost what changed."""

import copy

import pytest

from saga_es.errors import IllegalTransition, UnknownSignal, UnknownStep
from saga_es.model.events import Recorded
from saga_es.model.lifecycle import SagaStatus, SignalStatus, StepStatus
from saga_es.model.state import SagaState, evolve, replay, replay_onto
from saga_es.testing.given import SAGA_ID
from tests.unit.model.plans import (
    BY,
    NO,
    OOPS,
    TWICE,
    act,
    after,
    at,
    awaited,
    bad,
    dispatched,
    ev,
    no,
    ok,
    plan,
    received,
    start,
    started,
    succeeded,
    tell,
    undo_bad,
    wait,
)  # fmt: skip

GRAPH = plan(act("b", "a", retry=TWICE), act("a"), wait("w", "a", timeout=60))


def story():
    return after(GRAPH, start({"n": 1}), ok("a", [1]), bad("b"), tell("w"))


@pytest.mark.promise("invariant.9")
def test_replay_gives_the_live_state_at_every_prefix():
    events = story().events
    state = SagaState.unborn(GRAPH, SAGA_ID)
    for version, event in enumerate(events, start=1):
        state = evolve(state, event)
        assert state == replay(GRAPH, events, version, saga_id=SAGA_ID)
        assert state.version == version
        assert replay_onto(state, events[version:]) == replay(GRAPH, events, saga_id=SAGA_ID)


def test_replay_takes_recorded_events_and_any_prefix():
    events = story().events
    recorded = [Recorded(n, type(e).__name__, at(), e, {}) for n, e in enumerate(events, start=1)]
    assert replay(GRAPH, recorded, saga_id=SAGA_ID) == story().state
    assert replay(GRAPH, recorded, 0, saga_id=SAGA_ID) == SagaState.unborn(GRAPH, SAGA_ID)
    assert replay(GRAPH, iter(recorded), 99, saga_id=SAGA_ID).version == len(events)
    half = replay(GRAPH, recorded, 3, saga_id=SAGA_ID)
    assert replay_onto(half, recorded[3:], 5).version == 5


def test_a_state_is_frozen():
    state = story().state
    with pytest.raises(AttributeError, match="evolve"):
        state.status = SagaStatus.FAILED  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(state)


def test_evolving_leaves_the_state_as_it_was():
    before = after(GRAPH, start())
    twin = replay(GRAPH, before.events, saga_id=SAGA_ID)
    one = evolve(before.state, succeeded("a", 1))
    other = evolve(before.state, succeeded("a", 2))
    assert before.state == twin
    assert (one.steps["a"].result, other.steps["a"].result) == (1, 2)
    assert one != other


@pytest.mark.promise("field.SagaState.saga_id", "field.SagaState.version", "field.SagaState.status")
@pytest.mark.promise("field.SagaState.steps", "field.SagaState.is_open")
def test_it_says_how_the_saga_stands():
    state = story().state
    assert (state.saga_id, state.version, state.status) == (SAGA_ID, 7, SagaStatus.RUNNING)
    assert (state.ending, state.parked, state.paused, state.cancel_requested) == (None, None, False, False)
    assert (state.cause, state.residue, state.is_open) == (None, (), True)
    assert list(state.steps) == ["b", "a", "w"]
    assert repr(state) == "SagaState('saga-1', version=7, status='running')"


@pytest.mark.promise("field.StepState.status", "field.StepState.attempts", "field.StepState.result")
def test_it_says_how_each_step_and_signal_stands():
    steps = story().state.steps
    b, a, w = steps.values()
    assert (a.status, a.attempts, a.round, a.result, a.error) == (StepStatus.SUCCEEDED, 1, 1, [1], None)
    assert (b.status, b.attempts, b.round, b.result, b.error) == (StepStatus.RETRYING, 1, 1, None, OOPS)
    assert (w.status, w.result) == (SignalStatus.RECEIVED, "yes")
    assert isinstance(w.status, SignalStatus)
    assert isinstance(a.status, StepStatus)
    assert len(steps) == 3
    assert "z" not in steps
    assert repr(steps) == repr(dict(steps))


@pytest.mark.promise("field.StepState.error", "field.StepState.undo_attempts")
def test_a_compensation_s_error_comes_before_the_action_s():
    state = after(plan(act("a"), act("b")), start(), bad("a"), no("b"), undo_bad("a", NO)).state
    assert (state.steps["a"].error, state.steps["a"].undo_attempts) == (NO, 1)


def test_an_unborn_saga_is_pending_and_compares_by_what_it_is():
    unborn = SagaState.unborn(GRAPH, SAGA_ID)
    assert (unborn.version, unborn.status) == (0, SagaStatus.PENDING)
    assert unborn != SagaState.unborn(GRAPH, "other")
    assert unborn != SagaState.unborn(plan(act("a")), SAGA_ID)
    assert (unborn == "saga") is False


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (dispatched("z"), UnknownStep),
        (dispatched("w"), UnknownStep),
        (awaited("z"), UnknownSignal),
        (received("a"), UnknownSignal),
        (ev.SagaParked(reason=NO, step="z", op=None, round=None, attempt=None), UnknownStep),
        (ev.SagaParked(reason=NO, step="a", op="action", round=1, attempt=1), IllegalTransition),
        (ev.RetryRequested(step="w", **BY), UnknownStep),
    ],
)
def test_an_event_of_a_node_that_the_plan_does_not_have_is_refused(event, error):
    with pytest.raises(error):
        evolve(after(GRAPH, start()).state, event)


@pytest.mark.promise("event.SagaParked", "event.SagaUnparked")
def test_a_whole_saga_can_be_parked():
    state = replay(
        GRAPH, [started(GRAPH), ev.SagaParked(reason=NO, step=None, op=None, round=None, attempt=None)]
    )
    assert state.parked == "no rooms"
    assert evolve(state, ev.SagaUnparked(step=None)).parked is None


def test_results_are_never_changed_by_who_reads_them():
    state = story().state
    result = state.steps["a"].result
    assert result == copy.deepcopy(result)
    assert state.fold.plan is GRAPH.plan
