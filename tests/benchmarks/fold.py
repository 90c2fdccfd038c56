"""What an event costs when the saga is wide: python -m tests.benchmarks.fold

A fold step and the reaction to it have to cost what changed, never a scan or copy of the whole: an event of a
3,000-step fan-out may take at most three times as long as one of a 300-step fan-out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from saga_es.model.commands import StartSaga
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Event
from saga_es.model.react import Handed, react
from saga_es.model.state import SagaState, evolve, replay
from tests.benchmarks import places
from tests.benchmarks.plans import AT, fan_out, history_of, outcomes_of

SMALLEST = 300
SIZES = (SMALLEST, 3_000, 10_000)
AT_MOST = 3.0


@dataclass(frozen=True)
class Cost:
    """Microseconds an event: by one long fold, step by step, and by decide with react after each command."""

    steps: int
    replay: float
    evolve: float
    decide: float


def cost_of(steps: int, repetitions: int) -> Cost:
    definition = fan_out(steps)
    events = history_of(definition)
    return Cost(
        steps,
        _microseconds(lambda: replay(definition, events), len(events), repetitions),
        _microseconds(lambda: _evolved(definition, events), len(events), repetitions),
        _microseconds(lambda: _decided(definition), len(events), repetitions),
    )


def _microseconds(function: Callable[[], SagaState], events: int, repetitions: int) -> float:
    took: list[float] = []
    for _ in range(repetitions):
        gc.collect()
        began = time.perf_counter()
        state = function()
        took.append(time.perf_counter() - began)
        if state.version != events or state.status != "succeeded":
            raise SystemExit(f"it came to {state!r} after {events} events")
    return 1e6 * statistics.median(took) / events


def _evolved(definition: SagaDefinition, events: Sequence[Event]) -> SagaState:
    state = SagaState.unborn(definition, "fan-out")
    for event in events:
        state = evolve(state, event)
    return state


def _decided(definition: SagaDefinition) -> SagaState:
    state, handed = SagaState.unborn(definition, "fan-out"), Handed()
    start = StartSaga(at=AT, room=64, input={"customer": "Maria", "nights": 7})
    for command in (start, *outcomes_of(definition)):
        state = decide_with_state(definition, state, command).state
        react(definition, state, handed)
        handed.actions = state.fold.open_actions
    return state


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if the cost of an event does not grow with the saga."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fold", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="steps; the first is the measure"
    )
    parser.add_argument("--repetitions", type=int, default=5)
    asked = parser.parse_args(given)
    print(places.machine(), end="\n\n")
    print(f"{'steps':>8}{'replay':>10}{'evolve':>10}{'decide + react':>16}   µs an event")
    costs = [cost_of(steps, asked.repetitions) for steps in asked.sizes]
    for cost in costs:
        print(f"{cost.steps:8}{cost.replay:10.2f}{cost.evolve:10.2f}{cost.decide:16.2f}")
    passed = True
    for cost in costs[1:]:
        ratios = [getattr(cost, name) / getattr(costs[0], name) for name in ("replay", "evolve", "decide")]
        held = cost.steps > 3_000 or max(ratios) < AT_MOST
        passed &= held
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        word = "PASS" if max(ratios) < AT_MOST else "FAIL"
        print(
            f"{word}  {cost.steps} steps over {costs[0].steps}: {shown} times as long an event (below {AT_MOST})"
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
