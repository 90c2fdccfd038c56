"""The pivot: nothing runs beside it, and past it there is no way back."""

import pytest

from saga_es.errors import DefinitionError, PastPivot
from saga_es.testing.given import given
from tests.unit.model.plans import (
    BY,
    CANCEL,
    NO,
    OOPS,
    SLOW,
    TWICE,
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
    undoing,
    undone,
    unknown,
    unparked,
    wait,
    wake,
)  # fmt: skip

pytestmark = pytest.mark.promise("case.pivot")

PLAIN = plan(act("a"), act("p", "a", pivot=True, undo=False), act("x", "p", undo=False))
UNDOABLE = plan(act("a"), act("p", "a", pivot=True), act("x", "p", undo=False))
ASKING = plan(act("p", pivot=True, undo=False), wait("w", "p", timeout=60), act("x", "w", undo=False))


@pytest.mark.promise("error.PastPivot")
def test_from_its_dispatch_on_a_cancel_is_refused():
    before = after(PLAIN, start()).when(cancel()).then(ev.CancelRequested(**BY))
    before.when(ok("a")).then(succeeded("a"), turning(CANCEL, None), undoing("a"))
    after(PLAIN, start(), ok("a")).when(cancel()).then_raises(PastPivot, saga_id="saga-1", pivot="p")
    after(PLAIN, start(), ok("a"), ok("p")).when(cancel()).then_raises(PastPivot, pivot="p")
    after(PLAIN, start(), ok("a"), bad("p")).when(cancel()).then_raises(PastPivot, pivot="p")
    after(PLAIN, start(), ok("a"), bad("p"), retry("p", room=0)).when(cancel()).then_raises(PastPivot)


def test_a_cancel_is_recorded_when_the_way_back_was_taken_already():
    saga = after(PLAIN, start(), ok("a"), no("p")).when(cancel()).then(ev.CancelRequested(**BY))
    assert saga.state.cause == NO.at("p")


def test_a_rejected_pivot_sends_the_saga_back():
    saga = after(PLAIN, start(), ok("a")).when(no("p")).then(rejected("p"), turning(NO, "p"), undoing("a"))
    saga.when(undone("a")).then(compensated("a"), failed("compensated", NO, "p"))


def test_an_unknown_pivot_with_a_compensation_is_undone_with_nothing():
    saga = (
        after(UNDOABLE, start(), ok("a")).when(bad("p")).then(unknown("p"), turning(OOPS, "p"), undoing("p"))
    )
    assert saga.effects[0].arguments == (None, None)
    saga.when(undone("p")).then(compensated("p"), undoing("a"))


def test_an_unknown_pivot_without_one_parks_and_waits_for_an_operator():
    saga = after(PLAIN, start(), ok("a")).when(bad("p", SLOW)).then(unknown("p", SLOW), parked("p", SLOW))
    saga.when(wake(t=999)).then()
    saga.when(retry("p")).then(ev.RetryRequested(step="p", **BY), unparked("p"), dispatched("p", 2))
    saga.when(supply("p")).then(
        ev.ResultSupplied(step="p", result="by hand", **BY), unparked("p"), dispatched("x")
    )
    saga.when(deny("p")).then(
        ev.RejectionSupplied(step="p", **BY), unparked("p"), turning(supplied_no(), "p"), undoing("a")
    )


def test_its_own_policy_is_that_of_a_step():
    stubborn = plan(act("p", pivot=True, undo=False, retry=TWICE))
    saga = (
        after(stubborn, start()).when(bad("p")).then(again("p")).when(wake(t=1)).then(dispatched("p", 2, t=1))
    )
    saga.when(bad("p", attempt=2)).then(unknown("p", OOPS, 2), parked("p", OOPS, 2))
    after(PLAIN, start(), ok("a")).when(bad("p")).then(unknown("p"), parked("p", OOPS))


def test_a_late_success_of_a_parked_pivot_is_told_and_changes_no_step():
    saga = after(PLAIN, start(), ok("a"), bad("p", SLOW)).when(ok("p", 7)).then(late("p", 7))
    assert (statuses(saga)["p"], saga.state.parked) == ("unknown", "p: slow")
    saga.when(supply("p", 7)).then(
        ev.ResultSupplied(step="p", result=7, **BY), unparked("p"), dispatched("x")
    )
    # The operator's word outweighs the reply.
    state = after(PLAIN, *_to_late(), deny("p"), undone("a")).state
    assert (state.ending, state.residue) == ("compensated", ())


def _to_late():
    return (start(), ok("a"), bad("p", SLOW), ok("p", 7))


# -- past it -----------------------------------------------------------------------------------------


def test_what_follows_is_retried_stubbornly_and_then_parks():
    saga = after(PLAIN, start(), ok("a"), ok("p"))
    t = 0.0
    for attempt in range(1, 10):  # ten attempts, the compensations' policy
        made = saga.when(bad("x", attempt=attempt, t=t))
        (scheduled,) = made.events
        assert isinstance(scheduled, ev.StepRetryScheduled)
        t = (scheduled.due - start().at).total_seconds()
        saga = made.then(scheduled).when(wake(t=t)).then(dispatched("x", attempt + 1, t=t))
    saga = saga.when(bad("x", attempt=10, t=t)).then(unknown("x", OOPS, 10), parked("x", OOPS, 10))
    assert (saga.state.status, saga.state.cause) == ("running", None)


def test_what_follows_keeps_a_policy_of_its_own():
    own = plan(act("p", pivot=True, undo=False), act("x", "p", undo=False, retry=TWICE))
    saga = after(own, start(), ok("p"), bad("x"), wake(t=1))
    saga.when(bad("x", attempt=2)).then(unknown("x", OOPS, 2), parked("x", OOPS, 2))


def test_a_rejection_parks_until_somebody_does_something():
    saga = after(PLAIN, start(), ok("a"), ok("p")).when(no("x")).then(rejected("x"), parked("x", NO))
    saga.when(retry("x")).then(ev.RetryRequested(step="x", **BY), unparked("x"), dispatched("x", 2))
    saga.when(supply("x")).then(ev.ResultSupplied(step="x", result="by hand", **BY), unparked("x"), done())
    saga.when(skip("x")).then(ev.StepSkipped(step="x", **BY), unparked("x"), done())


def test_independent_branches_go_on_past_a_parked_one():
    fork = plan(act("p", pivot=True, undo=False), act("x", "p", undo=False), act("y", "p", undo=False))
    saga = after(fork, start(), ok("p")).when(no("x")).then(rejected("x"), parked("x", NO))
    saga.when(ok("y")).then(succeeded("y"))


def test_a_signal_that_times_out_parks_until_it_comes():
    saga = after(ASKING, start()).when(ok("p")).then(succeeded("p"), awaited("w", t=60))
    saga = saga.when(wake(t=60)).then(ev.SignalTimedOut(signal="w"), parked("w", timed_out("w"), None, None))
    assert (saga.state.status, saga.state.cause) == ("running", None)
    saga.when(tell("w", 7, t=99)).then(received("w", 7), unparked("w"), dispatched("x", t=99))


@pytest.mark.parametrize("settle", [ok("p"), supply("p"), skip("p")])
def test_success_supplied_or_skipped_closes_the_way_back(settle):
    lax = plan(act("p", pivot=True, undo=False), act("x", "p", undo=False, optional=("p",)))
    begun = [start()] if settle.__class__.__name__ == "RecordOutcome" else [start(room=0)]
    saga = after(lax, *begun, settle)
    saga.when(cancel()).then_raises(PastPivot)
    saga.when(no("x")).then(rejected("x"), parked("x", NO))


def test_it_may_be_the_only_step():
    lone = plan(act("p", pivot=True))
    given(lone).when(start()).then(started(lone), dispatched("p")).when(ok("p")).then(succeeded("p"), done())


# -- the lint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "where", "says"),
    [
        ((act("p", pivot=True), act("q", "p", pivot=True, undo=False)), "trip", "has 2 pivots (p, q)"),
        ((act("p", pivot=True), act("x", undo=False)), "trip.x", "may run beside the pivot 'p'"),
        ((act("p", pivot=True), wait("w")), "trip.w", "may run beside the pivot 'p'"),
        ((act("p", pivot=True), act("x", "p")), "trip.x", "remove its compensation"),
    ],
)
@pytest.mark.promise("error.DefinitionError")
def test_it_must_be_a_cut_and_nothing_after_it_is_undone(nodes, where, says):
    with pytest.raises(DefinitionError) as caught:
        plan(*nodes)
    assert caught.value.where == where
    assert says in str(caught.value)
