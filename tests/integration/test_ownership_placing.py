"""Sagas of which the index does not tell where they belong: copied, of older tables, or not to be read for a while."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_es import Recorded, SagaDefinition
from saga_es.errors import StoredEventError
from saga_es.runtime.loading import Loader
from tests.integration.engine.world import MARIA, drive, told
from tests.support.engines import NEVER, Calls, Errand, Parcel, client, engine, settled, until
from tests.support.stores import Place
from tests.support.workers import say, shared

__all__ = ["shared"]


def unreadable(loader: Loader, saga_id: str, first: Recorded) -> SagaDefinition:
    """Stand for a key that is wrong."""
    raise StoredEventError(saga_id, version=first.version, type=first.type, problem="the key is wrong")


@pytest.mark.promise("owner.takeover", "cli.copy")
def test_sagas_of_which_the_index_does_not_tell_the_shard_are_taken_up_on_entering(shared: Place):
    """As after a copy from a store that one engine had alone."""

    async def main():
        calls = Calls()
        calls.hold("A")
        ids = [f"p{number}" for number in range(5)]
        async with engine(shared.address, "A", calls, drain=timedelta(0)) as first:
            for saga_id in ids:
                await first.start(Parcel, MARIA, saga_id=saga_id)
            await until(lambda: len(calls.made) == len(ids))
        say(shared.open(), "UPDATE {index} SET lane = NULL, shard = NULL")
        async with engine(shared.address, "B", calls, poll=NEVER):
            await until(lambda: len(calls.by("B")) == len(ids) * 3)  # nobody asks for them
        async with client(shared.address) as outside:
            return await settled(outside, ids)

    for history in drive(main()):
        assert [it["result"] for it in told(history, "StepSucceeded")] == ["B", "B", "B"]


@pytest.mark.promise("owner.takeover", "case.poison")
@pytest.mark.parametrize("is_at_work", [False, True], ids=["at the next entry", "told by another"])
def test_what_could_not_be_read_goes_on_once_it_can(shared: Place, monkeypatch, is_at_work):
    async def main():
        calls, ids = Calls(), [f"p{number}" for number in range(3)]
        async with client(shared.address) as outside:
            for saga_id in ids:
                await outside.start(Parcel, MARIA, saga_id=saga_id)
            say(shared.open(), "UPDATE {index} SET lane = NULL, shard = NULL")
            say(shared.open(), "DELETE FROM {calls}")
            with monkeypatch.context() as patched:
                patched.setattr(Loader, "plan_of", unreadable)
                first = engine(shared.address, "A", calls)
                await first.__aenter__()
                parked = [it.parked for it in (await outside.find(parked=True)).items]
                if not is_at_work:
                    await first.__aexit__(None, None, None)
            async with engine(shared.address, "B", calls, kinds=[Errand] if is_at_work else [Parcel]):
                shown = [it.parked for it in (await outside.find()).items]
                await settled(outside, ids)
            if is_at_work:
                await first.__aexit__(None, None, None)
        return parked, shown, {caller for caller, _, _ in calls.made}

    parked, shown, callers = drive(main())
    assert len(parked) == 3
    assert all("the key is wrong" in reason for reason in parked)
    assert shown == [None] * 3
    assert callers == {"A" if is_at_work else "B"}
