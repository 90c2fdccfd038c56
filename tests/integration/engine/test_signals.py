"""Signals: sent by object or name, early, twice, too late, and not in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es import Rejected, Saga, Settings, define, signal, step
from saga_es.errors import (
    IllegalTransition,
    InvalidInput,
    PayloadTooLarge,
    SagaAlreadyEnded,
    SignalConflict,
    UnknownSignal,
)
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import (
    BY_ANN,
    MARIA,
    SOON,
    Approval,
    House,
    Trip,
    drive,
    on_clock,
    seen,
    told,
    types,
)


class Charging(Saga[Trip], name="charging"):
    approval = signal(Approval, timeout=timedelta(hours=24))

    @step(needs=(approval,))
    async def charge(self, trip: Trip, approval: Approval) -> str:
        return f"{trip.customer}, approved by {approval.by}"


async def one(trip: Trip) -> int:
    return 1


async def bad(trip: Trip) -> int:
    raise Rejected("no")


@pytest.mark.promise(
    "call.signal", "call.signal-node", "case.signal", "event.SignalAwaited", "event.SignalReceived"
)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_signal_is_sent_by_object_or_by_name(house: House, by_name):
    async def main():
        async with house.engine(Charging()) as engine:
            await engine.start(Charging, MARIA, saga_id="c")
            await seen(engine, "c", "SignalAwaited")
            which = "approval" if by_name else Charging.approval
            await engine.signal("c", which, Approval(by="ann"))
            recorded = told(await engine.history("c"), "SignalReceived")
            return recorded, (await engine.outcome("c", timeout=SOON)).results

    recorded, results = drive(main())
    assert recorded == [{"signal": "approval", "payload": {"by": "ann"}}]
    assert results == {"approval": Approval(by="ann"), "charge": "Maria, approved by ann"}


@pytest.mark.promise("call.signal", "case.signal")
def test_a_signal_that_came_before_it_is_awaited_is_kept_and_used(house: House):
    async def main():
        gate = asyncio.Event()

        async def first(trip: Trip) -> int:
            await gate.wait()
            return 1

        async def last(trip: Trip, said: int) -> int:
            return said + 1

        saga = (
            define("early", Trip).step(first).signal("word", int, needs=(first,)).step(last, needs=("word",))
        )
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="e")
            await engine.signal("e", "word", 41)
            early = await engine.history("e")
            gate.set()
            return early, await engine.outcome("e", timeout=SOON), await engine.history("e")

    early, outcome, history = drive(main())
    assert early.state.steps["word"].status == "received"
    assert early.state.steps["last"].status == "waiting" or early.state.steps["last"].status == "dispatched"
    assert outcome.results == {"first": 1, "word": 41, "last": 42}
    assert "SignalAwaited" not in types(history)


@pytest.mark.promise("call.signal", "case.signal", "case.duplicate", "error.SignalConflict")
def test_the_same_again_appends_nothing_and_another_payload_is_a_conflict(house: House):
    async def main():
        saga = define("twice", Trip).signal("word", int).signal("other", int)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="t")
            await engine.signal("t", "word", 1)
            once = await engine.history("t")
            await engine.signal("t", "word", 1)
            await engine.signal("t", "word", "1")  # equal once validated
            with pytest.raises(SignalConflict) as refused:
                await engine.signal("t", "word", 2)
            twice = await engine.history("t")
            await engine.signal("t", "other", 0)
            await engine.outcome("t", timeout=SOON)
            await engine.signal("t", "word", 1)  # what was said stays said
            return once, twice, refused.value, await engine.history("t")

    once, twice, refused, ended = drive(main())
    assert twice.events == once.events
    assert (refused.signal, refused.saga_id) == ("word", "t")
    assert types(ended)[-2:] == ["SignalReceived", "SagaSucceeded"]


@pytest.mark.promise("call.signal", "error.InvalidInput", "error.UnknownSignal", "error.PayloadTooLarge")
def test_a_payload_that_does_not_fit_or_a_name_that_is_no_signal_is_refused(house: House):
    async def main():
        async with house.engine(Charging(), settings=Settings(max_payload=60)) as engine:
            await engine.start(Charging, MARIA, saga_id="c")
            with pytest.raises(InvalidInput) as invalid:
                await engine.signal("c", "approval", {"who": "ann"})
            with pytest.raises(PayloadTooLarge) as large:
                await engine.signal("c", Charging.approval, Approval(by="a" * 60))
            with pytest.raises(UnknownSignal) as unknown:
                await engine.signal("c", "aproval", Approval(by="ann"))
            with pytest.raises(UnknownSignal) as a_step:
                await engine.signal("c", "charge", Approval(by="ann"))
            unchanged = types(await engine.history("c"))
            return invalid.value, large.value, unknown.value, a_step.value, unchanged

    invalid, large, unknown, a_step, unchanged = drive(main())
    assert invalid.what == large.what == "the payload of signal 'approval'"
    assert (large.size, large.limit) == (69, 60)
    assert (unknown.signal, unknown.saga_id, unknown.known) == ("aproval", "c", ("approval",))
    assert a_step.signal == "charge"
    assert unchanged == ["SagaStarted", "SignalAwaited"]


@pytest.mark.promise("call.signal", "case.signal", "error.IllegalTransition", "error.SagaAlreadyEnded")
def test_a_signal_while_it_drains_compensates_or_has_ended_is_refused(house: House):
    async def main():
        draining, undoing = asyncio.Event(), asyncio.Event()

        async def slow(trip: Trip) -> int:
            await draining.wait()
            return 1

        async def undo(trip: Trip, result: int | None) -> None:
            await undoing.wait()

        saga = define("late", Trip).step(slow, undo=undo).step(bad).signal("word", int)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await seen(engine, "l", "StepRejected")
            refused = []
            with pytest.raises(IllegalTransition) as error:
                await engine.signal("l", "word", 1)
            refused.append((error.value.trigger, error.value.status))
            draining.set()
            await seen(engine, "l", "CompensationDispatched")
            with pytest.raises(IllegalTransition) as error:
                await engine.signal("l", "word", 1)
            refused.append((error.value.trigger, error.value.status))
            undoing.set()
            await engine.outcome("l", timeout=SOON)
            with pytest.raises(SagaAlreadyEnded) as ended:
                await engine.signal("l", "word", 1)
            return refused, ended.value, await engine.history("l")

    refused, ended, history = drive(main())
    assert refused == [("SignalReceived", "awaited"), ("SignalReceived", "awaited")]
    assert (ended.saga_id, ended.status) == ("l", "failed")
    assert "SignalReceived" not in types(history)


@pytest.mark.promise("case.signal", "event.SignalTimedOut", "event.SignalAwaited")
def test_a_signal_that_does_not_come_in_time_fails_the_saga():
    clock = ManualClock()

    async def main():
        async with on_clock(Charging(), clock=clock) as engine:
            await engine.start(Charging, MARIA, saga_id="c")
            await clock.advance(timedelta(hours=24) - timedelta(microseconds=1))
            # Whatever the alarm might have caused too early would be recorded before what is asked now.
            await engine.pause("c", **BY_ANN)
            await engine.resume("c", **BY_ANN)
            early = types(await engine.history("c"))
            await clock.advance(timedelta(microseconds=1))
            return early, await engine.outcome("c"), await engine.history("c")

    early, outcome, history = drive(main())
    assert early == ["SagaStarted", "SignalAwaited", "SagaPaused", "SagaResumed"]
    assert told(history, "SignalAwaited") == [{"signal": "approval", "due": "2026-01-02T00:00:00Z"}]
    assert types(history)[4:] == ["SignalTimedOut", "SagaCompensating", "SagaFailed"]
    assert history.events[4].at == EPOCH + timedelta(hours=24)
    assert (outcome.status, outcome.ending, outcome.cause.kind) == ("failed", "compensated", "timeout")


@pytest.mark.promise("case.signal")
def test_a_signals_time_runs_from_when_its_needs_are_met():
    clock = ManualClock()

    async def main():
        gate = asyncio.Event()

        async def first(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = (
            define("later", Trip).step(first).signal("word", int, needs=(first,), timeout=timedelta(hours=1))
        )
        async with on_clock(saga, clock=clock, step_timeout=None) as engine:
            await engine.start(saga, MARIA, saga_id="l")
            await seen(engine, "l", "StepDispatched")
            await clock.advance(timedelta(hours=5))
            gate.set()
            history = await seen(engine, "l", "SignalAwaited")
            await engine.signal("l", "word", 1)
            return told(history, "SignalAwaited"), (await engine.outcome("l")).status

    assert drive(main()) == ([{"signal": "word", "due": "2026-01-01T06:00:00Z"}], "succeeded")


@pytest.mark.promise("case.signal", "case.pivot", "event.SagaParked", "event.SagaUnparked")
def test_past_the_pivot_a_signal_in_default_parks_and_the_signal_frees_it():
    clock = ManualClock()

    async def main():
        async def send(trip: Trip, word: int) -> int:
            return word

        saga = (
            define("forward", Trip)
            .step(one, pivot=True, name="pay")
            .signal("word", int, needs=("pay",), timeout=timedelta(hours=1))
            .step(send, needs=("word",))
        )
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="f")
            await seen(engine, "f", "SignalAwaited")
            await clock.advance(timedelta(hours=1))
            parked = await seen(engine, "f", "SagaParked")
            shown = (await engine.find(parked=True)).items
            await engine.signal("f", "word", 7)
            return parked, shown, await engine.outcome("f"), await engine.history("f")

    parked, shown, outcome, history = drive(main())
    assert (parked.state.status, parked.state.steps["word"].status) == ("running", "timed_out")
    assert [(it.saga_id, it.status, it.parked[:5]) for it in shown] == [("f", "running", "word:")]
    assert outcome.results == {"pay": 1, "word": 7, "send": 7}
    assert "SagaUnparked" in types(history)


@pytest.mark.promise("case.pause", "call.pause", "call.resume", "case.signal")
def test_a_pause_holds_a_signals_timer_and_takes_the_signal():
    clock = ManualClock()

    async def main():
        async with on_clock(Charging(), clock=clock) as engine:
            for saga_id in ("said", "unsaid"):
                await engine.start(Charging, MARIA, saga_id=saga_id)
                await engine.pause(saga_id, **BY_ANN)
            await clock.advance(timedelta(hours=25))
            await engine.signal("said", "approval", Approval(by="ann"))
            held = [types(await engine.history(it)) for it in ("said", "unsaid")]
            for saga_id in ("said", "unsaid"):
                await engine.resume(saga_id, **BY_ANN)
            ended = [(await engine.outcome(it)).status for it in ("said", "unsaid")]
            return held, ended

    held, ended = drive(main())
    assert held == [
        ["SagaStarted", "SignalAwaited", "SagaPaused", "SignalReceived"],
        ["SagaStarted", "SignalAwaited", "SagaPaused"],
    ]
    assert ended == ["succeeded", "failed"]
