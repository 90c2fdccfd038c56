"""Outcomes: what a saga's end tells, and what waiting for one tells while there is none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from saga_es import Rejected, Retry, SagaEngine, Settings, define
from saga_es.errors import SagaFailed, UnknownSaga
from saga_es.testing.manual_clock import ManualClock
from tests.integration.engine.world import (
    BY_ANN,
    MARIA,
    SOON,
    Approval,
    Flight,
    House,
    Trip,
    drive,
    on_clock,
    seen,
    told,
)


@dataclass(frozen=True)
class Room:
    number: int
    free_from: datetime


NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SHORT = timedelta(milliseconds=50)


async def fly(trip: Trip) -> Flight:
    return Flight(number="RG 861", price=Decimal("123.40"))


async def land(trip: Trip, flight: Flight | None) -> None: ...


def stay(trip: Trip) -> Room:
    return Room(7, NOON)


def leave(trip: Trip, room: Room | None) -> None: ...


async def tags(trip: Trip) -> set[str]:
    return {"beach", "samba"}


async def charge(trip: Trip, flight: Flight, room: Room, approval: Approval) -> Decimal:
    return flight.price + room.number


async def refuse(trip: Trip, *_: object) -> int:
    raise Rejected("no rooms")


async def never(trip: Trip) -> int:
    await asyncio.get_running_loop().create_future()
    return 0


async def break_down(trip: Trip, result: object = None) -> None:
    raise OSError("the line is dead")


PACKAGE = (
    define("package", Trip)
    .step(fly, undo=land)
    .step(stay, undo=leave)
    .step(tags, read_only=True)
    .signal("approval", Approval)
    .step(charge, needs=(fly, stay, "approval"))
)


@pytest.mark.promise(
    "call.outcome",
    "field.Outcome.saga_id",
    "field.Outcome.status",
    "field.Outcome.ending",
    "field.Outcome.results",
    "field.Outcome.cause",
    "field.Outcome.residue",
    "invariant.15",
)
def test_results_are_what_the_annotations_say_signals_too(house: House):
    async def main():
        async with house.engine(PACKAGE) as engine:
            await engine.start(PACKAGE, MARIA, saga_id="trip")
            await engine.signal("trip", "approval", Approval(by="ann"))
            return await engine.outcome("trip", timeout=SOON)

    outcome = drive(main())
    assert outcome.saga_id == "trip"
    assert (outcome.status, outcome.ending) == ("succeeded", "succeeded")
    assert (outcome.cause, outcome.residue) == (None, ())
    assert outcome.results == {
        "fly": Flight(number="RG 861", price=Decimal("123.40")),
        "stay": Room(7, NOON),
        "tags": {"beach", "samba"},
        "approval": Approval(by="ann"),
        "charge": Decimal("130.40"),
    }
    assert outcome.raise_for_failure() is None


@pytest.mark.promise("field.Outcome.results", "field.Outcome.cause", "case.rejected", "case.how-it-ended")
def test_results_of_steps_that_were_compensated_are_still_told_and_the_cause_names_its_step(house: House):
    async def main():
        saga = define("failing", Trip).step(fly, undo=land).step(refuse, needs=(fly,))
        async with house.engine(saga) as engine:
            return await engine.run(saga, MARIA, timeout=SOON)

    outcome = drive(main())
    assert (outcome.status, outcome.ending, outcome.residue) == ("failed", "compensated", ())
    assert outcome.results == {"fly": Flight(number="RG 861", price=Decimal("123.40"))}
    assert outcome.cause.model_dump() == {
        "kind": "rejected",
        "type": "Rejected",
        "message": "no rooms",
        "step": "refuse",
    }


@pytest.mark.promise(
    "field.Outcome.residue", "call.Outcome.raise_for_failure", "error.SagaFailed", "case.how-it-ended"
)
def test_residue_stands_in_the_definitions_order_and_failing_can_be_raised(house: House):
    async def main():
        gate = asyncio.Event()

        async def first(trip: Trip) -> int:
            await gate.wait()  # so that it is recorded after the second
            return 1

        async def second(trip: Trip) -> int:
            gate.set()
            return 2

        async def look(trip: Trip) -> int:
            return 3

        saga = (
            define("leaving", Trip)
            .step(first)
            .step(second)
            .step(look, read_only=True)
            .step(refuse, needs=(first, second, look))
        )
        async with house.engine(saga) as engine:
            return await engine.run(saga, MARIA, saga_id="left", timeout=SOON)

    outcome = drive(main())
    assert (outcome.ending, outcome.residue) == ("residue", ("first", "second"))
    with pytest.raises(SagaFailed) as failed:
        outcome.raise_for_failure()
    error = failed.value
    assert (error.saga_id, error.ending, error.cause, error.residue) == (
        "left",
        "residue",
        "no rooms",
        ("first", "second"),
    )


@pytest.mark.promise("field.Outcome.cause", "case.cancel", "error.SagaFailed")
def test_a_cancels_cause_names_no_step(house: House):
    async def main():
        saga = define("cancelled", Trip).signal("approval", Approval)
        async with house.engine(saga) as engine:
            saga_id = await engine.start(saga, MARIA)
            await engine.cancel(saga_id, **BY_ANN)
            return await engine.outcome(saga_id, timeout=SOON)

    outcome = drive(main())
    assert (outcome.status, outcome.ending) == ("failed", "compensated")
    assert (outcome.cause.kind, outcome.cause.step) == ("cancelled", None)
    with pytest.raises(SagaFailed):
        outcome.raise_for_failure()


@pytest.mark.promise("field.Outcome.cause", "case.signal")
def test_a_signals_cause_names_the_signal():
    clock = ManualClock()

    async def main():
        saga = define("waiting", Trip).signal("approval", Approval, timeout=timedelta(hours=1))
        async with on_clock(saga, clock=clock) as engine:
            saga_id = await engine.start(saga, MARIA)
            await clock.advance(timedelta(hours=1))
            return await engine.outcome(saga_id)

    outcome = drive(main())
    assert (outcome.cause.kind, outcome.cause.step) == ("timeout", "approval")


@pytest.mark.promise("field.Outcome.ending", "call.force_compensated", "case.how-it-ended")
def test_a_forced_end_is_told_as_one(house: House):
    async def main():
        saga = define("forced", Trip).step(fly, undo=break_down).step(refuse, needs=(fly,))
        settings = Settings(compensation_retry=Retry(attempts=1))
        async with house.engine(saga, settings=settings) as engine:
            saga_id = await engine.start(saga, MARIA)
            await seen(engine, saga_id, "SagaParked")
            await engine.force_compensated(saga_id, "fly", **BY_ANN)
            return await engine.outcome(saga_id, timeout=SOON)

    outcome = drive(main())
    assert (outcome.status, outcome.ending, outcome.residue) == ("failed", "forced", ())


@pytest.mark.promise("field.Outcome.results", "call.skip")
def test_a_skipped_step_has_no_result(house: House):
    async def main():
        saga = define("skipping", Trip).signal("go", int).step(refuse, needs=("go",), name="later")
        async with house.engine(saga) as engine:
            saga_id = await engine.start(saga, MARIA)
            await engine.skip(saga_id, "later", **BY_ANN)
            await engine.signal(saga_id, "go", 1)
            return await engine.outcome(saga_id, timeout=SOON)

    outcome = drive(main())
    assert (outcome.status, outcome.results) == ("succeeded", {"go": 1})


@pytest.mark.promise("call.outcome", "call.run")
def test_waiting_ends_with_a_timeout_that_tells_how_it_stands(house: House):
    async def main():
        saga = define("slow", Trip).step(never, name="sleepy")
        async with house.engine(saga, settings=Settings(drain=0)) as engine:
            with pytest.raises(TimeoutError) as late:
                await engine.run(saga, MARIA, saga_id="slow", timeout=SHORT)
            return str(late.value), (await engine.history("slow")).state.status

    message, status = drive(main())
    assert "'slow'" in message
    assert "is running" in message
    assert "sleepy" in message
    assert "parked" not in message
    assert status == "running"  # the waiting was given up, not the saga


@pytest.mark.promise("call.outcome", "case.compensation-fails")
def test_waiting_for_a_parked_saga_tells_what_it_is_parked_on_and_why(house: House):
    async def main():
        saga = define("stuck", Trip).step(fly, undo=break_down).step(refuse, needs=(fly,))
        settings = Settings(compensation_retry=Retry(attempts=1))
        async with house.engine(saga, settings=settings) as engine:
            saga_id = await engine.start(saga, MARIA)
            await seen(engine, saga_id, "SagaParked")
            with pytest.raises(TimeoutError) as late:
                await engine.outcome(saga_id, timeout=SHORT)
            return str(late.value)

    message = drive(main())
    assert "is compensating" in message
    assert "parked: fly: the line is dead" in message


@pytest.mark.promise("call.outcome", "call.pause")
def test_waiting_for_a_paused_saga_tells_that_it_is_paused(house: House):
    async def main():
        saga = define("paused", Trip).signal("go", int).step(refuse, needs=("go",))
        async with house.engine(saga) as engine:
            saga_id = await engine.start(saga, MARIA)
            await engine.pause(saga_id, **BY_ANN)
            with pytest.raises(TimeoutError, match="paused"):
                await engine.outcome(saga_id, timeout=SHORT)
            return True

    assert drive(main())


@pytest.mark.promise("error.UnknownSaga", "call.outcome")
@pytest.mark.parametrize("verb", ["outcome", "history", "signal", "cancel", "pause", "resume", "retry"])
def test_an_unknown_id_is_unknown_everywhere(house: House, verb):
    async def main():
        async with house.engine(PACKAGE) as engine:
            calls = {
                "outcome": lambda: engine.outcome("nobody", timeout=SOON),
                "history": lambda: engine.history("nobody"),
                "signal": lambda: engine.signal("nobody", "approval", Approval(by="ann")),
                "cancel": lambda: engine.cancel("nobody", **BY_ANN),
                "pause": lambda: engine.pause("nobody", **BY_ANN),
                "resume": lambda: engine.resume("nobody", **BY_ANN),
                "retry": lambda: engine.retry("nobody", "fly", **BY_ANN),
            }
            with pytest.raises(UnknownSaga) as unknown:
                await calls[verb]()
            return unknown.value.saga_id

    assert drive(main()) == "nobody"


@pytest.mark.promise("call.outcome", "call.SagaEngine")
def test_the_outcome_of_a_saga_that_ended_long_ago_is_read_back(house: House):
    async def main():
        saga = define("ended", Trip).step(fly, undo=land).step(tags)
        async with house.engine(saga) as engine:
            first = await engine.run(saga, MARIA, saga_id="ended", timeout=SOON)
            await engine.run(saga, MARIA, timeout=SOON)
            return first, await engine.outcome("ended", timeout=SOON)

    first, again = drive(main())
    assert first == again
    assert again.results["fly"] == Flight(number="RG 861", price=Decimal("123.40"))


@pytest.mark.promise("call.outcome", "call.SagaEngine", "invariant.15")
def test_the_outcome_is_the_same_after_the_next_entry(lasting: House):
    async def main():
        saga = define("ended", Trip).step(fly, undo=land).step(refuse, needs=(fly,))
        async with lasting.engine(saga) as engine:
            first = await engine.run(saga, MARIA, saga_id="ended", timeout=SOON)
        async with lasting.engine(saga) as engine:
            known = await engine.outcome("ended", timeout=SOON)
        async with lasting.engine() as engine:  # no code at hand: JSON
            bare = await engine.outcome("ended", timeout=SOON)
        return first, known, bare

    first, known, bare = drive(main())
    assert first == known
    assert (bare.status, bare.ending, bare.cause) == (first.status, first.ending, first.cause)
    assert bare.results == {"fly": {"number": "RG 861", "price": "123.40"}}


@pytest.mark.promise("call.outcome")
def test_many_may_wait_for_one_outcome_and_one_that_gives_up_takes_nothing_from_the_others(house: House):
    async def main():
        gate = asyncio.Event()

        async def wait(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("awaited", Trip).step(wait)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="x")
            waiting = [asyncio.ensure_future(engine.outcome("x", timeout=SOON)) for _ in range(5)]
            await seen(engine, "x", "StepDispatched")
            waiting[0].cancel()
            with pytest.raises(TimeoutError):
                await engine.outcome("x", timeout=timedelta(milliseconds=1))
            gate.set()
            return [(await it).results for it in waiting[1:]], told(
                await engine.history("x"), "StepSucceeded"
            )

    results, succeeded = drive(main())
    assert results == [{"wait": 1}] * 4
    assert succeeded == [{"step": "wait", "attempt": 1, "result": 1}]


@pytest.mark.promise("call.outcome")
@pytest.mark.parametrize("kind", ["engine", "client"])
def test_what_has_ended_needs_no_time_to_wait(lasting: House, kind):
    async def main():
        saga = define("ended", Trip).step(tags)
        async with lasting.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="x", timeout=SOON)
        async with getattr(lasting, kind)(saga) as face:
            return (await face.outcome("x", timeout=timedelta(0))).results

    assert drive(main()) == {"tags": {"beach", "samba"}}


@pytest.mark.promise("call.run")
def test_run_gives_the_outcome_of_a_saga_that_has_ended():
    async def main():
        saga = define("ended", Trip).step(tags)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            return [await engine.run(saga, MARIA, saga_id="x", timeout=SOON) for _ in range(2)]

    first, again = drive(main())
    assert first == again
