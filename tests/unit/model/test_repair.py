"""What an operator may do to one step, and when."""

import pytest

from saga_es.errors import IllegalTransition, PastPivot, SagaAlreadyEnded, UnknownStep
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import Retry
from saga_es.testing.given import given
from tests.unit.model.plans import (
    BY,
    NO,
    OOPS,
    SLOW,
    TWICE,
    act,
    after,
    bad,
    cancel,
    compensated,
    deny,
    dispatched,
    done,
    ev,
    failed,
    force,
    late,
    no,
    ok,
    parked,
    pause,
    plan,
    received,
    rejected,
    resume,
    retry,
    skip,
    start,
    started,
    statuses,
    succeeded,
    supplied_no,
    supply,
    tell,
    timed_out,
    turning,
    undo_bad,
    undoing,
    undone,
    unknown,
    unparked,
    wait,
    wake,
)

pytestmark = pytest.mark.promise("case.retry-supply-skip")

PAIR = plan(act("a", retry=TWICE), act("b"))
CHAIN = plan(act("a"), act("b", "a"), act("c", "b"))
PIVOT = plan(
    act("a"), act("p", "a", pivot=True, undo=False), act("x", "p", undo=False), act("y", "x", undo=False)
)


# -- in flight, ended, unknown -----------------------------------------------------------------------


@pytest.mark.parametrize("asked", [retry, supply, deny, skip, force])
def test_nothing_is_repaired_while_its_attempt_is_in_flight(asked):
    given(PAIR, started(PAIR), dispatched("a")).when(asked("a")).then_raises(
        IllegalTransition, status="dispatched", allowed=()
    )
    undoing_a = after(PAIR, start(), ok("a"), no("b"))
    undoing_a.when(asked("a")).then_raises(IllegalTransition, status="undoing", allowed=())


@pytest.mark.parametrize("asked", [retry, supply, deny, skip, force])
@pytest.mark.promise("error.SagaAlreadyEnded")
def test_an_ended_saga_is_not_repaired(asked):
    after(PAIR, start(), ok("a"), ok("b")).when(asked("a")).then_raises(SagaAlreadyEnded, status="succeeded")
    after(PAIR, start(), no("a"), no("b")).when(asked("a", room=0)).then_raises(
        SagaAlreadyEnded, status="failed"
    )


@pytest.mark.parametrize("asked", [retry, supply, deny, skip, force])
@pytest.mark.promise("error.UnknownStep")
def test_a_step_that_the_saga_does_not_have_is_named(asked):
    error = after(PAIR, start()).when(asked("z")).then_raises(UnknownStep, step="z", known=("a", "b"))
    assert "it has a, b" in str(error)


def test_a_signal_is_no_step_to_repair():
    asking = plan(wait("yes"), act("a", "yes"))
    after(asking, start()).when(retry("yes")).then_raises(UnknownStep, step="yes", known=("a",))


def test_the_refusal_names_what_would_be_allowed():
    waiting = after(CHAIN, start())
    waiting.when(force("b")).then_raises(
        IllegalTransition,
        status="waiting",
        trigger="CompensationForced",
        allowed=("ResultSupplied", "RejectionSupplied"),  # c does not accept None
    )
    stuck = after(plan(act("a", undo_retry=Retry()), act("b")), start(), ok("a"), no("b"), undo_bad("a"))
    stuck.when(supply("a")).then_raises(
        IllegalTransition, status="stuck", allowed=("RetryRequested", "CompensationForced")
    )


# -- while the saga is on its way back ---------------------------------------------------------------


@pytest.mark.parametrize("asked", [supply, deny, skip])
def test_waiting_steps_are_repaired_only_while_the_saga_is_not_draining(asked):
    draining = after(plan(act("a"), act("b"), act("c", "a")), start(), no("a"))
    assert draining.state.status == "running"
    draining.when(asked("c")).then_raises(IllegalTransition, status="waiting", allowed=())
    after(CHAIN, start(), ok("a"), no("b", room=0)).when(asked("c")).then_raises(
        IllegalTransition, allowed=()
    )


@pytest.mark.parametrize("step", ["a", "b"])
def test_nothing_is_skipped_on_the_way_back(step):
    draining = after(plan(act("a"), act("b"), act("c")), start(), no("a"), bad("b"))
    draining.when(skip(step)).then_raises(IllegalTransition, trigger="StepSkipped")


def test_a_result_supplied_while_draining_is_undone_like_any_other():
    saga = (
        after(PAIR, start(), no("a")).when(supply("a", 7)).then(ev.ResultSupplied(step="a", result=7, **BY))
    )
    saga.when(ok("b")).then(succeeded("b"), turning(NO, "a"), undoing("a"), undoing("b"))


def test_a_result_supplied_to_an_unknown_step_is_what_its_undo_gets():
    saga = after(plan(act("a")), start(), bad("a", room=0)).when(supply("a", 7, room=0))
    saga.then(ev.ResultSupplied(step="a", result=7, **BY))
    (attempt,) = saga.when(wake()).effects
    assert attempt.arguments == (None, 7)
    assert attempt.absent == 0


def test_a_rejection_supplied_to_an_unknown_step_leaves_nothing_to_undo():
    saga = after(CHAIN, start(), ok("a"), bad("b", room=0)).when(deny("b"))
    saga.then(ev.RejectionSupplied(step="b", **BY), undoing("a"))


def test_a_rejected_step_may_still_turn_out_a_success_and_is_undone_in_its_order():
    saga = after(CHAIN, start(), ok("a"), no("b", room=0)).when(supply("b", 7))
    saga.then(ev.ResultSupplied(step="b", result=7, **BY), undoing("b"))
    saga.when(undone("b")).then(compensated("b"), undoing("a"))


@pytest.mark.promise("invariant.4")
def test_no_result_is_supplied_once_what_the_step_needed_is_being_undone():
    error = (
        after(CHAIN, start(), ok("a"), no("b"))
        .when(supply("b"))
        .then_raises(IllegalTransition, status="rejected")
    )
    assert isinstance(error, IllegalTransition)
    assert "undone before them" in str(error)
    assert error.allowed == ("RejectionSupplied",)


def test_a_result_supplied_late_holds_back_a_long_chain():
    names = [f"s{n}" for n in range(2000)]
    links = [act(name, need, undo=False) for name, need in zip(names, ["a", *names], strict=False)]
    long = plan(act("a"), *links, act("last", names[-1]))
    commands = [start(), ok("a"), *(ok(name) for name in names), no("last", room=0)]
    state = given(long).state  # by hand: given() would replay 2,000 histories
    for command in (*commands, supply("last", room=0)):
        state = decide_with_state(long, state, command).state
    back = decide_with_state(long, state, wake())
    assert back.events == (undoing("last"),)


# -- skip --------------------------------------------------------------------------------------------


def test_a_skipped_step_counts_as_done_with_nothing_as_its_result():
    lax = plan(act("a"), act("b", "a", optional=("a",)))
    saga = given(lax, started(lax)).when(skip("a")).then(ev.StepSkipped(step="a", **BY), dispatched("b"))
    (attempt,) = saga.effects
    assert attempt.arguments == (None, None)
    assert attempt.absent == 0b10  # the second argument is absent, not a recorded null
    saga.when(ok("b", 1)).then(succeeded("b", 1), done())


@pytest.mark.parametrize("settle", [skip, supply])
def test_what_was_settled_early_lets_go_only_when_all_before_it_is_done(settle):
    lax = plan(act("a"), act("b", "a"), act("c", "b", optional=("b",)))
    saga = after(lax, start(), settle("b")).when(wake()).then()
    saga.when(ok("a")).then(succeeded("a"), dispatched("c"))


def test_a_step_whose_result_is_needed_is_supplied_not_skipped():
    error = (
        given(CHAIN, started(CHAIN))
        .when(skip("a"))
        .then_raises(
            IllegalTransition, trigger="StepSkipped", allowed=("ResultSupplied", "RejectionSupplied")
        )
    )
    assert "'b' does not accept None" in str(error)
    assert "supply a result" in str(error)


def test_only_a_step_that_is_still_to_run_has_to_accept_none():
    saga = after(plan(act("a"), act("b", "a")), start(room=0), supply("b", room=0)).when(skip("a"))
    saga.then(ev.StepSkipped(step="a", **BY), done())


def test_a_signal_never_minds_a_skipped_need():
    asking = plan(act("a"), wait("yes", "a"))
    given(asking, started(asking)).when(skip("a")).then(
        ev.StepSkipped(step="a", **BY), ev.SignalAwaited(signal="yes", due=None)
    )


@pytest.mark.promise("case.how-it-ended")
def test_what_an_attempt_of_a_skipped_step_may_have_done_stands():
    doubtful = after(PAIR, start(), bad("a", SLOW), skip("a")).when(no("b"))
    doubtful.then(rejected("b"), turning(NO, "b"), failed("residue", NO, "b", "a"))
    clean = after(PAIR, start(room=0), skip("a"), no("b")).state
    assert (clean.ending, clean.residue) == ("compensated", ())


# -- retry -------------------------------------------------------------------------------------------


def test_only_where_the_saga_is_parked_does_a_step_begin_anew():
    draining = after(plan(act("a"), act("b")), start(), no("a"))
    draining.when(retry("a")).then_raises(IllegalTransition, status="rejected", trigger="RetryRequested")


def test_a_retry_renews_the_budget_and_counts_on():
    stubborn = plan(act("p", pivot=True, undo=False, retry=TWICE))
    saga = after(stubborn, start(), bad("p"), wake(t=1), bad("p", attempt=2), retry("p"))
    assert saga.events[-1] == dispatched("p", 3)
    saga.when(bad("p", attempt=3)).then(
        ev.StepRetryScheduled(step="p", attempt=3, error=OOPS, due=wake(t=1).at)
    ).when(wake(t=1)).then(dispatched("p", 4, t=1)).when(bad("p", attempt=4)).then(
        unknown("p", OOPS, 4), parked("p", OOPS, 4)
    )


@pytest.mark.promise("case.duplicate")
def test_a_retry_asked_for_twice_before_it_begins_is_one():
    retrying = after(PAIR, start(), bad("a"), retry("a", room=0))
    retrying.when(retry("a", room=0)).then()
    anew = after(plan(act("p", pivot=True, undo=False)), start(), bad("p"), retry("p", room=0))
    anew.when(retry("p", room=0)).then()
    stuck = after(plan(act("a", undo_retry=Retry()), act("b")), start(), ok("a"), no("b"), undo_bad("a"))
    stuck.when(retry("a", room=0)).then(ev.RetryRequested(step="a", **BY), unparked("a")).when(
        retry("a", room=0)
    ).then()


@pytest.mark.parametrize("asked", [supply, deny, skip])
@pytest.mark.promise("case.duplicate")
def test_the_same_repair_again_appends_nothing(asked):
    saga = given(PAIR, started(PAIR)).when(asked("a", room=0))
    saga.when(asked("a", room=0)).then()


@pytest.mark.promise("case.duplicate")
def test_the_same_force_again_appends_nothing():
    after(PAIR, start(), ok("a"), ok("b", room=0), wake(room=0)).when(force("a")).then_raises(
        SagaAlreadyEnded
    )
    saga = after(
        plan(act("a"), act("b"), act("c")), start(), ok("a"), ok("b"), no("c", room=0), force("a", room=0)
    )
    saga.when(force("a", room=0)).then()


def test_another_result_than_the_supplied_one_is_refused():
    saga = given(PAIR, started(PAIR)).when(supply("a", 1, room=0))
    saga.when(supply("a", 1.0, room=0)).then_raises(IllegalTransition, status="succeeded")


# -- force -------------------------------------------------------------------------------------------


def test_compensations_are_forced_only_while_compensating():
    after(plan(act("a"), act("b")), start(), ok("a")).when(force("a")).then_raises(
        IllegalTransition, status="succeeded", trigger="CompensationForced"
    )


def test_a_step_without_compensation_that_was_forced_is_no_residue():
    saga = after(
        plan(act("a", undo=False), act("b"), act("c")), start(), ok("a"), ok("b"), no("c", room=0), force("a")
    )
    assert saga.events[-1] == undoing("b")
    saga.when(undone("b")).then(compensated("b"), failed("forced", NO, "c"))


def test_a_forced_step_lets_go_what_it_held_back():
    saga = after(CHAIN, start(), ok("a"), ok("b"), no("c", room=0)).when(force("b"))
    saga.then(ev.CompensationForced(step="b", **BY), undoing("a"))


# -- past the pivot ----------------------------------------------------------------------------------


@pytest.mark.promise("case.pivot")
def test_a_rejection_supplied_past_the_pivot_parks():
    past = after(PIVOT, start(), ok("a"), ok("p"))
    saga = past.when(deny("y", room=0)).then(
        ev.RejectionSupplied(step="y", **BY), parked("y", supplied_no(), None)
    )
    assert statuses(saga)["y"] == "rejected"
    saga.when(retry("y")).then(ev.RetryRequested(step="y", **BY), unparked("y"))  # not yet: x is in flight
    saga.when(retry("y")).when(ok("x")).then(succeeded("x"), dispatched("y"))
    saga.when(ok("x")).then(succeeded("x")).when(supply("y")).then(
        ev.ResultSupplied(step="y", result="by hand", **BY), unparked("y"), done()
    )


@pytest.mark.promise("case.pivot")
def test_what_follows_the_pivot_is_not_rejected_while_the_pivot_is_at_work():
    at_work = after(PIVOT, start(), ok("a"))
    error = at_work.when(deny("x")).then_raises(
        IllegalTransition, status="waiting", trigger="RejectionSupplied"
    )
    assert "pivot 'p'" in str(error)
    at_work.when(bad("p")).when(deny("x")).then_raises(IllegalTransition)  # parked: its outcome is unknown
    before = after(PIVOT, start()).when(deny("x"))
    before.then(ev.RejectionSupplied(step="x", **BY)).when(ok("a")).then(
        succeeded("a"), turning(supplied_no(), "x"), undoing("a")
    )


@pytest.mark.promise("case.pivot")
def test_a_supplied_pivot_closes_the_way_back_at_once():
    saga = after(PIVOT, start(), supply("p"))
    saga.when(cancel()).then_raises(PastPivot, pivot="p")
    saga.when(ok("a")).then(succeeded("a"), dispatched("x")).when(no("x")).then(
        rejected("x"), parked("x", NO)
    )
    stuck = saga.when(no("a")).then(rejected("a"), parked("a", NO))
    stuck.when(retry("a")).then(ev.RetryRequested(step="a", **BY), unparked("a"), dispatched("a", 2))


@pytest.mark.promise("case.pivot")
def test_a_skipped_pivot_closes_the_way_back_at_once():
    forgiving = plan(act("a"), act("p", "a", pivot=True, undo=False))
    saga = after(forgiving, start(), skip("p"))
    saga.when(cancel()).then_raises(PastPivot, pivot="p")


@pytest.mark.promise("case.pivot")
def test_a_late_signal_past_the_pivot_goes_on():
    asking = plan(act("p", pivot=True, undo=False), wait("yes", "p", timeout=10))
    saga = after(asking, start(), ok("p"), wake(t=10))
    assert saga.state.parked == f"yes: {timed_out('yes').message}"
    saga.when(tell("yes", t=99)).then(received("yes"), unparked("yes"), done())


# -- an ended saga that is open again ----------------------------------------------------------------


@pytest.mark.promise("invariant.6", "case.late-reply")
def test_the_round_that_a_late_success_opened_can_be_repaired():
    touchy = plan(act("a", undo_retry=Retry()))
    saga = after(touchy, start(), bad("a"), undone("a"), ok("a", 7))
    saga = saga.when(undo_bad("a", round=2)).then(
        ev.SagaParked(reason=OOPS, step="a", op="compensation", round=2, attempt=1)
    )
    assert (saga.state.status, saga.state.ending, saga.state.residue) == ("failed", "residue", ("a",))
    assert saga.state.parked == "a: oops"
    saga.when(retry("a")).then(ev.RetryRequested(step="a", **BY), unparked("a"), undoing("a", 2, round=2))
    forced = saga.when(force("a")).then(ev.CompensationForced(step="a", **BY), unparked("a"))
    assert (forced.state.ending, forced.state.residue) == ("forced", ())
    saga.when(supply("a")).then_raises(IllegalTransition, status="stuck")
    saga.when(cancel()).then_raises(SagaAlreadyEnded)


@pytest.mark.promise("case.pause", "case.late-reply")
def test_a_saga_that_failed_while_paused_is_resumed_for_its_next_round():
    saga = after(plan(act("a"), act("b")), start(), bad("a"), no("b", room=9), pause(), undone("a"))
    assert saga.state.status == "failed"
    saga.when(resume()).then_raises(SagaAlreadyEnded)
    reopened = saga.when(ok("a", 7)).then(late("a", 7))
    reopened.when(resume()).then(ev.SagaResumed(**BY), undoing("a", round=2))
