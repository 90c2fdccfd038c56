"""The rows of the saga, of a step's action and its repair, each walked by a command, with the exact events."""

import pytest

from saga_es.testing.given import given
from tests.unit.model.plans import (
    BIG,
    BY,
    CANCEL,
    NO,
    OOPS,
    SLOW,
    TWICE,
    abandoned,
    act,
    again,
    awaited,
    bad,
    cancel,
    deny,
    dispatched,
    done,
    ev,
    failed,
    no,
    ok,
    parked,
    plan,
    received,
    rejected,
    retry,
    skip,
    start,
    started,
    statuses,
    succeeded,
    supplied_no,
    supply,
    tell,
    turning,
    unknown,
    unparked,
    wait,
    wake,
)

ONE = plan(act("a"))
PAIR = plan(act("a"), act("b"))
STUBBORN = plan(act("a", retry=TWICE), act("b"))
ASKING = plan(wait("yes", timeout=60), act("a", "yes"))
CAREFUL = plan(
    act("p", pivot=True, undo=False), act("a", "p", undo=False, retry=TWICE), wait("yes", "p", timeout=60)
)


# -- the saga ----------------------------------------------------------------------------------------


@pytest.mark.promise("row.saga.unborn.SagaStarted", "event.SagaStarted")
def test_a_saga_begins_pending():
    saga = given(ONE).when(start({"n": 1}, room=0)).then(started(ONE, {"n": 1}))
    assert statuses(saga) == {"saga": "pending", "a": "waiting"}


@pytest.mark.promise("row.saga.pending.StepDispatched", "row.step.waiting.StepDispatched")
def test_its_first_dispatch_makes_it_run():
    saga = given(ONE, started(ONE)).when(wake()).then(dispatched("a"))
    assert statuses(saga) == {"saga": "running", "a": "dispatched"}


@pytest.mark.promise("row.saga.pending.SignalAwaited", "row.signal.waiting.SignalAwaited")
def test_a_signal_waited_for_makes_it_run():
    saga = given(ASKING, started(ASKING)).when(wake()).then(awaited("yes", t=60))
    assert statuses(saga) == {"saga": "running", "yes": "awaited", "a": "waiting"}


@pytest.mark.promise("row.saga.running.StepDispatched")
def test_a_running_saga_dispatches_more():
    saga = given(PAIR, started(PAIR), dispatched("a")).when(wake()).then(dispatched("b"))
    assert statuses(saga) == {"saga": "running", "a": "dispatched", "b": "dispatched"}


@pytest.mark.promise("row.saga.running.SignalAwaited")
def test_a_running_saga_awaits_signals():
    asking = plan(act("a"), wait("yes", "a"))
    saga = given(asking, started(asking), dispatched("a")).when(ok("a")).then(succeeded("a"), awaited("yes"))
    assert statuses(saga) == {"saga": "running", "a": "succeeded", "yes": "awaited"}


@pytest.mark.promise("row.saga.pending.SagaSucceeded")
def test_nothing_to_do_succeeds_at_once():
    empty = plan()
    saga = given(empty).when(start()).then(started(empty), done())
    assert statuses(saga) == {"saga": "succeeded"}


@pytest.mark.promise("row.saga.running.SagaSucceeded", "row.step.dispatched.StepSucceeded")
def test_the_last_success_ends_it():
    saga = given(ONE, started(ONE), dispatched("a")).when(ok("a", 7)).then(succeeded("a", 7), done())
    assert statuses(saga) == {"saga": "succeeded", "a": "succeeded"}
    assert saga.state.ending == "succeeded"


@pytest.mark.promise("row.saga.pending.SagaCompensating")
def test_a_cancel_before_the_first_dispatch_turns_round():
    saga = given(ONE, started(ONE)).when(cancel())
    saga.then(ev.CancelRequested(**BY), turning(CANCEL, None), failed("compensated", CANCEL, None))
    assert statuses(saga) == {"saga": "failed", "a": "waiting"}


@pytest.mark.promise("row.saga.running.SagaCompensating", "row.saga.compensating.SagaFailed")
@pytest.mark.promise("row.step.dispatched.StepRejected")
def test_a_rejection_turns_it_round():
    saga = given(ONE, started(ONE), dispatched("a")).when(no("a"))
    saga.then(rejected("a"), turning(NO, "a"), failed("compensated", NO, "a"))
    assert statuses(saga) == {"saga": "failed", "a": "rejected"}


# -- a step's action ---------------------------------------------------------------------------------


@pytest.mark.promise("row.step.dispatched.StepRetryScheduled")
def test_a_failure_is_tried_again_later():
    saga = (
        given(STUBBORN, started(STUBBORN), dispatched("a")).when(bad("a", t=5, room=0)).then(again("a", t=6))
    )
    assert statuses(saga)["a"] == "retrying"


def is_retrying():
    return given(STUBBORN, started(STUBBORN), dispatched("a"), again("a", SLOW))


@pytest.mark.promise("row.step.retrying.StepDispatched")
def test_what_is_due_is_tried_again():
    saga = is_retrying().when(wake(t=1, room=1)).then(dispatched("a", 2, t=1))
    assert statuses(saga)["a"] == "dispatched"


@pytest.mark.promise("row.step.retrying.StepSucceeded")
def test_a_late_success_settles_a_retry():
    saga = is_retrying().when(ok("a", 7, room=0)).then(succeeded("a", 7))
    assert statuses(saga)["a"] == "succeeded"


@pytest.mark.promise("row.step.retrying.StepRejected")
def test_a_history_may_reject_what_waits_for_a_retry():
    saga = given(STUBBORN, *is_retrying().events, rejected("a"))
    assert statuses(saga)["a"] == "rejected"
    saga.when(wake()).then(turning(NO, "a"), failed("compensated", NO, "a"))


@pytest.mark.promise("row.step.retrying.StepOutcomeUnknown")
def test_what_waits_for_a_retry_is_abandoned_when_the_saga_fails():
    saga = is_retrying().when(cancel(room=0))
    saga.then(ev.CancelRequested(**BY), unknown("a", abandoned("slow")), turning(CANCEL, None))
    assert statuses(saga) == {"saga": "compensating", "a": "unknown", "b": "waiting"}


@pytest.mark.promise("row.step.dispatched.StepOutcomeUnknown")
def test_a_failure_without_an_answer_leaves_the_outcome_unknown():
    saga = given(ONE, started(ONE), dispatched("a")).when(bad("a", BIG, room=0))
    saga.then(unknown("a", BIG), turning(BIG, "a"))
    assert statuses(saga) == {"saga": "compensating", "a": "unknown"}


def is_parked():
    return given(
        CAREFUL,
        started(CAREFUL),
        dispatched("p"),
        succeeded("p"),
        awaited("yes", t=60),
        dispatched("a"),
        rejected("a"),
        parked("a", NO),
    )


def is_unknown():
    return given(CAREFUL, started(CAREFUL), dispatched("p"), unknown("p"), parked("p", OOPS))


@pytest.mark.promise("row.step.rejected.SagaParked")
def test_a_rejection_past_the_pivot_parks():
    saga = given(CAREFUL, *is_parked().events[:-2]).when(no("a")).then(rejected("a"), parked("a", NO))
    assert statuses(saga) == {"saga": "running", "p": "succeeded", "a": "rejected", "yes": "awaited"}
    assert saga.state.parked == "a: no rooms"


@pytest.mark.promise("row.step.unknown.SagaParked")
def test_an_unknown_pivot_without_a_compensation_parks():
    saga = (
        given(CAREFUL, started(CAREFUL), dispatched("p")).when(bad("p")).then(unknown("p"), parked("p", OOPS))
    )
    assert statuses(saga) == {"saga": "running", "p": "unknown", "a": "waiting", "yes": "waiting"}
    assert saga.state.parked == "p: oops"


@pytest.mark.promise("row.step.rejected.RetryRequested")
def test_a_parked_rejection_begins_anew():
    saga = is_parked().when(retry("a", room=0)).then(ev.RetryRequested(step="a", **BY), unparked("a"))
    assert statuses(saga)["a"] == "waiting"
    saga.when(wake(t=9)).then(dispatched("a", 2, t=9))


@pytest.mark.promise("row.step.unknown.RetryRequested")
def test_a_parked_unknown_outcome_begins_anew():
    saga = is_unknown().when(retry("p", room=0)).then(ev.RetryRequested(step="p", **BY), unparked("p"))
    assert statuses(saga)["p"] == "waiting"
    saga.when(wake(t=9)).then(dispatched("p", 2, t=9))


@pytest.mark.promise("row.step.retrying.RetryRequested", "event.RetryRequested")
def test_a_waiting_retry_is_brought_forward():
    saga = is_retrying().when(retry("a", t=0.5, room=0)).then(ev.RetryRequested(step="a", **BY))
    assert statuses(saga)["a"] == "retrying"
    saga.when(wake(t=0.5, room=1)).then(dispatched("a", 2, t=0.5))


# -- repair ------------------------------------------------------------------------------------------


@pytest.mark.promise("row.step.waiting.ResultSupplied", "event.ResultSupplied")
def test_a_result_is_supplied_to_a_step_that_waits():
    saga = given(PAIR, started(PAIR)).when(supply("a", 7, room=0))
    saga.then(ev.ResultSupplied(step="a", result=7, **BY))
    assert statuses(saga) == {"saga": "pending", "a": "succeeded", "b": "waiting"}
    assert saga.state.steps["a"].result == 7


@pytest.mark.promise("row.step.retrying.ResultSupplied")
def test_a_result_is_supplied_to_a_step_that_waits_for_a_retry():
    saga = is_retrying().when(supply("a", 7, room=0)).then(ev.ResultSupplied(step="a", result=7, **BY))
    assert statuses(saga)["a"] == "succeeded"


@pytest.mark.promise("row.step.rejected.ResultSupplied")
def test_a_result_is_supplied_to_a_step_that_was_rejected():
    saga = is_parked().when(supply("a", 7)).then(ev.ResultSupplied(step="a", result=7, **BY), unparked("a"))
    assert statuses(saga)["a"] == "succeeded"
    assert saga.state.parked is None


@pytest.mark.promise("row.step.unknown.ResultSupplied")
def test_a_result_is_supplied_to_a_pivot_of_unknown_outcome():
    saga = is_unknown().when(supply("p", 7))
    saga.then(
        ev.ResultSupplied(step="p", result=7, **BY), unparked("p"), awaited("yes", t=60), dispatched("a")
    )
    assert statuses(saga) == {"saga": "running", "p": "succeeded", "a": "dispatched", "yes": "awaited"}


@pytest.mark.promise("row.step.waiting.RejectionSupplied", "event.RejectionSupplied")
def test_a_rejection_is_supplied_to_a_step_that_waits():
    saga = given(PAIR, started(PAIR)).when(deny("a"))
    saga.then(
        ev.RejectionSupplied(step="a", **BY),
        turning(supplied_no(), "a"),
        failed("compensated", supplied_no(), "a"),
    )
    assert statuses(saga) == {"saga": "failed", "a": "rejected", "b": "waiting"}


@pytest.mark.promise("row.step.retrying.RejectionSupplied")
def test_a_rejection_is_supplied_to_a_step_that_waits_for_a_retry():
    saga = is_retrying().when(deny("a"))
    saga.then(
        ev.RejectionSupplied(step="a", **BY),
        turning(supplied_no(), "a"),
        failed("compensated", supplied_no(), "a"),
    )
    assert statuses(saga)["a"] == "rejected"


@pytest.mark.promise("row.step.rejected.RejectionSupplied")
def test_an_operator_confirms_a_rejection():
    saga = is_parked().when(deny("a")).then(ev.RejectionSupplied(step="a", **BY))
    assert statuses(saga)["a"] == "rejected"
    assert saga.state.parked == "a: no rooms"  # past the pivot it stays parked


@pytest.mark.promise("row.step.unknown.RejectionSupplied")
def test_a_pivot_that_did_not_happen_opens_the_way_back():
    saga = is_unknown().when(deny("p"))
    saga.then(
        ev.RejectionSupplied(step="p", **BY),
        unparked("p"),
        turning(supplied_no(), "p"),
        failed("compensated", supplied_no(), "p"),
    )
    assert statuses(saga)["p"] == "rejected"


@pytest.mark.promise("row.step.waiting.StepSkipped", "event.StepSkipped")
def test_a_step_that_waits_is_skipped():
    saga = given(PAIR, started(PAIR)).when(skip("a", room=0)).then(ev.StepSkipped(step="a", **BY))
    assert statuses(saga) == {"saga": "pending", "a": "skipped", "b": "waiting"}


@pytest.mark.promise("row.step.retrying.StepSkipped")
def test_a_step_that_waits_for_a_retry_is_skipped():
    saga = is_retrying().when(skip("a", room=0)).then(ev.StepSkipped(step="a", **BY))
    assert statuses(saga)["a"] == "skipped"
    saga.when(wake(t=99, room=1)).then(dispatched("b", t=99))


@pytest.mark.promise("row.step.rejected.StepSkipped")
def test_a_step_that_was_rejected_past_the_pivot_is_skipped():
    saga = is_parked().when(skip("a")).then(ev.StepSkipped(step="a", **BY), unparked("a"))
    assert statuses(saga)["a"] == "skipped"
    saga.when(tell("yes")).then(received("yes"), done())


@pytest.mark.promise("row.step.unknown.StepSkipped")
def test_a_step_of_unknown_outcome_is_skipped():
    lax = plan(act("p", pivot=True, undo=False), act("a", "p", undo=False, optional=("p",)))
    saga = given(lax, started(lax), dispatched("p"), unknown("p"), parked("p", OOPS)).when(skip("p"))
    saga.then(ev.StepSkipped(step="p", **BY), unparked("p"), dispatched("a"))
    assert statuses(saga) == {"saga": "running", "p": "skipped", "a": "dispatched"}
