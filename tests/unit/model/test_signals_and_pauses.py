"""What people say to a running saga: signals, cancel, pause and resume, start."""

import pytest

from saga_es.errors import (
    IllegalTransition,
    SagaAlreadyEnded,
    SagaIdConflict,
    SignalConflict,
    UnknownSaga,
    UnknownSignal,
)
from saga_es.testing.given import given
from tests.unit.model.plans import (
    BY,
    CANCEL,
    NO,
    OOPS,
    TWICE,
    abandoned,
    act,
    after,
    again,
    awaited,
    bad,
    cancel,
    compensated,
    dispatched,
    done,
    ev,
    failed,
    force,
    no,
    ok,
    pause,
    plan,
    received,
    rejected,
    resume,
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
    wait,
    wake,
)  # fmt: skip

ASKING = plan(act("a"), wait("w", "a", timeout=60), act("b", "w"))
PAIR = plan(act("a"), act("b"))


# -- start -------------------------------------------------------------------------------------------


@pytest.mark.promise("call.start", "case.duplicate")
def test_the_same_start_again_appends_nothing_whatever_the_status():
    begun = given(PAIR).when(start({"n": 1}, room=0))
    begun.when(start({"n": 1}, room=0)).then()
    after(PAIR, start({"n": 1}), no("a"), no("b")).when(start({"n": 1})).then()


@pytest.mark.parametrize("other", [{"n": 2}, {"n": 1.0}, {"n": True}, None])
@pytest.mark.promise("error.SagaIdConflict")
def test_another_input_under_the_same_id_is_a_conflict(other):
    begun = given(PAIR).when(start({"n": 1}, room=0))
    begun.when(start(other)).then_raises(SagaIdConflict, saga_id="saga-1", definition="trip", recorded="trip")


@pytest.mark.promise("error.SagaIdConflict")
def test_another_definition_under_the_same_id_is_a_conflict_and_another_version_is_not():
    begun = given(PAIR).when(start())
    begun.when(start(definition="cruise")).then_raises(SagaIdConflict, definition="cruise", recorded="trip")
    newer = plan(act("a"), act("b"), version=2)
    given(newer, *begun.then(*begun.events).events).when(start(room=0)).then()


@pytest.mark.parametrize(
    "command",
    [wake(), ok("a"), cancel(), pause(), resume(), tell("w"), force("a")],
    ids=lambda c: type(c).__name__,
)
@pytest.mark.promise("error.UnknownSaga")
def test_nothing_is_asked_of_a_saga_that_was_not_started(command):
    given(ASKING).when(command).then_raises(UnknownSaga, saga_id="saga-1")


# -- signals -----------------------------------------------------------------------------------------


@pytest.mark.promise("case.signal", "event.SignalAwaited")
def test_a_signal_is_waited_for_from_when_its_needs_are_met():
    saga = given(ASKING).when(start()).then(started(ASKING), dispatched("a"))
    saga.when(ok("a", t=5)).then(succeeded("a"), awaited("w", t=65))
    forever = plan(wait("w"))
    given(forever).when(start()).then(started(forever), awaited("w"))


@pytest.mark.promise("case.signal", "event.SignalReceived")
def test_one_that_came_before_is_kept_and_used():
    saga = after(ASKING, start()).when(tell("w", 7)).then(received("w", 7))
    saga = saga.when(ok("a")).then(succeeded("a"), dispatched("b"))
    (attempt,) = saga.effects
    assert attempt.arguments == (None, 7)


@pytest.mark.promise("case.signal", "case.duplicate")
def test_the_same_again_appends_nothing_in_any_phase():
    for history in (
        (start(), tell("w")),
        (start(), ok("a"), tell("w")),
        (start(), tell("w"), no("a")),
        (start(), ok("a"), tell("w"), no("b")),
        (start(), ok("a"), tell("w"), ok("b")),
    ):
        after(ASKING, *history).when(tell("w", room=0)).then()


@pytest.mark.promise("case.signal", "error.SignalConflict")
def test_another_payload_is_a_conflict():
    saga = after(ASKING, start(), tell("w", 1))
    saga.when(tell("w", 2)).then_raises(SignalConflict, signal="w", saga_id="saga-1")
    saga.when(tell("w", True)).then_raises(SignalConflict)
    saga.when(tell("w", 1.0)).then_raises(SignalConflict)


@pytest.mark.promise("case.signal")
def test_once_draining_or_compensating_a_signal_is_refused():
    two = plan(act("a"), act("b"), wait("w"))
    draining = after(two, start(), no("a"))
    draining.when(tell("w")).then_raises(IllegalTransition, status="awaited", trigger="SignalReceived")
    back = after(two, start(), no("a"), ok("b"))
    back.when(tell("w")).then_raises(IllegalTransition, status="awaited")
    had = after(two, start(), tell("w"), no("a"))
    had.when(tell("w", "other")).then_raises(IllegalTransition, status="received")


@pytest.mark.promise("case.signal", "error.SagaAlreadyEnded")
def test_an_ended_saga_takes_no_signal():
    after(ASKING, start(), no("a")).when(tell("w")).then_raises(SagaAlreadyEnded, status="failed")
    over = after(ASKING, start(), ok("a"), tell("w"), ok("b"))
    over.when(tell("w", "other")).then_raises(SagaAlreadyEnded, status="succeeded")


@pytest.mark.promise("error.UnknownSignal")
def test_a_signal_that_the_saga_does_not_have_is_named():
    after(ASKING, start()).when(tell("z")).then_raises(UnknownSignal, signal="z", known=("w",))
    after(ASKING, start()).when(tell("a")).then_raises(UnknownSignal, signal="a")


@pytest.mark.promise("case.signal")
def test_one_that_times_out_fails_the_saga_like_a_step():
    saga = after(ASKING, start(), ok("a"))
    saga.when(wake(t=59.9)).then()
    why = timed_out("w")
    saga = saga.when(wake(t=60)).then(ev.SignalTimedOut(signal="w"), turning(why, "w"), undoing("a", t=60))
    saga.when(undone("a")).then(compensated("a"), failed("compensated", why, "w"))


@pytest.mark.promise("case.signal")
def test_of_two_that_are_overdue_the_first_fails_the_saga():
    two = plan(wait("v", timeout=9), wait("w", timeout=5))
    why = timed_out("w")
    saga = after(two, start()).when(wake(t=99))
    saga.then(ev.SignalTimedOut(signal="w"), turning(why, "w"), failed("compensated", why, "w"))
    assert statuses(saga)["v"] == "awaited"


@pytest.mark.promise("case.clock-jumps")
def test_a_signal_that_comes_before_the_alarm_was_heard_is_in_time():
    after(ASKING, start(), ok("a")).when(tell("w", t=999)).then(received("w"), dispatched("b", t=999))


@pytest.mark.promise("case.clock-jumps")
def test_a_clock_that_jumps_back_only_delays():
    stubborn = plan(act("a", retry=TWICE))
    saga = after(stubborn, start(t=100)).when(bad("a", t=100)).then(again("a", t=101))
    saga = saga.when(wake(t=-5000)).then().when(wake(t=9999)).then(dispatched("a", 2, t=9999))
    saga.when(wake(t=9999)).then()


# -- cancel ------------------------------------------------------------------------------------------


@pytest.mark.promise("case.cancel", "event.CancelRequested", "call.cancel")
def test_a_cancel_drains_and_compensates():
    saga = after(plan(act("a"), act("b"), act("c", "a")), start(), ok("b")).when(cancel())
    saga = saga.then(ev.CancelRequested(**BY))
    assert (saga.state.status, saga.state.cancel_requested) == ("running", True)
    saga = saga.when(ok("a")).then(succeeded("a"), turning(CANCEL, None), undoing("a"), undoing("b"))
    saga = saga.when(undone("a")).then(compensated("a"))
    saga.when(undone("b")).then(compensated("b"), failed("compensated", CANCEL, None))


@pytest.mark.promise("case.cancel", "case.duplicate")
def test_a_second_cancel_appends_nothing():
    after(PAIR, start(), cancel()).when(cancel()).then()


@pytest.mark.promise("case.cancel")
def test_a_cancel_while_compensating_is_recorded_and_nothing_else():
    saga = after(PAIR, start(), ok("a"), no("b")).when(cancel()).then(ev.CancelRequested(**BY))
    assert saga.state.cause == NO.at("b")
    draining = after(PAIR, start(), no("a")).when(cancel()).then(ev.CancelRequested(**BY))
    assert draining.state.cause == NO.at("a")


@pytest.mark.promise("case.cancel", "error.SagaAlreadyEnded")
def test_an_ended_saga_is_not_cancelled():
    after(PAIR, start(), ok("a"), ok("b")).when(cancel()).then_raises(SagaAlreadyEnded, status="succeeded")
    over = after(PAIR, start(), cancel(), ok("a"), ok("b"), undone("a"), undone("b"))
    over.when(cancel()).then_raises(SagaAlreadyEnded, status="failed")


@pytest.mark.promise("case.cancel")
def test_a_cancel_stops_retries_and_signals():
    graph = plan(act("a", retry=TWICE), wait("w", timeout=60))
    saga = after(graph, start(), bad("a")).when(cancel())
    saga.then(ev.CancelRequested(**BY), unknown("a", abandoned("oops")), turning(CANCEL, None), undoing("a"))


# -- pause -------------------------------------------------------------------------------------------


@pytest.mark.promise("case.pause", "event.SagaPaused", "event.SagaResumed", "call.pause", "call.resume")
def test_paused_nothing_is_dispatched_and_what_comes_is_recorded():
    graph = plan(act("a"), act("b", "a"), wait("w", "a", timeout=60))
    saga = after(graph, start()).when(pause()).then(ev.SagaPaused(**BY))
    assert saga.state.paused
    saga = saga.when(ok("a")).then(succeeded("a"), awaited("w", t=60))
    saga = saga.when(wake(t=999)).then()  # timers wait
    saga = saga.when(tell("w")).then(received("w"))
    saga.when(resume(t=5)).then(ev.SagaResumed(**BY), dispatched("b", t=5))


@pytest.mark.promise("case.pause")
def test_a_signal_s_time_is_up_when_the_saga_is_let_go():
    saga = after(plan(wait("w", timeout=60)), start(), pause(), wake(t=99))
    why = timed_out("w")
    saga.when(resume(t=100)).then(
        ev.SagaResumed(**BY),
        ev.SignalTimedOut(signal="w"),
        turning(why, "w"),
        failed("compensated", why, "w"),
    )


@pytest.mark.promise("case.pause")
def test_paused_nothing_is_undone_either():
    saga = after(PAIR, start(), ok("a"), pause()).when(no("b")).then(rejected("b"), turning(NO, "b"))
    saga = saga.when(wake()).then().when(resume()).then(ev.SagaResumed(**BY), undoing("a"))
    saga = saga.when(pause()).then(ev.SagaPaused(**BY)).when(undo_bad("a")).then(undo_again("a", t=0.1))
    saga.when(wake(t=99)).then().when(resume(t=99)).then(ev.SagaResumed(**BY), undoing("a", 2, t=99))


@pytest.mark.promise("case.pause")
def test_paused_attempts_time_out_and_cancels_are_recorded():
    saga = after(plan(act("a"), act("b")), start(), pause()).when(bad("a")).then(unknown("a"))
    saga = saga.when(cancel()).then(ev.CancelRequested(**BY))
    saga.when(ok("b")).then(succeeded("b"), turning(OOPS, "a"))


@pytest.mark.promise("case.pause", "case.duplicate")
def test_pausing_or_resuming_twice_appends_nothing():
    after(PAIR, start(), pause()).when(pause()).then()
    after(PAIR, start()).when(resume()).then()


@pytest.mark.promise("case.pause")
def test_a_paused_saga_may_end():
    after(plan(act("a")), start(), pause()).when(ok("a")).then(succeeded("a"), done())


@pytest.mark.promise("case.pause", "error.SagaAlreadyEnded")
def test_an_ended_saga_is_not_paused():
    over = after(PAIR, start(), ok("a"), ok("b"))
    over.when(pause()).then_raises(SagaAlreadyEnded, status="succeeded", asked="pause")
    over.when(resume()).then_raises(SagaAlreadyEnded, asked="resume")


def test_a_saga_is_paused_before_it_begins():
    saga = given(PAIR).when(start(room=0)).when(pause()).then(ev.SagaPaused(**BY))
    saga = saga.when(wake()).then()
    assert saga.state.status == "pending"
    saga.when(resume()).then(ev.SagaResumed(**BY), dispatched("a"), dispatched("b"))
