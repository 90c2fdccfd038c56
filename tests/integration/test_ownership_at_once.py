"""What an engine says to the others waits for nothing else that it does."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

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
