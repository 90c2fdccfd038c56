"""The way back: its order, its retries, and how it ends."""

import pytest

from saga_es.model.definition import Retry
from saga_es.testing.given import given
from tests.unit.model.plans import (
    NO,
    OOPS,
    SLOW,
    TWICE,
    act,
    after,
    bad,
    cancel,
    cmd,
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
    rejected,
    retry,
    start,
    started,
    statuses,
    succeeded,
    supply,
    tell,
    timedelta,
    turning,
    undo_again,
    undo_bad,
    undoing,
    undone,
    unknown,
    unparked,
    wait,
    wake,
)  # fmt: skip

ONCE = Retry(attempts=1)
LINE = plan(act("a"), act("b", "a"), act("c", "b"), act("d", "c"))


# -- order -------------------------------------------------------------------------------------------


@pytest.mark.promise("case.compensation-order", "invariant.4")
def test_what_came_last_is_undone_first():
    saga = after(LINE, start(), ok("a"), ok("b"), ok("c")).when(no("d"))
    saga = saga.then(rejected("d"), turning(NO, "d"), undoing("c"))
    saga = saga.when(undone("c")).then(compensated("c"), undoing("b"))
    saga = saga.when(undone("b")).then(compensated("b"), undoing("a"))
    saga.when(undone("a")).then(compensated("a"), failed("compensated", NO, "d"))


@pytest.mark.promise("case.compensation-order")
def test_independent_branches_are_undone_together_in_the_definition_s_order():
    diamond = plan(act("d", "c b"), act("c", "a"), act("b", "a"), act("a"))
    saga = after(diamond, start(), ok("a"), ok("b"), ok("c")).when(no("d"))
    saga = saga.then(rejected("d"), turning(NO, "d"), undoing("c"), undoing("b"))
    saga = saga.when(undone("b")).then(compensated("b"))
    saga.when(undone("c")).then(compensated("c"), undoing("a"))


@pytest.mark.promise("case.compensation-order", "invariant.4")
def test_order_holds_through_signals_and_steps_with_nothing_to_undo():
    graph = plan(act("a"), wait("w", "a"), act("m", "w", undo=False), act("b", "m"), act("x"))
    saga = after(graph, start(), ok("a"), tell("w"), ok("m"), ok("b")).when(no("x"))
    saga = saga.then(rejected("x"), turning(NO, "x"), undoing("b"))
    saga.when(undone("b")).then(compensated("b"), undoing("a")).when(undone("a")).then(
        compensated("a"), failed("residue", NO, "x", "m")
    )


@pytest.mark.promise("case.compensation-order")
def test_order_holds_through_what_never_ran_and_what_was_supplied_early():
    graph = plan(act("a"), act("b", "a"), act("c", "b"), act("x"))
    saga = after(graph, start(), supply("c"), ok("a", room=0), no("x", room=0))
    assert statuses(saga)["b"] == "waiting"
    saga.when(wake()).then(undoing("c")).when(undone("c")).then(compensated("c"), undoing("a"))


@pytest.mark.promise("case.compensation-order", "invariant.4")
def test_a_step_with_nothing_to_undo_waits_for_all_that_needed_it():
    graph = plan(act("a"), act("m", "a", undo=False), act("b", "m"), act("c", "m"), act("x"))
    saga = after(graph, start(), ok("a"), ok("m"), ok("b"), ok("c")).when(no("x"))
    saga = saga.then(rejected("x"), turning(NO, "x"), undoing("b"), undoing("c"))
    saga = saga.when(undone("b")).then(compensated("b"))
    saga.when(undone("c")).then(compensated("c"), undoing("a"))


@pytest.mark.promise("invariant.5")
def test_nothing_is_undone_before_every_outcome_is_known():
    saga = after(plan(act("a"), act("b"), act("c")), start(), ok("a"), no("b")).when(wake())
    saga.then().when(ok("c")).then(succeeded("c"), turning(NO, "b"), undoing("a"), undoing("c"))


def test_undoing_too_needs_room():
    saga = after(plan(act("a"), act("b"), act("c")), start(), ok("a"), ok("b")).when(no("c", room=1))
    saga = saga.then(rejected("c"), turning(NO, "c"), undoing("a"))
    saga = saga.when(wake(room=0)).then()
    saga.when(undone("a", room=1)).then(compensated("a"), undoing("b"))


def test_the_undo_gets_the_input_and_the_recorded_result():
    saga = after(plan(act("a"), act("b")), start({"n": 1}), ok("a", [0])).when(no("b"))
    (undo,) = saga.effects
    assert undo.arguments == ({"n": 1}, [0])
    assert undo.absent == 0
    assert (undo.key, undo.action_key) == ("saga-1/a/compensation/1", "saga-1/a/action/1")


def test_a_result_of_none_is_given_as_a_result():
    (undo,) = after(plan(act("a"), act("b")), start(), ok("a", None), no("b")).effects
    assert (undo.arguments, undo.absent) == ((None, None), 0)


# -- a compensation fails ----------------------------------------------------------------------------


@pytest.mark.promise("case.compensation-fails", "event.CompensationDispatched")
def test_it_is_retried_with_backoff_to_a_budget_and_then_parks():
    policy = Retry(attempts=3, delay=timedelta(seconds=1))
    saga = after(plan(act("a", undo_retry=policy), act("b")), start(), ok("a"), no("b"))
    saga = saga.when(undo_bad("a")).then(undo_again("a", t=1)).when(wake(t=1)).then(undoing("a", 2, t=1))
    saga = saga.when(undo_bad("a", SLOW, attempt=2, t=1)).then(undo_again("a", SLOW, 2, t=3))
    saga = saga.when(wake(t=3)).then(undoing("a", 3, t=3))
    saga = saga.when(undo_bad("a", attempt=3, t=3)).then(parked("a", OOPS, 3, "compensation"))
    assert (saga.state.status, saga.state.ending, saga.state.parked) == ("compensating", None, "a: oops")
    assert saga.state.steps["a"].error == OOPS
    saga.when(wake(t=99)).then()


@pytest.mark.promise("case.compensation-fails")
def test_the_engine_s_policy_is_used_where_the_compensation_names_none():
    saga = after(plan(act("a"), act("b")), start(), ok("a"), no("b"))
    t = 0.0
    for attempt in range(1, 10):
        made = saga.when(undo_bad("a", attempt=attempt, t=t))
        (scheduled,) = made.events
        assert isinstance(scheduled, ev.CompensationRetryScheduled)
        t = (scheduled.due - start().at).total_seconds()
        saga = made.then(scheduled).when(wake(t=t)).then(undoing("a", attempt + 1, t=t))
    saga.when(undo_bad("a", attempt=10, t=t)).then(parked("a", OOPS, 10, "compensation"))


@pytest.mark.promise("case.compensation-fails")
def test_a_rejection_from_a_compensation_is_an_error_too():
    touchy = plan(act("a", undo_retry=TWICE), act("b"))
    saga = after(touchy, start(), ok("a"), no("b"))
    saga.when(no("a", op="compensation")).then(undo_again("a", NO, t=1))


@pytest.mark.promise("case.compensation-fails")
def test_independent_branches_go_on_and_it_is_never_reported_clean():
    graph = plan(act("a"), act("b", "a", undo_retry=ONCE), act("c"), act("x"))
    saga = (
        after(graph, start(), ok("a"), ok("b"), ok("c"))
        .when(no("x"))
        .then(rejected("x"), turning(NO, "x"), undoing("b"), undoing("c"))
    )
    saga = saga.when(undo_bad("b")).then(parked("b", OOPS, 1, "compensation"))
    saga = saga.when(undone("c")).then(compensated("c"))
    assert (saga.state.status, saga.state.ending) == ("compensating", None)
    saga = saga.when(retry("b")).then(
        ev.RetryRequested(step="b", by="ann", reason="because"), unparked("b"), undoing("b", 2)
    )
    saga.when(undone("b", attempt=2)).then(compensated("b", 2), undoing("a"))


def test_a_stuck_undo_that_is_tried_again_has_its_budget_renewed():
    touchy = plan(act("a", undo_retry=TWICE), act("b"))
    saga = after(
        touchy, start(), ok("a"), no("b"), undo_bad("a"), wake(t=1), undo_bad("a", attempt=2), retry("a")
    )
    saga = saga.when(undo_bad("a", attempt=3)).then(undo_again("a", OOPS, 3, t=1))
    saga.when(wake(t=1)).when(undo_bad("a", attempt=4)).then(parked("a", OOPS, 4, "compensation"))


def test_one_park_for_each_stuck_step():
    touchy = plan(act("a", undo_retry=ONCE), act("b", undo_retry=ONCE), act("x"))
    begun = (start(), ok("a"), ok("b"), no("x"), undo_bad("b"), undo_bad("a", SLOW))
    assert after(touchy, *begun).state.parked == "b: oops; a: slow"
    assert after(touchy, *begun, force("b")).state.parked == "a: slow"


@pytest.mark.promise("case.duplicate")
def test_a_compensation_s_answer_that_comes_twice_is_recorded_once():
    two = plan(act("a"), act("b"), act("c"))
    saga = after(two, start(), ok("a"), ok("b"), no("c"))
    saga.when(undone("a")).then(compensated("a")).when(undone("a")).then()
    saga = saga.when(undo_bad("a")).then(undo_again("a", t=0.1))
    saga = saga.when(undo_bad("a")).then().when(wake(t=1)).then(undoing("a", 2, t=1))
    saga = saga.when(undo_bad("a")).then()
    saga.when(undone("a", attempt=1)).then(compensated("a")).when(undone("a", attempt=2)).then()


@pytest.mark.promise("case.late-reply")
def test_an_undo_that_was_late_is_noted_and_tried_again():
    touchy = plan(act("a", undo_retry=ONCE), act("b"))
    saga = after(touchy, start(), ok("a"), no("b"), undo_bad("a", SLOW)).when(undone("a"))
    saga = saga.then(late("a", None, op="compensation"))
    assert statuses(saga)["a"] == "stuck"
    saga.when(undone("a")).then()
    waiting = after(plan(act("a"), act("b")), start(), ok("a"), no("b"), undo_bad("a", SLOW))
    waiting.when(undone("a")).then(late("a", None, op="compensation"))


# -- how it ended ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [ok("a"), bad("a")])
@pytest.mark.promise("case.how-it-ended", "invariant.3")
def test_what_nothing_undoes_is_residue_unless_it_only_reads(outcome):
    plain = after(plan(act("a", undo=False), act("b")), start(), no("b"), outcome).state
    assert (plain.ending, plain.residue) == ("residue", ("a",))
    reading = after(plan(act("a", undo=False, read_only=True), act("b")), start(), no("b"), outcome).state
    assert (reading.ending, reading.residue) == ("compensated", ())


@pytest.mark.promise("case.how-it-ended")
def test_residue_comes_before_forced_and_forced_before_compensated():
    graph = plan(act("z", undo=False), act("a"), act("b"), act("x"))
    begun = (start(), ok("a"), ok("b"), no("x"))
    state = after(graph, *begun, ok("z", room=0), force("a", room=0), wake(), undone("b")).state
    assert (state.ending, state.residue) == ("residue", ("z",))
    graph = plan(act("a"), act("b"), act("x"))
    state = after(graph, start(), ok("a"), ok("b"), no("x", room=0), force("a"), undone("b")).state
    assert (state.ending, state.residue) == ("forced", ())


@pytest.mark.promise("case.how-it-ended")
def test_the_residue_stands_in_the_definition_s_order():
    graph = plan(act("b", undo=False), act("a", undo=False), act("x"))
    saga = after(graph, start(), ok("a"), ok("b")).when(no("x"))
    saga.then(rejected("x"), turning(NO, "x"), failed("residue", NO, "x", "b", "a"))


@pytest.mark.promise("case.how-it-ended", "event.SagaSucceeded", "invariant.2")
def test_a_success_has_neither_cause_nor_residue():
    state = after(plan(act("a", undo=False)), start(), ok("a")).state
    assert (state.ending, state.cause, state.residue, state.parked) == ("succeeded", None, (), None)


def test_a_cancel_has_no_step_as_its_cause():
    state = after(plan(act("a")), start(), cancel(), ok("a"), undone("a")).state
    assert state.cause is not None
    assert (state.cause.kind, state.cause.step) == ("cancelled", None)


# -- late replies ------------------------------------------------------------------------------------


@pytest.mark.promise("case.late-reply", "event.LateOutcomeReceived")
def test_a_late_success_before_the_undo_is_dispatched_gives_it_the_result():
    saga = after(plan(act("a")), start(), bad("a", SLOW, room=0)).when(ok("a", 7, room=0)).then(late("a", 7))
    assert statuses(saga)["a"] == "unknown"  # no forward step is changed
    saga = saga.when(wake()).then(undoing("a"))
    assert saga.effects[0].arguments == (None, 7)
    saga.when(undone("a")).then(compensated("a"), failed("compensated", SLOW, "a"))


@pytest.mark.promise("case.late-reply")
def test_a_late_success_during_a_null_compensation_opens_a_second_round():
    saga = after(plan(act("a")), start(), bad("a", SLOW)).when(ok("a", 7)).then(late("a", 7))
    assert saga.effects[0].arguments == (None, None)  # what a round's undo is given never changes
    saga = saga.when(undone("a")).then(compensated("a"), undoing("a", round=2))
    (undo,) = saga.effects
    assert (undo.arguments, undo.round, undo.key) == ((None, 7), 2, "saga-1/a/compensation/2")
    saga = saga.when(undone("a")).then()  # the first round's answer again
    saga.when(undone("a", round=2)).then(compensated("a", round=2), failed("compensated", SLOW, "a"))


@pytest.mark.promise("case.late-reply", "invariant.6")
def test_a_late_success_after_the_end_opens_a_second_round_and_no_second_end():
    saga = after(plan(act("a")), start(), bad("a", SLOW), undone("a"))
    assert saga.state.ending == "compensated"
    assert not saga.state.is_open
    saga = saga.when(ok("a", 7, room=0)).then(late("a", 7))
    assert (saga.state.status, saga.state.ending, saga.state.residue) == ("failed", "residue", ("a",))
    assert saga.state.is_open
    saga = saga.when(wake()).then(undoing("a", round=2))
    assert (saga.state.ending, saga.state.residue) == ("residue", ("a",))
    saga = saga.when(undo_bad("a", round=2)).then(undo_again("a", t=0.1, round=2))
    saga = saga.when(wake(t=1)).then(undoing("a", 2, round=2, t=1))
    saga = saga.when(undone("a", attempt=2, round=2)).then(compensated("a", 2, round=2))
    assert (saga.state.ending, saga.state.residue, saga.state.is_open) == ("compensated", (), False)
    saga.when(ok("a", 7)).then()


@pytest.mark.promise("case.late-reply")
def test_a_late_success_of_an_undo_that_had_the_result_changes_nothing():
    saga = after(plan(act("a"), act("b")), start(), ok("a", 7), no("b"), undone("a"))
    saga.when(ok("a", 7)).then()


@pytest.mark.promise("case.late-reply")
def test_a_forced_step_is_not_reopened():
    saga = after(plan(act("a")), start(), bad("a", room=0), force("a")).when(ok("a", 7)).then(late("a", 7))
    assert (statuses(saga)["a"], saga.state.ending, saga.state.is_open) == ("forced", "forced", False)


@pytest.mark.promise("case.late-reply")
def test_while_the_step_is_open_a_success_settles_it():
    stubborn = plan(act("a", retry=TWICE))
    retrying = after(stubborn, start(), bad("a", SLOW)).when(ok("a", 7)).then(succeeded("a", 7), done())
    assert retrying.state.steps["a"].attempts == 1
    saga = (
        after(stubborn, start(), bad("a", SLOW), wake(t=1)).when(ok("a", 7)).then(succeeded("a", 7), done())
    )
    saga.when(ok("a", 8, attempt=2)).then()  # nor does the second attempt's answer say anything new
    saga.when(bad("a", attempt=2)).then()


@pytest.mark.promise("case.late-reply")
def test_a_late_failure_is_told_once_and_changes_nothing():
    saga = after(plan(act("a")), start(), bad("a", SLOW)).when(no("a")).then(late("a", NO))
    saga.when(no("a")).then()
    saga.when(bad("a", SLOW)).then()
    saga = saga.when(ok("a", 7)).then(late("a", 7))  # the call issued again after a crash knew better
    saga.when(undone("a")).then(compensated("a"), undoing("a", round=2))


@pytest.mark.promise("case.late-reply", "case.how-it-ended")
def test_a_late_success_of_what_was_settled_as_not_done_stands():
    probed = plan(act("a", retry=TWICE, probe="find_a"), act("b"))
    said_no = cmd.RecordOutcome(
        at=start().at, step="a", op="action", round=1, attempt=2, outcome=cmd.Failed(NO), probed=True
    )
    saga = after(probed, start(), bad("a", SLOW), wake(t=1), said_no).when(ok("a", 7)).then(late("a", 7))
    saga.when(no("b")).then(rejected("b"), turning(NO, "a"), failed("residue", NO, "a", "a"))
    saga.when(ok("a", 7)).then()


def test_a_history_of_the_two_rounds_replays():
    graph = plan(act("a"))
    saga = given(
        graph, started(graph), dispatched("a"), unknown("a"), turning(OOPS, "a"), undoing("a"), compensated("a"),
        failed("compensated", OOPS, "a"), late("a", 7), undoing("a", round=2), compensated("a", round=2),
    )  # fmt: skip
    assert saga.state.ending == "compensated"
