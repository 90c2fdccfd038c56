"""The clock and a saga's pauses: due times are facts in the log, whatever the clock does meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es import Rejected, Retry, SagaEngine, define
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import BY_ANN, MARIA, Trip, drive, on_clock, seen, told, types

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
HOURLY = Retry(attempts=2, delay=HOUR, max_delay=HOUR, jitter=0)


async def never(trip: Trip) -> int:
    await asyncio.get_running_loop().create_future()
    return 0


def shaky(called: list[object], clock: ManualClock):
    async def fail_once(trip: Trip) -> int:
        called.append((clock.now() - EPOCH) / HOUR)
        if len(called) == 1:
            raise OSError("again")
        return 7

    return define("shaky", Trip).step(fail_once, retry=HOURLY)


@pytest.mark.promise("case.clock-jumps")
def test_a_clock_that_jumps_ahead_makes_a_retry_once():
    clock, called = ManualClock(), []

    async def main():
        saga = shaky(called, clock)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepRetryScheduled")
            clock.jump(EPOCH + 100 * HOUR)
            await clock.advance(TICK)
            return await engine.outcome("s"), types(await engine.history("s")).count("StepDispatched")

    outcome, dispatched = drive(main())
    assert (outcome.results, dispatched) == ({"fail_once": 7}, 2)
    assert called[1] >= 100


@pytest.mark.promise("case.clock-jumps", "invariant.1")
def test_a_clock_that_is_set_back_only_delays_and_the_order_is_the_versions():
    clock, called = ManualClock(), []

    async def main():
        saga = shaky(called, clock).signal("word", int)
        async with on_clock(saga, clock=clock) as engine:
            await clock.advance(24 * HOUR)
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepRetryScheduled")
            clock.jump(EPOCH)
            await engine.signal("s", "word", 1)
            await clock.advance(25 * HOUR - TICK)
            await engine.pause("s", **BY_ANN)  # whatever came too early would be in the log before this
            await engine.resume("s", **BY_ANN)
            early = len(called)
            await clock.advance(TICK)
            await engine.outcome("s")
            return early, await engine.history("s")

    early, history = drive(main())
    assert early == 1
    assert called == [24, 25]
    assert [it.version for it in history.events] == list(range(1, len(history.events) + 1))
    assert [(it.at - EPOCH) / HOUR for it in history.events if it.type == "SignalReceived"] == [0]


@pytest.mark.promise("case.pause", "case.timeout", "call.pause", "call.resume")
def test_an_attempt_of_a_paused_saga_times_out_and_its_retry_waits_for_the_resume():
    clock = ManualClock()

    async def main():
        called = []

        async def slow(trip: Trip) -> int:
            called.append((clock.now() - EPOCH) / HOUR)
            if len(called) == 1:
                await asyncio.get_running_loop().create_future()
            return 7

        saga = define("slow", Trip).step(slow, timeout=HOUR, retry=HOURLY)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await engine.pause("s", **BY_ANN)
            await clock.advance(HOUR)
            await seen(engine, "s", "StepRetryScheduled")
            await clock.advance(10 * HOUR)
            held = types(await engine.history("s"))
            await engine.resume("s", **BY_ANN)
            return held, called, (await engine.outcome("s")).results

    held, called, results = drive(main())
    assert held == ["SagaStarted", "StepDispatched", "SagaPaused", "StepRetryScheduled"]
    assert called == [0, 11]  # at once, since it was due long ago
    assert results == {"slow": 7}


@pytest.mark.promise("case.pause", "case.compensation-fails")
def test_a_paused_saga_begins_no_compensation_either():
    clock = ManualClock()

    async def main():
        undone = []

        async def one(trip: Trip) -> int:
            return 1

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append((clock.now() - EPOCH) / HOUR)
            if len(undone) == 1:
                raise OSError("again")

        async def bad(trip: Trip, one: int) -> int:
            raise Rejected("no")

        saga = define("back", Trip).step(one, undo=undo, undo_retry=HOURLY).step(bad, needs=(one,))
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            await seen(engine, "b", "CompensationRetryScheduled")
            await engine.pause("b", **BY_ANN)
            await clock.advance(5 * HOUR)
            held = (await engine.history("b")).state.steps["one"].status
            await engine.resume("b", **BY_ANN)
            return held, undone, (await engine.outcome("b")).ending

    assert drive(main()) == ("undo_retrying", [0, 5], "compensated")


@pytest.mark.promise("case.a-step-fails", "invariant.7", "event.StepOutcomeUnknown")
def test_a_failing_saga_drains_to_its_steps_timeouts_and_abandons_what_waits_for_a_retry():
    clock = ManualClock()

    async def main():
        undone = []

        async def waits(trip: Trip) -> int:
            raise OSError("again")

        async def slow(trip: Trip) -> int:
            await asyncio.get_running_loop().create_future()
            return 0

        async def bad(trip: Trip, slow: int) -> int:
            raise AssertionError("never begun")

        async def fails(trip: Trip) -> int:
            await gate.wait()
            raise Rejected("no rooms")

        def undo(name: str):
            async def note(trip: Trip, result: int | None) -> None:
                undone.append((name, result))

            return note

        gate = asyncio.Event()
        saga = (
            define("draining", Trip)
            .step(waits, retry=HOURLY, undo=undo("waits"))
            .step(slow, timeout=2 * HOUR, undo=undo("slow"))
            .step(fails)
            .step(bad, needs=(slow,))
            .signal("word", int, timeout=HOUR)
        )
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="d")
            await seen(engine, "d", "StepRetryScheduled")
            gate.set()
            draining = await seen(engine, "d", "StepOutcomeUnknown")
            await clock.advance(2 * HOUR)
            return draining, await engine.outcome("d"), undone, await engine.history("d")

    draining, outcome, undone, history = drive(main())
    steps = {name: step.status for name, step in draining.state.steps.items()}
    assert draining.state.status == "running"
    assert steps == {
        "waits": "unknown",
        "slow": "dispatched",
        "fails": "rejected",
        "bad": "waiting",
        "word": "awaited",
    }
    kinds = [(it["step"], it["why"]["kind"]) for it in told(history, "StepOutcomeUnknown")]
    assert kinds == [("waits", "abandoned"), ("slow", "timeout")]
    assert sorted(undone) == [("slow", None), ("waits", None)]
    assert (outcome.ending, outcome.cause.step, outcome.cause.message) == ("compensated", "fails", "no rooms")
    assert types(history).count("StepDispatched") == 3
    assert "SignalTimedOut" not in types(history)


@pytest.mark.promise("field.Settings.step_timeout", "invariant.14", "case.clock-jumps")
def test_times_past_the_end_of_the_calendar_are_times_that_do_not_come():
    async def main():
        async def one(trip: Trip) -> int:
            return 1

        async def no_answer(trip: Trip) -> int:
            raise OSError("again")

        endless = Retry(attempts=2, delay=timedelta.max, max_delay=timedelta.max, jitter=1)
        saga = (
            define("endless", Trip)
            .step(one, timeout=timedelta.max)
            .step(no_answer, retry=endless)
            .signal("word", int, timeout=timedelta.max)
        )
        fine = define("fine", Trip).step(one)
        async with SagaEngine("memory://", sagas=[saga, fine]) as engine:
            others = [asyncio.ensure_future(engine.run(fine, MARIA)) for _ in range(2)]
            await engine.start(saga, MARIA, saga_id="e")
            others += [asyncio.ensure_future(engine.run(fine, MARIA)) for _ in range(2)]
            await seen(engine, "e", "StepRetryScheduled")
            await engine.signal("e", "word", 1)
            await engine.supply_result("e", "no_answer", 2, **BY_ANN)
            outcome = await engine.outcome("e", timeout=timedelta.max)
            return outcome.results, [(await it).status for it in others]

    assert drive(main()) == ({"one": 1, "no_answer": 2, "word": 1}, ["succeeded"] * 4)


@pytest.mark.promise("call.outcome")
def test_the_timeout_is_measured_on_the_engines_clock():
    clock = ManualClock()

    async def main():
        saga = define("slow", Trip).step(never, timeout=None)
        async with on_clock(saga, clock=clock, drain=0) as engine:
            saga_id = await engine.start(saga, MARIA)
            waiting = asyncio.ensure_future(engine.outcome(saga_id, timeout=timedelta(hours=1)))
            await clock.advance(timedelta(minutes=59))
            early = waiting.done()
            await clock.advance(timedelta(minutes=1))
            with pytest.raises(TimeoutError):
                await waiting
            return early

    assert drive(main()) is False
