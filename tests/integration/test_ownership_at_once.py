"""What an engine says to the others waits for nothing else that it does."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga_es.errors import StoreUnavailable
from saga_es.runtime.loading import READERS
from tests.integration.engine.world import PATIENCE, drive
from tests.support.engines import TURN, Calls, engine, until
from tests.support.stores import Place
from tests.support.workers import members, shared

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

            def at(due, callback, plain=works.timers.at):
                if callback == follower._look_soon:
                    pauses.append(due - works.timers.now())
                return plain(due, callback)

            def calls(*_: object, **__: object):
                raise StoreUnavailable(shared.address, problem="away")

            monkeypatch.setattr(works.timers, "at", at)
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
