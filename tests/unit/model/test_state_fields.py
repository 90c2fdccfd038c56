"""Each field of a saga's state, at the moment where it says something."""

import pytest

from saga_es.model.definition import Retry
from saga_es.model.lifecycle import Ending, SagaStatus, SignalStatus, StepStatus
from saga_es.model.problem import ProblemKind
from tests.unit.model.plans import (
    CANCEL,
    NO,
    OOPS,
    act,
    after,
    bad,
    cancel,
    no,
    ok,
    pause,
    plan,
    resume,
    start,
    tell,
    undo_bad,
    undone,
    wait,
)

ONCE = Retry(attempts=1)
PAIR = plan(act("a"), act("b"))
TOUCHY = plan(act("a", undo_retry=ONCE), act("b", undo_retry=ONCE), act("c"))
FIRM = plan(act("b", undo=False), act("a", undo=False), act("c"))


@pytest.mark.promise("field.SagaState.status", "field.SagaState.ending", "field.SagaState.version")
def test_status_and_ending_go_with_the_saga():
    asked = (start(room=0), ok("a", room=0), no("b"), undone("a"))
    assert after(PAIR, asked[0]).state.status is SagaStatus.PENDING
    seen = [after(PAIR, start(), *asked[1:upto]).state for upto in (1, 2, 3, 4)]
    assert [(state.version, state.status, state.ending) for state in seen] == [
        (3, SagaStatus.RUNNING, None),
        (4, SagaStatus.RUNNING, None),
        (7, SagaStatus.COMPENSATING, None),
        (9, SagaStatus.FAILED, Ending.COMPENSATED),
    ]
    done = after(PAIR, start(), ok("a"), ok("b")).state
    assert (done.status, done.ending) == (SagaStatus.SUCCEEDED, Ending.SUCCEEDED)
    assert [status.value for status in SagaStatus] == [
        "pending", "running", "compensating", "succeeded", "failed",
    ]  # fmt: skip


@pytest.mark.promise("field.SagaState.paused")
def test_paused_lasts_until_resume():
    assert after(PAIR, start(), pause()).state.paused is True
    assert after(PAIR, start(), pause(), resume()).state.paused is False


@pytest.mark.promise("field.SagaState.cancel_requested", "field.SagaState.cause")
def test_a_cancel_is_told_at_once_and_is_the_cause_once_the_saga_turns():
    asked = after(PAIR, start(), cancel())
    assert (asked.state.cancel_requested, asked.state.status) == (True, SagaStatus.RUNNING)
    turned = after(PAIR, start(), cancel(), ok("a"), ok("b")).state
    assert (turned.cause, turned.status) == (CANCEL, SagaStatus.COMPENSATING)
    assert (turned.cause.kind, turned.cause.step) == (ProblemKind.CANCELLED, None)
    late = after(PAIR, start(), ok("a"), no("b"), cancel()).state
    assert (late.cancel_requested, late.cause) == (True, NO.at("b"))


@pytest.mark.promise("field.SagaState.parked", "case.compensation-fails")
def test_parked_says_the_reason_in_words_one_for_each_stuck_step():
    one = after(TOUCHY, start(), ok("a"), ok("b"), no("c"), undo_bad("a"))
    assert (one.state.parked, one.state.status) == ("a: oops", SagaStatus.COMPENSATING)
    both = after(TOUCHY, start(), ok("a"), ok("b"), no("c"), undo_bad("a"), undo_bad("b", NO))
    assert both.state.parked == "a: oops; b: no rooms"
    assert both.state.is_open


@pytest.mark.promise("field.SagaState.residue", "case.how-it-ended")
def test_residue_names_what_may_stand_in_the_definition_s_order_once_it_has_failed():
    before = after(FIRM, start(), ok("a"), bad("b"))
    assert before.state.residue == ()
    state = after(FIRM, start(), ok("a"), bad("b"), no("c")).state
    assert (state.ending, state.residue) == (Ending.RESIDUE, ("b", "a"))


@pytest.mark.promise("field.SagaState.is_open", "case.late-reply")
def test_a_saga_is_open_until_it_has_ended_and_again_while_a_late_round_lasts():
    one = plan(act("a"))
    asked = (start(), bad("a"), undone("a"), ok("a", 7), undone("a", round=2))
    seen = [after(one, *asked[:upto]).state for upto in range(1, 6)]
    assert [state.is_open for state in seen] == [True, True, False, True, False]
    assert [state.residue for state in seen] == [(), (), (), ("a",), ()]


@pytest.mark.promise("field.SagaState.steps", "field.StepState.status", "field.StepState.result")
def test_steps_and_signals_stand_under_their_names_in_order():
    asking = plan(wait("yes", timeout=60), act("z"), act("a", "yes"))
    steps = after(asking, start(), tell("yes", {"by": "ann"}), ok("z", [1])).state.steps
    assert list(steps) == ["yes", "z", "a"]
    assert [(step.status, step.result) for step in steps.values()] == [
        (SignalStatus.RECEIVED, {"by": "ann"}),
        (StepStatus.SUCCEEDED, [1]),
        (StepStatus.DISPATCHED, None),
    ]


@pytest.mark.promise("field.StepState.attempts", "field.StepState.error")
@pytest.mark.promise("field.StepState.round", "field.StepState.undo_attempts")
def test_a_step_counts_its_attempts_its_rounds_and_the_attempts_of_its_undo():
    thrice = plan(act("a", retry=Retry(attempts=3)))
    step = after(thrice, start(), bad("a")).state.steps["a"]
    assert (step.status, step.attempts, step.error) == (StepStatus.RETRYING, 1, OOPS)
    one = plan(act("a"))
    undoing = after(one, start(), bad("a"), undo_bad("a", NO)).state.steps["a"]
    assert (undoing.status, undoing.attempts, undoing.round) == (StepStatus.UNDO_RETRYING, 1, 1)
    assert (undoing.undo_attempts, undoing.error) == (1, NO)
    again = after(one, start(), bad("a"), undone("a"), ok("a", 7)).state.steps["a"]
    assert (again.status, again.round, again.undo_attempts) == (StepStatus.UNDOING, 2, 1)
