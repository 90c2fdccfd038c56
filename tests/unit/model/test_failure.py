"""A step fails: what counts as no, what as perhaps, and how the saga drains."""

import pytest

from saga_es.errors import IllegalTransition, UnknownStep
from saga_es.model.definition import Retry
from saga_es.testing.given import given
from tests.unit.model.plans import (
    BIG,
    BY,
    CANCEL,
    CUT,
    NO,
    OOPS,
    SLOW,
    TWICE,
    abandoned,
    act,
    after,
    again,
    answer,
    at,
    bad,
    cancel,
    cmd,
    compensated,
    dispatched,
    done,
    ev,
    failed,
    no,
    ok,
    pause,
    plan,
    rejected,
    resume,
    start,
    started,
    statuses,
    succeeded,
    timedelta,
    turning,
    undoing,
    undone,
    unknown,
    wait,
    wake,
)

ONE = plan(act("a"))
STUBBORN = plan(act("a", retry=TWICE))
TRIO = plan(act("a"), act("b"), act("c"))


# -- success -----------------------------------------------------------------------------------------


def test_all_steps_start_together_where_nothing_orders_them():
    given(TRIO).when(start()).then(started(TRIO), dispatched("a"), dispatched("b"), dispatched("c"))


@pytest.mark.parametrize("result", [None, 0, "", [], {}, False])
def test_a_falsy_result_is_a_result(result):
    saga = after(ONE, start()).when(ok("a", result)).then(succeeded("a", result), done())
    assert saga.state.steps["a"].result == result


@pytest.mark.promise("seed.orchestrated")
def test_a_step_starts_when_all_it_needs_is_done():
    diamond = plan(act("d", "b c"), act("b", "a"), act("c", "a"), act("a"))
    saga = given(diamond).when(start()).then(started(diamond), dispatched("a"))
    saga = saga.when(ok("a")).then(succeeded("a"), dispatched("b"), dispatched("c"))
    saga = saga.when(ok("c")).then(succeeded("c"))
    saga = saga.when(ok("b")).then(succeeded("b"), dispatched("d"))
    saga.when(ok("d")).then(succeeded("d"), done())


@pytest.mark.promise("case.huge-fan-out")
def test_what_has_no_room_waits_and_what_begins_is_recorded_when_it_may():
    saga = given(TRIO).when(start(room=1)).then(started(TRIO), dispatched("a"))
    saga.when(wake(room=0)).then()
    saga.when(ok("a", t=3, room=1)).then(succeeded("a"), dispatched("b", t=3)).when(wake(t=4, room=5)).then(
        dispatched("c", t=4)
    )


# -- a definite no -----------------------------------------------------------------------------------


@pytest.mark.promise("case.rejected", "event.StepRejected")
def test_a_rejection_is_not_retried_and_leaves_nothing_to_undo():
    after(STUBBORN, start()).when(no("a")).then(
        rejected("a"), turning(NO, "a"), failed("compensated", NO, "a")
    )


@pytest.mark.promise("case.rejected")
def test_a_rejection_answers_for_its_own_call_only():
    doubtful = after(STUBBORN, start(), bad("a", SLOW), wake(t=2))
    saga = doubtful.when(no("a", attempt=2)).then(unknown("a", NO, 2), turning(NO, "a"), undoing("a"))
    (undo,) = saga.effects
    assert (undo.arguments, undo.absent) == ((None, None), 0b10)


@pytest.mark.promise("case.rejected", "case.crash")
def test_a_rejection_of_a_call_issued_again_is_not_definite():
    saga = after(ONE, start()).when(no("a", reissued=True))
    saga.then(unknown("a", NO), turning(NO, "a"), undoing("a"))


@pytest.mark.promise("case.rejected")
def test_the_dispatcher_is_told_whether_a_rejection_would_be_definite():
    (first,) = after(STUBBORN, start()).effects
    (second,) = after(STUBBORN, start(), bad("a", SLOW), wake(t=2)).effects
    assert (first.doubtful, second.doubtful) == (False, True)


# -- no answer ---------------------------------------------------------------------------------------


@pytest.mark.promise("case.any-other-exception", "event.StepOutcomeUnknown")
def test_a_step_has_one_attempt_by_default_and_is_undone_with_nothing():
    saga = after(ONE, start()).when(bad("a")).then(unknown("a"), turning(OOPS, "a"), undoing("a"))
    (undo,) = saga.effects
    assert (undo.op, undo.arguments, undo.absent) == ("compensation", (None, None), 0b10)
    saga.when(undone("a")).then(compensated("a"), failed("compensated", OOPS, "a"))


@pytest.mark.promise("case.any-other-exception", "event.StepRetryScheduled")
def test_a_failure_is_retried_by_policy_until_the_budget_is_spent():
    policy = Retry(attempts=3, delay=timedelta(seconds=1), factor=2)
    saga = given(plan(act("a", retry=policy))).when(start())
    saga = saga.when(bad("a", t=10)).then(again("a", t=11)).when(wake(t=10.9)).then()
    saga = saga.when(wake(t=11)).then(dispatched("a", 2, t=11))
    saga = saga.when(bad("a", SLOW, attempt=2, t=20)).then(again("a", SLOW, 2, t=22))
    saga = saga.when(wake(t=30)).then(dispatched("a", 3, t=30))
    saga.when(bad("a", attempt=3, t=31)).then(unknown("a", OOPS, 3), turning(OOPS, "a"), undoing("a", t=31))


def test_a_retry_without_delay_begins_at_once():
    now = plan(act("a", retry=Retry(attempts=2, delay=timedelta(0))))
    after(now, start()).when(bad("a")).then(again("a", t=0), dispatched("a", 2))


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 9.0), (0.5, 10.0), (0.75, 10.5)])
def test_chance_moves_a_delay_by_its_share(jitter, seconds):
    policy = Retry(attempts=2, delay=timedelta(seconds=10), jitter=0.1)
    command = cmd.RecordOutcome(
        at=at(), jitter=jitter, step="a", op="action", round=1, attempt=1, outcome=cmd.Failed(OOPS)
    )
    after(plan(act("a", retry=policy)), start()).when(command).then(again("a", t=seconds))


@pytest.mark.promise("case.timeout")
def test_a_timeout_is_a_failure_like_any_other():
    after(STUBBORN, start()).when(bad("a", SLOW)).then(again("a", SLOW))
    after(ONE, start()).when(bad("a", SLOW)).then(unknown("a", SLOW), turning(SLOW, "a"), undoing("a"))


TIMEOUTS = [("default", 300), (timedelta(seconds=7), 7), (timedelta(seconds=8), 8), (None, None)]


@pytest.mark.parametrize(("timeout", "wait_for"), TIMEOUTS)
@pytest.mark.parametrize(("undo_timeout", "undo_wait_for"), TIMEOUTS)
@pytest.mark.promise("case.timeout", "event.StepDispatched")
def test_a_dispatch_says_until_when_it_may_take(timeout, wait_for, undo_timeout, undo_wait_for):
    timed = plan(act("a", timeout=timeout, undo_timeout=undo_timeout))
    saga = given(timed).when(start(t=1)).then(started(timed), dispatched("a", t=1, wait=wait_for))
    saga.when(bad("a", t=2)).then(unknown("a"), turning(OOPS, "a"), undoing("a", t=2, wait=undo_wait_for))


def test_the_engine_s_defaults_fill_what_the_plan_leaves_open():
    lenient = cmd.Defaults(step_timeout=None, step_retry=TWICE)
    command = cmd.StartSaga(at=at(), room=1, input=None, defaults=lenient)
    given(ONE).when(command).then(started(ONE), dispatched("a", wait=None))


@pytest.mark.promise("case.payload")
def test_a_result_that_is_too_large_is_not_retried():
    after(STUBBORN, start()).when(bad("a", BIG)).then(unknown("a", BIG), turning(BIG, "a"), undoing("a"))


# -- the probe ---------------------------------------------------------------------------------------

PROBED = plan(act("a", retry=TWICE, probe="find_a"))


def probe_says(outcome, **fields):
    return answer("a", outcome, probed=True, **fields)


@pytest.mark.promise("case.probe")
def test_a_probe_that_finds_it_is_a_success():
    after(PROBED, start()).when(probe_says(cmd.Succeeded(7))).then(succeeded("a", 7), done())


@pytest.mark.promise("case.probe")
def test_a_probe_that_finds_nothing_is_retried_and_rejected_at_the_end():
    saga = after(PROBED, start()).when(probe_says(cmd.Failed(NO))).then(again("a", NO)).when(wake(t=1))
    saga = saga.when(probe_says(cmd.Failed(NO), attempt=2))
    saga.then(rejected("a", NO, 2), turning(NO, "a"), failed("compensated", NO, "a"))


@pytest.mark.promise("case.probe")
def test_a_probe_answers_for_every_attempt_before_it():
    doubtful = after(PROBED, start(), bad("a", SLOW), wake(t=1))
    doubtful.when(probe_says(cmd.Failed(NO), attempt=2)).then(
        rejected("a", NO, 2), turning(NO, "a"), failed("compensated", NO, "a")
    )
    cleared = after(PROBED, start(), probe_says(cmd.Failed(NO)), wake(t=1))
    cleared.when(no("a", attempt=2)).then(
        rejected("a", NO, 2), turning(NO, "a"), failed("compensated", NO, "a")
    )


@pytest.mark.promise("case.probe")
def test_a_probe_that_does_not_know_leaves_it_unknown():
    saga = after(PROBED, start(), bad("a", SLOW), wake(t=1))
    saga.when(bad("a", SLOW, attempt=2)).then(unknown("a", SLOW, 2), turning(SLOW, "a"), undoing("a", t=0))


# -- draining ----------------------------------------------------------------------------------------


@pytest.mark.promise("case.a-step-fails", "invariant.7")
def test_after_a_failure_nothing_new_starts_and_what_flies_comes_home():
    graph = plan(act("a"), act("b"), act("c", "a"), wait("w", "a"), act("r", retry=TWICE))
    saga = after(graph, start()).when(no("b")).then(rejected("b"))
    assert saga.state.status == "running"
    saga = saga.when(ok("a")).then(succeeded("a"))
    saga = saga.when(bad("r")).then(unknown("r"), turning(NO, "b"), undoing("a"), undoing("r"))
    assert statuses(saga) == {
        "saga": "compensating", "a": "undoing", "b": "rejected", "c": "waiting", "w": "waiting", "r": "undoing",
    }  # fmt: skip


@pytest.mark.promise("case.a-step-fails")
def test_what_waits_for_a_retry_is_abandoned_and_signals_stop_waiting():
    graph = plan(act("a"), act("r", retry=TWICE), wait("w", timeout=60))
    saga = after(graph, start(), bad("r")).when(no("a"))
    saga.then(rejected("a"), unknown("r", abandoned("oops")), turning(NO, "a"), undoing("r"))
    assert saga.state.steps["w"].status == "awaited"
    saga.when(wake(t=99)).then()  # the signal's time is nobody's business any more
    assert [type(effect).__name__ for effect in saga.effects] == ["RunAttempt"]


@pytest.mark.promise("case.a-step-fails")
def test_every_failure_is_recorded_and_the_first_is_the_cause():
    saga = after(TRIO, start()).when(bad("c")).then(unknown("c"))
    saga = saga.when(no("a")).then(rejected("a"))
    saga = saga.when(bad("b", SLOW)).then(unknown("b", SLOW), turning(OOPS, "c"), undoing("b"), undoing("c"))
    assert saga.state.cause == OOPS.at("c")
    saga.when(undone("c")).then(compensated("c")).when(undone("b")).then(
        compensated("b"), failed("compensated", OOPS, "c")
    )


@pytest.mark.promise("case.a-step-fails", "event.SagaCompensating", "event.SagaFailed")
def test_a_saga_that_owes_nothing_turns_round_all_the_same():
    after(ONE, start()).when(no("a")).then(rejected("a"), turning(NO, "a"), failed("compensated", NO, "a"))


@pytest.mark.promise("case.a-step-fails")
def test_on_failure_cancel_stops_coroutines_which_are_then_undone():
    hasty = plan(act("a"), act("b", retry=TWICE), on_failure="cancel")
    saga = after(hasty, start()).when(no("a")).then(rejected("a"))
    assert [(type(e).__name__, e.step) for e in saga.effects] == [("RunAttempt", "b"), ("CancelAttempt", "b")]
    saga.when(bad("b", CUT)).then(unknown("b", CUT), turning(NO, "a"), undoing("b"))
    drained = after(plan(act("a"), act("b")), start(), no("a"))
    assert [type(effect).__name__ for effect in drained.effects] == ["RunAttempt"]


def test_a_cancelled_attempt_is_not_retried():
    hasty = plan(act("a", retry=TWICE), on_failure="cancel")
    saga = after(hasty, start(), cancel())
    saga.when(bad("a", CUT)).then(unknown("a", CUT), turning(CANCEL, None), undoing("a"))


# -- nonsense ----------------------------------------------------------------------------------------


@pytest.mark.promise("invariant.13")
def test_an_answer_to_what_was_never_asked_is_refused():
    saga = after(TRIO, start())
    saga.when(ok("a", attempt=2)).then_raises(IllegalTransition, status="dispatched")
    saga.when(ok("a", attempt=0)).then_raises(IllegalTransition)
    saga.when(undone("a")).then_raises(IllegalTransition)
    saga.when(ok("z")).then_raises(UnknownStep, step="z")


@pytest.mark.promise("case.duplicate")
def test_a_reply_that_comes_twice_is_recorded_once():
    chain = plan(act("a", retry=TWICE), act("b", "a"), act("c"))
    after(chain, start(), ok("a", 7)).when(ok("a", 7)).then()
    after(chain, start(), no("a")).when(no("a")).then()
    retrying = after(chain, start(), bad("a"))
    retrying.when(bad("a")).then()
    after(chain, start(), bad("a"), wake(t=1)).when(bad("a")).then()
    lost = after(chain, start(), bad("a"), wake(t=1), bad("a", SLOW, attempt=2))
    lost.when(bad("a", SLOW, attempt=2)).then()
    lost.when(bad("a")).then()  # the first attempt's answer is recorded, though the step went on
    abandoned_ = after(chain, start(), bad("a"), no("c"))
    abandoned_.when(bad("a")).then()


@pytest.mark.promise("case.pause")
def test_a_failure_while_paused_is_recorded_and_its_retry_waits():
    saga = after(STUBBORN, start(), pause()).when(bad("a")).then(again("a"))
    saga.when(wake(t=99)).then().when(resume(t=100)).then(ev.SagaResumed(**BY), dispatched("a", 2, t=100))
