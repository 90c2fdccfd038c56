"""Writers that race: engine and clients decide on the same sagas, whoever loses reads back, nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from saga_es import Rejected, Settings, define
from saga_es.errors import SagaAlreadyEnded, SignalConflict
from saga_es.testing.invariants import check_history
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, types

CLIENTS = 4


async def clients(stack: AsyncExitStack, house: House, *sagas: object):
    return [await stack.enter_async_context(house.client(*sagas)) for _ in range(CLIENTS)]


@pytest.mark.promise("call.SagaClient", "call.signal", "invariant.1", "invariant.12", "invariant.14")
def test_two_hundred_signals_of_four_clients_to_one_saga_beside_its_engine_are_all_kept(lasting: House):
    async def main():
        steps = []

        async def one(trip: Trip, said: int) -> int:
            steps.append(said)
            return said

        saga = define("busy", Trip)
        for n in range(200):
            saga = saga.signal(f"w{n}", int)
        for n in range(0, 200, 10):  # so that the engine writes to the same stream meanwhile
            saga = saga.step(one, name=f"s{n}", needs=[f"w{n}"])
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(lasting.engine(saga))
            several = await clients(stack, lasting, saga)
            await engine.start(saga, MARIA, saga_id="b")

            async def send(client, numbers):
                for n in numbers:
                    await client.signal("b", f"w{n}", n)

            await asyncio.gather(*(send(it, range(i, 200, CLIENTS)) for i, it in enumerate(several)))
            outcome = await engine.outcome("b", timeout=SOON)
            return outcome, steps, await engine.history("b")

    outcome, steps, history = drive(main())
    assert outcome.results == {f"w{n}": n for n in range(200)} | {f"s{n}": n for n in range(0, 200, 10)}
    assert sorted(steps) == list(range(0, 200, 10))  # each called once
    assert Counter(types(history))["SignalReceived"] == 200
    assert Counter(types(history))["StepDispatched"] == 20
    assert [it.version for it in history.events] == list(range(1, len(history.events) + 1))
    assert check_history(history.definition, history.events, settled=True) == []


@pytest.mark.promise("call.SagaClient", "call.cancel", "invariant.3", "invariant.7", "invariant.12")
def test_cancels_that_race_with_the_engine_leave_every_saga_at_a_coherent_end(lasting: House):
    async def main():
        balance: Counter[str] = Counter()

        async def book(trip: Trip) -> int:
            await asyncio.sleep(0)
            balance[trip.customer] += 1
            return 1

        async def undo(trip: Trip, result: int | None) -> None:
            balance[trip.customer] -= 1

        async def more(trip: Trip, booked: int) -> int:
            await asyncio.sleep(0)
            balance[trip.customer] += 1
            return 1

        saga = define("racing", Trip).step(book, undo=undo).step(more, needs=(book,), undo=undo)
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(lasting.engine(saga))
            several = await clients(stack, lasting, saga)
            ids = [f"r{n}" for n in range(100)]

            async def race(client, saga_id):
                await client.start(saga, Trip(customer=saga_id), saga_id=saga_id)
                try:
                    await client.cancel(saga_id, **BY_ANN)
                except SagaAlreadyEnded:
                    return False
                return True

            cancelled = await asyncio.gather(*(race(several[n % CLIENTS], it) for n, it in enumerate(ids)))
            outcomes = [await engine.outcome(it, timeout=SOON) for it in ids]
            histories = [await engine.history(it) for it in ids]
            return dict(zip(ids, cancelled, strict=True)), outcomes, balance, histories

    cancelled, outcomes, balance, histories = drive(main())
    for outcome in outcomes:
        if cancelled[outcome.saga_id]:
            assert (outcome.status, outcome.ending) == ("failed", "compensated")
            assert balance[outcome.saga_id] == 0
        else:
            assert (outcome.status, balance[outcome.saga_id]) == ("succeeded", 2)
    for history in histories:
        assert check_history(history.definition, history.events, settled=True) == []


@pytest.mark.promise("call.SagaClient", "call.start", "error.SignalConflict", "case.duplicate")
def test_of_racing_starts_and_signals_the_first_stands_and_the_rest_are_told(lasting: House):
    async def main():
        saga = define("race", Trip).signal("word", int)
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(lasting.engine(saga))
            several = [engine, *await clients(stack, lasting, saga)]
            await asyncio.gather(*(it.start(saga, MARIA, saga_id="r") for it in several))
            said = await asyncio.gather(
                *(it.signal("r", "word", n) for n, it in enumerate(several)), return_exceptions=True
            )
            return said, await engine.outcome("r", timeout=SOON), types(await engine.history("r"))

    said, outcome, recorded = drive(main())
    (winner,) = [n for n, answer in enumerate(said) if answer is None]
    assert outcome.results == {"word": winner}
    losers = [answer for answer in said if answer is not None]
    assert losers, "five different words were said"
    assert all(isinstance(it, SignalConflict | SagaAlreadyEnded) for it in losers)
    assert Counter(recorded) == {
        "SagaStarted": 1, "SignalAwaited": 1, "SignalReceived": 1, "SagaSucceeded": 1,
    }  # fmt: skip


@pytest.mark.promise("call.SagaClient", "call.pause", "call.resume", "invariant.12")
def test_pausing_and_resuming_from_everywhere_holds_nothing_up_for_good(lasting: House):
    async def main():
        async def one(trip: Trip, *_: int) -> int:
            await asyncio.sleep(0)
            return 1

        saga = define("chain", Trip).step(one, name="s0")
        for n in range(1, 15):
            saga = saga.step(one, name=f"s{n}", needs=[f"s{n - 1}"])
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(lasting.engine(saga, settings=Settings(max_in_flight=2)))
            several = await clients(stack, lasting, saga)
            ids = [f"c{n}" for n in range(8)]
            for saga_id in ids:
                await engine.start(saga, MARIA, saga_id=saga_id)

            async def meddle(client, saga_id):
                try:
                    for _ in range(5):
                        await client.pause(saga_id, **BY_ANN)
                        await client.resume(saga_id, **BY_ANN)
                except SagaAlreadyEnded:
                    pass

            await asyncio.gather(*(meddle(several[n % CLIENTS], it) for n, it in enumerate(ids)))
            outcomes = [await engine.outcome(it, timeout=SOON) for it in ids]
            histories = [await engine.history(it) for it in ids]
            return [(it.status, len(it.results)) for it in outcomes], histories

    ended, histories = drive(main())
    assert ended == [("succeeded", 15)] * 8
    for history in histories:
        assert check_history(history.definition, history.events, settled=True) == []
        assert types(history).count("StepDispatched") == 15


@pytest.mark.promise("call.SagaEngine", "invariant.14", "case.rejected")
def test_many_sagas_of_many_endings_at_once_end_each_as_it_should(house: House):
    async def main():
        async def maybe(trip: Trip) -> int:
            match trip.nights % 4:
                case 0:
                    return 1
                case 1:
                    raise Rejected("no")
                case 2:
                    raise OSError("no answer")
                case _:
                    raise BaseExceptionGroup("two things at once", [OSError("one"), ValueError("two")])

        async def undo(trip: Trip, result: int | None) -> None: ...

        saga = define("mixed", Trip).step(maybe, undo=undo)
        async with house.engine(saga) as engine:
            outcomes = await asyncio.gather(
                *(engine.run(saga, Trip(customer="x", nights=n), timeout=SOON) for n in range(100))
            )
            return Counter((it.status.value, it.cause and it.cause.type) for it in outcomes)

    assert drive(main()) == {
        ("succeeded", None): 25,
        ("failed", "Rejected"): 25,
        ("failed", "OSError"): 25,
        ("failed", "ExceptionGroup"): 25,
    }
