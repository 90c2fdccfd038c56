"""Sagas change hands: an engine leaves, falls silent, or is dead, and whoever follows goes on with them."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from saga_es import Attempt, Retry, Saga, step
from saga_es.store.crew import Process
from saga_es.store.processes import this_process
from saga_es.store.shards import SHARDS, Lane
from tests.integration.engine.world import BY_ANN, MARIA, SOON, Trip, drive, seen, told, types
from tests.support.engines import (
    NEVER,
    Calls,
    Errand,
    Parcel,
    at_rest,
    check_owners,
    client,
    divided,
    engine,
    ids_of,
    name_of,
    numbers,
    poke,
    recorded_by,
    replaced,
    settled,
    silent,
    until,
)
from tests.support.stores import Place
from tests.support.workers import FAR_AWAY, claim, held, id_in, join, members, say, shared

__all__ = ["shared"]
TAKE_AWAY = "UPDATE {shards} SET owner = %s, epoch = epoch + 1 WHERE shard = ANY(%s)"

# -- an engine leaves --------------------------------------------------------------------------------


@pytest.mark.promise("owner.shares", "case.shutting-down", "case.duplicate")
def test_who_leaves_hands_over_and_records_itself_what_it_had_in_flight(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(engine(shared.address, "B", calls))
            first = await engine(shared.address, "A", calls).__aenter__()
            await divided(first, other)
            worker = name_of(first)
            packing, idle = ids_of(first, 1), ids_of(first, 3, Errand)
            for saga_id in idle:
                calls.let_go("A", await other.start(Errand, MARIA, saga_id=saga_id))
            calls.let_go("A")
            for saga_id in idle:
                await seen(other, saga_id, "SignalAwaited")
            calls.hold("A")
            await first.start(Parcel, MARIA, saga_id=packing[0])
            await until(lambda: calls.by("A").count(f"{packing[0]}/pack/action/1"))
            leaving = asyncio.ensure_future(first.__aexit__(None, None, None))
            for saga_id in idle:  # what is not at work goes on at once
                await other.signal(saga_id, "word", "bye")
                await other.outcome(saga_id, timeout=SOON)
            assert not leaving.done()
            assert types(await other.history(packing[0])) == ["SagaStarted", "StepDispatched"]
            calls.let_go("A")
            await leaving
            (packed, *gone) = await settled(other, [*packing, *idle])
            assert len(numbers(other)) == SHARDS
            return calls, packed, gone, worker, name_of(other)

    calls, packed, gone, of_a, of_b = drive(main())
    assert calls.twice == []
    assert [it["result"] for it in told(packed, "StepSucceeded")] == ["A", "B", "B"]
    assert recorded_by(packed, "StepSucceeded", "pack") == [of_a]
    assert recorded_by(packed, "StepDispatched", "send") == [of_b]
    assert check_owners(packed) == [(of_a, 2), (of_b, 3)]
    for history in gone:
        assert told(history, "StepSucceeded")[-1]["result"] == "B says bye"


@pytest.mark.promise("owner.takeover", "case.shutting-down", "case.crash", "invariant.12")
def test_what_a_leaving_engine_does_not_wait_for_is_issued_again_under_the_same_key(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        async with engine(shared.address, "B", calls) as other:
            async with engine(shared.address, "A", calls, drain=timedelta(0)) as first:
                await divided(first, other)
                ids = ids_of(first, 5)
                for saga_id in ids:
                    await first.start(Parcel, MARIA, saga_id=saga_id)
                await until(lambda: len(calls.by("A")) == 5)
            return calls, await settled(other, ids)

    calls, histories = drive(main())
    for history in histories:
        assert calls.engines_of(f"{history.saga_id}/pack/action/1") == ["A", "B"]
        assert [it["result"] for it in told(history, "StepSucceeded")] == ["B", "B", "B"]
        assert types(history).count("StepDispatched") == 3


class Wet(Saga[Trip], name="wet"):
    """Its first attempt fails; the second is due soon."""

    def __init__(self, engine: str, calls: Calls) -> None:
        self.engine, self.calls = engine, calls

    @step(retry=Retry(attempts=2, delay=timedelta(seconds=1), jitter=0))
    async def go(self, trip: Trip, *, attempt: Attempt) -> str:
        called = await self.calls.make(self.engine, attempt)
        if attempt.number == 1:
            raise OSError("rain")
        return called


@pytest.mark.promise("owner.takeover", "row.step.retrying.StepDispatched")
def test_what_is_due_later_is_made_by_whoever_owns_it_then(shared: Place):
    async def main():
        calls = Calls()
        async with engine(shared.address, "B", calls, kinds=[Wet]) as other:
            async with engine(shared.address, "A", calls, kinds=[Wet]) as first:
                await divided(first, other, kinds=[Wet])
                (saga_id,) = ids_of(first, 1, Wet)
                await first.start(Wet, MARIA, saga_id=saga_id)
                await seen(other, saga_id, "StepRetryScheduled")
            await settled(other, [saga_id])
            return calls.made, f"{saga_id}/go/action/1"

    made, key = drive(main())
    assert made == [("A", key, 1), ("B", key, 2)]


# -- an engine falls silent --------------------------------------------------------------------------


@pytest.mark.promise("owner.takeover", "owner.fence", "case.late-reply")
@pytest.mark.parametrize("how", ["fails", "blocks"])
def test_who_is_silent_past_its_lease_has_lost_its_sagas_and_goes_on_with_what_it_gets(
    shared: Place, how: str
):
    async def main():
        calls = Calls()
        calls.hold("A", "B")
        store = shared.open()
        async with (
            engine(shared.address, "A", calls, lease=timedelta(seconds=0.8)) as first,
            engine(shared.address, "B", calls) as other,
        ):
            await divided(first, other)
            (saga_id,) = ids_of(first, 1)
            await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: calls.by("A"))
            with silent(first, how):
                await until(lambda: not store.crew.workers()[0].is_alive)
                poke(store)  # the other looks round at its next beat, or now
                await until(lambda: len(numbers(other)) == SHARDS)
                await until(lambda: calls.by("B"))  # for all that B knows, A is dead
                assert len(numbers(first)) == SHARDS / 2  # and A knows nothing of it
                calls.let_go("A")
                await until(lambda: len(numbers(first)) < SHARDS / 2)  # its answer was refused
                late = types(await other.history(saga_id))
            await divided(first, other)
            calls.let_go("B")
            (history,) = await settled(other, [saga_id])
            (again,) = ids_of(first, 1, skip=1)
            await first.start(Parcel, MARIA, saga_id=again)
            (after,) = await settled(first, [again])
            return calls, late, history, after, (name_of(first), name_of(other))

    calls, late, history, after, names = drive(main())
    assert late == ["SagaStarted", "StepDispatched"]
    assert told(history, "StepSucceeded")[0]["result"] == "B"
    assert types(history) == ["SagaStarted", *["StepDispatched", "StepSucceeded"] * 3, "SagaSucceeded"]
    assert check_owners(history) == [(names[0], 1), (names[1], 2)]
    assert [key for key, _ in calls.twice] == [f"{history.saga_id}/pack/action/1"]
    assert check_owners(after) == [(names[0], 3)]


@pytest.mark.promise("owner.fence", "owner.calls", "call.signal", "call.start", "invariant.11")
def test_what_was_asked_of_one_that_has_lost_a_saga_is_decided_again_and_not_lost(shared: Place):
    async def main():
        calls, store = Calls(), shared.open()
        async with (
            engine(shared.address, "A", calls) as first,
            engine(shared.address, "B", calls, poll=NEVER) as other,
        ):
            await divided(first, other)
            waiting, fresh = ids_of(first, 3, Errand), ids_of(first, 3)
            for saga_id in waiting:
                await first.start(Errand, MARIA, saga_id=saga_id)
                await seen(first, saga_id, "SignalAwaited")
            with silent(first):
                await replaced(first, [other], store)
                before = len(numbers(first)), len(numbers(first, Errand))
                for saga_id in waiting:
                    await first.signal(saga_id, "word", "still here")
                for saga_id in fresh:
                    await first.start(Parcel, MARIA, saga_id=saga_id)
                after = len(numbers(first)), len(numbers(first, Errand))
                histories = await settled(first, [*waiting, *fresh])
            return calls, before, after, histories, name_of(other)

    calls, before, after, histories, of_b = drive(main())
    assert calls.twice == []
    assert [lost - left for lost, left in zip(before, after, strict=True)] == [3, 3]
    for history in histories:
        owner, epoch = check_owners(history)[-1]
        assert (owner, epoch) == (of_b, 2)
        (asked,) = [it for it in history.events if it.type in {"SignalReceived", "SagaStarted"}][-1:]
        assert asked.metadata == {}  # in nobody's epoch
        assert told(history, "StepSucceeded")[-1]["result"] in {"B says still here", "B"}


@pytest.mark.promise("owner.fence", "invariant.14")
def test_of_what_is_written_at_the_same_time_only_what_is_lost_is_refused(shared: Place):
    """One statement writes for many sagas; those of a shard that is held still are not held up by the others."""

    lost = [*range(0, 40, 2)]

    async def main():
        calls, store = Calls(), shared.open()
        calls.hold("A")
        async with engine(shared.address, "A", calls) as first:
            ids = [id_in(number, "parcel") for number in range(40)]
            for saga_id in ids:
                await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: len(calls.by("A")) == 40)
            with silent(first):
                await at_rest(first)
                join(store, "ghost")
                say(store, TAKE_AWAY, "ghost", lost)
                calls.let_go("A")
                histories = await settled(first, ids[1::2])
                await until(lambda: len(numbers(first)) == SHARDS - len(lost))
                refused = [await first.history(saga_id) for saga_id in ids[::2]]
            return numbers(first), histories, refused

    left, histories, refused = drive(main())
    assert len(histories) == len(refused) == 20
    for history in refused:
        assert types(history) == ["SagaStarted", "StepDispatched"]
    assert left == {*range(SHARDS)} - {*lost}


@pytest.mark.promise("owner.takeover", "case.late-reply", "invariant.12")
def test_who_gets_back_what_it_had_lost_makes_again_what_was_answered_meanwhile(shared: Place):
    async def main():
        calls, store = Calls(), shared.open()
        calls.hold("A", "B")
        async with engine(shared.address, "A", calls) as first:
            async with engine(shared.address, "B", calls, drain=timedelta(0)) as other:
                await divided(first, other)
                (saga_id,) = ids_of(first, 1)
                await first.start(Parcel, MARIA, saga_id=saga_id)
                waiting = asyncio.ensure_future(first.outcome(saga_id, timeout=SOON))  # it stays in hand
                await until(lambda: calls.by("A"))
                with silent(first):
                    await replaced(first, [other], store)
                    await until(lambda: calls.by("B"))
                poke(store)
                await divided(first, other)  # it has been told, and no commit was refused
                calls.let_go("A")
                await until(lambda: first._works.manager.dispatcher.in_flight == 0)
                assert types(await other.history(saga_id)) == ["SagaStarted", "StepDispatched"]
            assert (await waiting).status == "succeeded"
            (history,) = await settled(first, [saga_id])
            return calls, history

    calls, history = drive(main())
    assert calls.engines_of(f"{history.saga_id}/pack/action/1") == ["A", "B", "A"]
    assert types(history) == ["SagaStarted", *["StepDispatched", "StepSucceeded"] * 3, "SagaSucceeded"]
    assert [epoch for _, epoch in check_owners(history)] == [1, 3]  # in the second nothing was recorded


@pytest.mark.promise("owner.calls", "owner.takeover", "call.pause", "call.resume")
def test_who_may_have_lost_a_saga_answers_nothing_by_what_it_remembers_of_it(shared: Place):
    """That a command changes nothing is no commit, which would be refused."""

    async def main():
        calls, store = Calls(), shared.open()
        async with (
            engine(shared.address, "A", calls) as first,
            engine(shared.address, "B", calls, poll=NEVER) as other,
            client(shared.address) as outside,
        ):
            await divided(first, other)
            (saga_id,) = ids_of(first, 1, Errand)
            await first.start(Errand, MARIA, saga_id=saga_id)
            await seen(first, saga_id, "SignalAwaited")
            with silent(first):
                await replaced(first, [other], store)
                assert first._works.ownership.holds(first._works.manager.in_hand(saga_id).shard)
                first._works.ownership.sure_until = 0  # as after its lease
                await outside.pause(saga_id, **BY_ANN)
                resuming = asyncio.ensure_future(first.resume(saga_id, **BY_ANN))
                await until(lambda: first._works.manager._unsure)
                assert "SagaResumed" not in types(await outside.history(saga_id))
            await resuming  # it has been told what it holds
            await outside.signal(saga_id, "word", "here")
            return types(*await settled(outside, [saga_id])), calls.twice

    recorded, twice = drive(main())
    assert recorded.count("SagaResumed") == 1
    assert twice == []


# -- an engine is dead -------------------------------------------------------------------------------


def ended_process() -> Process:
    """Return a process of this machine that has ended."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        return replace(this_process(), pid=child.pid, began=stat[19])


async def left_open(place: Place, ghost: Process, lease: timedelta) -> None:
    """Leave two sagas open with a worker that nobody will hear of again: one that waits, and one that a client asks."""
    async with engine(place.address, "A", Calls()) as first:
        await first.start(Errand, MARIA, saga_id="open")
        await seen(first, "open", "SignalAwaited")
        lanes = [Lane.of(it) for it in first._registry.definitions]
    store = place.open()
    join(store, "ghost", *lanes, process=ghost, lease=lease)
    for lane in lanes:
        claim(store, "ghost", SHARDS, lane)
    assert len(held(store, "ghost")) == SHARDS * len(lanes)
    async with client(place.address) as outside:
        await outside.signal("open", "word", "boo")
        await outside.start(Parcel, MARIA, saga_id="asked")


@pytest.mark.promise("owner.takeover", "case.crash", "invariant.11", "invariant.12")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_whoever_is_surely_dead_is_followed_at_once(shared: Place):
    async def main():
        calls = Calls()
        await left_open(shared, ended_process(), timedelta(days=1))
        async with engine(shared.address, "B", calls, poll=NEVER) as other:
            assert len(numbers(other)) == len(numbers(other, Errand)) == SHARDS  # on entering
            assert members(shared.open()) == [name_of(other)]
            return [it.state.status for it in await settled(other, ["open", "asked"])], calls

    statuses, calls = drive(main())
    assert statuses == ["succeeded"] * 2
    assert len(calls.by("B")) == 1 + 3


@pytest.mark.promise("owner.takeover", "case.crash", "field.Settings.lease")
def test_of_one_elsewhere_nobody_can_say_and_its_lease_runs_out_first(shared: Place):
    async def main():
        await left_open(shared, FAR_AWAY, timedelta(seconds=1))
        async with engine(shared.address, "B", Calls(), lease=timedelta(seconds=1.5)) as other:
            at_first = len(numbers(other))
            await settled(other, ["open", "asked"])
            return at_first

    assert drive(main()) == 0
