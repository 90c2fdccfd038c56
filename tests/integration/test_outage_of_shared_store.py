"""Connections of workers are cut: what they own stays theirs, and they hear of each other again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from saga_es import SagaEngine
from saga_es.errors import StoreUnavailable
from saga_es.store.address import open_store
from saga_es.store.crew import Crew
from saga_es.store.port import Store
from saga_es.store.shards import HeldCall
from tests.integration.engine.world import MARIA, SOON, drive
from tests.support.engines import (
    NEVER,
    TURN,
    Calls,
    Errand,
    Parcel,
    check_owners,
    client,
    divided,
    engine,
    ids_of,
    name_of,
    settled,
    until,
)
from tests.support.workers import held

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def dsn(postgres_url: str) -> str:
    open_store(postgres_url, migrate=True).close()
    return postgres_url


def asked(dsn: str, question: str, *values: object) -> list[int]:
    with psycopg.connect(dsn, autocommit=True) as db:
        return [number for (number,) in db.execute(question, values)]


def cut(dsn: str) -> list[int]:
    """End every connection to the database; return those that listened."""
    listened = asked(dsn, f"SELECT pid {OTHERS} AND query LIKE 'LISTEN%%'")
    asked(dsn, f"SELECT pg_terminate_backend(pid)::int {OTHERS}")
    return listened


async def listening_again(dsn: str, before: list[int]) -> None:
    again = f"SELECT pid {OTHERS} AND query LIKE 'LISTEN%%' AND pid <> ALL(%s)"
    while len(asked(dsn, again, before)) < len(before):
        await asyncio.sleep(TURN)


def epochs(dsn: str, *engines: SagaEngine) -> list[dict]:
    store = open_store(dsn)
    try:
        return [dict(held(store, name_of(it))) for it in engines]
    finally:
        store.close()


@pytest.mark.promise("case.store-goes-away", "owner.fence", "owner.calls")
def test_workers_whose_connections_were_cut_own_what_they_owned_and_are_told_again(dsn: str):
    async def main():
        calls = Calls()
        calls.hold("A", "B")
        async with (
            client(dsn) as outside,
            engine(dsn, "A", calls, poll=NEVER) as first,
            engine(dsn, "B", calls, poll=NEVER) as other,
        ):
            await divided(first, other)
            ids = [*ids_of(first, 5), *ids_of(other, 5)]
            for saga_id in ids:
                await outside.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: len(calls.made) == 10)
            before = epochs(dsn, first, other)
            for _ in range(3):
                listened = cut(dsn)
                assert len(listened) == 2
                await listening_again(dsn, listened)
            late = [*ids_of(first, 1, Errand), *ids_of(other, 1, Errand)]
            calls.let_go("A")
            calls.let_go("B")
            for saga_id in late:  # nobody polls: they are told, or nobody goes on with it
                await outside.start(Errand, MARIA, saga_id=saga_id)
                await outside.signal(saga_id, "word", "still there?")
            histories = await settled(outside, [*ids, *late])
            names = [name_of(first)] * 5 + [name_of(other)] * 5 + [name_of(first), name_of(other)]
            return calls, before, epochs(dsn, first, other), histories, names

    calls, before, after, histories, names = drive(main())
    assert before == after
    assert calls.twice == []
    assert len(calls.made) == 10 * 3 + 2 * 2
    for history, name in zip(histories, names, strict=True):
        ((owner, _),) = check_owners(history)
        assert owner == name


@pytest.mark.promise("case.store-goes-away", "owner.calls", "invariant.11")
def test_what_a_worker_was_told_and_lost_before_it_had_taken_it_in_it_is_told_again(dsn: str):
    async def main():
        calls = Calls()
        async with client(dsn) as outside, engine(dsn, "A", calls) as first:
            first._works.patience._limit = timedelta(milliseconds=300)
            told = noted_calls(first._works.store)
            cut_streams(first._works.store, while_=lambda: len(told) < 2)
            saga_id = await outside.start(Parcel, MARIA)
            await outside.outcome(saga_id, timeout=SOON)
            return calls, told

    calls, told = drive(main())
    assert told[0] == told[1]
    assert calls.twice == []
    assert len(calls.by("A")) == 3


@pytest.mark.promise("case.store-goes-away", "owner.calls")
def test_that_a_call_was_answered_is_said_until_it_is_heard(dsn: str):
    async def main():
        calls = Calls()
        async with client(dsn) as outside, engine(dsn, "A", calls) as first:
            store = first._works.store
            told, cuts = noted_calls(store), cut_answers(store, 3)
            saga_id = await outside.start(Parcel, MARIA)
            await outside.outcome(saga_id, timeout=SOON)
            await until(lambda: not asked(dsn, "SELECT 1 FROM saga_calls"))
            return calls, told, cuts

    calls, told, cuts = drive(main())
    assert (len(told), len(cuts)) == (1, 3)
    assert calls.twice == []


def noted_calls(store: Store) -> list[Sequence[HeldCall]]:
    """Note what calls a worker is told."""
    crew, told = store.crew, list[Sequence[HeldCall]]()
    tell = crew.calls

    def calls(worker: str, **more: Any) -> Sequence[HeldCall]:
        found = tell(worker, **more)
        if found:
            told.append(found)
        return found

    crew.calls = calls
    return told


def cut_streams(store: Store, *, while_: Callable[[], bool]) -> None:
    streams = store.streams

    def ask(saga_ids: Sequence[str]) -> object:
        if while_():
            raise StoreUnavailable("postgresql://…", problem="the line was cut")
        return streams(saga_ids)

    store.streams = ask


def cut_answers(store: Store, times: int) -> list[Sequence[int]]:
    """Have the store not hear so many times that calls were answered; return which these were."""
    tell, cuts = store.crew.calls, list[Sequence[int]]()

    def calls(worker: str, *, answered: Sequence[int] = (), **more: Any) -> Sequence[HeldCall]:
        if answered and len(cuts) < times:
            cuts.append(answered)
            raise StoreUnavailable("postgresql://…", problem="the line was cut")
        return tell(worker, answered=answered, **more)

    store.crew.calls = calls
    return cuts


@pytest.mark.promise("case.store-goes-away", "owner.shares")
def test_shards_that_were_claimed_when_the_answer_was_lost_are_taken_up_all_the_same(dsn: str, monkeypatch):
    async def main():
        calls = Calls()
        async with client(dsn) as outside, engine(dsn, "A", calls) as first:
            lost = lose_answers(monkeypatch, name_of(first))
            async with engine(dsn, "B", calls) as other:
                await divided(first, other)
                ids = [*ids_of(first, 3), *ids_of(other, 3)]
                for saga_id in ids:
                    await outside.start(Parcel, MARIA, saga_id=saga_id)
                await settled(outside, ids)
                return calls, lost, [calls.callers_of(saga_id) for saga_id in ids]

    calls, lost, callers = drive(main())
    assert calls.twice == []
    assert callers == [{"A"}] * 3 + [{"B"}] * 3
    assert max(lost) >= 128  # what it held when it was told that the store does not answer


def lose_answers(monkeypatch: pytest.MonkeyPatch, spared: str) -> list[int]:
    """Have the answers to some claims be lost; return how much was held by that, each time."""
    lost: list[int] = []
    claim = Crew.claim

    def ask(crew: Crew, worker: str, *values: Any, **more: Any) -> None:
        claim(crew, worker, *values, **more)
        holds = len(crew.muster(worker).holds)
        if worker != spared and len(lost) < 5 and max(lost, default=0) < 128:
            lost.append(holds)
            raise StoreUnavailable("postgresql://…", problem="the line was cut")

    monkeypatch.setattr(Crew, "claim", ask)
    return lost
