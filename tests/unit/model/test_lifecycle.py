"""The compiled rows are what `transitions` does, and what a log could not replay is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transitions import Machine, MachineError

from saga_es.errors import IllegalTransition
from saga_es.model.events import EVENT_TYPES
from saga_es.model.lifecycle import (
    SAGA_LIFECYCLE,
    SIGNAL_LIFECYCLE,
    STEP_LIFECYCLE,
    Lifecycle,
    compile_rows,
    machine,
    saga_machine,
    signal_machine,
    step_machine,
)

MACHINES = [
    pytest.param(SAGA_LIFECYCLE, saga_machine, id="saga"),
    pytest.param(STEP_LIFECYCLE, step_machine, id="step"),
    pytest.param(SIGNAL_LIFECYCLE, signal_machine, id="signal"),
]


class Thing:
    """Something for a machine of `transitions` to move."""

    state: str


def moved(made: Machine, state: str, trigger: str) -> str | None:
    """Return where the machine itself leads to, ``None`` where it refuses."""
    thing = Thing()
    made.add_model(thing, initial=state)
    try:
        getattr(thing, trigger)()
    except MachineError:
        return None
    finally:
        made.remove_model(thing)
    return str(thing.state)


@pytest.mark.parametrize(("lifecycle", "make"), MACHINES)
def test_every_state_and_trigger_is_as_the_machine_says(lifecycle: Lifecycle, make: Callable[[], Machine]):
    made = make()
    asked = 0
    for state in map(str, made.states):
        for trigger in made.events:
            assert lifecycle.rows.get((state, trigger)) == moved(made, state, trigger), (state, trigger)
            asked += 1
    assert asked == len(made.states) * len(made.events)
    assert {state for state, _ in lifecycle.rows} <= {*map(str, made.states)}
    assert {trigger for _, trigger in lifecycle.rows} == {*made.events} == lifecycle.triggers


@pytest.mark.parametrize(("lifecycle", "make"), MACHINES)
def test_a_trigger_is_an_events_name(lifecycle: Lifecycle, make: Callable[[], Machine]):
    assert lifecycle.triggers <= {*EVENT_TYPES}


def test_there_are_no_automatic_moves():
    for make in (saga_machine, step_machine, signal_machine):
        assert not [trigger for trigger in make().events if trigger.startswith("to_")]


@pytest.mark.promise("error.IllegalTransition")
def test_a_move_that_no_row_has_names_those_that_are_allowed():
    with pytest.raises(IllegalTransition) as refused:
        SAGA_LIFECYCLE.after("compensating", "StepDispatched", what="saga 'trip-42'")
    error = refused.value
    assert (error.what, error.status, error.trigger) == ("saga 'trip-42'", "compensating", "StepDispatched")
    assert error.allowed == ("SagaFailed",)


def test_two_rows_of_one_state_and_trigger_are_refused():
    with pytest.raises(ValueError, match="two rows for go from a"):
        machine(["a", "b"], [("go", ["a"], "b"), ("go", ["a"], "a")], "a")


@pytest.mark.parametrize("callback", ["conditions", "unless", "before", "after", "prepare"])
def test_callbacks_and_conditions_are_refused(callback: str):
    rows = [{"trigger": "go", "source": "a", "dest": "b", callback: "is_sunday"}]
    made = Machine(model=None, states=["a", "b"], transitions=rows, initial="a", auto_transitions=False)
    with pytest.raises(ValueError, match="go from a has callbacks"):
        compile_rows("thing", made)


@pytest.mark.parametrize("callback", ["on_enter", "on_exit"])
def test_callbacks_of_states_are_refused(callback: str):
    states = [{"name": "a", callback: "ring"}, "b"]
    made = Machine(model=None, states=states, transitions=[], initial="a", auto_transitions=False)
    with pytest.raises(ValueError, match="state a has callbacks"):
        compile_rows("thing", made)


@pytest.mark.parametrize(
    "callback",
    ["before_state_change", "after_state_change", "prepare_event", "finalize_event", "on_exception"],
)
def test_callbacks_of_the_machine_are_refused(callback: str):
    made = Machine(model=None, states=["a"], initial="a", auto_transitions=False, **{callback: "ring"})
    with pytest.raises(ValueError, match="the machine has callbacks"):
        compile_rows("thing", made)
