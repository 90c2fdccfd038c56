"""A stream that lacks one of its versions is no stream: whoever reads it is told, on each store."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from saga_es import define
from saga_es.errors import StoredEventError
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, seen, types
from tests.support.stores import PLAN, Place, history, put


def lose(place: Place, saga_id: str, *versions: int) -> None:
    """Delete events by hand, as nothing of ours ever does."""
    match place.kind:
        case "memory":
            for version in versions:
                del place.open().recorder._stored_events_index[saga_id][version]
        case "sqlite":
            import sqlite3

            database = sqlite3.connect(str(place.address).removeprefix("sqlite:///"), isolation_level=None)
            database.executemany(
                "DELETE FROM saga_log WHERE originator_id = ? AND originator_version = ?",
                [(saga_id, version) for version in versions],
            )
            database.close()
        case _:
            address = dict(place.address)
            table = Identifier(address["POSTGRES_SCHEMA"], "saga_log")
            delete = SQL("DELETE FROM {} WHERE originator_id = %s AND originator_version = ANY(%s)")
            with psycopg.connect(
                host=address["POSTGRES_HOST"],
                port=address["POSTGRES_PORT"],
                user=address["POSTGRES_USER"],
                password=address["POSTGRES_PASSWORD"],
                dbname=address["POSTGRES_DBNAME"],
            ) as database:
                assert database.execute(delete.format(table), (saga_id, list(versions))).rowcount


def fields(error: StoredEventError) -> tuple[str, int, str, str]:
    return error.saga_id, error.version, error.type, error.problem


GAPS = [
    # lost, the version that is read without its predecessor, its type, what is said
    ((1,), 2, "StepDispatched", "version 1 is missing before it"),
    ((2,), 3, "StepSucceeded", "version 2 is missing before it"),
    ((2, 3), 4, "StepDispatched", "version 2 is missing before it"),
    ((4,), 5, "StepSucceeded", "version 4 is missing before it"),
    ((2, 4), 3, "StepSucceeded", "version 2 is missing before it"),
]


@pytest.mark.promise("invariant.1", "error.StoredEventError", "case.poison")
@pytest.mark.parametrize(("lost", "version", "type_", "problem"), GAPS)
def test_reading_says_which_version_is_missing(place, lost, version, type_, problem):
    store = place.open()
    put(store, "torn", history(5))
    put(store, "whole", history(5))
    lose(place, "torn", *lost)
    with pytest.raises(StoredEventError) as error:
        store.read("torn")
    assert fields(error.value) == ("torn", version, type_, problem)
    many = store.streams(["torn", "whole", "nobody"])
    assert many["whole"].events() == history(5)
    assert many["nobody"].events() == ()
    for read in (many["torn"].events, lambda: many["torn"].replay(PLAN)):
        with pytest.raises(StoredEventError) as error:
            read()
        assert fields(error.value) == ("torn", version, type_, problem)


@pytest.mark.promise("invariant.1", "error.StoredEventError")
def test_a_part_is_read_as_long_as_nothing_is_missing_in_it(place):
    store = place.open()
    put(store, "torn", history(6))
    lose(place, "torn", 3)
    assert store.read("torn", upto=2) == history(6)[:2]
    assert store.read("torn", after=3) == history(6)[3:]
    for after, upto in ((0, 4), (1, 6), (2, None)):
        with pytest.raises(StoredEventError) as error:
            store.read("torn", after=after, upto=upto)
        assert fields(error.value) == ("torn", 4, "StepDispatched", "version 3 is missing before it")


# -- engines and clients at such a store ---------------------------------------------------------------

WAITING = define("waiting", Trip).signal("word", int)


async def prepared(place: Place) -> House:
    """Return a house with two sagas of four events; in "torn" the third is missing."""
    place.open()
    house = House(place)
    async with house.engine(WAITING) as engine:
        for saga_id in ("torn", "whole"):
            await engine.start(WAITING, MARIA, saga_id=saga_id)
            await seen(engine, saga_id, "SignalAwaited")
            await engine.pause(saga_id, **BY_ANN)
            await engine.resume(saga_id, **BY_ANN)
        assert types(await engine.history("torn")) == [
            "SagaStarted",
            "SignalAwaited",
            "SagaPaused",
            "SagaResumed",
        ]
    lose(place, "torn", 3)
    return house


@pytest.mark.promise("error.StoredEventError", "call.SagaClient", "call.signal", "invariant.14")
def test_a_client_is_told_and_does_not_try_for_ever(shared_place):
    async def main():
        house = await prepared(shared_place)
        async with house.client(WAITING) as client:
            asked = (
                client.signal("torn", "word", 1),
                client.cancel("torn", **BY_ANN),
                client.history("torn"),
                client.outcome("torn", timeout=SOON / 30),
                client.start(WAITING, MARIA, saga_id="torn"),
            )
            answers = await asyncio.gather(*asked, return_exceptions=True)
            await client.signal("whole", "word", 1)
            return answers, types(await client.history("whole"))[-1]

    answers, last = drive(main())
    for answer in answers:
        assert isinstance(answer, StoredEventError)
        assert fields(answer) == ("torn", 4, "SagaResumed", "version 3 is missing before it")
    assert last == "SagaSucceeded"


@pytest.mark.promise("error.StoredEventError", "case.poison", "call.find", "invariant.12", "invariant.14")
def test_an_engine_that_enters_shows_it_as_parked_and_goes_on_with_the_others(shared_place):
    async def main():
        house = await prepared(shared_place)
        async with house.engine(WAITING) as engine:
            (shown,) = (await engine.find(parked=True)).items
            with pytest.raises(StoredEventError) as error:
                await engine.signal("torn", "word", 1)
            await engine.signal("whole", "word", 1)
            return shown, error.value, (await engine.outcome("whole", timeout=SOON)).status

    shown, error, status = drive(main())
    assert (shown.saga_id, shown.status) == ("torn", "running")
    assert shown.parked.startswith("StoredEventError: ")
    assert "version 3 is missing" in shown.parked
    assert fields(error) == ("torn", 4, "SagaResumed", "version 3 is missing before it")
    assert status == "succeeded"
