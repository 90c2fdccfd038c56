"""Faults of a step's own: what it raises or returns is recorded as what it is, and hurts no other saga."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer

from saga_es import Attempt, Rejected, Retry, Saga, SagaEngine, Settings, define, step
from tests.integration.engine.world import MARIA, SOON, House, Trip, drive, told, types

NOWHERE = timedelta(0)


class Odd(BaseException):
    """Not an Exception, and no order to exit either."""


async def undo(trip: Trip, result: object) -> None: ...


@pytest.mark.promise("case.any-other-exception", "invariant.14")
@pytest.mark.parametrize("in_thread", [False, True], ids=["coroutine", "thread"])
@pytest.mark.parametrize(
    "raised",
    [
        Odd("odd"),
        GeneratorExit(),
        StopIteration(3),
        StopAsyncIteration(),
        AssertionError(),
        MemoryError("none left"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_step_raises_is_its_failure(in_thread, raised):
    async def main():
        undone = []

        async def coroutine(trip: Trip) -> int:
            raise raised

        def plain(trip: Trip) -> int:
            raise raised

        async def undo_it(trip: Trip, result: int | None) -> None:
            undone.append(result)

        saga = define("odd", Trip).step(plain if in_thread else coroutine, name="step", undo=undo_it)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            return await engine.run(saga, MARIA, timeout=SOON), undone

    outcome, undone = drive(main())
    assert (outcome.ending, outcome.cause.kind, undone) == ("compensated", "error", [None])
    # Python itself makes a RuntimeError of a StopIteration that leaves a coroutine.
    assert outcome.cause.type in (type(raised).__name__, "RuntimeError")


@dataclass
class Opaque:
    inside: object


class Loose(BaseModel):
    value: Annotated[int, PlainSerializer(lambda value: value + 1)]


@pytest.mark.promise("case.payload", "case.any-other-exception", "invariant.14")
@pytest.mark.parametrize(
    ("annotation", "returned"),
    [
        (float, float("nan")),
        (float, float("inf")),
        (dict[str, float], {"deep": float("-inf")}),
        (int, "seven"),
        (int, None),
        (object, object()),
        (Any, {"two"}),
        (Any, (1, 2)),
        (Any, Opaque(lambda: 1)),
        (Loose, Loose(value=1)),
        (str, "half a \ud800"),
        (str, "nul \x00"),
    ],
    ids=lambda it: repr(it)[:20],
)
def test_a_result_that_can_not_be_recorded_and_read_back_is_an_error(house: House, annotation, returned):
    async def main():
        undone = []

        async def odd(trip: Trip):
            return returned

        async def undo_it(trip: Trip, result) -> None:
            undone.append(result)

        odd.__annotations__["return"] = annotation
        undo_it.__annotations__["result"] = (
            annotation | None if annotation not in (object, Any) else annotation
        )
        saga = define("odd", Trip).step(odd, undo=undo_it)
        async with house.engine(saga) as engine:
            return await engine.run(saga, MARIA, saga_id="o", timeout=SOON), undone, await engine.history("o")

    outcome, undone, history = drive(main())
    assert (outcome.status, outcome.ending, outcome.cause.kind) == ("failed", "compensated", "error")
    assert outcome.cause.type == "InvalidInput"
    assert undone == [None]  # the call had its effect
    assert types(history)[1:3] == ["StepDispatched", "StepOutcomeUnknown"]
    assert outcome.results == {}


@pytest.mark.promise("case.payload", "field.Settings.max_payload", "field.Settings.max_depth")
@pytest.mark.parametrize("returned", ["x" * 101, [[[[[[]]]]]]], ids=["too long", "too deep"])
def test_a_result_over_the_limit_leaves_the_outcome_unknown_and_is_not_tried_again(house: House, returned):
    async def main():
        calls = []

        async def large(trip: Trip) -> Any:
            calls.append(1)
            return returned

        saga = define("large", Trip).step(large, undo=undo, retry=Retry(attempts=5))
        async with house.engine(saga, settings=Settings(max_payload=100, max_depth=5)) as engine:
            await engine.run(saga, MARIA, saga_id="l", timeout=SOON)
            return calls, told(await engine.history("l"), "StepOutcomeUnknown")

    calls, unknown = drive(main())
    assert calls == [1]
    assert [(it["why"]["kind"], it["why"]["type"]) for it in unknown] == [("too_large", "PayloadTooLarge")]


class Cart(BaseModel):
    items: list[str]


class Shop(Saga[Cart], name="shop"):
    def __init__(self) -> None:
        self.seen: dict[tuple[str, int], tuple[list[str], list[str]]] = {}

    @step
    async def fill(self, cart: Cart) -> list[str]:
        cart.items.append("changed by fill")
        return ["result"]

    @step(needs=(fill,), retry=Retry(attempts=2, delay=NOWHERE))
    async def pack(self, cart: Cart, filled: list[str], *, attempt: Attempt) -> str:
        self.seen["pack", attempt.number] = list(cart.items), list(filled)
        cart.items.append("changed by pack")
        filled.append("changed by pack")
        if attempt.number == 1:
            raise OSError("again")
        return "packed"

    @pack.compensation
    def unpack(self, cart: Cart, packed: str | None) -> None: ...

    @step(needs=(fill, pack))
    def send(self, cart: Cart, filled: list[str], packed: str) -> int:
        self.seen["send", 1] = list(cart.items), list(filled)
        raise Rejected("no")


@pytest.mark.promise("call.step", "invariant.9")
def test_each_attempt_gets_copies_of_its_own(house: House):
    async def main():
        shop, cart = Shop(), Cart(items=["hat"])
        async with house.engine(shop) as engine:
            await engine.start(Shop, cart, saga_id="s")
            cart.items.append("changed by the caller")
            outcome = await engine.outcome("s", timeout=SOON)
            again = await engine.outcome("s", timeout=SOON)
            outcome.results["fill"].append("changed by a reader")
            return shop.seen, again.results["fill"], (await engine.history("s")).events[0].event.input

    seen, results, recorded = drive(main())
    assert seen == {
        ("pack", 1): (["hat"], ["result"]),
        ("pack", 2): (["hat"], ["result"]),
        ("send", 1): (["hat"], ["result"]),
    }
    assert results == ["result"]
    assert recorded == {"items": ["hat"]}


@pytest.mark.promise("call.step")
def test_what_a_later_step_gets_was_decoded_from_the_log(house: House):
    class Exact(BaseModel):
        when: timedelta

    async def main():
        made, got = [], []

        async def make(trip: Trip) -> Exact:
            made.append(Exact(when=timedelta(minutes=1)))
            return made[0]

        async def take(trip: Trip, exact: Exact, *more: object) -> int:
            got.append(exact)
            return 1

        make.__annotations__["return"] = Exact
        take.__annotations__["exact"] = Exact
        saga = define("exact", Trip).step(make).step(take, needs=[make])
        async with house.engine(saga) as engine:
            await engine.run(saga, MARIA, timeout=SOON)
            return made, got

    made, got = drive(main())
    assert got == made
    assert got[0] is not made[0]


@pytest.mark.promise("invariant.14", "case.compensation-fails", "invariant.12")
def test_one_sagas_faults_stop_no_other(house: House):
    async def main():
        async def bad_repr(trip: Trip) -> int:
            class Nasty(Exception):
                def __str__(self) -> str:
                    raise ValueError("not even a text")

            raise Nasty

        async def long_words(trip: Trip) -> int:
            raise OSError("x" * 1_000_000)

        async def dirty_words(trip: Trip) -> int:
            raise OSError("nul \x00 half \ud800 escape \x1b[2J")

        async def no_coroutine(trip: Trip) -> int:
            return await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001)

        async def fine(trip: Trip) -> int:
            await asyncio.sleep(0)
            return 1

        faulty = [
            define(fn.__name__, Trip).step(fn) for fn in (bad_repr, long_words, dirty_words, no_coroutine)
        ]
        well = define("fine", Trip).step(fine)
        async with house.engine(*faulty, well) as engine:
            running = [engine.run(saga, MARIA, timeout=SOON) for saga in (*faulty, *[well] * 10)]
            return [(it.status.value, it.cause) for it in await asyncio.gather(*running)]

    ended = drive(main())
    assert [it[0] for it in ended] == ["failed"] * 4 + ["succeeded"] * 10
    nasty, long, dirty, late = [cause for _, cause in ended[:4]]
    assert nasty.type == "Nasty"
    assert len(long.message) == 2000
    assert "\x00" not in dirty.message
    assert (late.kind, late.type) == ("error", "TimeoutError")
