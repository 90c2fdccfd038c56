"""Time: retries at exactly their due times, timeouts, answers that come late, and probes."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga_es import Attempt, Rejected, Retry, SagaEngine, Settings, define
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import MARIA, QUIET, Trip, drive, on_clock, seen, told, types

SECOND = timedelta(seconds=1)


def on_chance(saga, clock: ManualClock, chance) -> SagaEngine:
    return SagaEngine("memory://", sagas=[saga], clock=clock, chance=chance, settings=Settings(poll=QUIET))


@pytest.mark.promise(
    "field.Retry.attempts",
    "field.Retry.delay",
    "field.Retry.factor",
    "field.Retry.max_delay",
    "field.Retry.jitter",
    "case.any-other-exception",
    "event.StepRetryScheduled",
    "event.StepOutcomeUnknown",
    "case.clock-jumps",
)
@pytest.mark.parametrize(
    ("chance", "delays"),
    [(0.5, [1, 3, 9, 10]), (0.0, [0.5, 1.5, 4.5, 5]), (0.75, [1.25, 3.75, 11.25, 12.5])],
)
def test_retries_are_due_exactly_when_policy_and_chance_say(chance, delays):
    clock = ManualClock()

    async def main():
        called = []

        async def shaky(trip: Trip) -> int:
            called.append((clock.now() - EPOCH).total_seconds())
            raise OSError(f"no {len(called)}")

        policy = Retry(attempts=5, delay=SECOND, factor=3.0, max_delay=10 * SECOND, jitter=0.5)
        saga = define("shaky", Trip).step(shaky, retry=policy)
        async with on_chance(saga, clock, lambda: chance) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            for count, delay in enumerate(delays, 1):
                await seen(engine, "s", "StepRetryScheduled", count)
                await clock.advance(timedelta(seconds=delay) - timedelta(microseconds=1))
                assert len(called) == count
                await clock.advance(timedelta(microseconds=1))
                await seen(engine, "s", "StepDispatched", count + 1)
            outcome = await engine.outcome("s")
            return called, outcome, await engine.history("s")

    called, outcome, history = drive(main())
    due = [sum(delays[:n]) for n in range(5)]
    assert called == due
    retries = told(history, "StepRetryScheduled")
    assert [it["attempt"] for it in retries] == [1, 2, 3, 4]
    assert [it["error"]["message"] for it in retries] == ["no 1", "no 2", "no 3", "no 4"]
    recorded = [it.event.due for it in history.events if it.type == "StepRetryScheduled"]
    assert [(it - EPOCH).total_seconds() for it in recorded] == due[1:]
    assert {it["key"] for it in told(history, "StepDispatched")} == {"s/shaky/action/1"}
    assert told(history, "StepOutcomeUnknown") == [
        {"step": "shaky", "attempt": 5, "why": {"kind": "error", "type": "OSError", "message": "no 5"}}
    ]
    assert (outcome.ending, outcome.residue) == ("residue", ("shaky",))


@pytest.mark.promise("case.any-other-exception")
def test_a_steps_default_is_one_attempt_and_its_outcome_is_unknown():
    async def main():
        undone = []

        async def shaky(trip: Trip) -> int:
            raise OSError("no")

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("shaky", Trip).step(shaky, undo=undo)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            outcome = await engine.run(saga, MARIA, saga_id="s")
            return undone, outcome.ending, types(await engine.history("s"))[1:3]

    assert drive(main()) == ([None], "compensated", ["StepDispatched", "StepOutcomeUnknown"])


@pytest.mark.promise("case.timeout", "event.StepRetryScheduled")
def test_a_coroutine_is_cancelled_at_its_timeout_and_tried_again():
    clock = ManualClock()

    async def main():
        cancelled = []

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            if attempt.number == 2:
                return 7
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(clock.now())
                raise
            return 0

        retry = Retry(attempts=2, delay=SECOND, jitter=0)
        saga = define("slow", Trip).step(slow, timeout=10 * SECOND, retry=retry)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await clock.advance(10 * SECOND)
            await seen(engine, "s", "StepRetryScheduled")
            await clock.advance(SECOND)
            return cancelled, await engine.outcome("s"), await engine.history("s")

    cancelled, outcome, history = drive(main())
    assert cancelled == [EPOCH + 10 * SECOND]
    assert outcome.results == {"slow": 7}
    (retried,) = told(history, "StepRetryScheduled")
    assert (retried["attempt"], retried["error"]["kind"]) == (1, "timeout")
    assert history.at(version=3).steps["slow"].status == "retrying"


@pytest.mark.promise("case.timeout", "case.late-reply", "event.LateOutcomeReceived")
def test_a_thread_that_answers_after_its_timeout_is_a_late_reply_and_the_undo_gets_its_result():
    clock = ManualClock()

    async def main():
        gate, undoing, undone = threading.Event(), asyncio.Event(), []

        def slow(trip: Trip) -> int:
            gate.wait(30)
            return 7

        async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            if attempt.round == 1:
                undoing.set()
            undone.append((attempt.round, result, attempt.key, attempt.action_key))

        saga = define("slow", Trip).step(slow, timeout=10 * SECOND, undo=undo)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await clock.advance(10 * SECOND)
            before = await engine.outcome("s")
            gate.set()
            await seen(engine, "s", "StepCompensated", 2)
            return before, undone, await engine.outcome("s"), await engine.history("s")

    before, undone, outcome, history = drive(main())
    assert (before.status, before.ending) == ("failed", "compensated")
    assert undone == [
        (1, None, "s/slow/compensation/1", "s/slow/action/1"),
        (2, 7, "s/slow/compensation/2", "s/slow/action/1"),
    ]
    assert types(history).count("SagaFailed") == 1
    assert told(history, "LateOutcomeReceived") == [
        {
            "step": "slow",
            "op": "action",
            "round": 1,
            "attempt": 1,
            "outcome": {"kind": "succeeded", "result": 7},
        }
    ]
    assert history.state.steps["slow"].round == 2
    assert (outcome.ending, outcome.residue) == ("compensated", ())
    assert outcome.cause.kind == "timeout"


@pytest.mark.promise("case.late-reply", "invariant.6")
def test_while_the_late_round_is_open_the_saga_counts_as_open_and_its_ending_is_residue():
    clock = ManualClock()

    async def main():
        gate, undoing = threading.Event(), asyncio.Event()

        def slow(trip: Trip) -> int:
            gate.wait(30)
            return 7

        async def undo(trip: Trip, result: int | None) -> None:
            if result is not None:
                await undoing.wait()

        saga = define("slow", Trip).step(slow, timeout=10 * SECOND, undo=undo)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await clock.advance(10 * SECOND)
            await engine.outcome("s")
            gate.set()
            await seen(engine, "s", "CompensationDispatched", 2)
            meanwhile = await engine.outcome("s")
            shown = (await engine.find()).items[0]
            undoing.set()
            await seen(engine, "s", "StepCompensated", 2)
            return meanwhile, shown, await engine.outcome("s"), (await engine.find()).items[0]

    meanwhile, shown, after, shown_after = drive(main())
    assert (meanwhile.status, meanwhile.ending, meanwhile.residue) == ("failed", "residue", ("slow",))
    assert shown.ending == "residue"
    assert (after.ending, after.residue, shown_after.ending) == ("compensated", (), "compensated")


@pytest.mark.promise("case.late-reply")
def test_a_late_success_settles_a_step_that_waits_for_its_retry():
    clock = ManualClock()

    async def main():
        gate = threading.Event()

        def slow(trip: Trip, *, attempt: Attempt) -> int:
            gate.wait(30)
            return attempt.number

        retry = Retry(attempts=3, delay=timedelta(hours=1), max_delay=timedelta(hours=1), jitter=0)
        saga = define("slow", Trip).step(slow, timeout=10 * SECOND, retry=retry)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepDispatched")
            await clock.advance(10 * SECOND)
            await seen(engine, "s", "StepRetryScheduled")
            gate.set()
            return await engine.outcome("s"), types(await engine.history("s"))

    outcome, recorded = drive(main())
    assert outcome.results == {"slow": 1}
    assert recorded == [
        "SagaStarted", "StepDispatched", "StepRetryScheduled", "StepSucceeded", "SagaSucceeded",
    ]  # fmt: skip


@pytest.mark.promise("case.rejected")
def test_a_rejection_after_an_attempt_without_an_answer_leaves_the_outcome_unknown():
    clock = ManualClock()

    async def main():
        undone = []

        async def shaky(trip: Trip, *, attempt: Attempt) -> int:
            if attempt.number == 1:
                raise OSError("no answer")
            raise Rejected("booked out")

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("shaky", Trip).step(shaky, undo=undo, retry=Retry(attempts=5, delay=SECOND, jitter=0))
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(engine, "s", "StepRetryScheduled")
            await clock.advance(SECOND)
            return await engine.outcome("s"), undone, await engine.history("s")

    outcome, undone, history = drive(main())
    assert undone == [None]
    assert [it["why"]["kind"] for it in told(history, "StepOutcomeUnknown")] == ["rejected"]
    assert (outcome.ending, outcome.cause.kind) == ("compensated", "rejected")


@pytest.mark.promise("case.rejected")
def test_exceptions_named_in_rejects_mean_no_effect_their_subclasses_too():
    class NoRooms(Exception):
        pass

    class NoRoomsInRio(NoRooms):
        pass

    async def main():
        undone = []

        async def book(trip: Trip) -> int:
            raise NoRoomsInRio("carnival")

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("full", Trip).step(book, undo=undo, rejects=(NoRooms,), retry=Retry(attempts=5))
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            outcome = await engine.run(saga, MARIA, saga_id="f")
            return outcome, undone, types(await engine.history("f"))

    outcome, undone, recorded = drive(main())
    assert (outcome.cause.kind, outcome.cause.type, outcome.cause.message) == (
        "rejected",
        "NoRoomsInRio",
        "carnival",
    )
    assert undone == []
    assert recorded[1:3] == ["StepDispatched", "StepRejected"]


@pytest.mark.promise("call.probe", "case.probe")
@pytest.mark.parametrize("word", ["it happened", "it did not", "no idea"])
def test_a_probe_is_asked_after_each_attempt_without_a_definite_answer(word):
    clock = ManualClock()

    async def main():
        asked, undone = [], []

        async def book(trip: Trip) -> int:
            raise OSError("no answer")

        async def find(trip: Trip, *, attempt: Attempt) -> int:
            asked.append((attempt.number, attempt.key, trip.customer))
            if word == "it happened":
                return 7
            raise Rejected("never heard of it") if word == "it did not" else OSError("no answer either")

        async def undo(trip: Trip, result: int | None) -> None:
            undone.append(result)

        retry = Retry(attempts=2, delay=SECOND, jitter=0)
        saga = define("probed", Trip).step(book, undo=undo, probe=find, retry=retry)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="p")
            if word != "it happened":
                await seen(engine, "p", "StepRetryScheduled")
                await clock.advance(SECOND)
            outcome = await engine.outcome("p")
            return asked, undone, outcome, types(await engine.history("p"))

    asked, undone, outcome, recorded = drive(main())
    first, second = (1, "p/book/action/1", "Maria"), (2, "p/book/action/1", "Maria")
    match word:
        case "it happened":
            assert (asked, undone, outcome.results) == ([first], [], {"book": 7})
            assert recorded == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]
        case "it did not":
            assert (asked, undone, outcome.cause.kind) == ([first, second], [], "rejected")
            assert recorded[2:5] == ["StepRetryScheduled", "StepDispatched", "StepRejected"]
        case _:
            assert (asked, undone, outcome.cause.kind) == ([first, second], [None], "error")
            assert recorded[2:5] == ["StepRetryScheduled", "StepDispatched", "StepOutcomeUnknown"]


@pytest.mark.promise("case.timeout", "case.compensation-fails", "event.CompensationRetryScheduled")
def test_a_compensation_times_out_and_is_retried():
    clock = ManualClock()

    async def main():
        async def one(trip: Trip) -> int:
            return 1

        async def undo(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            if attempt.number == 1:
                await asyncio.get_running_loop().create_future()

        async def bad(trip: Trip, one: int) -> int:
            raise Rejected("no")

        saga = (
            define("back", Trip)
            .step(
                one, undo=undo, undo_timeout=5 * SECOND, undo_retry=Retry(attempts=2, delay=SECOND, jitter=0)
            )
            .step(bad, needs=(one,))
        )
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            await seen(engine, "b", "CompensationDispatched")
            await clock.advance(5 * SECOND)
            await seen(engine, "b", "CompensationRetryScheduled")
            await clock.advance(SECOND)
            return await engine.outcome("b"), told(await engine.history("b"), "CompensationRetryScheduled")

    outcome, retried = drive(main())
    assert outcome.ending == "compensated"
    assert [(it["attempt"], it["round"], it["error"]["kind"]) for it in retried] == [(1, 1, "timeout")]
