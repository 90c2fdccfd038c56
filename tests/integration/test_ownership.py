"""Several engines on one PostgreSQL: the sagas are divided among them, and whoever asks need not know how."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from saga_es.errors import UnknownSaga
from saga_es.store.crew import Listening
from saga_es.store.recorders.postgres_crew import PostgresCrew
from saga_es.store.recorders.postgres_listener import PostgresListener
from saga_es.store.shards import SHARDS, number_of
from tests.integration.engine.world import MARIA, SOON, drive, seen, told, types
from tests.support.engines import (
    NEVER,
    Calls,
    Errand,
    Parcel,
    check_owners,
    client,
    divided,
    engine,
    ids_of,
    leaving,
    name_of,
    numbers,
    pair,
    settled,
    until,
)
from tests.support.stores import Place
from tests.support.workers import id_in, shared

__all__ = ["shared"]
STEPS = ("pack", "send", "thank")


# -- the sagas are divided ---------------------------------------------------------------------------


@pytest.mark.promise("owner.shares", "owner.fence", "call.start", "call.outcome", "field.Recorded.metadata")
@pytest.mark.parametrize("count", [2, 3])
def test_the_sagas_are_divided_and_each_is_one_engines(shared: Place, count: int):
    async def main():
        calls = Calls()
        names = "ABC"[:count]
        async with asyncio.TaskGroup() as group:
            entered = [group.create_task(engine(shared.address, it, calls).__aenter__()) for it in names]
        engines = [task.result() for task in entered]
        await divided(*engines)
        ids = [f"p{number}" for number in range(60)]
        for number, saga_id in enumerate(ids):  # whoever is asked, and whoever waits
            await engines[number % count].start(Parcel, MARIA, saga_id=saga_id)
        histories = await settled(engines[0], ids)
        outcomes = [await engines[(n + 1) % count].outcome(it, timeout=SOON) for n, it in enumerate(ids)]
        owners = {name_of(it): (name, numbers(it)) for name, it in zip(names, engines, strict=True)}
        for it in engines:
            await it.__aexit__(None, None, None)
        return calls, histories, outcomes, owners

    calls, histories, outcomes, owners = drive(main())
    assert calls.twice == []
    assert len(calls.made) == 60 * 3
    for history, outcome in zip(histories, outcomes, strict=True):
        ((worker, epoch),) = check_owners(history)
        name, held = owners[worker]
        assert number_of(history.saga_id) in held
        assert epoch >= 1
        assert calls.callers_of(history.saga_id) == {name}
        assert outcome.results == dict.fromkeys(STEPS, name)
        assert types(history) == ["SagaStarted", *["StepDispatched", "StepSucceeded"] * 3, "SagaSucceeded"]
    assert {calls.engines_of(f"p{number}/pack/action/1")[0] for number in range(60)} == {*"ABC"[:count]}


@pytest.mark.promise("call.start")
def test_what_an_engine_starts_under_an_id_of_its_own_making_is_its_own(shared: Place):
    async def main():
        calls = Calls()
        async with (
            engine(shared.address, "A", calls) as first,
            engine(shared.address, "B", calls, poll=NEVER) as other,
        ):
            await divided(first, other)
            return [(await other.run(Parcel, MARIA, timeout=SOON)).results for _ in range(10)]

    assert drive(main()) == [dict.fromkeys(STEPS, "B")] * 10


@pytest.mark.promise("owner.calls", "call.SagaClient", "call.start")
def test_a_saga_that_a_client_started_is_taken_up_by_its_owner_who_is_told(shared: Place):
    async def main():
        calls = Calls()
        async with (
            engine(shared.address, "A", calls, poll=NEVER) as first,
            engine(shared.address, "B", calls, poll=NEVER) as other,
            client(shared.address) as outside,
        ):
            await divided(first, other)
            ids = {"A": ids_of(first, 5), "B": ids_of(other, 5)}
            for saga_id in (*ids["A"], *ids["B"]):
                await outside.start(Parcel, MARIA, saga_id=saga_id)
            results = {
                name: [(await outside.outcome(it, timeout=SOON)).results for it in ids[name]] for name in ids
            }
            begun = (await outside.history(ids["A"][0])).events[0]
            return calls, results, begun

    calls, results, begun = drive(main())
    assert results == {name: [dict.fromkeys(STEPS, name)] * 5 for name in "AB"}
    assert calls.twice == []
    assert begun.metadata == {}


@pytest.mark.promise("owner.calls", "error.UnknownSaga", "call.outcome")
def test_all_who_wait_for_a_saga_learn_of_its_end_wherever_it_runs(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        async with (
            engine(shared.address, "A", calls) as first,
            engine(shared.address, "B", calls) as other,
            client(shared.address) as outside,
        ):
            await divided(first, other)
            (saga_id,) = ids_of(first, 1)
            with pytest.raises(UnknownSaga):
                await other.outcome(saga_id, timeout=SOON)
            await other.start(Parcel, MARIA, saga_id=saga_id)
            waiting = [
                asyncio.ensure_future(it.outcome(saga_id, timeout=SOON)) for it in (first, other, outside)
            ]
            await until(lambda: calls.made)
            with pytest.raises(TimeoutError, match="still to come: pack"):
                await other.outcome(saga_id, timeout=timedelta(milliseconds=1))
            assert not any(it.done() for it in waiting)
            calls.let_go("A")
            return await asyncio.gather(*waiting)

    assert [it.results for it in drive(main())] == [dict.fromkeys(STEPS, "A")] * 3


@pytest.mark.promise("owner.calls", "call.outcome")
def test_a_saga_that_goes_on_elsewhere_is_read_when_it_ends_or_when_somebody_asks_how_it_stands(
    shared: Place, monkeypatch
):
    loads: list[str] = []

    async def main():
        calls = Calls()
        async with pair(shared.address, calls) as (first, other):
            calls.hold("A")
            ids = ids_of(first, 20, Errand)

            async def load(live, plain=other._works.loader.load):
                loads.append(live.saga_id)
                await plain(live)

            monkeypatch.setattr(other._works.loader, "load", load)
            for saga_id in ids:
                await first.start(Errand, MARIA, saga_id=saga_id)
            waiting = [asyncio.ensure_future(other.outcome(it, timeout=SOON)) for it in ids]
            await until(lambda: len(other._works.manager.watchers.elsewhere()) == len(ids) == len(calls.made))
            calls.let_go("A", ids[0])
            await seen(first, ids[0], "SignalAwaited")
            with pytest.raises(TimeoutError, match="still to come: word"):
                await other.outcome(ids[0], timeout=timedelta(0))
            calls.let_go("A", *ids)
            for saga_id in ids:
                await first.signal(saga_id, "word", "hello")
            return ids, await asyncio.gather(*waiting)

    ids, outcomes = drive(main())
    assert [it.status for it in outcomes] == ["succeeded"] * len(ids)
    assert sorted(loads) == sorted([*ids, ids[0]])


@pytest.mark.promise("call.workers", "owner.shares")
def test_each_tells_who_is_at_work_and_what_each_owns(shared: Place):
    async def main():
        lease = timedelta(seconds=9)
        async with (
            engine(shared.address, "A", Calls()) as first,
            engine(shared.address, "B", Calls(), kinds=[Parcel], lease=lease) as other,
        ):
            await divided(first, other, kinds=[Parcel])
            told = await first.workers(), await other.workers()
            owned = [(it.definition, it.version, {*it.shards}) for it in told[0][0].owns]
            assert owned == [("errand", 1, {*range(SHARDS)}), ("parcel", 1, numbers(first))]
            assert [(it.definition, {*it.shards}) for it in told[0][1].owns] == [("parcel", numbers(other))]
            return told, [name_of(first), name_of(other)]

    (by_first, by_other), names = drive(main())
    assert [it.worker for it in by_first] == [it.worker for it in by_other] == names
    assert [it.owns for it in by_first] == [it.owns for it in by_other]
    assert [it.lease.total_seconds() for it in by_first] == [15, 9]
    assert {(it.pid, it.is_alive) for it in by_first} == {(os.getpid(), True)}


# -- notifications are lost --------------------------------------------------------------------------


@dataclass
class Ears:
    """Hear what is told until they are deaf, and know that they are, or do not."""

    know: bool
    are_deaf: bool = False

    def of(self, crew: PostgresCrew, worker: str, on_news: Callable[[str], None]) -> Listening:
        def hear(news: str) -> None:
            if not self.are_deaf:
                on_news(news)

        listener = PostgresListener(crew._datastore.connect, f"saga_es_{worker}", hear)
        return Listener(self, listener.hang_up, listener.stop)


@dataclass
class Listener:
    ears: Ears
    hang_up: Callable[[], None]
    stop: Callable[[], None]

    @property
    def hears(self) -> bool:
        return not (self.ears.know and self.ears.are_deaf)


@pytest.mark.promise("owner.calls", "owner.shares")
@pytest.mark.parametrize("know", [True, False], ids=["it knows", "it does not know"])
def test_what_an_engine_was_not_told_it_finds_by_itself(shared: Place, monkeypatch, know: bool):
    ears = Ears(know)

    def listen(crew: PostgresCrew, worker: str, on_news: Callable[[str], None]) -> Listening:
        return ears.of(crew, worker, on_news)

    monkeypatch.setattr(PostgresCrew, "listen", listen)

    async def main():
        calls = Calls()
        lease = timedelta(seconds=2)
        async with (
            client(shared.address) as outside,
            engine(shared.address, "A", calls, lease=lease) as first,
        ):
            async with engine(shared.address, "B", calls) as other:
                await divided(first, other)
                ids = [*ids_of(first, 2), *ids_of(other, 2)]
                ears.are_deaf = True
                for saga_id in ids:
                    await outside.start(Errand, MARIA, saga_id=saga_id)
                for saga_id in ids:
                    await seen(outside, saga_id, "SignalAwaited")
                    await outside.signal(saga_id, "word", "hush")
                await settled(outside, ids[1:3])
                await settled(other, ids[:1])
            await until(lambda: len(numbers(first)) == SHARDS)
            await settled(first, ids)
            return calls

    calls = drive(main())
    assert calls.twice == []
    assert len(calls.made) == 4 * 2


# -- another comes -----------------------------------------------------------------------------------


@pytest.mark.promise("owner.shares")
def test_what_is_at_work_stays_where_it_is_when_another_comes(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        async with engine(shared.address, "A", calls) as first:
            busy = [id_in(number) for number in range(20)]
            for saga_id in busy:
                await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: len(calls.made) == 20)
            async with engine(shared.address, "B", calls) as other:
                await divided(first, other)
                assert numbers(first) >= {*range(20)}
                calls.let_go("A")
                await settled(first, busy)
        return calls

    calls = drive(main())
    assert calls.by("B") == []
    assert calls.twice == []


@pytest.mark.promise("owner.shares", "case.duplicate")
def test_where_all_is_at_work_a_shard_is_given_back_when_nothing_of_it_is_in_flight(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        ids = [id_in(number) for number in range(SHARDS)]
        async with engine(shared.address, "A", calls) as first:
            async with asyncio.TaskGroup() as group:
                for saga_id in ids:
                    group.create_task(first.start(Parcel, MARIA, saga_id=saga_id))
            await until(lambda: len(calls.made) == SHARDS)
            async with (
                engine(shared.address, "B", calls) as second,
                engine(shared.address, "C", calls) as third,
            ):
                await until(lambda: len(numbers(first)) in {85, 86})
                assert numbers(second) | numbers(third) == set()
                some = sorted(leaving(first))[:10]
                calls.let_go("A", *(ids[number] for number in some))
                await until(lambda: numbers(second) | numbers(third) == {*some})
                await settled(third, (ids[number] for number in some))
                assert len(leaving(first)) >= 160
                assert {*calls.by("A")} == {f"{saga_id}/pack/action/1" for saga_id in ids}
                calls.let_go("A")
                await divided(first, second, third)
                while (await first.find(status="running", limit=1)).items:
                    pass
                held = {name: numbers(it) for name, it in zip("ABC", (first, second, third), strict=True)}
                return calls, ids, held

    calls, ids, held = drive(main())
    assert calls.twice == []
    assert len(calls.made) == SHARDS * 3
    for name, numbers_ in held.items():
        for number in numbers_:
            assert calls.engines_of(f"{ids[number]}/pack/action/1") == ["A"]
            assert calls.engines_of(f"{ids[number]}/thank/action/1") == [name]


@pytest.mark.promise("owner.shares", "owner.fence", "case.late-reply")
def test_whoever_comes_waits_for_what_is_in_flight_no_longer_than_a_leaving_engine_does(shared: Place):
    async def main():
        calls = Calls()
        calls.hold("A")
        ids = [id_in(number) for number in range(SHARDS)]
        async with engine(shared.address, "A", calls, drain=timedelta(0)) as first:
            async with asyncio.TaskGroup() as group:
                for saga_id in ids:
                    group.create_task(first.start(Parcel, MARIA, saga_id=saga_id))
            await until(lambda: len(calls.made) == SHARDS)
            async with engine(shared.address, "B", calls) as other:
                await divided(first, other)
                theirs = [ids[number] for number in sorted(numbers(other))]
                histories = await settled(other, theirs[:20])
                calls.let_go("A")
                while (await first.find(status="running", limit=1)).items:
                    pass
                return calls, theirs, histories

    calls, theirs, histories = drive(main())
    assert {key for key, _ in calls.twice} == {f"{saga_id}/pack/action/1" for saga_id in theirs}
    for history in histories:
        assert told(history, "StepSucceeded")[0] == {"step": "pack", "attempt": 1, "result": "B"}
        assert types(history).count("StepDispatched") == 3
