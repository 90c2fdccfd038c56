"""An engine whose place on PostgreSQL was cut stands back for whoever has it, and goes on when it is free again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import psycopg
import pytest

from saga_es import Attempt, Saga, SagaEngine, Settings, step
from saga_es.errors import StoreInUse
from saga_es.store.address import open_store
from saga_es.testing.invariants import check_history
from tests.integration.engine.world import MARIA, SOON, Trip, drive, told, types, until

AT_ONCE = Settings(drain=timedelta(0))
WAITS_FOR_THE_PLACE = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
HOLDS_THE_PLACE = """
SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND datname = current_database()
  AND application_name LIKE 'saga_es engine%'"""


class Calls:
    """Who called what. Calls that are held wait until they are let go."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, int]] = []  # engine, key, number
        self._gates: dict[str, asyncio.Event] = {}

    def hold(self, engine: str) -> asyncio.Event:
        self._gates[engine] = asyncio.Event()
        return self._gates[engine]

    async def make(self, engine: str, attempt: Attempt) -> str:
        self.made.append((engine, attempt.key, attempt.number))
        gate = self._gates.get(engine)
        if gate is not None:
            await gate.wait()
        return engine

    def by(self, engine: str) -> list[tuple[str, int]]:
        return [(key, number) for caller, key, number in self.made if caller == engine]

    def engines_of(self, key: str) -> list[str]:
        return [caller for caller, called, _ in self.made if called == key]


class Parcel(Saga[Trip], name="parcel"):
    """Three steps in a row; the result of each is the engine that called it."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step
    async def pack(self, trip: Trip, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)

    @step(needs=(pack,))
    async def send(self, trip: Trip, pack: str, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)

    @step(needs=(send,))
    async def thank(self, trip: Trip, send: str, *, attempt: Attempt) -> str:
        return await self.calls.make(self.engine, attempt)


def cut_the_place(dsn: str) -> None:
    """End the session that holds the engine's place; the engine's other connections live on."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(f"SELECT pg_terminate_backend(pid) FROM ({HOLDS_THE_PLACE}) AS holder")


async def asked(dsn: str, question: str) -> list[tuple[int]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as db:
        return await (await db.execute(question)).fetchall()


async def entered_in_its_place(dsn: str, *sagas: Saga[Trip], settings: Settings) -> SagaEngine:
    """Return an engine that waited for the place until the session of whoever had it was cut."""
    other = SagaEngine(dsn, sagas=sagas, settings=settings)

    async def stand_by() -> None:
        while True:
            with suppress(StoreInUse):  # it waits for a second, and then it says who has it
                await other.__aenter__()
                return

    entering = asyncio.ensure_future(stand_by())
    while not entering.done():
        if await asked(dsn, WAITS_FOR_THE_PLACE):
            cut_the_place(dsn)
            break
    await entering
    return other


def stands_back(engine: SagaEngine) -> bool:
    return engine._works.manager._places.is_shut


def taken(engine: SagaEngine) -> int:
    """The how many-th time the place was taken that the engine knows of."""
    return engine._works.follower._place


def knows(engine: SagaEngine, saga_id: str, step: str) -> bool:
    """Whether an engine has read that somebody dispatched a step."""
    live = engine._works.manager.in_hand(saga_id)
    return live is not None and live.state is not None and live.state.steps[step].status == "dispatched"


@asynccontextmanager
async def two_engines(dsn: str, calls: Calls) -> AsyncIterator[tuple[SagaEngine, Callable[[], object]]]:
    """Give A, and how B comes in in its place; A has noticed then."""
    async with SagaEngine(dsn, sagas=[Parcel("A", calls)], settings=AT_ONCE) as first:

        async def replace() -> SagaEngine:
            other = await entered_in_its_place(dsn, Parcel("B", calls), settings=AT_ONCE)
            await until(lambda: stands_back(first))
            return other

        yield first, replace


@pytest.fixture
def dsn(postgres_url: str) -> str:
    open_store(postgres_url, migrate=True).close()
    return postgres_url


@pytest.mark.promise("case.store-goes-away", "invariant.8", "error.StoreInUse")
def test_it_makes_no_call_while_another_is_at_work_and_goes_on_when_that_has_left(dsn):
    async def main():
        calls = Calls()
        async with two_engines(dsn, calls) as (first, replace):
            await first.run(Parcel, MARIA, saga_id="before", timeout=SOON)
            other = await replace()
            for number in range(10):
                await (first, other)[number % 2].start(Parcel, MARIA, saga_id=f"p{number}")
            for number in range(10):  # each tells of the other's
                await (other, first)[number % 2].outcome(f"p{number}", timeout=SOON)
            await first.find()  # by when it would have begun what it was to begin
            meanwhile = calls.by("A")
            await other.__aexit__(None, None, None)
            outcome = await first.run(Parcel, MARIA, saga_id="after", timeout=SOON)
            for number in range(10):
                history = await first.history(f"p{number}")
                assert not check_history(history.definition, history.events, settled=True)
            return meanwhile, outcome.results, calls

    meanwhile, after, calls = drive(main())
    steps = ("pack", "send", "thank")
    assert meanwhile == [(f"before/{name}/action/1", 1) for name in steps]
    assert after == {"pack": "A", "send": "A", "thank": "A"}
    assert Counter(calls.by("B")) == {
        (f"p{number}/{name}/action/1", 1): 1 for number in range(10) for name in steps
    }


@pytest.mark.promise("case.store-goes-away", "case.late-reply", "case.duplicate")
def test_what_it_had_in_flight_is_still_recorded_when_it_answers(dsn):
    async def main():
        calls = Calls()
        of_a, of_b = calls.hold("A"), calls.hold("B")
        async with two_engines(dsn, calls) as (first, replace):
            await first.start(Parcel, MARIA, saga_id="p")
            await until(lambda: calls.made)
            other = await replace()
            await until(lambda: calls.by("B"))  # for all that B knows, whoever made this call is dead
            of_a.set()
            while "StepSucceeded" not in types(await other.history("p")):
                pass
            answered = told(await other.history("p"), "StepSucceeded")
            of_b.set()  # the same answer once more, and then the steps that follow
            outcome = await other.outcome("p", timeout=SOON)
            history = await other.history("p")
            await other.__aexit__(None, None, None)
            return answered, outcome.results, types(history), calls

    answered, results, recorded, calls = drive(main())
    assert answered == [{"step": "pack", "attempt": 1, "result": "A"}]
    assert results == {"pack": "A", "send": "B", "thank": "B"}
    assert recorded == ["SagaStarted", *["StepDispatched", "StepSucceeded"] * 3, "SagaSucceeded"]
    assert calls.by("A") == [("p/pack/action/1", 1)]


@pytest.mark.promise("case.store-goes-away", "case.crash", "invariant.12")
def test_what_the_other_left_in_flight_is_issued_again_by_itself(dsn):
    async def main():
        calls = Calls()
        calls.hold("B")
        async with two_engines(dsn, calls) as (first, replace):
            other = await replace()
            await other.start(Parcel, MARIA, saga_id="theirs")
            await first.start(Parcel, MARIA, saga_id="ours")
            await until(lambda: len(calls.by("B")) == 2)
            await until(lambda: all(knows(first, saga_id, "pack") for saga_id in ("ours", "theirs")))
            await first.find()  # by when it would have begun what it was to begin
            meanwhile = calls.by("A")
            await other.__aexit__(None, None, None)
            while (await first.find(status="running")).items:  # nobody asks for their outcomes
                pass
            return meanwhile, calls, [await first.history(saga_id) for saga_id in ("ours", "theirs")]

    meanwhile, calls, histories = drive(main())
    assert meanwhile == []
    for history in histories:
        pack = f"{history.saga_id}/pack/action/1"
        assert calls.engines_of(pack) == ["B", "A"]
        dispatched = [(it["step"], it["attempt"]) for it in told(history, "StepDispatched")]
        assert dispatched == [("pack", 1), ("send", 1), ("thank", 1)]
        assert not check_history(history.definition, history.events, settled=True)
    assert set(Counter(calls.by("A")).values()) == {1}


@pytest.mark.promise("case.store-goes-away", "invariant.8")
def test_where_nobody_else_wants_the_place_it_takes_it_again_and_calls_nothing_twice(dsn):
    async def main():
        calls = Calls()
        gate = calls.hold("A")
        async with SagaEngine(dsn, sagas=[Parcel("A", calls)], settings=AT_ONCE) as engine:
            for number in range(5):
                await engine.start(Parcel, MARIA, saga_id=f"p{number}")
            await until(lambda: len(calls.made) == 5)
            for times in (2, 3, 4):
                cut_the_place(dsn)
                await until(lambda times=times: taken(engine) == times)
                assert not stands_back(engine)
                await engine.start(Parcel, MARIA, saga_id=f"q{times}")
            gate.set()
            ended = [*(f"p{number}" for number in range(5)), "q2", "q3", "q4"]
            statuses = {(await engine.outcome(saga_id, timeout=SOON)).status for saga_id in ended}
            with pytest.raises(StoreInUse) as refused:
                await SagaEngine(dsn, sagas=[], settings=AT_ONCE).__aenter__()
            return statuses, calls, refused.value

    statuses, calls, refused = drive(main())
    assert statuses == {"succeeded"}
    assert len(calls.made) == 8 * 3
    assert set(Counter(calls.made).values()) == {1}
    assert "saga_es engine" in refused.holder
