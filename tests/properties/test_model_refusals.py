"""What a refusal says would be allowed is exactly what would be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_es.errors import IllegalTransition, SagaError
from saga_es.model import commands as cmd
from saga_es.model.decide import decide
from saga_es.model.definition import SagaDefinition
from saga_es.model.repair import EVENTS
from tests.properties.graphs import definitions
from tests.properties.simulator import BY, Simulator


def attempt(saga: Simulator, command: cmd.RepairCommand) -> str | SagaError:
    """Return the name of the first event, "" for none, or the refusal."""
    try:
        events = decide(saga.definition, saga.state, command)
    except SagaError as error:
        return error
    return type(events[0]).__name__ if events else ""


@given(
    definitions(max_nodes=6),
    st.integers(min_value=0, max_value=2**32),
    st.integers(min_value=0, max_value=40),
)
@pytest.mark.promise("error.IllegalTransition")
def test_a_refused_repair_names_the_repairs_that_are_allowed(
    definition: SagaDefinition, seed: int, turns: int
):
    saga = Simulator(definition, Random(seed))  # noqa: S311 - chance that can be had again
    saga.rage(turns)
    for step in definition.steps:
        fields = {"at": saga.now, "step": step.name, **BY}
        asked = [
            cmd.RetryStep(**fields),
            cmd.SupplyResult(**fields, result="other"),
            cmd.SupplyRejection(**fields),
            cmd.SkipStep(**fields),
            cmd.ForceCompensated(**fields),
        ]
        answers = {EVENTS[type(command)]: attempt(saga, command) for command in asked}
        made = {name for name, answer in answers.items() if answer == name}
        for answer in answers.values():
            if isinstance(answer, IllegalTransition):
                assert set(answer.allowed) >= made
                assert all(answers[name] in (name, "") for name in answer.allowed)
