"""Engines and clients outside their context, entered twice, and two at one store."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from saga_es import SagaEngine, define
from saga_es.errors import DefinitionError, EngineClosed, InvalidInput, StoreInUse, StoreSchemaError
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, types
from tests.support.stores import Place

VERBS = {
    "start": lambda face: face.start("one", MARIA),
    "outcome": lambda face: face.outcome("o", timeout=SOON),
    "signal": lambda face: face.signal("o", "word", 1),
    "cancel": lambda face: face.cancel("o", **BY_ANN),
    "pause": lambda face: face.pause("o", **BY_ANN),
    "resume": lambda face: face.resume("o", **BY_ANN),
    "retry": lambda face: face.retry("o", "one", **BY_ANN),
    "supply_result": lambda face: face.supply_result("o", "one", 1, **BY_ANN),
    "supply_rejection": lambda face: face.supply_rejection("o", "one", **BY_ANN),
    "skip": lambda face: face.skip("o", "one", **BY_ANN),
    "force_compensated": lambda face: face.force_compensated("o", "one", **BY_ANN),
    "history": lambda face: face.history("o"),
    "find": lambda face: face.find(),
}


async def one(trip: Trip) -> int:
    return 1


ONE = define("one", Trip).step(one)


@pytest.mark.promise("error.EngineClosed", "call.SagaEngine", "call.SagaClient")
@pytest.mark.parametrize("kind", ["engine", "client"])
@pytest.mark.parametrize("verb", VERBS)
def test_nothing_can_be_asked_before_or_after(file: House, verb, kind):
    async def main():
        face = getattr(file, kind)(ONE)
        with pytest.raises(EngineClosed):
            await VERBS[verb](face)
        async with file.engine(ONE) as engine:
            await engine.run(ONE, MARIA, saga_id="o", timeout=SOON)
        async with face:
            pass
        with pytest.raises(EngineClosed):
            await VERBS[verb](face)
        return types(file.recorded("o"))

    assert drive(main()) == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("error.EngineClosed", "call.SagaEngine", "call.SagaClient")
@pytest.mark.parametrize("kind", ["engine", "client"])
def test_what_is_entered_can_not_be_entered_again_until_it_is_left(file: House, kind):
    async def main():
        face = getattr(file, kind)(ONE)
        async with face:
            with pytest.raises(EngineClosed):
                await face.__aenter__()
            await face.start(ONE, MARIA, saga_id="first")  # and goes on
        async with face:
            await face.start(ONE, MARIA, saga_id="second")
            return sorted(it.saga_id for it in (await face.find()).items)

    assert drive(main()) == ["first", "second"]


@pytest.mark.promise("error.StoreInUse", "call.SagaEngine")
def test_two_engines_at_one_file_are_one_too_many(tmp_path):
    url = f"sqlite:///{tmp_path / 'sagas.db'}"

    async def main():
        async with SagaEngine(url, sagas=[ONE]) as first:
            with pytest.raises(StoreInUse) as refused:
                await SagaEngine(url, sagas=[ONE]).__aenter__()
            status = (await first.run(ONE, MARIA, timeout=SOON)).status
        async with SagaEngine(url, sagas=[ONE]) as second:  # now it is free
            return refused.value, status, (await second.run(ONE, MARIA, timeout=SOON)).status

    refused, *statuses = drive(main())
    assert statuses == ["succeeded", "succeeded"]
    assert refused.store == url
    assert refused.holder is not None


@pytest.mark.promise("call.SagaEngine")
def test_engines_on_stores_of_their_own_do_not_meet(tmp_path):
    async def main():
        async with AsyncExitStack() as stack:
            engines = [
                await stack.enter_async_context(SagaEngine(url, sagas=[ONE]))
                for url in (
                    f"sqlite:///{tmp_path}/a.db",
                    f"sqlite:///{tmp_path}/b.db",
                    "memory://",
                    "memory://",
                )
            ]
            await asyncio.gather(*(it.run(ONE, MARIA, saga_id=f"{n}") for n, it in enumerate(engines)))
            return [[it.saga_id for it in (await engine.find()).items] for engine in engines]

    assert drive(main()) == [["0"], ["1"], ["2"], ["3"]]


@pytest.mark.promise("call.SagaEngine")
def test_relative_and_absolute_files_and_environments_are_stores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def main():
        async with SagaEngine("sqlite:///rel.db", sagas=[ONE]) as engine:
            await engine.run(ONE, MARIA, saga_id="r", timeout=SOON)
        async with SagaEngine(f"sqlite:///{tmp_path}/rel.db", sagas=[ONE]) as engine:
            first = [it.saga_id for it in (await engine.find()).items]
        env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(tmp_path / "rel.db")}
        async with SagaEngine(env, sagas=[ONE]) as engine:
            return first, [it.saga_id for it in (await engine.find()).items]

    assert drive(main()) == (["r"], ["r"])


@pytest.mark.promise("call.SagaEngine", "error.InvalidInput")
@pytest.mark.parametrize(
    "store", ["mysql://x/y", "sqlite://", "", "sagas.db", {"PERSISTENCE_MODULE": "json"}]
)
def test_what_is_no_store_is_said_on_entering(store):
    async def main():
        with pytest.raises(InvalidInput):
            async with SagaEngine(store, sagas=[ONE]):
                pass
        return True

    assert drive(main())


@pytest.mark.promise("error.StoreSchemaError", "field.Settings.migrate")
def test_postgresql_is_not_migrated_unless_asked(shared_place: Place):
    from saga_es import Settings

    async def main(migrate: bool | None):
        async with SagaEngine(
            shared_place.address, sagas=[ONE], settings=Settings(migrate=migrate)
        ) as engine:
            return (await engine.run(ONE, MARIA, timeout=SOON)).status

    if shared_place.kind == "postgresql":
        with pytest.raises(StoreSchemaError) as refused:
            drive(main(None))
        assert (refused.value.found, refused.value.expected) == (None, 3)
        assert drive(main(True)) == "succeeded"
    else:
        with pytest.raises(StoreSchemaError):
            drive(main(False))
    assert drive(main(None)) == "succeeded"


@pytest.mark.promise("error.DefinitionError", "case.bad-definition")
def test_a_version_registered_twice_and_a_class_for_an_instance_are_refused_when_the_engine_is_made():
    for sagas, where in ([ONE, ONE], "one"), ([Trip], "Trip"), (["one"], "sagas"):
        with pytest.raises(DefinitionError) as refused:
            SagaEngine("memory://", sagas=sagas)
        assert refused.value.where == where
