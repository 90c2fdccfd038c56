"""Many commands decided on one fold, one on top of the other: as each by itself, and a refused one leaves nothing."""

from __future__ import annotations

import pytest

from saga_es.errors import IllegalTransition, SagaAlreadyEnded, SagaError, UnknownSaga, UnknownStep
from saga_es.model.commands import Command
from saga_es.model.decide import Decider, decide_with_state
from saga_es.model.state import SagaState, replay
from tests.unit.model.plans import act, bad, cancel, ok, plan, start, wake

PLAN = plan(act("plane"), act("hotel"), act("car", "plane hotel"))


def unborn() -> SagaState:
    return SagaState.unborn(PLAN, "s")


def one_by_one(state: SagaState, *commands: Command) -> tuple[list[object], SagaState]:
    events: list[object] = []
    for command in commands:
        decided = decide_with_state(PLAN, state, command)
        events, state = [*events, *decided.events], decided.state
    return events, state


COURSES = {
    "all is well": [start(), ok("plane"), ok("hotel"), ok("car")],
    "the hotel has no rooms": [start(), bad("hotel"), ok("plane"), wake(), ok("plane", op="compensation")],
    "there is room for one at a time": [
        start(t=1, room=1),
        ok("plane", t=20, room=1),
        ok("hotel", t=300, room=1),
        ok("car", t=4000),
    ],
    "it is cancelled": [start(), cancel(), ok("plane"), ok("hotel")],
}


@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
def test_it_comes_to_what_the_commands_come_to_one_by_one(course):
    decider = Decider(PLAN, unborn())

    for command in course:
        decider.decide(command)

    events, state = one_by_one(unborn(), *course)
    assert [*decider.events] == events
    assert decider.state == state == replay(PLAN, decider.events, saga_id="s")


def test_it_tells_how_many_attempts_begin():
    decider = Decider(PLAN, unborn())

    begun = [decider.decide(command) for command in (start(room=1), ok("plane", room=1), ok("hotel"))]

    assert begun == [1, 1, 1]


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (ok("boat"), UnknownStep),
        (ok("car"), IllegalTransition),  # it was not dispatched
        (ok("plane", attempt=7), IllegalTransition),
    ],
)
def test_a_command_that_is_refused_leaves_all_as_it_was(refused: Command, error: type[SagaError]):
    decider = Decider(PLAN, unborn())
    decider.decide(start())
    decider.decide(ok("plane"))

    with pytest.raises(error):
        decider.decide(refused)
    decider.decide(ok("hotel"))

    events, state = one_by_one(unborn(), start(), ok("plane"), ok("hotel"))
    assert [*decider.events] == events
    assert decider.state == state


class NoPolicies:
    """What fails when the next attempt is about to be dispatched, after the answer was noted."""

    @property
    def step_timeout(self) -> None:
        raise OSError("in the middle of it")


def test_what_a_command_did_before_it_was_refused_is_taken_back():
    decider = Decider(PLAN, unborn())
    decider.decide(start(room=1))

    with pytest.raises(OSError, match="in the middle"):
        decider.decide(ok("plane", room=1, defaults=NoPolicies()))
    assert decider.state == one_by_one(unborn(), start(room=1))[1]
    decider.decide(ok("plane"))

    assert decider.state == one_by_one(unborn(), start(room=1), ok("plane"))[1]


def test_a_first_command_that_is_refused_leaves_the_state_itself():
    before = unborn()
    decider = Decider(PLAN, before)

    with pytest.raises(UnknownSaga):
        decider.decide(ok("plane"))

    assert decider.state is before
    assert not decider.events


def test_an_ended_saga_refuses_what_comes_in_the_same_turn():
    decider = Decider(PLAN, unborn())
    for command in COURSES["all is well"]:
        decider.decide(command)

    with pytest.raises(SagaAlreadyEnded):
        decider.decide(cancel())

    assert decider.state.status == "succeeded"
