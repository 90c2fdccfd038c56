"""What an operator does through the engine: each repair is an event, and the saga goes on from it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es import Rejected, Retry, Saga, Settings, define, step
from saga_es.errors import IllegalTransition, InvalidInput, SagaAlreadyEnded, UnknownStep
from saga_es.testing.manual_clock import ManualClock
from tests.integration.engine.world import (
    BY_ANN,
    MARIA,
    SOON,
    Flight,
    House,
    Trip,
    drive,
    on_clock,
    seen,
    told,
    types,
)

HOURLY = Retry(attempts=2, delay=timedelta(hours=1), max_delay=timedelta(hours=1), jitter=0)
ONCE = Settings(compensation_retry=Retry(attempts=1))
FLIGHT = {"number": "RG 861", "price": "123.40"}


async def one(trip: Trip) -> int:
    return 1


async def undo(trip: Trip, result: object) -> None: ...


async def bad(trip: Trip, *_: object) -> int:
    raise Rejected("no")


async def break_down(trip: Trip, *_: object) -> None:
    raise OSError("the line is dead")


@pytest.mark.promise("call.retry", "case.retry-supply-skip", "event.RetryRequested")
def test_a_retry_brings_a_waiting_one_forward(house: House):
    async def main():
        tries = []

        async def shaky(trip: Trip) -> int:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("again")
            return 7

        saga = define("waiting", Trip).step(shaky, retry=HOURLY)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            await seen(engine, "w", "StepRetryScheduled")
            await engine.retry("w", "shaky", by="ann", reason="it is up again")
            return await engine.outcome("w", timeout=SOON), await engine.history("w")

    outcome, history = drive(main())
    assert outcome.results == {"shaky": 7}
    assert told(history, "RetryRequested") == [{"step": "shaky", "by": "ann", "reason": "it is up again"}]
    assert [it["attempt"] for it in told(history, "StepDispatched")] == [1, 2]


@pytest.mark.promise("call.retry", "case.retry-supply-skip", "case.compensation-fails", "event.SagaUnparked")
def test_a_retry_of_what_the_saga_is_parked_on_has_the_budget_anew():
    clock = ManualClock()

    async def main():
        numbers, keys = [], set()

        async def undo_it(trip: Trip, result: int | None) -> None:
            numbers.append(len(numbers) + 1)
            if len(numbers) < 5:
                raise OSError("the line is dead")

        saga = define("stuck", Trip).step(one, undo=undo_it).step(bad, needs=(one,))
        budget = Retry(attempts=2, delay=timedelta(minutes=1), jitter=0)
        async with on_clock(saga, clock=clock, compensation_retry=budget) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            for parked in (1, 2):
                await seen(engine, "s", "CompensationRetryScheduled", parked)
                await clock.advance(timedelta(minutes=1))
                await seen(engine, "s", "SagaParked", parked)
                await engine.retry("s", one, **BY_ANN)
            outcome = await engine.outcome("s")
            history = await engine.history("s")
            keys = {it["key"] for it in told(history, "CompensationDispatched")}
            return outcome, history, numbers, keys

    outcome, history, numbers, keys = drive(main())
    assert (outcome.ending, numbers) == ("compensated", [1, 2, 3, 4, 5])
    assert [it["attempt"] for it in told(history, "CompensationDispatched")] == [1, 2, 3, 4, 5]
    assert keys == {"s/one/compensation/1"}
    assert types(history).count("SagaUnparked") == 2
    assert history.state.parked is None


class Flying(Saga[Trip], name="flying"):
    def __init__(self) -> None:
        self.given: list[object] = []

    @step(retry=HOURLY)
    async def book(self, trip: Trip) -> Flight:
        raise OSError("no answer")

    @book.compensation
    async def cancel(self, trip: Trip, flight: Flight | None) -> None:
        self.given.append(flight)

    @step(needs=(book,))
    async def use(self, trip: Trip, flight: Flight) -> str:
        self.given.append(flight)
        raise Rejected(flight.number)


@pytest.mark.promise("call.supply_result", "case.retry-supply-skip", "event.ResultSupplied")
@pytest.mark.parametrize("supplied", [Flight(**FLIGHT), FLIGHT], ids=["typed", "as JSON"])
def test_a_supplied_result_is_a_success_decoded_and_compensated_like_one(house: House, supplied):
    async def main():
        flying = Flying()
        async with house.engine(flying) as engine:
            await engine.start(Flying, MARIA, saga_id="f")
            await seen(engine, "f", "StepRetryScheduled")
            with pytest.raises(InvalidInput) as refused:
                await engine.supply_result("f", Flying.book, {"number": "RG 861"}, **BY_ANN)
            await engine.supply_result("f", Flying.book, supplied, **BY_ANN)
            outcome = await engine.outcome("f", timeout=SOON)
            return refused.value, flying.given, outcome, await engine.history("f")

    refused, given, outcome, history = drive(main())
    assert refused.what == "the result of step 'book'"
    assert given == [Flight(**FLIGHT), Flight(**FLIGHT)]
    assert outcome.results == {"book": Flight(**FLIGHT)}
    assert told(history, "ResultSupplied") == [{"step": "book", "result": FLIGHT, **BY_ANN}]


@pytest.mark.promise("call.supply_rejection", "case.retry-supply-skip", "event.RejectionSupplied")
def test_a_supplied_rejection_leaves_nothing_to_undo(house: House):
    async def main():
        undone = []

        async def shaky(trip: Trip) -> int:
            raise OSError("no answer")

        async def undo_it(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("denied", Trip).step(shaky, undo=undo_it, retry=HOURLY)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="d")
            await seen(engine, "d", "StepRetryScheduled")
            await engine.supply_rejection("d", "shaky", **BY_ANN)
            return await engine.outcome("d", timeout=SOON), undone, await engine.history("d")

    outcome, undone, history = drive(main())
    assert (outcome.status, outcome.ending, outcome.cause.kind) == ("failed", "compensated", "rejected")
    assert undone == []
    assert told(history, "RejectionSupplied") == [{"step": "shaky", **BY_ANN}]


@pytest.mark.promise("call.skip", "case.retry-supply-skip", "event.StepSkipped")
def test_a_skipped_steps_result_is_none_for_what_accepts_it(house: House):
    async def main():
        given = []

        async def shaky(trip: Trip) -> int:
            raise OSError("no answer")

        async def takes(trip: Trip, result: int | None) -> str:
            given.append(result)
            return "done"

        saga = define("skipping", Trip).step(shaky, retry=HOURLY).step(takes, needs=(shaky,))
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepRetryScheduled")
            await engine.skip("s", "shaky", **BY_ANN)
            return await engine.outcome("s", timeout=SOON), given, await engine.history("s")

    outcome, given, history = drive(main())
    assert (outcome.status, outcome.results, given) == ("succeeded", {"takes": "done"}, [None])
    assert told(history, "StepSkipped") == [{"step": "shaky", **BY_ANN}]
    assert history.state.steps["shaky"].status == "skipped"


@pytest.mark.promise("call.skip", "error.IllegalTransition", "case.retry-supply-skip")
def test_where_a_later_step_needs_the_result_a_skip_says_to_supply_one(house: House):
    async def main():
        async with house.engine(Flying()) as engine:
            await engine.start(Flying, MARIA, saga_id="f")
            await seen(engine, "f", "StepRetryScheduled")
            with pytest.raises(IllegalTransition) as refused:
                await engine.skip("f", "book", **BY_ANN)
            return refused.value, types(await engine.history("f"))

    error, recorded = drive(main())
    assert (error.status, error.trigger) == ("retrying", "StepSkipped")
    assert "ResultSupplied" in error.allowed
    assert "'use' does not accept None" in (error.why or "")
    assert "supply a result" in (error.why or "")
    assert recorded == ["SagaStarted", "StepDispatched", "StepRetryScheduled"]


@pytest.mark.promise("call.force_compensated", "event.CompensationForced", "case.how-it-ended")
def test_a_forced_compensation_is_taken_for_done(house: House):
    async def main():
        saga = define("forced", Trip).step(one, undo=break_down).step(bad, needs=(one,))
        async with house.engine(saga, settings=ONCE) as engine:
            await engine.start(saga, MARIA, saga_id="f")
            await seen(engine, "f", "SagaParked")
            await engine.force_compensated("f", "one", by="ann", reason="undone by phone")
            outcome = await engine.outcome("f", timeout=SOON)
            shown = (await engine.find()).items[0]
            return outcome, shown, await engine.history("f")

    outcome, shown, history = drive(main())
    assert (outcome.status, outcome.ending, outcome.residue) == ("failed", "forced", ())
    assert (shown.ending, shown.parked) == ("forced", None)
    assert told(history, "CompensationForced") == [{"step": "one", "by": "ann", "reason": "undone by phone"}]


@pytest.mark.promise("error.IllegalTransition", "case.retry-supply-skip")
@pytest.mark.parametrize("verb", ["retry", "supply_result", "supply_rejection", "skip", "force_compensated"])
def test_nothing_is_repaired_while_its_attempt_is_in_flight(house: House, verb):
    async def main():
        gate = asyncio.Event()

        async def slow(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("flying", Trip).step(slow)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="f")
            await seen(engine, "f", "StepDispatched")
            given = (2,) if verb == "supply_result" else ()
            with pytest.raises(IllegalTransition) as refused:
                await getattr(engine, verb)("f", "slow", *given, **BY_ANN)
            gate.set()
            return refused.value.status, (await engine.outcome("f", timeout=SOON)).results

    assert drive(main()) == ("dispatched", {"slow": 1})


@pytest.mark.promise("error.SagaAlreadyEnded", "error.UnknownStep")
@pytest.mark.parametrize("verb", ["retry", "supply_result", "supply_rejection", "skip", "force_compensated"])
def test_an_ended_saga_and_an_unknown_step_are_not_repaired(house: House, verb):
    async def main():
        saga = define("ended", Trip).step(bad).signal("word", int)
        async with house.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="e", timeout=SOON)
            given = (2,) if verb == "supply_result" else ()
            with pytest.raises(SagaAlreadyEnded) as ended:
                await getattr(engine, verb)("e", "bad", *given, **BY_ANN)
            unknown = []
            for name in ("badd", "word"):
                with pytest.raises(UnknownStep) as error:
                    await getattr(engine, verb)("e", name, *given, **BY_ANN)
                unknown.append((error.value.step, error.value.saga_id, error.value.known))
            return ended.value.status, unknown

    assert drive(main()) == ("failed", [("badd", "e", ("bad",)), ("word", "e", ("bad",))])


@pytest.mark.promise("call.pause", "call.resume", "case.pause", "event.SagaPaused", "event.SagaResumed")
def test_a_paused_saga_records_what_comes_and_dispatches_nothing_until_it_is_resumed(house: House):
    async def main():
        gate = asyncio.Event()

        async def slow(trip: Trip) -> int:
            await gate.wait()
            return 1

        async def after(trip: Trip, slow: int) -> int:
            return slow + 1

        saga = define("pausing", Trip).step(slow).step(after, needs=(slow,))
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="p")
            await seen(engine, "p", "StepDispatched")
            for _ in range(2):
                await engine.pause("p", by="ann", reason="looking")
            gate.set()
            held = await seen(engine, "p", "StepSucceeded")
            # A dispatch, if one came, would be in the log before another saga has ended.
            await engine.run(saga, MARIA, saga_id="other", timeout=SOON)
            still = await engine.history("p")
            for _ in range(2):
                await engine.resume("p", by="bob", reason="seen")
            return held, still, await engine.outcome("p", timeout=SOON), await engine.history("p")

    held, still, outcome, history = drive(main())
    assert types(held) == ["SagaStarted", "StepDispatched", "SagaPaused", "StepSucceeded"]
    assert still.events == held.events
    assert still.state.paused
    assert outcome.results == {"slow": 1, "after": 2}
    assert told(history, "SagaPaused") == [{"by": "ann", "reason": "looking"}]
    assert told(history, "SagaResumed") == [{"by": "bob", "reason": "seen"}]


@pytest.mark.promise("call.pause", "call.resume", "case.pause", "field.SagaState.paused")
def test_a_paused_saga_stays_paused_over_the_engines_next_entry(lasting: House):
    async def main():
        saga = define("pausing", Trip).signal("word", int).step(bad, needs=("word",), name="last")
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="p")
            await engine.pause("p", **BY_ANN)
            await engine.signal("p", "word", 1)
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="other")
            await engine.signal("other", "word", 1)
            await engine.outcome("other", timeout=SOON)
            held = await engine.history("p")
            await engine.resume("p", **BY_ANN)
            return held, (await engine.outcome("p", timeout=SOON)).cause

    held, cause = drive(main())
    assert types(held) == ["SagaStarted", "SignalAwaited", "SagaPaused", "SignalReceived"]
    assert held.state.paused
    assert (cause.kind, cause.step) == ("rejected", "last")


@pytest.mark.promise("case.pause", "case.cancel")
def test_a_paused_saga_takes_a_cancel_and_undoes_once_resumed(house: House):
    async def main():
        undone = []

        async def undo_it(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("pausing", Trip).step(one, undo=undo_it).signal("word", int)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="p")
            await seen(engine, "p", "StepSucceeded")
            await engine.pause("p", **BY_ANN)
            await engine.cancel("p", **BY_ANN)
            held = await engine.history("p")
            calls = list(undone)
            await engine.resume("p", **BY_ANN)
            return types(held)[-3:], calls, (await engine.outcome("p", timeout=SOON)).ending, undone

    assert drive(main()) == (
        ["SagaPaused", "CancelRequested", "SagaCompensating"],
        [],
        "compensated",
        [1],
    )


@pytest.mark.promise("error.SagaAlreadyEnded")
def test_an_ended_saga_is_neither_paused_nor_resumed(house: House):
    async def main():
        saga = define("ended", Trip).step(one)
        async with house.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="e", timeout=SOON)
            for verb in (engine.pause, engine.resume):
                with pytest.raises(SagaAlreadyEnded):
                    await verb("e", **BY_ANN)
            return len((await engine.history("e")).events)

    assert drive(main()) == 4
