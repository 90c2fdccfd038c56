"""A world for one saga: dispatcher, clock, participants, operator and chaos, on decide and react alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from pydantic import JsonValue

from saga_es.errors import SagaError
from saga_es.model import commands as cmd
from saga_es.model import events as ev
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import SagaDefinition
from saga_es.model.effects import CancelAttempt, NeedRoom, RunAttempt, WakeAt
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.react import react
from saga_es.model.state import SagaState, evolve, replay
from saga_es.testing.invariants import check_history
from tests.properties.oracle import Oracle

SAGA_ID = "saga-1"
NO = Problem(kind=ProblemKind.REJECTED, type="Rejected", message="no")
OOPS = Problem(kind=ProblemKind.ERROR, type="OSError", message="oops")
SLOW = Problem(kind=ProblemKind.TIMEOUT, type="TimeoutError", message="slow")
CUT = Problem(kind=ProblemKind.CANCELLED, type="CancelledError", message="cut")
RESULTS: tuple[JsonValue, ...] = (None, 0, "", [], False, {"id": 7})
BY = {"by": "ann", "reason": "because"}

Call = tuple[str, ev.Op, int, int]


class Simulator:
    """Plays a saga; after every event the state is compared with a replay and with the oracle's.

    Attributes:
        flying: calls that were begun and have not answered.
        lost: calls that were given up; their answers may still come.
        effects: the actions' keys whose effect stands, in the participants' own books.
        undone: the actions' keys that were undone; a call that comes afterwards has no effect.
    """

    def __init__(self, definition: SagaDefinition, chance: Random) -> None:
        self.definition, self.chance = definition, chance
        self.state = SagaState.unborn(definition, SAGA_ID)
        self.oracle = Oracle(definition)
        self.log: list[ev.Recorded] = []
        self.now = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
        self.flying: dict[Call, RunAttempt] = {}
        self.lost: dict[Call, RunAttempt] = {}
        self.reissued: set[Call] = set()
        self.acted: dict[Call, bool] = {}
        self.effects: set[str] = set()
        self.undone: set[str] = set()
        self.told: list[cmd.RecordOutcome] = []
        self.forced: set[str] = set()
        self.calm = False
        self.misfortune = chance.choice([0.1, 0.3, 0.6])
        self.due: datetime | None = None

    # -- asking --------------------------------------------------------------------------------------

    def ask(self, command: cmd.Command) -> tuple[ev.Event, ...] | SagaError:
        before = self.state
        try:
            decided = decide_with_state(self.definition, before, command)
        except SagaError as error:
            if isinstance(command, (cmd.RecordOutcome, cmd.Wake, cmd.StartSaga)):
                raise
            assert before == self._replayed()
            return error
        for event in decided.events:
            self._record(event)
        assert self.state == decided.state
        assert self.state == self._replayed()
        assert before == replay(self.definition, self.log, before.version, saga_id=SAGA_ID)
        self._react()
        return decided.events

    def _record(self, event: ev.Event) -> None:
        self.log.append(ev.Recorded(len(self.log) + 1, type(event).__name__, self.now, event, {}))
        assert type(event).model_validate_json(event.model_dump_json()) == event
        self.oracle.take(event, self.state)
        self.state = evolve(self.state, event)
        self.oracle.check(self.state)
        if isinstance(event, ev.CompensationForced):
            self.forced.add(event.step)

    def _replayed(self) -> SagaState:
        return replay(self.definition, self.log, saga_id=SAGA_ID)

    def _react(self) -> None:
        self.due = None
        cut: list[Call] = []
        for effect in react(self.definition, self.state):
            match effect:
                case RunAttempt():
                    call: Call = (effect.step, effect.op, effect.round, effect.number)
                    if call not in self.flying:
                        self._begin(call, effect)
                case CancelAttempt():
                    cut.append((effect.step, "action", 1, effect.number))
                case WakeAt(_, due):
                    self.due = due
                case NeedRoom():
                    pass
        for call in cut:
            self._cut(call)

    def room(self) -> int:
        return 20 if self.calm else self.chance.choice([0, 0, 1, 2, 20])

    # -- participants --------------------------------------------------------------------------------

    def _begin(self, call: Call, attempt: RunAttempt) -> None:
        self.flying[call] = attempt
        if attempt.op == "compensation":
            return
        for need, argument in zip(self._needs(attempt.step), attempt.arguments[1:], strict=True):
            assert argument == self.state.steps[need].result
        acts = attempt.key not in self.undone and (self.calm or self.chance.random() > self.misfortune / 2)
        self.acted[call] = acts
        if acts:
            self.effects.add(attempt.key)

    def _needs(self, step: str) -> tuple[str, ...]:
        found = self.definition.step(step)
        assert found is not None
        return found.needs

    def result(self, step: str) -> JsonValue:
        return RESULTS[self.definition.graph.index[step] % len(RESULTS)]

    def _undo(self, attempt: RunAttempt) -> None:
        if attempt.absent:
            assert attempt.arguments[1] is None
        else:
            assert attempt.arguments[1] in (self.result(attempt.step), "by hand")
        self.effects.discard(attempt.action_key)
        self.undone.add(attempt.action_key)

    def _cut(self, call: Call) -> None:
        """A coroutine is cancelled; sometimes it is a thread, which can't be."""
        if self.chance.random() < 0.5 and call in self.flying:
            self._tell(call, self.flying.pop(call), cmd.Failed(CUT))

    def _tell(
        self, call: Call, attempt: RunAttempt, outcome: cmd.Succeeded | cmd.Failed, *, probed: bool = False
    ) -> None:
        command = cmd.RecordOutcome(
            at=self.now,
            room=self.room(),
            jitter=self.chance.random(),
            step=attempt.step,
            op=attempt.op,
            round=attempt.round,
            attempt=attempt.number,
            outcome=outcome,
            reissued=call in self.reissued,
            probed=probed,
        )
        made = self.ask(command)
        assert isinstance(made, tuple)
        if any(getattr(event, "step", None) == attempt.step for event in made):
            self.told.append(command)
            self.repeat(command)

    def repeat(self, command: cmd.Command) -> None:
        """What was recorded before is not recorded again."""
        again = self.ask(replace(command, at=self.now, room=0))
        assert again == () or isinstance(again, SagaError) or self._settles_a_retry(again[0]), again

    def _settles_a_retry(self, event: ev.Event) -> bool:
        """A success that came when the step was not open settles its next attempt when it comes again."""
        lates = [item.event for item in self.log if isinstance(item.event, ev.LateOutcomeReceived)]
        return isinstance(event, (ev.StepSucceeded, ev.StepCompensated)) and any(
            late.step == event.step and late.attempt == event.attempt for late in lates
        )

    # -- answers -------------------------------------------------------------------------------------

    def answer(self) -> None:
        if self.flying:
            call = self.chance.choice(list(self.flying))
            attempt = self.flying.pop(call)
            if attempt.op == "compensation":
                self._answer_undo(call, attempt)
            else:
                self._answer_action(call, attempt)

    def _answer_undo(self, call: Call, attempt: RunAttempt) -> None:
        if self.calm or self.chance.random() > self.misfortune:
            self._undo(attempt)
            self._tell(call, attempt, cmd.Succeeded(None))
            return
        if self.chance.random() < 0.5:  # undone, but nobody hears of it
            self._undo(attempt)
        self.lost[call] = attempt
        self._tell(call, attempt, cmd.Failed(self.chance.choice([NO, OOPS, SLOW])))

    def _answer_action(self, call: Call, attempt: RunAttempt) -> None:
        step = self.definition.step(attempt.step)
        fortune = self.calm or self.chance.random() > self.misfortune
        if fortune and self.acted[call]:
            self._tell(call, attempt, cmd.Succeeded(self.result(attempt.step)))
        elif fortune and (self.calm or self.chance.random() < 0.4):
            self._tell(call, attempt, cmd.Failed(NO, final=True))
        elif step is not None and step.probe is not None and self.chance.random() < 0.6:
            happened = attempt.key in self.effects
            told = cmd.Succeeded(self.result(attempt.step)) if happened else cmd.Failed(NO)
            self._tell(call, attempt, told, probed=True)
        else:
            self.lost[call] = attempt
            self._tell(call, attempt, cmd.Failed(self.chance.choice([OOPS, SLOW])))

    def late_answer(self) -> None:
        if not self.lost:
            return
        call = self.chance.choice(list(self.lost))
        attempt = self.lost.pop(call)
        if attempt.op == "compensation":
            if attempt.action_key in self.undone:
                self._tell(call, attempt, cmd.Succeeded(None))
        elif self.acted[call]:
            self._tell(call, attempt, cmd.Succeeded(self.result(attempt.step)))
        else:
            self._tell(call, attempt, cmd.Failed(self.chance.choice([NO, OOPS]), final=True))

    def duplicate(self) -> None:
        if self.told:
            self.wake()
            self.repeat(self.chance.choice(self.told))

    # -- time, crashes, people -----------------------------------------------------------------------

    def wake(self) -> None:
        self.ask(cmd.Wake(at=self.now, room=self.room()))

    def wait(self) -> None:
        self.now += timedelta(seconds=self.chance.randint(0, 10))
        if self.calm and self.due is not None:
            self.now = max(self.now, self.due)
        self.wake()

    def crash(self) -> None:
        """What was in flight is forgotten, and issued again from the log alone."""
        self.state = self._replayed()
        self.reissued |= set(self.flying)
        self.flying.clear()
        self._react()

    def start(self) -> None:
        self.ask(cmd.StartSaga(at=self.now, room=self.room(), input=7))
        self.repeat(cmd.StartSaga(at=self.now, input=7))

    def signal(self) -> None:
        if self.definition.signals:
            name = self.chance.choice(self.definition.signals).name
            payload = "yes" if self.calm else self.chance.choice(["yes", "yes", "no"])
            command = cmd.DeliverSignal(at=self.now, room=self.room(), signal=name, payload=payload)
            if isinstance(self.ask(command), tuple):
                self.repeat(command)

    def operate(self) -> None:
        """An operator does something to some step, but tells no lies about the world."""
        steps = [step.name for step in self.definition.steps]
        tries = 4 if steps else 0
        while tries and not self._repair(self.chance.choice(steps)):
            tries -= 1

    def _repair(self, step: str) -> bool:
        key = f"{SAGA_ID}/{step}/action/1"
        given = {"at": self.now, "room": self.room(), "step": step, **BY}
        asked: list[Callable[[], cmd.RepairCommand]] = [
            lambda: cmd.RetryStep(**given),
            lambda: cmd.SkipStep(**given),
            lambda: cmd.SupplyResult(**given, result="by hand"),
            lambda: cmd.SupplyRejection(**given),
            lambda: cmd.ForceCompensated(**given),
        ]
        command = self.chance.choice(asked)()
        if isinstance(command, cmd.SupplyRejection) and key in self.effects:
            return False
        made = self.ask(command)
        if isinstance(made, SagaError):
            return False
        if isinstance(command, cmd.SupplyResult) and made:
            self.effects.add(key)
        self.repeat(command)
        return made != ()

    def cancel(self) -> None:
        command = cmd.CancelSaga(at=self.now, room=self.room(), **BY)
        if isinstance(self.ask(command), tuple):
            self.repeat(command)

    def pause(self) -> None:
        asked = self.chance.choice([cmd.PauseSaga, cmd.ResumeSaga])
        command = asked(at=self.now, room=self.room(), **BY)
        if isinstance(self.ask(command), tuple):
            self.repeat(command)

    # -- the play ------------------------------------------------------------------------------------

    def rage(self, turns: int) -> None:
        """Faults, people and chance for so many turns."""
        self.start()
        often = (
            [self.answer] * 12
            + [self.wake] * 4
            + [self.wait] * 4
            + [self.signal] * 3
            + [self.late_answer] * 2
        )
        seldom = [self.duplicate, self.crash, self.operate, self.operate, self.pause, self.start]
        mood = self.chance.choice(
            [[], [], [self.cancel], [self.operate] * 8, [self.pause] * 3, [self.crash] * 3]
        )
        for _ in range(turns):
            self.chance.choice(often + seldom + mood)()

    def settle(self) -> None:
        """The faults stop, lost answers come or never do, and the operator tends to what is parked."""
        self.calm = True
        self.lost = {call: attempt for call, attempt in self.lost.items() if self.chance.random() < 0.5}
        for _ in range(400):
            if (
                self.state.paused
            ):  # also a saga that failed while paused, and that a late success opened again
                self.ask(cmd.ResumeSaga(at=self.now, room=20, **BY))
            while self.flying or self.lost:
                self.answer()
                self.late_answer()
            version = self.state.version
            self.wait()
            if self.state.version > version or self.flying:
                continue
            if not self._tend():
                return
        raise AssertionError("it never comes to rest")

    def _tend(self) -> bool:
        """Do what only people can; False when nothing is left to do."""
        if self.state.paused and self.state.is_open:
            return True
        names = list(self.state.steps) if self.state.status == "running" else []
        waiting = [name for name in names if self.state.steps[name].status.value == "awaited"]
        overdue = [name for name in names if self.state.steps[name].status.value == "timed_out"]
        if not waiting:
            assert check_history(self.definition, self.log, settled=True) == []
        if waiting or overdue:
            for name in (*waiting, *overdue):
                self.ask(cmd.DeliverSignal(at=self.now, room=20, signal=name, payload="yes"))
            return True
        if self.state.parked is None:
            return False
        for step in self.definition.steps:
            if self.state.fold.is_parked(self.definition.graph.index[step.name]):
                self._repair(step.name)
        return True

    def check_books(self) -> None:
        """What the saga says of how it ended is what the participants' books say."""
        assert check_history(self.definition, self.log, settled=True) == []
        steps = {f"{SAGA_ID}/{step.name}/action/1": step for step in self.definition.steps}
        stands = {steps[key].name for key in self.effects if not steps[key].read_only}
        if self.state.status == "succeeded":
            skipped = {n for n, step in self.state.steps.items() if step.status.value == "skipped"}
            acting = {step.name for step in self.definition.steps if not step.read_only}
            assert acting - skipped <= stands
        else:
            assert self.state.status == "failed"
            assert stands <= set(self.state.residue) | self.forced
