"""Code that changed while sagas ran: what may go on, and what is shown until the right code is there."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es import Attempt, Retry, Saga, Settings, define, signal, step
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, seen, types, until

BRIEF = timedelta(milliseconds=50)


async def one(trip: Trip) -> int:
    return 1


async def two(trip: Trip, *_: object) -> int:
    return 2


async def undo(trip: Trip, result: int | None) -> None: ...


OLD = define("wait", Trip).step(one).signal("word", int).step(two, needs=("word",))


async def begun(house: House) -> None:
    """Leave one saga of OLD waiting for its signal."""
    async with house.engine(OLD) as engine:
        await engine.start(OLD, MARIA, saga_id="old")
        await seen(engine, "old", "StepSucceeded")


CHANGED = {
    "missing": (),
    "another version": (
        define("wait", Trip, version=2).step(one).signal("word", int).step(two, needs=("word",)),
    ),
    "renamed": (define("wait", Trip).step(one, name="first").signal("word", int).step(two, needs=("word",)),),
    "more": (
        define("wait", Trip).step(one).signal("word", int).step(two, needs=("word",)).step(two, name="x"),
    ),
    "fewer": (define("wait", Trip).step(one).signal("word", int),),
    "other needs": (define("wait", Trip).step(one).signal("word", int).step(two, needs=("one", "word")),),
    "undone": (define("wait", Trip).step(one, undo=undo).signal("word", int).step(two, needs=("word",)),),
    "pivot": (
        define("wait", Trip)
        .step(one)
        .signal("word", int, needs=("one",))
        .step(two, needs=("word",), pivot=True),
    ),
}


@pytest.mark.promise("case.definition-changed", "call.find", "invariant.14")
@pytest.mark.parametrize("change", CHANGED)
def test_what_is_built_differently_is_shown_as_parked_without_an_event_until_the_code_is_back(
    lasting: House, change
):
    async def main():
        await begun(lasting)
        before = await read(lasting)
        other = define("other", Trip).step(one)
        async with lasting.engine(*CHANGED[change], other) as engine:
            ended = (await engine.run(other, MARIA, timeout=SOON)).status
            (shown,) = (await engine.find(parked=True)).items
        unchanged = await read(lasting)
        async with lasting.engine(OLD) as engine:
            free = (await engine.find(parked=True)).items
            await engine.signal("old", "word", 1)
            return before == unchanged, ended, shown, free, await engine.outcome("old", timeout=SOON)

    async def read(house: House):
        async with house.client() as client:
            return (await client.history("old")).events

    unchanged, ended, shown, free, outcome = drive(main())
    assert unchanged
    assert ended == "succeeded"
    assert (shown.saga_id, shown.status) == ("old", "running")
    assert (shown.parked or "").startswith("incompatible: ")
    assert free == ()
    assert outcome.results == {"one": 1, "word": 1, "two": 2}


@pytest.mark.promise("case.definition-changed")
def test_titles_and_policies_may_change_under_a_running_saga(lasting: House):
    newer = (
        define("wait", Trip)
        .step(one, title="the first", retry=Retry(attempts=7), timeout=timedelta(days=1))
        .signal("word", int, title="say it", timeout=timedelta(days=2))
        .step(two, needs=("word",), title="the second", timeout=None)
    )

    async def main():
        await begun(lasting)
        async with lasting.engine(newer) as engine:
            await engine.signal("old", "word", 1)
            outcome = await engine.outcome("old", timeout=SOON)
            history = await engine.history("old")
            dispatched = [it.event for it in history.events if it.type == "StepDispatched"]
            return outcome, history.definition, dispatched[-1].deadline

    outcome, definition, deadline = drive(main())
    assert OLD.definition.digest != newer.definition.digest
    assert outcome.results == {"one": 1, "word": 1, "two": 2}
    assert definition == OLD.definition  # as it was recorded
    assert deadline is None  # the newer policy


@pytest.mark.promise("case.definition-changed", "call.step")
def test_a_function_may_be_renamed_where_the_step_keeps_its_name(lasting: House):
    class Waiting(Saga[Trip], name="wait"):
        @step(name="one")
        async def first(self, trip: Trip) -> int:
            return 10

        word = signal(int)

        @step(name="two", needs=(word,))
        async def second(self, trip: Trip, word: int) -> int:
            return 20

    async def main():
        await begun(lasting)
        async with lasting.engine(Waiting()) as engine:
            await engine.signal("old", Waiting.word, 1)
            return await engine.outcome("old", timeout=SOON)

    assert drive(main()).results == {"one": 1, "word": 1, "two": 20}


@pytest.mark.promise("case.definition-changed")
def test_old_versions_run_beside_new_ones_each_with_its_own_code(lasting: House):
    async def new(trip: Trip, word: int) -> int:
        return 22

    newer = define("wait", Trip, version=2).signal("word", int).step(new, needs=("word",))

    async def main():
        await begun(lasting)
        async with lasting.engine(OLD, newer) as engine:
            await engine.start("wait", MARIA, saga_id="new")
            for saga_id in ("old", "new"):
                await engine.signal(saga_id, "word", 1)
            return [(await engine.outcome(it, timeout=SOON)).results for it in ("old", "new")]

    assert drive(main()) == [{"one": 1, "word": 1, "two": 2}, {"word": 1, "new": 22}]


@pytest.mark.promise("case.definition-changed", "case.crash")
def test_a_call_in_flight_waits_for_its_code_and_is_issued_again_then(lasting: House):
    async def main():
        calls, gate = [], asyncio.Event()

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            calls.append((attempt.key, attempt.number))
            await gate.wait()
            return 1

        saga = define("slow", Trip).step(slow)
        async with lasting.engine(saga, settings=Settings(drain=timedelta(0))) as engine:
            await engine.start(saga, MARIA, saga_id="s")
            await until(lambda: calls)
        gate.set()
        async with lasting.engine() as engine:
            history = types(await engine.history("s"))
        async with lasting.engine(saga) as engine:
            return history, calls, (await engine.outcome("s", timeout=SOON)).results

    history, calls, results = drive(main())
    assert history == ["SagaStarted", "StepDispatched"]
    assert calls == [("s/slow/action/1", 1)] * 2
    assert results == {"slow": 1}


@pytest.mark.promise("case.definition-changed", "call.cancel")
def test_what_nobody_here_can_run_still_takes_what_is_decided_from_the_log_alone(lasting: House):
    async def main():
        await begun(lasting)
        async with lasting.engine() as engine:
            await engine.signal("old", "word", 1)
            await engine.pause("old", **BY_ANN)
            with pytest.raises(TimeoutError):
                await engine.outcome("old", timeout=BRIEF)
        async with lasting.engine(OLD) as engine:
            await engine.resume("old", **BY_ANN)
            return (await engine.outcome("old", timeout=SOON)).results

    assert drive(main()) == {"one": 1, "word": 1, "two": 2}
