"""A scenario on a store: played until it is killed, then taken up by the next process and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from saga_es import History, Outcome, Retry, SagaClient, SagaEngine, Settings
from saga_es.errors import StoreInUse, UnknownSaga
from saga_es.model.events import (
    CompensationDispatched,
    CompensationRetryScheduled,
    SignalReceived,
    StepCompensated,
    StepDispatched,
    StepOutcomeUnknown,
    StepRejected,
    StepRetryScheduled,
    StepSucceeded,
)
from saga_es.model.state import SagaState
from saga_es.runtime.results import outcome_with
from saga_es.testing.crash import AFTER_ENTRY, Crash
from saga_es.testing.invariants import check_history
from saga_es.testing.ledger import Ledger
from saga_es.testing.turnstile import Turnstile
from tests.integration.crash.scenarios import Participants, Scenario

ENTRIES = 1_000  # tries to take a place whose holder was killed: its server sees that in a moment
PATIENCE = timedelta(seconds=30)
SETTINGS = Settings(
    compensation_retry=Retry(attempts=10, delay=timedelta(milliseconds=1), jitter=0),
    migrate=False,  # the tables are made once, before the first case
)


@dataclass(frozen=True)
class SagaCase:
    """Implements `saga_es.testing.crash.Case`.

    Attributes:
        store: its address; of other cases there is nothing open in it.
        folder: of its own, for what the participants write.
    """

    scenario: Scenario
    order: Sequence[str]
    store: str
    saga_id: str
    folder: Path

    @property
    def _started(self) -> Path:
        return self.folder / "started"

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.db")

    def _engine(self, turnstile: Turnstile, crash: Crash) -> SagaEngine:
        ledger = Ledger(self.folder / "ledger.db", after_call=crash.call_made)
        saga = self.scenario.saga(Participants(ledger, turnstile))
        return SagaEngine(self.store, sagas=[saga], settings=SETTINGS, observer=crash)

    def play(self, crash: Crash) -> None:
        asyncio.run(self._play(crash))

    async def _play(self, crash: Crash) -> None:
        left = await self._left()
        self._check_left(left)
        turnstile = Turnstile(self._script(left), crash)
        engine = await entered(self._engine(turnstile, crash))
        try:
            crash.reach(AFTER_ENTRY)
            if left is None:
                await engine.start(self.scenario.definition, self.scenario.order, saga_id=self.saga_id)
                self._started.touch()
            for name, payload in self.scenario.signals.items():
                await turnstile.turn(name)
                await engine.signal(self.saga_id, name, payload)  # nobody knows whether it was sent before
            ended, outcome = await self._ended(engine)
            history = await engine.history(self.saga_id)
            shown = await engine.find()
        finally:
            await engine.__aexit__(None, None, None)
        self._check_end(ended, outcome, history)
        (row,) = [each for each in shown.items if each.saga_id == self.saga_id]
        assert (row.status, row.ending, row.parked) == (ended.status, ended.ending, None), row

    def _script(self, left: History | None) -> list[str]:
        """Return the calls whose answers are still to come, in the order that they are let through."""
        script = list(self.order)
        if left is not None:
            script += self.scenario.after_a_crash
            for name in answered(left):
                if name in script:
                    script.remove(name)
        return script

    async def _left(self) -> History | None:
        """What the log says before anybody goes on with it."""
        async with SagaClient(self.store, settings=SETTINGS) as client:
            try:
                return await client.history(self.saga_id)
            except UnknownSaga:
                return None

    async def _ended(self, engine: SagaEngine) -> tuple[SagaState, Outcome]:
        assert engine._works is not None
        watched = engine._works.manager.watchers.watch(self.saga_id)
        while self.scenario.supplied is not None and not watched.done():
            if (await engine.find(parked=True)).items:
                await engine.supply_rejection(
                    self.saga_id, self.scenario.supplied, by="ann", reason="asked the bank"
                )
                break
        outcome = await engine.outcome(self.saga_id, timeout=PATIENCE)
        return (await watched).state, outcome

    # -- what has to be so ---------------------------------------------------------------------------

    def _check_left(self, left: History | None) -> None:
        assert left is not None or not self._started.exists(), "a start that returned is gone"
        assert left is None or not check_history(left.definition, left.events), left.timeline()
        done = {entry.key for entry in self._ledger.entries(self.saga_id)}
        assert done <= dispatched(left), f"without their dispatch in the log: {done - dispatched(left)}"

    def _check_end(self, ended: SagaState, outcome: Outcome, history: History) -> None:
        shown = history.timeline()
        broken = check_history(history.definition, history.events, settled=True)
        assert not broken, (broken, shown)
        assert outcome.ending in self.scenario.ends, shown
        complaints = self._ledger.complaints(self.saga_id, stands=self.scenario.ends[outcome.ending])
        assert not complaints, (complaints, shown)
        done = {entry.key for entry in self._ledger.entries(self.saga_id)}
        assert done == dispatched(history), (done ^ dispatched(history), shown)
        assert ended == history.state, shown
        told = outcome_with(None, history.state)
        assert (outcome.status, outcome.cause, outcome.residue) == (told.status, told.cause, told.residue), (
            shown
        )
        assert outcome.results.keys() == told.results.keys(), shown


def answered(history: History) -> Iterator[str]:
    """Yield the names of the calls, and signals, whose outcomes are in the log."""
    for recorded in history.events:
        match recorded.event:
            case StepSucceeded() | StepRejected() | StepOutcomeUnknown() | StepRetryScheduled() as event:
                yield event.step
            case StepCompensated() | CompensationRetryScheduled() as event:
                yield f"undo {event.step}"
            case SignalReceived() as event:
                yield event.signal
            case _:
                pass


def dispatched(history: History | None) -> set[str]:
    """Return the keys of the calls whose dispatch is in the log."""
    events = history.events if history is not None else ()
    return {
        recorded.event.key
        for recorded in events
        if isinstance(recorded.event, StepDispatched | CompensationDispatched)
    }


async def entered(engine: SagaEngine) -> SagaEngine:
    """Enter, as soon as the store's server has seen that the process before us is gone."""
    for _ in range(ENTRIES):
        try:
            return await engine.__aenter__()
        except StoreInUse:
            await asyncio.sleep(0)
    return await engine.__aenter__()
