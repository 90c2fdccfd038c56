"""A shard that is lost, and comes back before its former owner has come to rest."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from datetime import timedelta

import pytest

from saga_es import Attempt, Retry, Saga, SagaEngine, Settings, step
from saga_es.errors import Rejected
from saga_es.runtime.ownership import Holds
from saga_es.store.application import SagaApplication
from saga_es.store.shards import SHARDS, Lane, Shard, number_of
from tests.integration.engine.world import BY_ANN, MARIA, PATIENCE, SOON, Trip, drive, seen, types
from tests.support.engines import (
    HOURLY,
    Calls,
    Parcel,
    at_rest,
    client,
    divided,
    engine,
    ids_of,
    numbers,
    poke,
    until,
)
from tests.support.stores import Place
from tests.support.workers import FAR_AWAY, HOUR, say, shared

__all__ = ["shared"]


class Wet(Saga[Trip], name="wet"):
    """A step that fails once, and is due again a moment later."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step(retry=Retry(attempts=2, delay=timedelta(seconds=0.5), jitter=0))
    async def go(self, trip: Trip, *, attempt: Attempt) -> str:
        called = await self.calls.make(self.engine, attempt)
        if attempt.number == 1:
            raise OSError("rain")
        return called


class Damp(Saga[Trip], name="damp"):
    """The same, due again an hour later."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step(retry=HOURLY)
    async def go(self, trip: Trip, *, attempt: Attempt) -> str:
        called = await self.calls.make(self.engine, attempt)
        if attempt.number == 1:
            raise OSError("rain")
        return called


class Room(Saga[Trip], name="room"):
    """A step of which the first call waits, and is rejected; one that is made after it has its effect."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step
    async def book(self, trip: Trip, *, attempt: Attempt) -> str:
        is_first = not self.calls.made
        await self.calls.make(self.engine, attempt)
        if is_first:
            raise Rejected("no room")
        return "booked"

    @book.compensation
    async def unbook(self, trip: Trip, booked: str | None) -> None: ...


class Slow(Saga[Trip], name="slow"):
    """A plain function of which the first call comes back when it is let go, long after its time."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.let_go = threading.Event()

    @step(timeout=timedelta(seconds=0.3), retry=Retry(attempts=1))
    def book(self, trip: Trip, *, attempt: Attempt) -> int:
        self.calls.append(attempt.number)
        number = len(self.calls)
        if number == 1:
            self.let_go.wait(PATIENCE)
        return number

    @book.compensation
    def unbook(self, trip: Trip, booked: int | None) -> None: ...


class Stubborn(Saga[Trip], name="stubborn"):
    """A coroutine of which the first call does not let itself be cancelled, and fails in the end."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.let_go = asyncio.Event()

    @step(timeout=timedelta(seconds=0.3), retry=Retry(attempts=1))
    async def book(self, trip: Trip, *, attempt: Attempt) -> int:
        self.calls.append(attempt.number)
        if len(self.calls) > 1:
            return len(self.calls)
        while not self.let_go.is_set():
            with suppress(asyncio.CancelledError):
                await self.let_go.wait()
        raise OSError("gone")

    @book.compensation
    async def unbook(self, trip: Trip, booked: int | None) -> None: ...


class Elsewhere:
    """Another worker takes the shard of a saga, and gives it back."""

    def __init__(self, engine: SagaEngine, store: SagaApplication, saga_id: str) -> None:
        works = engine._works
        assert works is not None
        assert isinstance(works.ownership, Holds)
        self._holds, self._store = works.ownership, store
        self._shard: Shard = next(it for it in self._holds.shards if it.number == number_of(saga_id))
        self._before = self._holds.epoch(self._shard) or 0
        assert store.crew is not None
        store.crew.join("G", FAR_AWAY, [], HOUR)

    def take(self) -> None:
        say(
            self._store,
            "UPDATE {shards} SET owner = 'G', epoch = epoch + 1 WHERE shard = %s",
            self._shard.number,
        )

    async def is_known(self) -> None:
        poke(self._store)
        await self.is_noticed()

    async def is_noticed(self) -> None:
        """Without a word: the engine looks round once in five seconds."""
        await until(lambda: self._holds.epoch(self._shard) is None)

    async def give_back(self) -> None:
        say(self._store, "UPDATE {shards} SET owner = NULL WHERE shard = %s", self._shard.number)
        poke(self._store)
        await until(lambda: (self._holds.epoch(self._shard) or 0) > self._before)


@pytest.mark.promise("owner.takeover", "invariant.12")
def test_a_saga_that_was_away_while_others_were_read_goes_on(shared: Place, monkeypatch):
    async def main():
        calls, store = Calls(), shared.open()
        async with engine(shared.address, "A", calls, kinds=[Wet]) as first:
            loader = first._works.loader
            lane = Lane.of(first._registry.find("wet", 1).definition)
            store.crew.join("F", FAR_AWAY, [lane], HOUR)
            await until(lambda: len(numbers(first, Wet)) == SHARDS // 2)
            (saga_id,) = ids_of(first, 1, Wet)
            await first.start(Wet, MARIA, saga_id=saga_id)
            await seen(first, saga_id, "StepRetryScheduled")
            gate, reading, plain = asyncio.Event(), asyncio.Event(), loader.lives_of

            async def slow(saga_ids):
                reading.set()
                await gate.wait()
                return await plain(saga_ids)

            monkeypatch.setattr(loader, "lives_of", slow)
            store.crew.leave("F")
            await reading.wait()  # what it gained by that
            other = Elsewhere(first, store, saga_id)
            other.take()
            await other.is_known()
            await other.give_back()
            gate.set()
            async with client(shared.address) as asking:  # nothing else reminds the engine of it
                return (await asking.outcome(saga_id, timeout=SOON)).status

    assert drive(main()) == "succeeded"


@pytest.mark.promise("owner.takeover", "case.rejected", "case.crash")
def test_an_answer_from_before_answers_for_its_own_call_alone(shared: Place, monkeypatch):
    async def main():
        calls, store = Calls(), shared.open()
        calls.hold("A")
        async with engine(shared.address, "A", calls, kinds=[Room]) as first:
            loader = first._works.loader
            await until(lambda: len(numbers(first, Room)) == SHARDS)
            (saga_id,) = ids_of(first, 1, Room)
            await first.start(Room, MARIA, saga_id=saga_id)
            await until(lambda: calls.made)
            other = Elsewhere(first, store, saga_id)
            other.take()  # the call may be made in that epoch, too, and have its effect
            load, reading, plain = asyncio.Event(), asyncio.Event(), loader.load

            async def slow(live):
                reading.set()
                await load.wait()
                await plain(live)

            monkeypatch.setattr(loader, "load", slow)
            calls.let_go("A")
            await reading.wait()  # what it was told was fenced, and it reads the saga again
            await other.give_back()
            load.set()
            await first.outcome(saga_id, timeout=SOON)
            return types(await first.history(saga_id))

    assert drive(main())[2] in ("StepOutcomeUnknown", "StepSucceeded")


@pytest.mark.promise("owner.takeover", "call.outcome")
def test_a_saga_that_was_being_read_for_the_first_time_is_read_again(shared: Place, monkeypatch):
    async def main():
        calls, gate, read = Calls(), threading.Event(), threading.Event()
        async with engine(shared.address, "A", calls, kinds=[Damp]) as first:
            loader = first._works.loader
            other = engine(shared.address, "B", calls, kinds=[Damp], drain=timedelta(0))
            async with other:
                await divided(first, other, kinds=[Damp])
                (saga_id,) = ids_of(other, 1, Damp)
                await other.start(Damp, MARIA, saga_id=saga_id)
                await seen(other, saga_id, "StepRetryScheduled")

                def slow(saga_ids, plain=loader._found_each):
                    found = plain(saga_ids)
                    read.set()
                    gate.wait(PATIENCE)
                    return found

                monkeypatch.setattr(loader, "_found_each", slow)
                waiting = asyncio.ensure_future(first.outcome(saga_id, timeout=SOON))
                await until(read.is_set)
                calls.hold("B")
                await other.retry(saga_id, "go", **BY_ANN)
                await until(lambda: len(calls.by("B")) == 2)
            await until(lambda: len(numbers(first, Damp)) == SHARDS)
            gate.set()
            assert (await waiting).status == "succeeded"
            return [(caller, number) for caller, _, number in calls.made]

    assert drive(main()) == [("B", 1), ("B", 2), ("A", 2)]


async def ended_after_its_shard_was_away(
    first: SagaEngine, store: SagaApplication, kind: type[Saga[Trip]]
) -> str:
    """Start a saga of which the shard is away when its call times out, and back after that; return its id."""
    await until(lambda: len(numbers(first, kind)) == SHARDS)
    (saga_id,) = ids_of(first, 1, kind)
    other = Elsewhere(first, store, saga_id)
    await until(lambda: len(first._works._follower._living) > 1)
    await at_rest(first)
    await first.start(kind, MARIA, saga_id=saga_id)
    other.take()
    waiting = asyncio.ensure_future(first.outcome(saga_id, timeout=SOON))
    await other.is_noticed()  # what its timeout came to was refused
    await other.give_back()
    assert (await waiting).status == "succeeded"
    return saga_id


@pytest.mark.promise("owner.takeover", "case.timeout", "case.late-reply")
@pytest.mark.parametrize("most", [64, 1], ids="at most {}".format)
def test_a_call_that_hangs_in_its_thread_is_made_again_when_its_shard_comes_back(shared: Place, most: int):
    async def main():
        slow, store = Slow(), shared.open()
        settings = Settings(max_in_flight_per_saga=most)
        async with SagaEngine(shared.address, sagas=[slow], settings=settings) as first:
            manager = first._works.manager
            saga_id = await ended_after_its_shard_was_away(first, store, Slow)
            slow.let_go.set()
            await until(lambda: not manager.dispatcher.in_flight and manager.in_hand(saga_id) is None)
            return slow.calls, types(await first.history(saga_id))

    calls, recorded = drive(main())
    assert calls == [1, 1]
    assert recorded == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("owner.takeover", "case.timeout", "field.Settings.max_in_flight_per_saga")
def test_a_call_whose_coroutine_does_not_end_is_made_again_beside_it(shared: Place):
    async def main():
        stubborn, store = Stubborn(), shared.open()
        settings = Settings(max_in_flight_per_saga=1)
        async with SagaEngine(shared.address, sagas=[stubborn], settings=settings) as first:
            await ended_after_its_shard_was_away(first, store, Stubborn)
            stubborn.let_go.set()
            await until(lambda: not first._works.manager.dispatcher.in_flight)
            return stubborn.calls

    assert drive(main()) == [1, 1]


@pytest.mark.promise("owner.takeover", "case.duplicate")
def test_a_call_that_is_answered_while_its_saga_is_taken_up_again_is_not_made_again(
    shared: Place, monkeypatch
):
    async def main():
        calls, store = Calls(), shared.open()
        calls.hold("A")
        async with engine(shared.address, "A", calls, kinds=[Parcel]) as first:
            loader = first._works.loader
            await until(lambda: len(numbers(first)) == SHARDS)
            (saga_id,) = ids_of(first, 1)
            await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: calls.made)
            other = Elsewhere(first, store, saga_id)
            other.take()
            await other.is_known()
            reading, gate = asyncio.Event(), asyncio.Event()

            async def slow(saga_ids, plain=loader.lives_of):
                reading.set()
                await gate.wait()
                return await plain(saga_ids)

            monkeypatch.setattr(loader, "lives_of", slow)
            await other.give_back()
            await reading.wait()
            calls.let_go("A")
            assert (await first.outcome(saga_id, timeout=SOON)).status == "succeeded"
            gate.set()
            return calls, types(await first.history(saga_id))

    calls, recorded = drive(main())
    assert calls.twice == []
    assert recorded.count("StepSucceeded") == 3
