"""What is known already is not recorded again, and what is recorded stays as it was told."""

from __future__ import annotations

import pytest

from saga_es.errors import IllegalTransition
from saga_es.model.state import replay
from tests.unit.model.plans import (
    BY,
    NO,
    OOPS,
    TWICE,
    Retry,
    act,
    after,
    bad,
    compensated,
    dispatched,
    ev,
    failed,
    late,
    no,
    ok,
    parked,
    plan,
    rejected,
    retry,
    start,
    supply,
    undo_bad,
    undoing,
    undone,
    unparked,
    wake,
)


@pytest.mark.promise("case.probe")
def test_a_rejection_that_a_probe_made_definite_leaves_no_doubt():
    probed = plan(act("p", pivot=True, undo=False), act("x", "p", undo=False, retry=TWICE, probe="find_x"))
    saga = after(probed, start(), ok("p"), bad("x"), wake(t=2), no("x", attempt=2, probed=True))
    assert saga.state.steps["x"].status == "rejected"
    saga = saga.when(retry("x")).then(
        ev.RetryRequested(step="x", **BY), unparked("x"), dispatched("x", attempt=3)
    )
    saga.when(no("x", attempt=3)).then(rejected("x", attempt=3), parked("x", NO, attempt=3))


@pytest.mark.promise("case.retry-supply-skip")
def test_a_rejected_step_without_an_undo_is_given_a_result_although_others_are_being_undone():
    saga = after(plan(act("a"), act("b", "a", undo=False)), start(), ok("a"), no("b"))
    supplied = saga.when(supply("b")).then(ev.ResultSupplied(step="b", result="by hand", **BY))
    supplied.when(undone("a")).then(compensated("a"), failed("residue", NO, "b", "b"))


@pytest.mark.promise("case.late-reply", "invariant.13")
def test_an_answer_to_an_attempt_that_was_never_made_is_refused_in_a_later_round_too():
    saga = after(plan(act("a")), start(), bad("a"), undone("a"), ok("a", 7))
    assert saga.state.steps["a"].round == 2
    saga.when(bad("a", attempt=7)).then_raises(IllegalTransition)
    saga.when(ok("a", attempt=2)).then_raises(IllegalTransition)


@pytest.mark.promise("case.duplicate", "case.late-reply")
def test_a_compensations_late_success_is_told_once():
    stubborn = plan(act("a", undo_retry=TWICE), act("b"))
    saga = after(stubborn, start(), ok("a"), no("b"), undo_bad("a"))
    told = saga.when(undone("a")).then(late("a", None, op="compensation"))
    told.when(undone("a", t=2)).then(undoing("a", 2, t=2)).when(undone("a", t=2)).then()


@pytest.mark.promise("case.duplicate", "case.late-reply")
def test_an_actions_late_success_is_told_once_though_it_is_tried_anew():
    saga = after(plan(act("p", pivot=True, undo=False)), start(), bad("p"))
    told = saga.when(ok("p", 7)).then(late("p", 7))
    anew = told.when(retry("p")).then(ev.RetryRequested(step="p", **BY), unparked("p"), dispatched("p", 2))
    anew.when(ok("p", 7)).then()


@pytest.mark.promise("invariant.15", "case.how-it-ended", "case.definition-changed")
def test_the_residue_stays_as_it_was_recorded_when_a_newer_plan_calls_the_step_read_only():
    looked = act("look", undo=False)
    saga = after(plan(looked, act("b")), start(), ok("look"), no("b"))
    newer = plan(looked.model_copy(update={"read_only": True}), act("b"))
    state = replay(newer, saga.events)
    assert (state.residue, state.ending) == (("look",), "residue")


@pytest.mark.promise("case.late-reply", "case.how-it-ended")
def test_what_comes_after_the_end_changes_the_residue():
    saga = after(plan(act("a", undo_retry=Retry()), act("b")), start(), bad("a"), no("b"), undone("a"))
    assert saga.state.residue == ()
    reopened = saga.when(ok("a", 7)).then(late("a", 7), undoing("a", round=2))
    assert (reopened.state.residue, reopened.state.ending) == (("a",), "residue")
    ended = reopened.when(undone("a", round=2)).then(compensated("a", round=2))
    assert (ended.state.residue, ended.state.ending) == ((), "compensated")
    assert ended.state.cause == OOPS.at("a")
