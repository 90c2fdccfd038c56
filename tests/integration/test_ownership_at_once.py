"""What an engine says to the others waits for nothing else that it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from saga_es.errors import StoreUnavailable
from saga_es.runtime.loading import READERS
from saga_es.store.application import SagaApplication
from tests.integration.engine.world import MARIA, PATIENCE, drive
from tests.support.engines import TURN, Calls, Parcel, at_rest, divided, engine, ids_of, poke, settled, until
from tests.support.stores import Place
from tests.support.workers import fall_silent, join, members, say, shared

__all__ = ["shared"]


@pytest.mark.promise("owner.takeover", "case.store-goes-away")
def test_an_engine_says_that_it_lives_however_busy_its_readers_are(shared: Place):
    async def main():
        gate, store = threading.Event(), shared.open()
        async with engine(shared.address, "A", Calls(), lease=timedelta(seconds=1)) as first:
            reading = [asyncio.ensure_future(first._works.loader.read(gate.wait)) for _ in range(READERS + 4)]
            heard = {store.crew.muster("").members[0].heard_at}
            while len(heard) < 4:
                await asyncio.sleep(TURN)
                heard.add(store.crew.muster("").members[0].heard_at)
            gate.set()
            await asyncio.gather(*reading)

    drive(main())


@pytest.mark.promise("owner.shares", "case.shutting-down")
def test_whoever_leaves_is_gone_at_once_though_it_can_not_stop_listening(shared: Place):
    async def main():
        gate, store = threading.Event(), shared.open()
        first = engine(shared.address, "A", Calls())
        await first.__aenter__()
        listening = first._works._follower._listening
        stop, listening.stop = listening.stop, lambda: gate.wait(PATIENCE)
        leaving = asyncio.ensure_future(first.__aexit__(None, None, None))
        await until(lambda: members(store) == [])
        assert not leaving.done()
        gate.set()
        stop()
        await leaving

    drive(main())


@pytest.mark.promise("case.store-goes-away")
def test_a_store_that_is_away_is_looked_at_less_and_less_often(shared: Place, monkeypatch):
    """Nothing is heard either: otherwise one look in a second is enough."""
    pauses: list[timedelta] = []

    async def main():
        moment = timedelta(milliseconds=10)
        async with engine(shared.address, "A", Calls(), poll=moment) as first:
            works, follower = first._works, first._works._follower
            await first._works.loader.read(follower._listening.stop)

            class Noting:
                def at(self, due, callback):
                    if callback == follower._look_soon:
                        pauses.append(due - works.timers.now())
                    return works.timers.at(due, callback)

                def __getattr__(self, name):
                    return getattr(works.timers, name)

            def calls(*_: object, **__: object):
                raise StoreUnavailable(shared.address, problem="away")

            monkeypatch.setattr(follower, "_timers", Noting())
            away = len(pauses)
            with monkeypatch.context() as patched:
                patched.setattr(follower._crew, "calls", calls)
                await until(lambda: len(pauses) >= away + 12)
            back = len(pauses)
            await until(lambda: len(pauses) >= back + 3)

    drive(main())
    seconds = [round(pause.total_seconds(), 2) for pause in pauses]
    longest = seconds.index(0.64)
    assert seconds[longest - 5 : longest + 3] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert seconds[-1] == 0.01


@pytest.mark.promise("owner.takeover", "owner.shares")
def test_claims_that_wait_for_appends_do_not_keep_workers_from_saying_that_they_live(shared: Place):
    """Longer than a lease: each would take the others for dead when its claim has its turn at last."""

    async def main():
        calls, store, lease = Calls(), shared.open(), timedelta(seconds=2)
        calls.hold("A", "B")
        async with (
            engine(shared.address, "A", calls, lease=lease) as first,
            engine(shared.address, "B", calls, lease=lease) as other,
        ):
            await divided(first, other)
            ids = [*ids_of(first, 3), *ids_of(other, 3)]
            for saga_id in ids:
                await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: len(calls.made) == len(ids))
            join(store, "Z")
            await at_rest(first, other)
            with appending(store):
                fall_silent(store, "Z")  # and everybody wants to bury it
                poke(store)
                begun = asyncio.get_running_loop().time()
                await until(lambda: asyncio.get_running_loop().time() - begun > 2 * lease.total_seconds())
                silent = say(
                    store, "SELECT max(clock_timestamp() - heard_at) AS it FROM {workers} WHERE worker <> 'Z'"
                )
            calls.let_go("A")
            calls.let_go("B")
            await settled(first, ids)
            return calls, silent[0]["it"]

    calls, silent = drive(main())
    assert silent < timedelta(seconds=2)
    assert calls.twice == []


@contextmanager
def appending(store: SagaApplication) -> Generator[None]:
    """Keep appends and claims waiting, as one that takes long does."""
    key = store.recorder._say.lock_key("append")
    with store.recorder.datastore.connect() as db:
        db.execute("SELECT pg_advisory_lock(%s)", (key,))
        yield


@pytest.mark.promise("case.shutting-down", "case.store-goes-away")
def test_whoever_leaves_a_store_that_does_not_answer_listens_no_more(shared: Place):
    async def main():
        store = shared.open()
        first = engine(shared.address, "A", Calls())
        await first.__aenter__()
        listener = first._works._follower._listening
        with appending(store):
            await first.__aexit__(None, None, None)
            await until(lambda: not listener._thread.is_alive())

    drive(main())
