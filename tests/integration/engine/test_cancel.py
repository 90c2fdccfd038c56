"""Cancelling: from every state a saga may be in, and where it is too late for that."""

from __future__ import annotations

import asyncio

import pytest

from saga_es import Rejected, Retry, Settings, define
from saga_es.errors import PastPivot, SagaAlreadyEnded
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, seen, told, types


async def one(trip: Trip) -> int:
    return 1


async def undo(trip: Trip, result: int | None) -> None: ...


async def bad(trip: Trip, *_: object) -> int:
    raise Rejected("no")


async def break_down(trip: Trip, result: int | None) -> None:
    raise OSError("the line is dead")


@pytest.mark.promise("call.cancel", "case.cancel", "event.CancelRequested")
def test_a_pending_saga_is_cancelled_before_it_did_anything(lasting: House):
    calls = []

    async def note(trip: Trip) -> int:
        calls.append(trip)
        return 1

    async def main():
        saga = define("pending", Trip).step(note, undo=undo)
        async with lasting.client(saga) as client:  # nobody runs it yet
            await client.start(saga, MARIA, saga_id="p")
            assert (await client.history("p")).state.status == "pending"
            await client.cancel("p", by="ann", reason="customer asked")
        async with lasting.engine(saga) as engine:
            return await engine.outcome("p", timeout=SOON), await engine.history("p")

    outcome, history = drive(main())
    assert calls == []
    assert (outcome.status, outcome.ending, outcome.cause.kind) == ("failed", "compensated", "cancelled")
    assert types(history) == ["SagaStarted", "CancelRequested", "SagaCompensating", "SagaFailed"]
    assert told(history, "CancelRequested") == [{"by": "ann", "reason": "customer asked"}]


@pytest.mark.promise("call.cancel", "case.cancel", "invariant.7", "field.SagaState.cancel_requested")
def test_a_running_saga_drains_and_compensates(house: House):
    async def main():
        gate, undone, later = asyncio.Event(), [], []

        async def slow(trip: Trip) -> int:
            await gate.wait()
            return 7

        async def undo_slow(trip: Trip, result: int | None) -> None:
            undone.append(result)

        async def after(trip: Trip, slow: int) -> int:
            later.append(slow)
            return slow

        saga = define("running", Trip).step(slow, undo=undo_slow).step(after, needs=(slow,))
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="r")
            await engine.cancel("r", **BY_ANN)
            await engine.cancel("r", by="bob", reason="me too")  # asked already
            draining = await engine.history("r")
            gate.set()
            return draining, await engine.outcome("r", timeout=SOON), undone, later, await engine.history("r")

    draining, outcome, undone, later, history = drive(main())
    assert (draining.state.status, draining.state.cancel_requested) == ("running", True)
    assert types(draining) == ["SagaStarted", "StepDispatched", "CancelRequested"]
    assert (outcome.ending, outcome.cause.kind, outcome.cause.step) == ("compensated", "cancelled", None)
    assert (undone, later) == ([7], [])
    assert told(history, "CancelRequested") == [{"by": "ann", "reason": "as agreed"}]


@pytest.mark.promise("call.cancel", "case.cancel")
def test_with_on_failure_cancel_what_is_in_flight_is_cancelled_and_compensated(house: House):
    async def main():
        undone = []

        async def for_ever(trip: Trip) -> int:
            await asyncio.get_running_loop().create_future()
            return 1

        async def undo_it(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("hasty", Trip, on_failure="cancel").step(for_ever, undo=undo_it)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="h")
            await seen(engine, "h", "StepDispatched")
            await engine.cancel("h", **BY_ANN)
            return await engine.outcome("h", timeout=SOON), undone, await engine.history("h")

    outcome, undone, history = drive(main())
    assert (outcome.ending, undone) == ("compensated", [None])
    assert [it["why"]["kind"] for it in told(history, "StepOutcomeUnknown")] == ["cancelled"]


@pytest.mark.promise("call.cancel", "case.cancel", "event.SagaParked")
def test_a_parked_saga_can_be_cancelled(house: House):
    async def main():
        saga = define("parked", Trip).step(one, undo=break_down).step(bad, needs=("one",))
        settings = Settings(compensation_retry=Retry(attempts=1))
        async with house.engine(saga, settings=settings) as engine:
            await engine.start(saga, MARIA, saga_id="p")
            await seen(engine, "p", "SagaParked")
            await engine.cancel("p", **BY_ANN)
            await engine.cancel("p", **BY_ANN)
            parked = await engine.history("p")
            await engine.force_compensated("p", "one", **BY_ANN)
            return parked, await engine.outcome("p", timeout=SOON)

    parked, outcome = drive(main())
    assert (parked.state.status, parked.state.cancel_requested) == ("compensating", True)
    assert parked.state.parked == "one: the line is dead"
    assert types(parked)[-1] == "CancelRequested"
    assert types(parked).count("CancelRequested") == 1
    assert (outcome.cause.kind, outcome.cause.step) == ("rejected", "bad")  # what was first in the log


@pytest.mark.promise("call.cancel", "case.cancel")
def test_a_compensating_saga_records_it_and_nothing_else(house: House):
    async def main():
        gate = asyncio.Event()

        async def slow_undo(trip: Trip, result: int | None) -> None:
            await gate.wait()

        saga = define("back", Trip).step(one, undo=slow_undo).step(bad, needs=(one,))
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            before = await seen(engine, "b", "CompensationDispatched")
            await engine.cancel("b", **BY_ANN)
            after = await engine.history("b")
            gate.set()
            return types(before), types(after), await engine.outcome("b", timeout=SOON)

    before, after, outcome = drive(main())
    assert after == [*before, "CancelRequested"]
    assert (outcome.ending, outcome.cause.kind) == ("compensated", "rejected")


@pytest.mark.promise("call.cancel", "case.cancel", "error.SagaAlreadyEnded")
@pytest.mark.parametrize(("last", "status"), [(one, "succeeded"), (bad, "failed")])
def test_an_ended_saga_is_past_cancelling(house: House, last, status):
    async def main():
        saga = define("ended", Trip).step(last, name="last")
        async with house.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="e", timeout=SOON)
            with pytest.raises(SagaAlreadyEnded) as refused:
                await engine.cancel("e", **BY_ANN)
            return refused.value, types(await engine.history("e"))

    error, recorded = drive(main())
    assert (error.saga_id, error.status) == ("e", status)
    assert "CancelRequested" not in recorded


@pytest.mark.promise("call.cancel", "case.pivot", "error.PastPivot")
def test_from_the_pivots_dispatch_on_it_only_goes_forward(house: House):
    async def main():
        paying, sending = asyncio.Event(), asyncio.Event()

        async def pay(trip: Trip, one: int) -> int:
            await paying.wait()
            return 2

        async def send(trip: Trip, pay: int) -> int:
            await sending.wait()
            return 3

        saga = (
            define("forward", Trip)
            .step(one, undo=undo)
            .step(pay, needs=(one,), pivot=True)
            .step(send, needs=(pay,))
        )
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="f")
            await seen(engine, "f", "StepDispatched", 2)
            refused = []
            for gate, count in ((paying, 3), (sending, 3)):
                with pytest.raises(PastPivot) as error:
                    await engine.cancel("f", **BY_ANN)
                refused.append((error.value.saga_id, error.value.pivot))
                gate.set()
                await seen(engine, "f", "StepDispatched", count)
            return refused, await engine.outcome("f", timeout=SOON), types(await engine.history("f"))

    refused, outcome, recorded = drive(main())
    assert refused == [("f", "pay"), ("f", "pay")]
    assert outcome.results == {"one": 1, "pay": 2, "send": 3}
    assert "CancelRequested" not in recorded


@pytest.mark.promise("case.pivot", "call.supply_rejection", "event.RejectionSupplied")
def test_a_pivot_of_unknown_outcome_parks_and_a_supplied_rejection_turns_the_saga_round(house: House):
    async def main():
        undone = []

        async def undo_one(trip: Trip, result: int | None) -> None:
            undone.append(result)

        async def pay(trip: Trip, one: int) -> int:
            raise OSError("no answer")

        saga = define("unsure", Trip).step(one, undo=undo_one).step(pay, needs=(one,), pivot=True)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="u")
            parked = await seen(engine, "u", "SagaParked")
            with pytest.raises(PastPivot):
                await engine.cancel("u", **BY_ANN)
            await engine.supply_rejection("u", "pay", **BY_ANN)
            return parked, await engine.outcome("u", timeout=SOON), undone

    parked, outcome, undone = drive(main())
    assert (parked.state.status, parked.state.steps["pay"].status) == ("running", "unknown")
    assert parked.state.parked == "pay: no answer"
    assert (outcome.status, outcome.ending, undone) == ("failed", "compensated", [1])


@pytest.mark.promise("case.pivot", "case.compensation-fails")
def test_past_the_pivot_a_rejection_parks_until_a_retry(house: House):
    async def main():
        there = []

        async def send(trip: Trip, pay: int) -> int:
            if not there:
                raise Rejected("no such address")
            return 3

        saga = define("forward", Trip).step(one, name="pay", pivot=True).step(send, needs=("pay",))
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="f")
            parked = await seen(engine, "f", "SagaParked")
            there.append("now")
            await engine.retry("f", "send", **BY_ANN)
            return parked, await engine.outcome("f", timeout=SOON)

    parked, outcome = drive(main())
    assert (parked.state.status, parked.state.parked) == ("running", "send: no such address")
    assert outcome.results == {"pay": 1, "send": 3}
