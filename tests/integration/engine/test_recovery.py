"""Entering: what is unfinished goes on from the log, whatever it was doing; what is finished stays unread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta

import pytest
from eventsourcing.persistence import StoredEvent

from saga_es import Attempt, Rejected, Retry, SagaEngine, Settings, define
from saga_es.errors import StoredEventError, StoreUnavailable
from saga_es.store.application import SagaApplication
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import (
    BY_ANN,
    MARIA,
    QUIET,
    SOON,
    House,
    Trip,
    drive,
    seen,
    told,
    types,
    until,
)

HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)


async def one(trip: Trip) -> int:
    return 1


async def bad(trip: Trip, *_: object) -> int:
    raise Rejected("no")


def at(house: House, clock: ManualClock, *sagas, **settings) -> SagaEngine:
    """Return an engine whose time a test moves, on a store that lasts."""
    made = Settings(poll=QUIET, drain=AT_ONCE, **settings)
    return house.engine(*sagas, clock=clock, chance=lambda: 0.5, settings=made)


@pytest.mark.promise("call.SagaEngine", "invariant.12", "case.crash", "invariant.13")
def test_a_step_in_flight_is_issued_again_with_its_timeout_anew(lasting: House):
    clock = ManualClock()

    async def main():
        calls = []

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            calls.append((attempt.key, attempt.number, (attempt.deadline - EPOCH) / HOUR))
            if len(calls) == 1:
                await asyncio.get_running_loop().create_future()
            return 1

        saga = define("slow", Trip).step(slow, timeout=HOUR)
        async with at(lasting, clock, saga) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await until(lambda: calls)
        clock.jump(EPOCH + 5 * HOUR)  # an outage is not a timeout
        async with at(lasting, clock, saga) as engine:
            return calls, await engine.outcome("s"), types(await engine.history("s"))

    calls, outcome, recorded = drive(main())
    assert calls == [("s/slow/action/1", 1, 1), ("s/slow/action/1", 1, 6)]
    assert outcome.results == {"slow": 1}
    assert recorded == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("case.rejected", "case.crash")
def test_a_rejection_of_a_call_issued_again_is_no_definite_answer(lasting: House):
    async def main():
        calls, undone = [], []

        async def book(trip: Trip) -> int:
            calls.append(1)
            if len(calls) == 1:
                await asyncio.get_running_loop().create_future()
            raise Rejected("booked out")

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("book", Trip).step(book, undo=undo)
        async with lasting.engine(saga, settings=Settings(drain=AT_ONCE)) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            await until(lambda: calls)
        async with lasting.engine(saga) as engine:
            outcome = await engine.outcome("b", timeout=SOON)
            return outcome.ending, undone, told(await engine.history("b"), "StepOutcomeUnknown")

    ending, undone, unknown = drive(main())
    assert (ending, undone) == ("compensated", [None])
    assert [it["why"]["kind"] for it in unknown] == ["rejected"]


@pytest.mark.promise("case.crash", "case.clock-jumps", "invariant.12")
@pytest.mark.parametrize(
    ("away", "waits"), [(HOUR / 2, HOUR / 2), (5 * HOUR, AT_ONCE)], ids=["early", "late"]
)
def test_a_retry_is_made_when_it_is_due_or_at_once_if_that_has_passed(lasting: House, away, waits):
    clock = ManualClock()

    async def main():
        called = []

        async def shaky(trip: Trip) -> int:
            called.append(clock.now())
            if len(called) == 1:
                raise OSError("again")
            return 7

        retry = Retry(attempts=2, delay=HOUR, max_delay=HOUR, jitter=0)
        saga = define("shaky", Trip).step(shaky, retry=retry)
        async with at(lasting, clock, saga) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepRetryScheduled")
        clock.jump(EPOCH + away)
        async with at(lasting, clock, saga) as engine:
            if waits:
                await clock.advance(waits - timedelta(microseconds=1))
                await engine.run(saga, MARIA, saga_id="other")  # what was due would have been called by now
                assert len(called) == 2  # and the one of "other"
                await clock.advance(timedelta(microseconds=1))
            outcome = await engine.outcome("s")
            return outcome.results, called[-1] - EPOCH

    assert drive(main()) == ({"shaky": 7}, max(HOUR, away))


@pytest.mark.promise("case.signal", "case.crash", "case.clock-jumps")
def test_a_signal_whose_time_passed_meanwhile_times_out_and_one_that_has_time_waits_on(lasting: House):
    clock = ManualClock()

    async def main():
        saga = define("wait", Trip).signal("word", int, timeout=3 * HOUR)
        async with at(lasting, clock, saga) as engine:
            await engine.start(saga, MARIA, saga_id="first")
            await seen(engine, "first", "SignalAwaited")
            await clock.advance(2 * HOUR)
            await engine.start(saga, MARIA, saga_id="second")
            await seen(engine, "second", "SignalAwaited")
        clock.jump(EPOCH + 4 * HOUR)
        async with at(lasting, clock, saga) as engine:
            first = await engine.outcome("first")
            second = (await engine.history("second")).state.steps["word"].status
            await engine.signal("second", "word", 1)
            return first.cause.kind, second, (await engine.outcome("second")).status

    assert drive(main()) == ("timeout", "awaited", "succeeded")


@pytest.mark.promise("case.crash", "case.compensation-order", "invariant.12")
def test_a_compensating_saga_goes_on_where_it_was(lasting: House):
    async def main():
        undone, gate = [], asyncio.Event()

        async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            if attempt.step == "second":
                await gate.wait()
            undone.append(attempt.step)

        async def second(trip: Trip, first: int) -> int:
            return 2

        saga = (
            define("back", Trip)
            .step(one, name="first", undo=undo)
            .step(second, needs=("first",), undo=undo)
            .step(bad, needs=("second",))
        )
        async with lasting.engine(saga, settings=Settings(drain=AT_ONCE)) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            await seen(engine, "b", "CompensationDispatched")
        gate.set()
        async with lasting.engine(saga) as engine:
            return (await engine.outcome("b", timeout=SOON)).ending, undone

    assert drive(main()) == ("compensated", ["second", "first"])


@pytest.mark.promise("case.compensation-fails", "case.crash", "call.retry")
def test_a_parked_saga_stays_parked_and_shown_until_it_is_repaired(lasting: House):
    async def main():
        works = []

        async def undo(trip: Trip, result: int | None) -> None:
            if not works:
                raise OSError("the line is dead")

        saga = define("stuck", Trip).step(one, undo=undo).step(bad, needs=(one,))
        settings = Settings(compensation_retry=Retry(attempts=1))
        async with lasting.engine(saga, settings=settings) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "SagaParked")
        async with lasting.engine(saga, settings=settings) as engine:
            shown = (await engine.find(parked=True)).items
            works.append("now")
            await engine.retry("s", "one", **BY_ANN)
            return [it.parked for it in shown], await engine.outcome("s", timeout=SOON)

    parked, outcome = drive(main())
    assert parked == ["one: the line is dead"]
    assert outcome.ending == "compensated"


@pytest.mark.promise("case.late-reply", "case.crash")
def test_a_failed_saga_whose_late_round_is_open_goes_on_too(lasting: House):
    clock = ManualClock()

    async def main():
        gate, undone = threading.Event(), []

        def slow(trip: Trip) -> int:
            gate.wait(30)
            return 7

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)
            if undone == [None, 7]:
                await asyncio.get_running_loop().create_future()

        saga = define("late", Trip).step(slow, undo=undo, timeout=HOUR)
        async with at(lasting, clock, saga) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await seen(engine, "l", "StepDispatched")
            await clock.advance(HOUR)
            await engine.outcome("l")
            gate.set()
            await until(lambda: len(undone) == 2)
        async with at(lasting, clock, saga) as engine:
            await seen(engine, "l", "StepCompensated", 2)
            return undone, (await engine.outcome("l")).ending

    assert drive(main()) == ([None, 7, 7], "compensated")


@pytest.mark.promise("call.SagaEngine", "invariant.14", "case.poison")
def test_what_is_finished_is_not_read_on_entering(lasting: House):
    async def main():
        saga = define("one", Trip).step(one)
        async with lasting.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="done", timeout=SOON)
        ruin(lasting, "done", 5)
        async with lasting.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="next", timeout=SOON)
            shown = [(it.saga_id, it.parked) for it in (await engine.find()).items]
            with pytest.raises(StoredEventError) as unreadable:
                await engine.history("done")
            return shown, unreadable.value

    shown, unreadable = drive(main())
    assert shown == [("next", None), ("done", None)]  # read, it would have been set aside
    assert (unreadable.saga_id, unreadable.version, unreadable.type) == ("done", 5, "SagaExploded")


def ruin(house: House, saga_id: str, version: int) -> None:
    """Append a row that nobody can read."""
    house.place.open().recorder.insert_events([StoredEvent(saga_id, version, "SagaExploded", b"{}")])


@pytest.mark.promise("case.poison", "invariant.14", "call.find")
def test_a_stream_that_can_not_be_read_is_set_aside_and_the_others_go_on(lasting: House):
    async def main():
        saga = define("wait", Trip).signal("word", int)
        async with lasting.engine(saga) as engine:
            for saga_id in ("a", "ruined", "z"):
                await engine.start(saga, MARIA, saga_id=saga_id)
                await seen(engine, saga_id, "SignalAwaited")
        ruin(lasting, "ruined", 3)
        async with lasting.engine(saga) as engine:
            for saga_id in ("a", "z"):
                await engine.signal(saga_id, "word", 1)
                await engine.outcome(saga_id, timeout=SOON)
            with pytest.raises(StoredEventError):
                await engine.signal("ruined", "word", 1)
            with pytest.raises(StoredEventError):
                await engine.outcome("ruined", timeout=SOON)
            return (await engine.find(parked=True)).items

    (shown,) = drive(main())
    assert (shown.saga_id, shown.status, shown.ending) == ("ruined", "running", None)
    assert "SagaExploded" in (shown.parked or "")


@pytest.mark.promise("case.store-goes-away", "case.poison", "invariant.12")
def test_a_store_that_goes_away_while_sagas_are_read_is_no_fault_of_theirs(lasting: House, monkeypatch):
    cuts: list[str] = []

    def definition(store: SagaApplication, digest: str, plain=SagaApplication.definition):
        if not cuts:
            cuts.append(digest)
            raise StoreUnavailable(store.url, problem="it restarts")
        return plain(store, digest)

    async def main():
        saga = define("wait", Trip).step(one, timeout=HOUR)
        async with lasting.client(saga) as client:
            for saga_id in "abc":
                await client.start(saga, MARIA, saga_id=saga_id)
        monkeypatch.setattr(SagaApplication, "definition", definition)
        newer = define("wait", Trip).step(one, timeout=2 * HOUR)  # so that the recorded plan is asked for
        async with lasting.engine(newer) as engine:
            parked = (await engine.find(parked=True)).items
            for saga_id in "abc":
                await seen(engine, saga_id, "SagaSucceeded")
            return parked

    assert drive(main()) == ()
    assert len(cuts) == 1


@pytest.mark.promise("case.poison")
def test_what_was_set_aside_goes_on_once_it_can_be_read(file: House):
    async def main():
        saga = define("wait", Trip).signal("word", int)
        async with file.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="ruined")
            await seen(engine, "ruined", "SignalAwaited")
        ruin(file, "ruined", 3)
        async with file.engine(saga) as engine:
            parked = len((await engine.find(parked=True)).items)
        path = str(file.place.address).removeprefix("sqlite:///")
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM saga_log WHERE topic = 'SagaExploded'")
        database.close()
        async with file.engine(saga) as engine:
            free = len((await engine.find(parked=True)).items)
            await engine.signal("ruined", "word", 1)
            return parked, free, (await engine.outcome("ruined", timeout=SOON)).status

    assert drive(main()) == (1, 0, "succeeded")


@pytest.mark.promise("call.SagaEngine", "invariant.12")
def test_more_open_sagas_than_a_page_of_the_index_all_go_on_by_themselves(file: House):
    async def main():
        saga = define("one", Trip).step(one)
        async with file.client(saga) as client:
            for n in range(1100):
                await client.start(saga, MARIA, saga_id=f"s{n:04}")
        async with file.engine(saga) as engine:
            while (await engine.find(status="pending", limit=1)).items:
                pass
            while (await engine.find(status="running", limit=1)).items:
                pass
            return len((await engine.find(status="succeeded", limit=2000)).items)

    assert drive(main()) == 1100
