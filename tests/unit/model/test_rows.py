"""Each row of the lifecycle tables is walked by a command, with the exact events and where they lead."""

import pytest

from saga_es.errors import IllegalTransition
from saga_es.model.definition import Retry
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
    after,
    again,
    awaited,
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
    timed_out,
    turning,
    undo_again,
    undo_bad,
    undoing,
    undone,
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
ONCE = Retry(attempts=1)
TOUCHY = plan(act("a", undo_retry=ONCE), act("b"))


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


RETRYING = given(STUBBORN, started(STUBBORN), dispatched("a"), again("a", SLOW))


@pytest.mark.promise("row.step.retrying.StepDispatched")
def test_what_is_due_is_tried_again():
    saga = RETRYING.when(wake(t=1, room=1)).then(dispatched("a", 2, t=1))
    assert statuses(saga)["a"] == "dispatched"


@pytest.mark.promise("row.step.retrying.StepSucceeded")
def test_a_late_success_settles_a_retry():
    saga = RETRYING.when(ok("a", 7, room=0)).then(succeeded("a", 7))
    assert statuses(saga)["a"] == "succeeded"


@pytest.mark.promise("row.step.retrying.StepRejected")
def test_a_history_may_reject_what_waits_for_a_retry():
    saga = given(STUBBORN, *RETRYING.events, rejected("a"))
    assert statuses(saga)["a"] == "rejected"
    saga.when(wake()).then(turning(NO, "a"), failed("compensated", NO, "a"))


@pytest.mark.promise("row.step.retrying.StepOutcomeUnknown")
def test_what_waits_for_a_retry_is_abandoned_when_the_saga_fails():
    saga = RETRYING.when(cancel(room=0))
    saga.then(ev.CancelRequested(**BY), unknown("a", abandoned("slow")), turning(CANCEL, None))
    assert statuses(saga) == {"saga": "compensating", "a": "unknown", "b": "waiting"}


@pytest.mark.promise("row.step.dispatched.StepOutcomeUnknown")
def test_a_failure_without_an_answer_leaves_the_outcome_unknown():
    saga = given(ONE, started(ONE), dispatched("a")).when(bad("a", BIG, room=0))
    saga.then(unknown("a", BIG), turning(BIG, "a"))
    assert statuses(saga) == {"saga": "compensating", "a": "unknown"}


PARKED = given(
    CAREFUL, started(CAREFUL), dispatched("p"), succeeded("p"), awaited("yes", t=60), dispatched("a"), rejected("a"),
    parked("a", NO),
)  # fmt: skip
PARKED_UNKNOWN = given(CAREFUL, started(CAREFUL), dispatched("p"), unknown("p"), parked("p", OOPS))


@pytest.mark.promise("row.step.rejected.SagaParked")
def test_a_rejection_past_the_pivot_parks():
    saga = given(CAREFUL, *PARKED.events[:-2]).when(no("a")).then(rejected("a"), parked("a", NO))
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
    saga = PARKED.when(retry("a", room=0)).then(ev.RetryRequested(step="a", **BY), unparked("a"))
    assert statuses(saga)["a"] == "waiting"
    saga.when(wake(t=9)).then(dispatched("a", 2, t=9))


@pytest.mark.promise("row.step.unknown.RetryRequested")
def test_a_parked_unknown_outcome_begins_anew():
    saga = PARKED_UNKNOWN.when(retry("p", room=0)).then(ev.RetryRequested(step="p", **BY), unparked("p"))
    assert statuses(saga)["p"] == "waiting"
    saga.when(wake(t=9)).then(dispatched("p", 2, t=9))


@pytest.mark.promise("row.step.retrying.RetryRequested", "event.RetryRequested")
def test_a_waiting_retry_is_brought_forward():
    saga = RETRYING.when(retry("a", t=0.5, room=0)).then(ev.RetryRequested(step="a", **BY))
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
    saga = RETRYING.when(supply("a", 7, room=0)).then(ev.ResultSupplied(step="a", result=7, **BY))
    assert statuses(saga)["a"] == "succeeded"


@pytest.mark.promise("row.step.rejected.ResultSupplied")
def test_a_result_is_supplied_to_a_step_that_was_rejected():
    saga = PARKED.when(supply("a", 7)).then(ev.ResultSupplied(step="a", result=7, **BY), unparked("a"))
    assert statuses(saga)["a"] == "succeeded"
    assert saga.state.parked is None


@pytest.mark.promise("row.step.unknown.ResultSupplied")
def test_a_result_is_supplied_to_a_pivot_of_unknown_outcome():
    saga = PARKED_UNKNOWN.when(supply("p", 7))
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
    saga = RETRYING.when(deny("a"))
    saga.then(
        ev.RejectionSupplied(step="a", **BY),
        turning(supplied_no(), "a"),
        failed("compensated", supplied_no(), "a"),
    )
    assert statuses(saga)["a"] == "rejected"


@pytest.mark.promise("row.step.rejected.RejectionSupplied")
def test_an_operator_confirms_a_rejection():
    saga = PARKED.when(deny("a")).then(ev.RejectionSupplied(step="a", **BY))
    assert statuses(saga)["a"] == "rejected"
    assert saga.state.parked == "a: no rooms"  # past the pivot it stays parked


@pytest.mark.promise("row.step.unknown.RejectionSupplied")
def test_a_pivot_that_did_not_happen_opens_the_way_back():
    saga = PARKED_UNKNOWN.when(deny("p"))
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
    saga = RETRYING.when(skip("a", room=0)).then(ev.StepSkipped(step="a", **BY))
    assert statuses(saga)["a"] == "skipped"
    saga.when(wake(t=99, room=1)).then(dispatched("b", t=99))


@pytest.mark.promise("row.step.rejected.StepSkipped")
def test_a_step_that_was_rejected_past_the_pivot_is_skipped():
    saga = PARKED.when(skip("a")).then(ev.StepSkipped(step="a", **BY), unparked("a"))
    assert statuses(saga)["a"] == "skipped"
    saga.when(tell("yes")).then(received("yes"), done())


@pytest.mark.promise("row.step.unknown.StepSkipped")
def test_a_step_of_unknown_outcome_is_skipped():
    lax = plan(act("p", pivot=True, undo=False), act("a", "p", undo=False, optional=("p",)))
    saga = given(lax, started(lax), dispatched("p"), unknown("p"), parked("p", OOPS)).when(skip("p"))
    saga.then(ev.StepSkipped(step="p", **BY), unparked("p"), dispatched("a"))
    assert statuses(saga) == {"saga": "running", "p": "skipped", "a": "dispatched"}


# -- a step's compensation ---------------------------------------------------------------------------

FAILING = (
    started(PAIR),
    dispatched("a"),
    dispatched("b"),
    succeeded("a", 7),
    rejected("b"),
    turning(NO, "b"),
)


@pytest.mark.promise("row.step.succeeded.CompensationDispatched")
def test_a_success_is_undone():
    saga = given(PAIR, *FAILING[:-2]).when(no("b")).then(rejected("b"), turning(NO, "b"), undoing("a"))
    assert statuses(saga) == {"saga": "compensating", "a": "undoing", "b": "rejected"}


@pytest.mark.promise("row.step.unknown.CompensationDispatched")
def test_an_unknown_outcome_is_undone():
    saga = (
        given(ONE, started(ONE), dispatched("a"))
        .when(bad("a"))
        .then(unknown("a"), turning(OOPS, "a"), undoing("a"))
    )
    assert statuses(saga) == {"saga": "compensating", "a": "undoing"}


@pytest.mark.promise("row.step.undoing.StepCompensated", "event.StepCompensated")
def test_an_undo_is_done():
    saga = given(PAIR, *FAILING, undoing("a")).when(undone("a"))
    saga.then(compensated("a"), failed("compensated", NO, "b"))
    assert statuses(saga) == {"saga": "failed", "a": "compensated", "b": "rejected"}
    assert saga.state.ending == "compensated"


@pytest.mark.promise("row.step.undoing.CompensationRetryScheduled", "event.CompensationRetryScheduled")
def test_an_undo_that_fails_is_tried_again():
    saga = given(PAIR, *FAILING, undoing("a")).when(undo_bad("a", t=5)).then(undo_again("a", t=5.1))
    assert statuses(saga)["a"] == "undo_retrying"


@pytest.mark.promise("row.step.undo_retrying.CompensationDispatched")
def test_an_undo_that_is_due_is_tried_again():
    saga = (
        given(PAIR, *FAILING, undoing("a"), undo_again("a", t=5)).when(wake(t=5)).then(undoing("a", 2, t=5))
    )
    assert statuses(saga)["a"] == "undoing"


STUCK = given(TOUCHY, *after(TOUCHY, start(), ok("a", 7), no("b"), undo_bad("a")).events)


@pytest.mark.promise("row.step.undoing.SagaParked", "event.SagaParked", "case.compensation-fails")
def test_an_undo_that_has_used_its_attempts_parks():
    saga = given(TOUCHY, *STUCK.events[:-1]).when(undo_bad("a")).then(parked("a", OOPS, 1, "compensation"))
    assert statuses(saga) == {"saga": "compensating", "a": "stuck", "b": "rejected"}
    assert saga.state.parked == "a: oops"


@pytest.mark.promise("row.step.stuck.RetryRequested", "event.SagaUnparked")
def test_a_stuck_undo_is_tried_again():
    saga = STUCK.when(retry("a", room=0)).then(ev.RetryRequested(step="a", **BY), unparked("a"))
    assert statuses(saga)["a"] == "undo_retrying"
    saga.when(wake()).then(undoing("a", 2)).when(undo_bad("a", attempt=2)).then(
        parked("a", OOPS, 2, "compensation")
    )


@pytest.mark.promise("row.step.undo_retrying.RetryRequested")
def test_an_undo_that_waits_is_brought_forward():
    saga = given(PAIR, *FAILING, undoing("a"), undo_again("a", t=50)).when(retry("a", t=1, room=0))
    saga.then(ev.RetryRequested(step="a", **BY))
    assert statuses(saga)["a"] == "undo_retrying"
    saga.when(wake(t=1)).then(undoing("a", 2, t=1))


@pytest.mark.promise("row.step.compensated.CompensationDispatched")
def test_a_late_success_opens_another_round():
    ended = after(ONE, start(), bad("a"), undone("a"))
    saga = ended.when(ok("a", 7, t=60)).then(late("a", 7), undoing("a", round=2, t=60))
    assert statuses(saga) == {"saga": "failed", "a": "undoing"}
    assert saga.state.steps["a"].round == 2


@pytest.mark.promise("row.step.succeeded.CompensationForced", "event.CompensationForced")
def test_a_success_is_forced():
    saga = given(PAIR, *FAILING).when(force("a", room=0))
    saga.then(ev.CompensationForced(step="a", **BY), failed("forced", NO, "b"))
    assert statuses(saga) == {"saga": "failed", "a": "forced", "b": "rejected"}


@pytest.mark.promise("row.step.unknown.CompensationForced")
def test_an_unknown_outcome_is_forced():
    saga = given(ONE, started(ONE), dispatched("a"), unknown("a"), turning(OOPS, "a")).when(force("a"))
    saga.then(ev.CompensationForced(step="a", **BY), failed("forced", OOPS, "a"))
    assert statuses(saga)["a"] == "forced"


@pytest.mark.promise("row.step.undo_retrying.CompensationForced")
def test_an_undo_that_waits_is_forced():
    saga = given(PAIR, *FAILING, undoing("a"), undo_again("a", t=50)).when(force("a"))
    saga.then(ev.CompensationForced(step="a", **BY), failed("forced", NO, "b"))
    assert statuses(saga)["a"] == "forced"


@pytest.mark.promise("row.step.stuck.CompensationForced")
def test_a_stuck_undo_is_forced():
    saga = STUCK.when(force("a"))
    saga.then(ev.CompensationForced(step="a", **BY), unparked("a"), failed("forced", NO, "b"))
    assert statuses(saga) == {"saga": "failed", "a": "forced", "b": "rejected"}
    assert saga.state.ending == "forced"


# -- signals -----------------------------------------------------------------------------------------


@pytest.mark.promise("row.signal.waiting.SignalReceived")
def test_a_signal_that_came_early_is_kept():
    asking = plan(act("a"), wait("yes", "a"), act("b", "yes"))
    saga = given(asking, started(asking), dispatched("a")).when(tell("yes", 7)).then(received("yes", 7))
    assert statuses(saga) == {"saga": "running", "a": "dispatched", "yes": "received", "b": "waiting"}
    saga.when(ok("a")).then(succeeded("a"), dispatched("b"))


@pytest.mark.promise("row.signal.awaited.SignalReceived")
def test_a_signal_lets_go_what_waits_for_it():
    saga = given(ASKING, started(ASKING), awaited("yes", t=60)).when(tell("yes", 7))
    saga.then(received("yes", 7), dispatched("a"))
    assert statuses(saga) == {"saga": "running", "yes": "received", "a": "dispatched"}


@pytest.mark.promise("row.signal.awaited.SignalTimedOut", "event.SignalTimedOut")
def test_a_signal_that_does_not_come_in_time_fails_the_saga():
    saga = given(ASKING, started(ASKING), awaited("yes", t=60)).when(wake(t=60))
    why = timed_out("yes")
    saga.then(ev.SignalTimedOut(signal="yes"), turning(why, "yes"), failed("compensated", why, "yes"))
    assert statuses(saga) == {"saga": "failed", "yes": "timed_out", "a": "waiting"}


@pytest.mark.promise("row.signal.timed_out.SignalReceived")
def test_past_the_pivot_a_signal_may_come_too_late():
    overdue = given(CAREFUL, *PARKED.events[:-3]).when(wake(t=60, room=0))
    overdue.then(ev.SignalTimedOut(signal="yes"), parked("yes", timed_out("yes"), None, None))
    assert statuses(overdue)["yes"] == "timed_out"
    saga = overdue.when(tell("yes", 7, room=0)).then(received("yes", 7), unparked("yes"))
    assert statuses(saga) == {"saga": "running", "p": "succeeded", "a": "waiting", "yes": "received"}


# -- what is not in the tables -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "state", "trigger"),
    [
        ((started(ONE), started(ONE)), "pending", "SagaStarted"),
        ((dispatched("a"),), "unborn", "StepDispatched"),
        ((started(ONE), succeeded("a")), "waiting", "StepSucceeded"),
        ((started(ONE), dispatched("a"), dispatched("a", 2)), "dispatched", "StepDispatched"),
        ((started(ONE), dispatched("a"), undoing("a")), "dispatched", "CompensationDispatched"),
        ((started(ONE), failed("compensated", NO, "a")), "pending", "SagaFailed"),
        (
            (started(ONE), dispatched("a"), succeeded("a"), done(), turning(NO, "a")),
            "succeeded",
            "SagaCompensating",
        ),
    ],
)
@pytest.mark.promise("invariant.1", "error.IllegalTransition")
def test_what_the_tables_do_not_have_is_no_history(history, state, trigger):
    with pytest.raises(IllegalTransition) as caught:
        given(ONE, *history)
    assert (caught.value.status, caught.value.trigger) == (state, trigger)
