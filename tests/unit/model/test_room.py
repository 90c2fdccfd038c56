"""Room: what may begin at once is recorded as begun, and what may not waits, retries and undos included."""

import pytest

from tests.unit.model.plans import (
    TWICE,
    act,
    after,
    bad,
    cancel,
    dispatched,
    no,
    ok,
    pause,
    plan,
    resume,
    start,
    statuses,
    undo_bad,
    undoing,
    wake,
)

pytestmark = pytest.mark.promise("case.huge-fan-out")
STUBBORN = plan(act("a", retry=TWICE), act("b", retry=TWICE), act("c"))
TOUCHY = plan(act("a", undo_retry=TWICE), act("b", undo_retry=TWICE), act("c", undo=False))


def test_retries_that_are_due_begin_as_there_is_room_the_one_due_first_before_the_other():
    saga = after(STUBBORN, start(room=3), bad("b", t=1, room=0), bad("a", t=2, room=0))
    assert statuses(saga) == {"saga": "running", "a": "retrying", "b": "retrying", "c": "dispatched"}
    saga.when(wake(t=9, room=0)).then()
    saga = saga.when(wake(t=9, room=1)).then(dispatched("b", 2, t=9))
    saga.when(wake(t=10, room=1)).then(dispatched("a", 2, t=10))
    saga.when(wake(t=10, room=2)).then(dispatched("a", 2, t=10))


def test_a_retry_takes_the_room_of_what_has_not_begun_yet():
    saga = after(STUBBORN, start(room=1), bad("a", t=1, room=0))
    saga.when(wake(t=9, room=1)).then(dispatched("a", 2, t=9)).when(wake(t=9, room=1)).then(
        dispatched("b", t=9)
    )


def test_undos_that_are_to_be_tried_again_begin_as_there_is_room():
    saga = after(
        TOUCHY,
        start(),
        ok("a"),
        ok("b"),
        no("c"),
        undo_bad("b", t=1, room=0),
        undo_bad("a", t=2, room=0),
    )
    assert statuses(saga) == {
        "saga": "compensating", "a": "undo_retrying", "b": "undo_retrying", "c": "rejected",
    }  # fmt: skip
    saga.when(wake(t=9, room=0)).then()
    saga = saga.when(wake(t=9, room=1)).then(undoing("b", 2, t=9))
    saga.when(wake(t=10, room=2)).then(undoing("a", 2, t=10))


def test_undos_that_are_ready_begin_as_there_is_room():
    saga = after(TOUCHY, start(), ok("a"), ok("b"), no("c", room=0))
    saga.when(wake(room=0)).then()
    saga.when(wake(room=1)).then(undoing("a")).when(wake(room=1)).then(undoing("b"))


@pytest.mark.promise("case.pause")
def test_letting_go_does_not_make_room():
    saga = after(STUBBORN, start(room=0), pause())
    saga = saga.when(resume(room=2))
    assert [type(event).__name__ for event in saga.events] == [
        "SagaResumed", "StepDispatched", "StepDispatched",
    ]  # fmt: skip


@pytest.mark.promise("case.cancel")
def test_a_cancel_needs_no_room():
    saga = after(TOUCHY, start(room=0), cancel(room=0))
    assert statuses(saga)["saga"] == "failed"
