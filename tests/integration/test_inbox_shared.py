"""Starts that wait in the inbox of several workers: who begins them, and what is set aside."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_es import SagaEngine
from saga_es.store.shards import SHARDS
from tests.integration.engine.world import MARIA, drive, seen
from tests.support.engines import (
    NEVER,
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
    settled,
    until,
)
from tests.support.inbox import Inbox, inbox
from tests.support.workers import id_in

__all__ = ["inbox"]
pytestmark = pytest.mark.promise("owner.deploy", "call.start_in")


@pytest.mark.promise("call.start_in")
def test_a_start_in_the_inbox_goes_to_a_worker_that_knows_its_definition(inbox: Inbox):
    async def main():
        calls = Calls()
        outside = client(inbox.house.place.address)
        async with (
            engine(inbox.house.place.address, "old", calls, kinds=[Parcel]) as old,
            engine(inbox.house.place.address, "new", calls, kinds=[Parcel, Weighed, Errand]) as new,
        ):
            await divided(old, new, kinds=[Parcel])
            of_v1 = [*ids_of(old, 3), *ids_of(new, 3)]
            of_new = [id_in(number, name) for name in ("weighed", "errand") for number in (3, 200)]
            with inbox.connect() as db:
                for saga_id in of_v1:
                    outside.start_in(db, Parcel, MARIA, saga_id=saga_id)
                for saga_id, kind in zip(of_new, (Weighed, Weighed, Errand, Errand), strict=True):
                    outside.start_in(db, kind, MARIA, saga_id=saga_id)
            begun = [history.events[0].metadata.get("worker") for history in await settled(old, of_v1)]
            assert begun == [name_of(old)] * 3 + [name_of(new)] * 3
            for saga_id in of_new:
                while not await is_there(old, saga_id):
                    pass
                await seen(old, saga_id, "SignalAwaited")
            return calls, of_v1, of_new

    calls, of_v1, of_new = drive(main())
    assert inbox.rows() == []
    assert calls.twice == []
    assert [calls.callers_of(saga_id) for saga_id in of_v1] == [{"old"}] * 3 + [{"new"}] * 3
    assert [calls.callers_of(saga_id) for saga_id in of_new] == [{"new"}] * 4


async def is_there(face: SagaEngine, saga_id: str) -> bool:
    return saga_id in {it.saga_id for it in (await face.find(limit=1000)).items}


@pytest.mark.promise("call.start_in", "error.UnknownDefinition")
def test_an_unknown_definition_is_set_aside_only_where_no_worker_that_lives_knows_it(inbox: Inbox):
    async def main():
        calls = Calls()
        outside = client(inbox.house.place.address)
        address, moment = inbox.house.place.address, timedelta(seconds=0.5)
        lease = timedelta(seconds=1)
        async with engine(address, "old", calls, kinds=[Parcel], lease=lease) as old:
            async with engine(address, "new", calls, kinds=[Errand, Weighed], poll=moment) as new:
                await until(lambda: len(old._works._follower.known) == 3)  # it has heard who came
                await until(lambda: new._works._inbox._looking is None)
                with inbox.connect() as db:  # which the old worker sees first
                    for number in range(20):
                        outside.start_in(db, Errand, MARIA, saga_id=f"e{number}")
                        outside.start_in(db, Weighed, MARIA, saga_id=f"w{number}")
                for number in range(20):
                    while not (await is_there(new, f"e{number}") and await is_there(new, f"w{number}")):
                        pass
            known = inbox.rows()
            with inbox.connect() as db:
                outside.start_in(db, Errand, MARIA, saga_id="late")
                outside.start_in(db, Weighed, MARIA, saga_id="newer")
            await until(lambda: all(error for _, error in inbox.rows()))
            return known, dict(inbox.rows())

    known, aside = drive(main())
    assert known == []
    assert aside["late"].startswith("UnknownDefinition: ")
    assert aside["newer"].startswith("InvalidInput: ")


@pytest.mark.promise("call.start_in", "owner.deploy")
def test_a_start_waits_for_a_worker_that_only_restarts(inbox: Inbox):
    async def main():
        calls = Calls()
        outside, address = client(inbox.house.place.address), inbox.house.place.address
        async with engine(address, "old", calls, kinds=[Parcel]) as old:
            async with engine(address, "new", calls, kinds=[Errand]):
                pass
            await until(lambda: len(old._works._follower._living) == 1)
            with inbox.connect() as db:
                outside.start_in(db, Errand, MARIA, saga_id="errand")
            await looked(old)
            held = inbox.rows()
            async with engine(address, "new", calls, kinds=[Errand]) as new:
                await there(new, "errand")
                await seen(new, "errand", "SignalAwaited")
            return held

    assert drive(main()) == [("errand", None)]


async def looked(engine: SagaEngine) -> None:
    """Have an engine look into the inbox some times."""
    reader = engine._works._inbox
    for _ in range(5):
        reader.begin()
        await until(lambda: reader._looking is None)


async def there(face: SagaEngine, saga_id: str) -> None:
    while not await is_there(face, saga_id):
        pass


@pytest.mark.promise("call.start_in", "owner.deploy")
def test_who_has_not_heard_of_a_newcomer_sets_nothing_aside_that_the_newcomer_knows(inbox: Inbox):
    async def main():
        calls = Calls()
        outside, address = client(inbox.house.place.address), inbox.house.place.address
        async with engine(address, "old", calls, kinds=[Parcel]) as old:
            old._works._follower._membership._observe = lambda *_: None  # it hears of nobody from here on
            async with engine(address, "new", calls, kinds=[Errand, Weighed], poll=NEVER) as new:
                await until(lambda: new._works._inbox._looking is None)
                with inbox.connect() as db:
                    outside.start_in(db, Errand, MARIA, saga_id="errand")
                    outside.start_in(db, Weighed, MARIA, saga_id="weighed")
                await looked(old)
                held = inbox.rows()
            await until(lambda: all(error for _, error in inbox.rows()))
            return held

    assert drive(main()) == [("errand", None), ("weighed", None)]


@pytest.mark.promise("call.start_in")
def test_starts_that_fall_to_another_hold_up_nobodys_own(inbox: Inbox):
    """More than are looked at in one go, of a worker that starts none of them for a while."""

    async def main():
        calls = Calls()
        outside, address = client(inbox.house.place.address), inbox.house.place.address
        async with (
            engine(address, "old", calls, kinds=[Parcel, Errand]) as old,
            engine(address, "new", calls, kinds=[Parcel], poll=NEVER) as new,
        ):
            await divided(old, new, kinds=[Parcel])
            await until(lambda: len(numbers(old, Errand)) == SHARDS)
            await until(lambda: new._works._inbox._looking is None)
            (of_old,) = ids_of(old, 1)
            number = min(numbers(new))
            with inbox.connect() as db:
                for skip in range(120):
                    outside.start_in(db, Parcel, MARIA, saga_id=id_in(number, "slow", skip=skip))
                outside.start_in(db, Parcel, MARIA, saga_id=of_old)
            await settled(old, [of_old])
            return len(inbox.rows())

    assert drive(main()) == 120
