"""Random plans and commands, several in a turn, refused ones among them: as if each had come alone."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from saga_es.errors import SagaError
from saga_es.model import commands as cmd
from saga_es.model.decide import Decider, decide_with_state
from saga_es.model.definition import CompensationDefinition, Retry, SagaDefinition, StepDefinition
from saga_es.model.events import Event
from saga_es.model.facts import Fact, replay_facts, replay_facts_onto
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState

START = datetime(2026, 11, 24, 5, tzinfo=UTC)
SEEDS = 60
TURNS = 25


def plan_of(chance: random.Random) -> SagaDefinition:
    names: list[str] = []
    steps: list[StepDefinition] = []
    for number in range(chance.choice([2, 4, 6, 40])):
        needs = chance.sample(names, min(len(names), chance.choice([0, 1, 2])))
        undo = CompensationDefinition(name=f"undo_{number}", title="undo")
        steps.append(
            StepDefinition(
                name=f"s{number}",
                title="do",
                needs=tuple(needs),
                compensation=undo if chance.random() < 0.8 else None,
                retry=Retry(attempts=chance.choice([1, 2])),
            )
        )
        names.append(f"s{number}")
    return SagaDefinition(name="random", steps=tuple(steps), order=tuple(names))


class Asking:
    """Makes commands that a saga may get, more often than not ones that fit how it stands."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def next(self, state: SagaState, at: datetime) -> cmd.Command:
        moment = {"at": at, "room": self.chance.choice([0, 1, 2, 5, 100]), "jitter": self.chance.random()}
        if state.version == 0 or self.chance.random() < 0.04:
            return cmd.StartSaga(input=self.chance.choice([1, 1, 2]), **moment)
        if self.chance.random() < 0.7:
            return self.outcome(state, moment)
        by = {"by": "ann", "reason": "because", **moment}
        step = self.chance.choice([*state.steps])
        return self.chance.choice(
            [
                cmd.Wake(**moment),
                cmd.CancelSaga(**by),
                cmd.PauseSaga(**by),
                cmd.ResumeSaga(**by),
                cmd.RetryStep(step=step, **by),
                cmd.SupplyResult(step=step, result=5, **by),
                cmd.SupplyRejection(step=step, **by),
                cmd.SkipStep(step=step, **by),
                cmd.ForceCompensated(step=step, **by),
            ]
        )

    def outcome(self, state: SagaState, moment: dict[str, object]) -> cmd.RecordOutcome:
        chance = self.chance
        open_ones = [name for name, it in state.steps.items() if it.status in ("dispatched", "undoing")]
        name = chance.choice(open_ones if open_ones and chance.random() < 0.9 else [*state.steps])
        step = state.steps[name]
        is_undo = step.undo_attempts > 0 and chance.random() < 0.8
        tried = step.undo_attempts if is_undo else step.attempts
        said: cmd.Succeeded | cmd.Failed = cmd.Succeeded(None if is_undo else {"a": [1]})
        if chance.random() < 0.3:
            kind = chance.choice([ProblemKind.ERROR, ProblemKind.REJECTED, ProblemKind.TIMEOUT])
            said = cmd.Failed(Problem(kind=kind, type="T", message="m"), final=chance.random() < 0.5)
        return cmd.RecordOutcome(
            step=name,
            op="compensation" if is_undo else "action",
            round=step.round if is_undo else 1,
            attempt=tried + chance.choice([0] * 18 + [-1, 1]),
            outcome=said,
            reissued=chance.random() < 0.1,
            **moment,  # type: ignore[arg-type]
        )


def facts_of(events: list[Event]) -> list[Fact]:
    return [(type(event).__name__, json.loads(event.model_dump_json())) for event in events]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_turn_comes_to_what_its_commands_come_to_alone(seed: int):
    chance = random.Random(seed)  # noqa: S311 - the same plans and commands each time
    definition, asking, at = plan_of(chance), Asking(chance), START
    state, log = SagaState.unborn(definition, "s"), list[Event]()
    for _ in range(TURNS):
        at += timedelta(seconds=chance.choice([0, 1, 70]))
        decider, alone, events = Decider(definition, state), state, list[Event]()
        for _ in range(chance.choice([1, 1, 3, 6])):
            command = asking.next(alone, at)
            try:
                decided = decide_with_state(definition, alone, command)
            except SagaError as refused:
                with pytest.raises(type(refused)):
                    decider.decide(command)
                continue
            begun = decider.decide(command)
            assert begun == sum(type(event).__name__.endswith("Dispatched") for event in decided.events)
            alone = decided.state
            events.extend(decided.events)
        assert [*decider.events] == events
        assert decider.state == alone
        state, log = alone, [*log, *events]
        assert_folded_on_trust(definition, log, state, chance.randrange(len(log) + 1))


def assert_folded_on_trust(definition: SagaDefinition, log: list[Event], state: SagaState, cut: int) -> None:
    whole = replay_facts(definition, facts_of(log), saga_id="s")
    begun = replay_facts(definition, facts_of(log[:cut]), saga_id="s")
    in_two = replay_facts_onto(begun, facts_of(log[cut:]))
    assert whole == in_two == state
