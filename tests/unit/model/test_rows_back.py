"""The rows of the way back and of the signals, each walked by a command, with the exact events."""

import pytest

from saga_es.errors import IllegalTransition
from saga_es.model.definition import Retry
from saga_es.testing.given import given
from tests.unit.model.plans import (
    BY,
    NO,
    OOPS,
    TWICE,
    act,
    after,
    awaited,
    bad,
    compensated,
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
    start,
    started,
    statuses,
    succeeded,
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
ASKING = plan(wait("yes", timeout=60), act("a", "yes"))
CAREFUL = plan(
    act("p", pivot=True, undo=False), act("a", "p", undo=False, retry=TWICE), wait("yes", "p", timeout=60)
)
ONCE = Retry(attempts=1)
TOUCHY = plan(act("a", undo_retry=ONCE), act("b"))


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


def is_stuck():
    return given(TOUCHY, *after(TOUCHY, start(), ok("a", 7), no("b"), undo_bad("a")).events)


@pytest.mark.promise("row.step.undoing.SagaParked", "event.SagaParked", "case.compensation-fails")
def test_an_undo_that_has_used_its_attempts_parks():
    saga = (
        given(TOUCHY, *is_stuck().events[:-1]).when(undo_bad("a")).then(parked("a", OOPS, 1, "compensation"))
    )
    assert statuses(saga) == {"saga": "compensating", "a": "stuck", "b": "rejected"}
    assert saga.state.parked == "a: oops"


@pytest.mark.promise("row.step.stuck.RetryRequested", "event.SagaUnparked")
def test_a_stuck_undo_is_tried_again():
    saga = is_stuck().when(retry("a", room=0)).then(ev.RetryRequested(step="a", **BY), unparked("a"))
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
    saga = is_stuck().when(force("a"))
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
    overdue = given(CAREFUL, *is_parked().events[:-3]).when(wake(t=60, room=0))
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
