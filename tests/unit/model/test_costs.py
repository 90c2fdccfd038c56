"""What a decision costs, counted in lines of Python that run: what changed, never the size of the saga."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import pytest

from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.react import react
from saga_es.model.state import SagaState
from tests.support.compiled import counts_lines
from tests.unit.model.plans import act, ok, plan, start

R = TypeVar("R")
pytestmark = counts_lines


def cost_of(call: Callable[[], R]) -> tuple[int, R]:
    lines = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(before)
    return lines, result


def fan(size: int) -> SagaDefinition:
    return plan(act("first"), *(act(f"s{n}", "first") for n in range(size)))


def chain(size: int) -> SagaDefinition:
    return plan(act("first"), *(act(f"s{n}", f"s{n - 1}" if n else "first") for n in range(size)))


def begun(definition: SagaDefinition) -> SagaState:
    return decide_with_state(definition, SagaState.unborn(definition, "s"), start()).state


@pytest.mark.promise("case.huge-fan-out")
@pytest.mark.parametrize("shape", [fan, chain])
def test_one_answer_costs_the_same_in_a_small_saga_and_in_a_large_one(shape):
    costs = {}
    for size in (100, 3000):
        definition = shape(size)
        state = decide_with_state(definition, begun(definition), ok("first", room=5)).state
        decided, after = cost_of(lambda d=definition, s=state: decide_with_state(d, s, ok("s0", room=1)))
        reacted, _ = cost_of(lambda d=definition, s=after.state: react(d, s))
        costs[size] = decided + reacted
    assert costs[3000] < 1.25 * costs[100]


@pytest.mark.promise("case.huge-fan-out")
def test_letting_go_of_all_that_waited_costs_so_much_for_each():
    # Quadratic scheduling would make the later steps of a wide saga several times dearer than the earlier ones.
    costs = {}
    for size in (100, 1000, 3000):
        definition = fan(size)
        state = begun(definition)
        costs[size], _ = cost_of(lambda d=definition, s=state: decide_with_state(d, s, ok("first", room=5)))
    earlier, later = (costs[1000] - costs[100]) / 900, (costs[3000] - costs[1000]) / 2000
    assert later < 1.5 * earlier
    assert earlier < 200
