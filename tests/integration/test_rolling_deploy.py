"""Old and new workers side by side: each saga goes on where its code is, and what nobody can run is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from saga_es import Attempt, Saga, SagaClient, SagaEngine, step
from saga_es.errors import UnknownDefinition
from saga_es.store.shards import SHARDS
from tests.integration.engine.world import BY_ANN, MARIA, SOON, Trip, drive, seen, types
from tests.support.engines import (
    Calls,
    Errand,
    Parcel,
    Weighed,
    client,
    divided,
    engine,
    ids_of,
    name_of,
    numbers,
    poke,
    settled,
    until,
)
from tests.support.inbox import inbox
from tests.support.stores import Place
from tests.support.workers import id_in, shared

__all__ = ["inbox", "shared"]
pytestmark = pytest.mark.promise("owner.deploy")


def old_worker(address, calls: Calls, **settings: Any) -> SagaEngine:
    return engine(address, "old", calls, kinds=[Parcel], **settings)


def new_worker(address, calls: Calls) -> SagaEngine:
    return engine(address, "new", calls, kinds=[Parcel, Weighed])


async def parked(face: SagaEngine | SagaClient) -> dict[str, str | None]:
    return {it.saga_id: it.parked for it in (await face.find(parked=True)).items}


# -- each saga where its code is ---------------------------------------------------------------------


@pytest.mark.promise("call.start", "call.outcome", "case.definition-changed")
def test_each_version_runs_on_the_workers_that_have_its_code(shared: Place):
    async def main():
        calls = Calls()
        async with (
            old_worker(shared.address, calls) as old,
            new_worker(shared.address, calls) as new,
            client(shared.address) as outside,
        ):
            await divided(old, new, kinds=[Parcel])
            assert len(numbers(new, Weighed)) == SHARDS
            of_v1 = [*ids_of(old, 5), *ids_of(new, 5)]
            for number, saga_id in enumerate(of_v1):
                await (old, new, outside)[number % 3].start(Parcel, MARIA, saga_id=saga_id)
            of_v2 = [id_in(number, "weighed") for number in range(0, SHARDS, 32)]
            for number, saga_id in enumerate(of_v2):
                await (new, outside)[number % 2].start(Weighed, MARIA, saga_id=saga_id)
                await seen(old, saga_id, "SignalAwaited")
                await (new, outside, old)[number % 3].signal(saga_id, "weight", 7)
            by_name = [await it.start("parcel", MARIA) for it in (old, new)]
            versions = [(await outside.history(it)).definition.version for it in by_name]
            await settled(outside, [*of_v1, *of_v2])
            results = [(await old.outcome(it, timeout=SOON)).results for it in of_v2]
            return calls, of_v1, of_v2, results, versions, await parked(old)

    calls, of_v1, of_v2, results, versions, aside = drive(main())
    assert calls.twice == []
    assert [calls.callers_of(saga_id) for saga_id in of_v1] == [{"old"}] * 5 + [{"new"}] * 5
    assert [calls.callers_of(saga_id) for saga_id in of_v2] == [{"new"}] * len(of_v2)
    assert results == [{"pack": "new", "weight": 7, "send": "new"}] * len(of_v2)
    assert versions == [1, 2]
    assert aside == {}


@pytest.mark.promise("call.cancel", "call.pause", "call.resume", "call.signal", "call.skip")
def test_a_worker_without_the_code_records_what_it_is_asked_and_hides_nothing_by_that(shared: Place):
    async def main():
        calls = Calls()
        async with old_worker(shared.address, calls) as old, new_worker(shared.address, calls) as new:
            first, second = (id_in(number, "weighed") for number in (3, 200))
            for saga_id in (first, second):
                await new.start(Weighed, MARIA, saga_id=saga_id)
                await seen(old, saga_id, "SignalAwaited")
            await old.pause(first, **BY_ANN)
            shown = [await parked(old)]
            with pytest.raises(TimeoutError) as late:
                await old.outcome(first, timeout=timedelta(milliseconds=1))
            assert "parked" not in str(late.value)
            await old.cancel(first, **BY_ANN)
            shown.append(await parked(old))
            await old.resume(first, **BY_ANN)
            await old.signal(second, "weight", 3)
            histories = await settled(new, [first, second])
            shown.append(await parked(old))
            return calls, histories, shown, name_of(old)

    calls, histories, shown, of_old = drive(main())
    assert shown == [{}, {}, {}]
    assert [it.state.ending for it in histories] == ["compensated", "succeeded"]
    assert calls.by("old") == []
    assert calls.twice == []
    for history in histories:
        assert of_old not in {it.metadata.get("worker") for it in history.events}


def test_so_it_is_where_one_version_is_built_in_two_ways(shared: Place):
    class Renamed(Saga[Trip], name="errand"):
        def __init__(self, engine: str, calls: Calls) -> None:
            self.engine, self.calls = engine, calls

        @step
        async def walk(self, trip: Trip, *, attempt: Attempt) -> str:
            return await self.calls.make(self.engine, attempt)

    async def main():
        calls = Calls()
        async with (
            engine(shared.address, "old", calls, kinds=[Errand]) as old,
            engine(shared.address, "new", calls, kinds=[Renamed]) as new,
        ):
            assert (len(numbers(old, Errand)), len(numbers(new, Renamed))) == (SHARDS, SHARDS)
            for number in range(0, SHARDS, 32):
                await old.start(Errand, MARIA, saga_id=id_in(number, "old"))
                await new.start(Renamed, MARIA, saga_id=id_in(number, "new"))
            ids = [id_in(number, name) for name in ("old", "new") for number in range(0, SHARDS, 32)]
            for saga_id in ids[:8]:
                await seen(new, saga_id, "SignalAwaited")
                await new.signal(saga_id, "word", "hello")
            await settled(old, ids[:8])
            await settled(new, ids[8:])
            return calls, ids, await parked(new)

    calls, ids, aside = drive(main())
    assert calls.twice == []
    assert [calls.callers_of(saga_id) for saga_id in ids] == [{"old"}] * 8 + [{"new"}] * 8
    assert aside == {}


# -- what nobody can run -----------------------------------------------------------------------------


@pytest.mark.promise("case.definition-changed", "call.find")
def test_a_saga_is_shown_as_parked_only_while_no_worker_can_run_it(shared: Place):
    async def main():
        calls = Calls()
        async with client(shared.address) as outside:
            async with old_worker(shared.address, calls, lease=timedelta(seconds=1)) as old:
                async with new_worker(shared.address, calls) as new:
                    ids = [id_in(number, "weighed") for number in (3, 200)]
                    for saga_id in ids:
                        await new.start(Weighed, MARIA, saga_id=saga_id)
                        await seen(outside, saga_id, "SignalAwaited")
                    both = await parked(outside)
                while len(await parked(outside)) < 2:  # two leases after the new one left
                    pass
                alone = await parked(outside)
                late = await outside.start(Weighed, MARIA, saga_id="started when nobody could")
                left = [types(await outside.history(saga_id)) for saga_id in (*ids, late)]
                await outside.signal(ids[0], "weight", 3)
                async with new_worker(shared.address, calls) as new:
                    again = await parked(outside)
                    await seen(outside, late, "SignalAwaited")
                    for saga_id in (ids[1], late):
                        await old.signal(saga_id, "weight", 4)
                    histories = await settled(outside, [*ids, late])
                    end = await parked(outside)
            return calls, both, alone, left, again, histories, end

    calls, both, alone, left, again, histories, end = drive(main())
    assert (both, again, end) == ({}, {}, {})
    reason = "incompatible: 'parcel' version 2 is not registered here (known: parcel v1)"
    assert alone == dict.fromkeys(alone, reason)
    assert left == [["SagaStarted", "StepDispatched", "StepSucceeded", "SignalAwaited"]] * 2 + [
        ["SagaStarted"]
    ]
    assert calls.by("old") == []
    assert calls.twice == []
    assert {it.state.status for it in histories} == {"succeeded"}


@pytest.mark.promise("owner.deploy")
def test_a_worker_that_only_restarts_leaves_nothing_shown_as_parked(shared: Place):
    async def main():
        calls = Calls()
        async with client(shared.address) as outside, old_worker(shared.address, calls) as old:
            async with new_worker(shared.address, calls) as new:
                await new.start(Weighed, MARIA, saga_id="w")
                await seen(outside, "w", "SignalAwaited")
            follower = old._works._follower
            await until(lambda: len(follower._living) == 1)  # it knows that the new one has left
            await follower._unmanned.looked()
            meanwhile = await parked(outside)
            follower._unmanned._manned.clear()  # as if that were long ago
            poke(shared.open())
            while not await parked(outside):
                pass
            return meanwhile

    assert drive(main()) == {}


@pytest.mark.promise("case.definition-changed")
def test_whoever_enters_alone_shows_at_once_what_it_can_not_run_and_appends_nothing(shared: Place):
    async def main():
        calls = Calls()
        async with client(shared.address) as outside:
            async with new_worker(shared.address, calls) as new:
                await new.start(Weighed, MARIA, saga_id="w")
                await seen(outside, "w", "SignalAwaited")
            before = await outside.history("w")
            async with old_worker(shared.address, calls) as old:
                on_entering = await parked(outside)
                await old.run(Parcel, MARIA, timeout=SOON)
                with pytest.raises(UnknownDefinition):
                    await old.start("errand", MARIA)
            return before, await outside.history("w"), on_entering

    before, after, on_entering = drive(main())
    assert list(on_entering) == ["w"]
    assert after.events == before.events
