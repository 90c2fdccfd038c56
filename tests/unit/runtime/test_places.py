"""Places for attempts: how many there are, who waits for one, and in which order they are had."""

from __future__ import annotations

import asyncio

import pytest

from saga_es import Attempt, SagaEngine, Settings, define
from saga_es.model.definition import SagaDefinition
from saga_es.model.state import SagaState
from saga_es.runtime.places import Places
from saga_es.testing.given import given
from tests.integration.engine.world import MARIA, SOON, Trip, drive, until
from tests.unit.model.plans import act, plan, start

WIDE: SagaDefinition = plan(*(act(f"step_{number}") for number in range(8)))


def saga(saga_id: str, *, begun: int = 0) -> SagaState:
    """Return a saga of eight steps, of which so many are in flight."""
    return given(WIDE, saga_id=saga_id).when(start(room=begun)).state


class Hall:
    """Places, how many of them attempts hold, and who was let in."""

    def __init__(self, most: int, most_of_one: int = 64) -> None:
        settings = Settings(max_in_flight=most, max_in_flight_per_saga=most_of_one)
        self.held = 0
        self.fed: list[str] = []
        self.takes_each = 1
        self.places = Places(settings, lambda: self.held, self._feed)

    def _feed(self, saga_id: str) -> None:
        self.fed.append(saga_id)
        self.held += self.takes_each


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.promise(
    "case.huge-fan-out", "field.Settings.max_in_flight", "field.Settings.max_in_flight_per_saga"
)
@pytest.mark.parametrize(
    ("most", "most_of_one", "held", "begun", "room"),
    [
        (10, 4, 0, 0, 4),
        (10, 4, 3, 3, 1),
        (10, 4, 4, 4, 0),
        (10, 4, 8, 0, 2),
        (10, 4, 9, 3, 1),
        (10, 4, 10, 0, 0),
        (10, 4, 12, 0, 0),  # threads that outlive their timeout hold places too
        (1, 64, 0, 0, 1),
        (10, 4, 8, 6, 0),  # begun by an engine of another limit
    ],
)
def test_room_is_what_is_free_in_the_engine_and_what_the_saga_may_have(most, most_of_one, held, begun, room):
    async def main() -> None:
        hall = Hall(most, most_of_one)
        hall.held = held
        assert hall.places.room(saga("a", begun=begun).fold, hall.places.free, in_turn=False) == room
        assert hall.places.room(saga("a", begun=begun).fold, hall.places.free, in_turn=True) == room

    drive(main())


@pytest.mark.promise("case.huge-fan-out", "field.Settings.max_in_flight")
def test_places_of_what_is_decided_and_not_yet_begun_are_reserved():
    async def main() -> None:
        hall = Hall(5)
        hall.held, hall.places.reserved = 2, 1
        assert hall.places.room(saga("a").fold, hall.places.free, in_turn=True) == 2
        hall.places.reserved = 3
        assert hall.places.room(saga("a").fold, hall.places.free, in_turn=True) == 0
        hall.places.wait(saga("a"))
        await settled()
        assert hall.fed == []
        hall.places.reserved = 0
        hall.places.feed_soon()
        await settled()
        assert hall.fed == ["a"]

    drive(main())


@pytest.mark.promise("case.huge-fan-out")
def test_those_who_wait_are_let_in_in_the_order_they_came():
    async def main() -> None:
        hall = Hall(2)
        hall.held = 2
        for saga_id in ("c", "a", "b", "c"):  # asking again loses nobody its turn
            hall.places.wait(saga(saga_id))
        await settled()
        assert hall.fed == []
        hall.held = 0
        hall.places.feed_soon()
        assert hall.fed == []  # in a later turn of the loop
        await settled()
        assert hall.fed == ["c", "a"]  # as many as there were places
        hall.held = 1
        hall.places.feed_soon()
        await settled()
        hall.held = 0
        hall.places.feed_soon()
        await settled()
        assert hall.fed == ["c", "a", "b"]

    drive(main())


@pytest.mark.promise("case.huge-fan-out")
def test_whoever_has_not_waited_gets_no_place_that_others_wait_for():
    async def main() -> None:
        hall = Hall(2)
        hall.held = 2
        hall.places.wait(saga("a"))
        hall.places.wait(saga("b"))
        hall.held = 1
        assert hall.places.room(saga("late").fold, hall.places.free, in_turn=False) == 0
        hall.held = 0  # two are free, and two wait
        assert hall.places.room(saga("late").fold, hall.places.free, in_turn=False) == 0
        assert hall.places.room(saga("a").fold, hall.places.free, in_turn=True) == 2
        await settled()
        assert hall.fed == ["a", "b"]
        hall.held = 1
        assert (
            hall.places.room(saga("late").fold, hall.places.free, in_turn=False) == 1
        )  # nobody waits any more

    drive(main())


def test_who_was_let_in_and_could_not_use_it_leaves_it_to_the_next():
    async def main() -> None:
        hall = Hall(1)
        hall.held = 1
        hall.places.wait(saga("a"))
        hall.places.wait(saga("b"))
        hall.takes_each = 0  # a was cancelled meanwhile, say
        hall.held = 0
        hall.places.feed_soon()
        await settled()
        assert hall.fed == ["a", "b"]

    drive(main())


@pytest.mark.promise("case.huge-fan-out", "field.Settings.max_in_flight_per_saga")
def test_a_saga_at_its_own_limit_does_not_wait_for_the_engines_places():
    async def main() -> None:
        hall = Hall(1, most_of_one=2)
        hall.held = 1
        hall.places.wait(saga("full", begun=2))  # its own answers wake it
        hall.places.wait(saga("other", begun=1))
        hall.held = 0
        hall.places.feed_soon()
        await settled()
        assert hall.fed == ["other"]

    drive(main())


@pytest.mark.promise("case.shutting-down")
def test_shut_nobody_gets_in_and_nobody_begins_to_wait():
    async def main() -> None:
        hall = Hall(3)
        hall.held = 3
        hall.places.wait(saga("a"))
        hall.held = 0
        hall.places.is_shut = True  # the feeding was due in the next turn of the loop
        hall.places.wait(saga("b"))
        hall.places.feed_soon()
        await settled()
        assert hall.fed == []
        assert hall.places.room(saga("a").fold, hall.places.free, in_turn=True) == 0
        assert hall.places.room(saga("c").fold, hall.places.free, in_turn=False) == 0
        hall.places.is_shut = False  # as when an engine has its store back
        hall.places.feed_soon()
        await settled()
        assert hall.fed == ["a"]

    drive(main())


@pytest.mark.promise("case.huge-fan-out", "field.Settings.max_in_flight", "invariant.14")
def test_a_saga_that_answers_does_not_overtake_those_who_wait():
    async def main() -> list[str]:
        gate, calls = asyncio.Event(), []

        async def call(trip: Trip, *, attempt: Attempt) -> int:
            calls.append(attempt.saga_id)
            await gate.wait()
            return 1

        wide = define("wide", Trip)
        for number in range(20):
            wide = wide.step(call, name=f"step_{number}")
        narrow = define("narrow", Trip).step(call, name="only")
        async with SagaEngine(
            "memory://", sagas=[wide, narrow], settings=Settings(max_in_flight=1)
        ) as engine:
            await engine.start(wide, MARIA, saga_id="wide")
            await until(lambda: calls)
            for saga_id in ("one", "two", "three"):
                await engine.start(narrow, MARIA, saga_id=saga_id)
            gate.set()
            for saga_id in ("wide", "one", "two", "three"):
                await engine.outcome(saga_id, timeout=SOON)
        return calls

    calls = drive(main())
    # When it has answered it stands in line again, behind them; before, it went on by itself.
    assert calls[:5] == ["wide", "one", "two", "three", "wide"]
    assert len(calls) == 23
