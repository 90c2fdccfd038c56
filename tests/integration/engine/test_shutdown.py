"""Leaving: nothing new is begun, what is in flight may finish, and the rest is left to the next entry."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga_es import Attempt, Retry, Settings, define
from saga_es.errors import EngineClosed
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, seen, told, types, until


@pytest.mark.promise("case.shutting-down", "field.Settings.drain")
def test_leaving_lets_what_is_in_flight_finish_and_begins_nothing_new(lasting: House):
    async def main():
        gate, calls = asyncio.Event(), []

        async def slow(trip: Trip) -> int:
            calls.append("slow")
            await gate.wait()
            return 1

        async def after(trip: Trip, slow: int) -> int:
            calls.append("after")
            return 2

        saga = define("leaving", Trip).step(slow).step(after, needs=(slow,))
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await until(lambda: calls)
            asyncio.get_running_loop().call_soon(gate.set)  # by then the engine is being left
        left, calls_left = types(lasting.recorded("l")), list(calls)
        async with lasting.engine(saga) as engine:
            return left, calls_left, await engine.outcome("l", timeout=SOON), calls

    left, calls_left, outcome, calls = drive(main())
    assert left == ["SagaStarted", "StepDispatched", "StepSucceeded"]
    assert calls_left == ["slow"]
    assert outcome.results == {"slow": 1, "after": 2}
    assert calls == ["slow", "after"]


@pytest.mark.promise("case.shutting-down", "case.crash", "case.cancelled-error", "field.Settings.drain")
def test_what_does_not_finish_in_time_is_issued_again_under_the_same_key_and_number(lasting: House):
    async def main():
        calls, cancelled, gate = [], [], asyncio.Event()

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            calls.append((attempt.key, attempt.number))
            try:
                await gate.wait()
            except asyncio.CancelledError:
                cancelled.append(attempt.key)
                raise
            return 1

        saga = define("leaving", Trip).step(slow, retry=Retry(attempts=5))
        async with lasting.engine(saga, settings=Settings(drain=timedelta(0))) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await until(lambda: calls)
        left = types(lasting.recorded("l"))
        gate.set()
        async with lasting.engine(saga) as engine:
            outcome = await engine.outcome("l", timeout=SOON)
            return calls, cancelled, left, outcome, types(await engine.history("l"))

    calls, cancelled, left, outcome, recorded = drive(main())
    assert calls == [("l/slow/action/1", 1), ("l/slow/action/1", 1)]
    assert cancelled == ["l/slow/action/1"]
    assert left == ["SagaStarted", "StepDispatched"]
    assert outcome.results == {"slow": 1}
    assert recorded == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("case.shutting-down")
def test_a_thread_in_flight_is_drained_too(lasting: House):
    async def main():
        gate, begun = threading.Event(), threading.Event()

        def slow(trip: Trip) -> int:
            begun.set()
            gate.wait(30)
            return 7

        saga = define("leaving", Trip).step(slow)
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await until(begun.is_set)
            asyncio.get_running_loop().call_soon(gate.set)
        return types(lasting.recorded("l"))

    assert drive(main()) == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("case.shutting-down", "case.crash")
def test_a_compensation_that_is_cut_short_is_issued_again(lasting: House):
    async def main():
        calls, gate = [], asyncio.Event()

        async def one(trip: Trip) -> int:
            return 1

        async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            calls.append((attempt.key, attempt.number, result))
            await gate.wait()

        saga = define("back", Trip).step(one, undo=undo).signal("word", int, needs=(one,))
        async with lasting.engine(saga, settings=Settings(drain=timedelta(0))) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            await seen(engine, "b", "StepSucceeded")
            await engine.cancel("b", **BY_ANN)
            await until(lambda: calls)
        gate.set()
        async with lasting.engine(saga) as engine:
            outcome = await engine.outcome("b", timeout=SOON)
            return calls, outcome.ending, told(await engine.history("b"), "CompensationDispatched")

    calls, ending, dispatched = drive(main())
    assert calls == [("b/one/compensation/1", 1, 1)] * 2
    assert ending == "compensated"
    assert [(it["attempt"], it["round"]) for it in dispatched] == [(1, 1)]


@pytest.mark.promise("case.shutting-down", "error.EngineClosed")
def test_who_waits_while_the_engine_is_left_is_told(lasting: House):
    async def main():
        saga = define("waiting", Trip).signal("word", int)
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            waiting = asyncio.ensure_future(engine.outcome("w"))
            await asyncio.sleep(0)
        with pytest.raises(EngineClosed):
            await waiting
        return types(lasting.recorded("w"))

    assert drive(main()) == ["SagaStarted", "SignalAwaited"]


@pytest.mark.promise("case.shutting-down")
def test_an_exception_in_the_context_leaves_it_as_well(lasting: House):
    async def main():
        async def one(trip: Trip) -> int:
            return 1

        saga = define("one", Trip).step(one)

        async def program():
            async with lasting.engine(saga) as engine:
                await engine.start(saga, MARIA, saga_id="o")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await program()
        async with lasting.engine(saga) as engine:  # its place is free again
            return (await engine.outcome("o", timeout=SOON)).status

    assert drive(main()) == "succeeded"


@pytest.mark.promise("case.cancelled-error", "case.crash")
@pytest.mark.parametrize("order", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("in_thread", [False, True], ids=["coroutine", "thread"])
def test_an_order_to_exit_passes_through_and_is_no_failure(lasting: House, order, in_thread):
    calls = []

    async def coroutine(trip: Trip, *, attempt: Attempt) -> int:
        calls.append((attempt.key, attempt.number))
        if len(calls) == 1:
            raise order
        return 1

    def plain(trip: Trip, *, attempt: Attempt) -> int:
        calls.append((attempt.key, attempt.number))
        if len(calls) == 1:
            raise order
        return 1

    saga = define("exiting", Trip).step(plain if in_thread else coroutine, name="step")

    async def main():
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="e")
            return await engine.outcome("e", timeout=SOON)

    with pytest.raises(order):
        drive(main())
    assert types(lasting.recorded("e")) == ["SagaStarted", "StepDispatched"]
    assert drive(main()).results == {"step": 1}
    assert calls == [("e/step/action/1", 1)] * 2
    assert types(lasting.recorded("e"))[1:] == ["StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("case.cancelled-error")
@pytest.mark.parametrize("nested", [False, True], ids=["raised", "a task of its own"])
def test_a_cancellation_that_the_engine_did_not_cause_is_an_error(house: House, nested):
    async def main():
        async def cancelled(trip: Trip) -> int:
            if not nested:
                raise asyncio.CancelledError
            task = asyncio.ensure_future(asyncio.get_running_loop().create_future())
            task.cancel()
            await task
            return 0

        saga = define("cancelled", Trip).step(cancelled)
        async with house.engine(saga) as engine:
            return await engine.run(saga, MARIA, timeout=SOON)

    outcome = drive(main())
    assert (outcome.ending, outcome.cause.kind, outcome.cause.type) == ("residue", "error", "CancelledError")


@pytest.mark.promise("case.cancelled-error", "case.crash")
def test_cancelling_the_program_leaves_the_saga_to_the_next_entry(lasting: House):
    async def main():
        calls, gate = [], asyncio.Event()

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            calls.append((attempt.key, attempt.number))
            await gate.wait()
            return 1

        saga = define("program", Trip).step(slow)

        async def program():
            async with lasting.engine(saga, settings=Settings(drain=timedelta(0))) as engine:
                await engine.run(saga, MARIA, saga_id="p")

        running = asyncio.ensure_future(program())
        await until(lambda: calls)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        left = types(lasting.recorded("p"))
        gate.set()
        async with lasting.engine(saga) as engine:
            return left, (await engine.outcome("p", timeout=SOON)).status, calls

    left, status, calls = drive(main())
    assert left == ["SagaStarted", "StepDispatched"]
    assert status == "succeeded"
    assert calls == [("p/slow/action/1", 1)] * 2


@pytest.mark.promise("case.shutting-down", "error.StoreInUse")
def test_cancelled_again_while_it_is_left_the_engine_waits_no_longer_and_frees_its_place(lasting: House):
    async def main():
        begun, leaving = asyncio.Event(), asyncio.Event()

        async def for_ever(trip: Trip) -> int:
            begun.set()
            await asyncio.get_running_loop().create_future()
            return 0

        saga = define("program", Trip).step(for_ever)

        async def program():
            async with lasting.engine(saga, settings=Settings(drain=timedelta(minutes=5))) as engine:
                try:
                    await engine.run(saga, MARIA, saga_id="p")
                finally:
                    leaving.set()

        running = asyncio.ensure_future(program())
        await begun.wait()
        running.cancel()
        await leaving.wait()
        await asyncio.sleep(0)  # it drains now
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with lasting.engine() as engine:
            return types(await engine.history("p"))

    assert drive(main()) == ["SagaStarted", "StepDispatched"]


@pytest.mark.promise("case.shutting-down", "call.start", "invariant.11", "error.EngineClosed")
def test_starts_under_way_while_the_engine_is_left_are_recorded_or_refused(lasting: House):
    async def main():
        async def one(trip: Trip) -> int:
            return 1

        saga = define("one", Trip).step(one)
        async with lasting.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="first", timeout=SOON)
            starting = [asyncio.ensure_future(engine.start(saga, MARIA, saga_id=f"s{n}")) for n in range(100)]
            await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
            late = [asyncio.ensure_future(engine.start(saga, MARIA, saga_id=f"t{n}")) for n in range(20)]
        answers = await asyncio.gather(*starting, *late, return_exceptions=True)
        async with lasting.engine(saga) as engine:
            for answer in answers:
                if isinstance(answer, str):
                    assert (await engine.outcome(answer, timeout=SOON)).status == "succeeded"
            return answers

    answers = drive(main())
    assert any(isinstance(answer, str) for answer in answers)
    assert all(isinstance(answer, str | EngineClosed) for answer in answers)
