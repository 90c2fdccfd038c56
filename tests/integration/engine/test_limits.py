"""Settings: what is bounded by them, and what they say where a plan says nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from saga_es import Attempt, Rejected, Retry, SagaEngine, Settings, define
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import MARIA, SOON, House, Trip, drive, on_clock, seen, told, types, until


class Gauge:
    """Counts who is inside at once, in all and of each saga; nobody leaves before ``limit`` have met."""

    def __init__(self, limit: int) -> None:
        self.limit, self.met = limit, asyncio.Event()
        self.now, self.most = 0, 0
        self.of_saga: Counter[str] = Counter()
        self.most_of_saga = 0

    async def visit(self, trip: Trip) -> int:
        saga_id = Attempt.current().saga_id
        self.now += 1
        self.of_saga[saga_id] += 1
        self.most = max(self.most, self.now)
        self.most_of_saga = max(self.most_of_saga, self.of_saga[saga_id])
        if self.now == self.limit:
            self.met.set()
        await self.met.wait()
        await asyncio.sleep(0)  # so that others come in meanwhile, if they may
        self.now -= 1
        self.of_saga[saga_id] -= 1
        return 1


def fan_out(width: int, gauge: Gauge):
    saga = define("wide", Trip)
    for n in range(width):
        saga = saga.step(gauge.visit, name=f"s{n}")
    return saga


def at_once(history) -> int:
    """Return the most attempts that were in flight at one moment of a log."""
    now = most = 0
    for recorded in history.events:
        now += {"StepDispatched": 1, "StepSucceeded": -1}.get(recorded.type, 0)
        most = max(most, now)
    return most


@pytest.mark.promise("field.Settings.max_in_flight_per_saga", "case.huge-fan-out", "invariant.12")
def test_a_saga_of_300_steps_never_has_more_in_flight_than_it_may_and_ends(house: House):
    async def main():
        gauge = Gauge(7)
        saga = fan_out(300, gauge)
        async with house.engine(saga, settings=Settings(max_in_flight_per_saga=7)) as engine:
            outcome = await engine.run(saga, MARIA, saga_id="wide", timeout=SOON)
            return outcome, gauge, await engine.history("wide")

    outcome, gauge, history = drive(main())
    assert outcome.status == "succeeded"
    assert len(outcome.results) == 300
    assert (gauge.most, at_once(history)) == (7, 7)


@pytest.mark.promise("field.Settings.max_in_flight_per_saga", "case.huge-fan-out")
def test_by_default_64_of_a_saga_are_in_flight_and_the_rest_waits_as_waiting(house: House):
    async def main():
        gate = asyncio.Event()

        async def slow(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("wide", Trip)
        for n in range(300):
            saga = saga.step(slow, name=f"s{n}")
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="wide")
            full = await seen(engine, "wide", "StepDispatched", 64)
            gate.set()
            outcome = await engine.outcome("wide", timeout=SOON)
            return full, outcome, await engine.history("wide")

    full, outcome, history = drive(main())
    assert Counter(it.status for it in full.state.steps.values()) == {"dispatched": 64, "waiting": 236}
    assert types(full).count("StepDispatched") == 64
    assert len(outcome.results) == 300
    assert at_once(history) == 64


@pytest.mark.promise("field.Settings.max_in_flight", "case.huge-fan-out", "invariant.12")
def test_fifty_sagas_share_the_engines_places_and_all_end(house: House):
    async def main():
        gauge = Gauge(5)
        saga = fan_out(6, gauge)
        settings = Settings(max_in_flight=5, max_in_flight_per_saga=2)
        async with house.engine(saga, settings=settings) as engine:
            for n in range(50):
                await engine.start(saga, MARIA, saga_id=f"w{n}")
            ended = [await engine.outcome(f"w{n}", timeout=SOON) for n in range(50)]
            return [it.status for it in ended], gauge.most, gauge.most_of_saga

    assert drive(main()) == (["succeeded"] * 50, 5, 2)


@pytest.mark.promise("field.Settings.max_in_flight", "case.crash", "invariant.12")
@pytest.mark.parametrize(("most", "of_one", "shown"), [(5, 64, (5, 5)), (64, 2, (12, 2))])
def test_what_was_in_flight_is_made_again_as_there_is_room(lasting: House, most, of_one, shown):
    async def main():
        before, gauge = Gauge(1000), Gauge(shown[0])
        async with lasting.engine(fan_out(6, before), settings=Settings(drain=timedelta(0))) as engine:
            for n in range(6):
                await engine.start("wide", MARIA, saga_id=f"w{n}")
            await until(lambda: before.now == 36)
        settings = Settings(max_in_flight=most, max_in_flight_per_saga=of_one)
        async with lasting.engine(fan_out(6, gauge), settings=settings) as engine:
            ended = [await engine.outcome(f"w{n}", timeout=SOON) for n in range(6)]
            histories = [await engine.history(f"w{n}") for n in range(6)]
            made = sum(types(history).count("StepDispatched") for history in histories)
            return {it.status for it in ended}, made, (gauge.most, gauge.most_of_saga)

    assert drive(main()) == ({"succeeded"}, 36, shown)


@pytest.mark.promise("field.Settings.max_in_flight", "case.huge-fan-out", "event.StepDispatched")
def test_what_is_ready_without_room_stays_waiting_until_there_is_some(house: House):
    async def main():
        gates = {"a": asyncio.Event(), "b": asyncio.Event()}

        async def slow(trip: Trip) -> int:
            await gates[trip.customer].wait()
            return 1

        saga = define("slow", Trip).step(slow)
        async with house.engine(saga, settings=Settings(max_in_flight=1)) as engine:
            await engine.start(saga, Trip(customer="a"), saga_id="a")
            await seen(engine, "a", "StepDispatched")
            await engine.start(saga, Trip(customer="b"), saga_id="b")
            waits = await engine.history("b")
            gates["a"].set()
            began = await seen(engine, "b", "StepDispatched")
            gates["b"].set()
            await engine.outcome("b", timeout=SOON)
            return waits, began, (await engine.history("a")).events[2]

    waits, began, made_room = drive(main())
    assert (waits.state.status, waits.state.steps["slow"].status) == ("pending", "waiting")
    assert types(waits) == ["SagaStarted"]
    assert began.events[1].at >= made_room.at  # a recorded time is a true time


@pytest.mark.promise("field.Settings.max_in_flight", "case.compensation-order")
@pytest.mark.parametrize(("most", "of_one"), [(3, 2), (50, 2), (2, 50)])
def test_compensations_need_room_too_and_get_it(house: House, most: int, of_one: int):
    async def main():
        inside, met, undone = 0, 0, []
        pair = asyncio.Barrier(2)

        async def one(trip: Trip) -> int:
            return 1

        async def undo(trip: Trip, result: int | None) -> None:
            nonlocal inside, met
            inside += 1
            met = max(met, inside)
            await pair.wait()
            inside -= 1
            undone.append(Attempt.current().step)

        async def bad(trip: Trip, *_: int) -> int:
            raise Rejected("no")

        saga = define("back", Trip)
        names = [f"s{n}" for n in range(20)]
        for name in names:
            saga = saga.step(one, name=name, undo=undo)
        saga = saga.step(bad, needs=[*names])
        settings = Settings(max_in_flight=most, max_in_flight_per_saga=of_one)
        async with house.engine(saga, settings=settings) as engine:
            return (await engine.run(saga, MARIA, timeout=SOON)).ending, met, sorted(undone) == sorted(names)

    assert drive(main()) == ("compensated", 2, True)


@pytest.mark.promise("field.Settings.step_timeout", "case.timeout", "field.Attempt.deadline")
def test_the_default_timeout_is_for_actions_and_compensations_that_name_none():
    clock = ManualClock()

    async def main():
        deadlines = {}

        async def note(trip: Trip, *_: object, attempt: Attempt) -> int:
            deadlines[attempt.step, attempt.op] = attempt.deadline
            return 1

        async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            deadlines[attempt.step, attempt.op] = attempt.deadline

        async def bad(trip: Trip, *_: object) -> int:
            raise Rejected("no")

        saga = (
            define("timed", Trip)
            .step(note, name="plain", undo=undo)
            .step(
                note, name="own", timeout=timedelta(seconds=3), undo=undo, undo_timeout=timedelta(seconds=4)
            )
            .step(note, name="patient", timeout=None, undo=undo, undo_timeout=None)
            .step(bad, needs=["plain", "own", "patient"])
        )
        async with on_clock(saga, clock=clock, step_timeout=timedelta(seconds=9)) as engine:
            await engine.run(saga, MARIA, saga_id="t")
            dispatched = told(await engine.history("t"), "StepDispatched", "CompensationDispatched")
            return deadlines, [it["deadline"] for it in dispatched if it["step"] == "own"]

    deadlines, recorded = drive(main())
    after = {call: at and (at - EPOCH).total_seconds() for call, at in deadlines.items()}
    assert after == {
        ("plain", "action"): 9,
        ("plain", "compensation"): 9,
        ("own", "action"): 3,
        ("own", "compensation"): 4,
        ("patient", "action"): None,
        ("patient", "compensation"): None,
    }
    assert recorded == ["2026-01-01T00:00:03Z", "2026-01-01T00:00:04Z"]


@pytest.mark.promise("field.Settings.step_timeout", "case.timeout")
@pytest.mark.parametrize(("timeout", "status"), [(timedelta(minutes=5), "failed"), (None, "succeeded")])
def test_five_minutes_is_the_default_and_none_waits_for_ever(timeout, status):
    clock = ManualClock()

    async def main():
        gate = asyncio.Event()

        async def slow(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("slow", Trip).step(slow)
        async with on_clock(saga, clock=clock, step_timeout=timeout) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await clock.advance(timedelta(minutes=5) - timedelta(microseconds=1))
            await engine.pause("s", by="ann", reason="to see that nothing has been recorded")
            await engine.resume("s", by="ann", reason="seen")
            before = (await engine.history("s")).state.steps["slow"].status
            await clock.advance(timedelta(days=1000))
            gate.set()
            return before, (await engine.outcome("s")).status

    assert Settings().step_timeout == timedelta(minutes=5)
    assert drive(main()) == ("dispatched", status)


@pytest.mark.promise("field.Settings.compensation_retry", "case.compensation-fails", "case.pivot")
@pytest.mark.parametrize("past_the_pivot", [False, True])
def test_ten_attempts_are_the_default_of_compensations_and_of_steps_past_the_pivot(past_the_pivot):
    clock = ManualClock()

    async def main():
        async def one(trip: Trip) -> int:
            return 1

        async def break_down(trip: Trip, *_: object) -> int:
            raise OSError("the line is dead")

        async def undo(trip: Trip, result: int | None) -> None:
            raise OSError("the line is dead")

        async def bad(trip: Trip, *_: object) -> int:
            raise Rejected("no")

        if past_the_pivot:
            saga = define("ten", Trip).step(one, pivot=True).step(break_down, needs=("one",))
        else:
            saga = define("ten", Trip).step(one, undo=undo).step(bad, needs=(one,))
        retried = "StepRetryScheduled" if past_the_pivot else "CompensationRetryScheduled"
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="t")
            for count in range(1, 10):
                await seen(engine, "t", retried, count)
                await clock.advance(timedelta(minutes=2))
            parked = await seen(engine, "t", "SagaParked")
            return told(parked, retried), told(parked, "SagaParked")[0], parked.state.parked

    retries, parked, words = drive(main())
    assert [it["attempt"] for it in retries] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert parked["attempt"] == 10
    assert words.endswith(": the line is dead")


@pytest.mark.promise("field.Settings.compensation_retry")
def test_a_steps_own_retry_goes_before_the_engines(house: House):
    async def main():
        numbers = []

        async def one(trip: Trip) -> int:
            return 1

        async def after(trip: Trip, one: int, *, attempt: Attempt) -> int:
            numbers.append(attempt.number)
            raise OSError("the line is dead")

        saga = (
            define("own", Trip)
            .step(one, pivot=True)
            .step(after, needs=(one,), retry=Retry(attempts=2, delay=timedelta(0)))
        )
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="o")
            await seen(engine, "o", "SagaParked")
            return numbers

    assert drive(main()) == [1, 2]


@pytest.mark.promise("call.SagaEngine")
def test_plain_functions_run_in_the_executor_that_was_passed():
    async def main():
        names = []

        def where(trip: Trip) -> str:
            return threading.current_thread().name

        def undo(trip: Trip, result: str | None) -> None:
            names.append(threading.current_thread().name)

        async def bad(trip: Trip, where: str) -> int:
            raise Rejected("no")

        saga = define("where", Trip).step(where, undo=undo).step(bad, needs=(where,))
        with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
            async with SagaEngine("memory://", sagas=[saga], executor=executor) as engine:
                outcome = await engine.run(saga, MARIA, timeout=SOON)
            still_mine = executor.submit(lambda: 7).result()  # leaving did not shut it down
        return outcome.results["where"], names, still_mine

    where, names, still_mine = drive(main())
    assert (where[:4], [it[:4] for it in names], still_mine) == ("mine", ["mine"], 7)


@pytest.mark.promise("field.Settings.max_in_flight", "case.timeout")
def test_a_thread_that_outlives_its_timeout_keeps_its_place_until_it_returns():
    clock = ManualClock()

    async def main():
        gate, calls = threading.Event(), []

        def slow(trip: Trip) -> int:
            calls.append(trip.customer)
            gate.wait(30)
            return 1

        async def quick(trip: Trip) -> int:
            calls.append(trip.customer)
            return 2

        hanging = define("hanging", Trip).step(slow, timeout=timedelta(seconds=1), read_only=True)
        other = define("other", Trip).step(quick)
        async with on_clock(hanging, other, clock=clock, max_in_flight=1) as engine:
            await engine.start(hanging, MARIA, saga_id="h")
            await seen(engine, "h", "StepDispatched")
            await clock.advance(timedelta(seconds=1))
            ended = (await engine.outcome("h")).status
            await engine.start(other, Trip(customer="Kevin"), saga_id="o")
            waits = types(await engine.history("o")), list(calls)
            gate.set()
            return ended, waits, (await engine.outcome("o")).results, calls

    ended, waits, results, calls = drive(main())
    assert ended == "failed"
    assert waits == (["SagaStarted"], ["Maria"])
    assert (results, calls) == ({"quick": 2}, ["Maria", "Kevin"])
