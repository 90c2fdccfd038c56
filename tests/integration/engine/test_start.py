"""Starting: durable once it returns, once per id, and refused before any effect."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from saga_es import Saga, SagaEngine, Settings, define, step
from saga_es.errors import (
    DefinitionError,
    InvalidInput,
    PayloadTooLarge,
    SagaIdConflict,
    UnknownDefinition,
)
from tests.integration.engine.world import KEVIN, MARIA, SOON, House, Trip, drive, seen, types


class Stay(Saga[Trip], name="stay", version=1):
    def __init__(self) -> None:
        self.calls = 0

    @step
    async def book(self, trip: Trip) -> int:
        self.calls += 1
        return trip.nights


def stays(version: int):
    async def book(trip: Trip) -> int:
        return version

    return define("stay", Trip, version=version).step(book)


async def never(trip: Trip) -> int:
    await asyncio.get_running_loop().create_future()
    return 0


@pytest.mark.promise("call.start", "invariant.11", "event.SagaStarted")
def test_a_start_that_returned_is_in_the_log_for_others_to_read(lasting: House):
    async def main():
        stay = Stay()
        async with lasting.engine(stay) as engine:
            saga_id = await engine.start(Stay, MARIA, saga_id="trip-42")
            return saga_id, lasting.recorded("trip-42")[0]

    saga_id, first = drive(main())
    assert saga_id == "trip-42"
    assert (first.version, first.type) == (1, "SagaStarted")
    assert (first.event.definition, first.event.definition_version) == ("stay", 1)
    assert first.event.input == {"customer": "Maria", "nights": 1}
    assert first.event.digest == Stay.definition.digest


@pytest.mark.promise("call.start", "call.run")
def test_the_same_id_and_input_again_does_nothing_while_it_runs_and_when_it_has_ended(house: House):
    async def main():
        stay, gate = Stay(), asyncio.Event()

        async def wait(trip: Trip) -> int:
            await gate.wait()
            return 1

        waiting = define("waiting", Trip).step(wait)
        async with house.engine(stay, waiting) as engine:
            for _ in range(3):
                await engine.run(Stay, MARIA, saga_id="done", timeout=SOON)
            await engine.start(waiting, MARIA, saga_id="on")
            before = await engine.history("on")
            await engine.start(waiting, {"customer": "Maria"}, saga_id="on")  # equal once validated
            after = await engine.history("on")
            gate.set()
            await engine.outcome("on", timeout=SOON)
            return stay.calls, types(await engine.history("done")), types(before), types(after)

    calls, done, before, after = drive(main())
    assert calls == 1
    assert done == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]
    assert before == after == ["SagaStarted", "StepDispatched"]


@pytest.mark.promise("call.start")
def test_many_starts_of_one_id_at_once_make_one_saga(house: House):
    async def main():
        stay = Stay()
        async with house.engine(stay) as engine:
            ids = await asyncio.gather(*(engine.start(Stay, MARIA, saga_id="one") for _ in range(20)))
            outcome = await engine.outcome("one", timeout=SOON)
            return set(ids), stay.calls, outcome.results

    assert drive(main()) == ({"one"}, 1, {"book": 1})


@pytest.mark.promise("call.start")
def test_the_version_does_not_matter_to_a_second_start(lasting: House):
    async def main():
        async with lasting.engine(stays(1)) as engine:
            await engine.run(stays(1), MARIA, saga_id="old", timeout=SOON)
        async with lasting.engine(stays(1), stays(2)) as engine:
            await engine.start(stays(2), MARIA, saga_id="old")
            await engine.start("stay", MARIA, saga_id="old")
            return (await engine.outcome("old", timeout=SOON)).results, await engine.history("old")

    results, history = drive(main())
    assert results == {"book": 1}
    assert history.definition.version == 1
    assert len(history.events) == 4


@pytest.mark.promise("call.start", "error.SagaIdConflict")
def test_another_input_or_definition_is_a_conflict_and_changes_nothing(house: House):
    async def main():
        stay, waiting = Stay(), define("waiting", Trip).step(never)
        async with house.engine(stay, waiting, settings=Settings(drain=0)) as engine:
            await engine.run(Stay, MARIA, saga_id="ended", timeout=SOON)
            await engine.start(waiting, MARIA, saga_id="open")
            conflicts = []
            for saga, trip, saga_id in [
                (Stay, KEVIN, "ended"),
                (waiting, MARIA, "ended"),
                (waiting, KEVIN, "open"),
                (Stay, MARIA, "open"),
            ]:
                with pytest.raises(SagaIdConflict) as refused:
                    await engine.start(saga, trip, saga_id=saga_id)
                conflicts.append(refused.value)
            lengths = [len((await engine.history(it)).events) for it in ("ended", "open")]
            return [(it.saga_id, it.definition, it.recorded) for it in conflicts], lengths

    conflicts, lengths = drive(main())
    assert conflicts == [
        ("ended", "stay", "stay"),
        ("ended", "waiting", "stay"),
        ("open", "waiting", "waiting"),
        ("open", "stay", "waiting"),
    ]
    assert lengths == [4, 2]


@pytest.mark.promise("call.start", "call.define")
def test_a_saga_is_asked_for_by_class_instance_definition_or_name(house: House):
    async def main():
        stay = Stay()
        newer = stays(3)
        async with house.engine(stay, stays(2), newer) as engine:
            asked = {"class": Stay, "instance": stay, "fluent": stays(2), "newest": newer, "name": "stay"}
            versions = {}
            for how, saga in asked.items():
                saga_id = await engine.start(saga, MARIA)
                await engine.outcome(saga_id, timeout=SOON)
                versions[how] = (await engine.history(saga_id)).definition.version
            return versions

    assert drive(main()) == {"class": 1, "instance": 1, "fluent": 2, "newest": 3, "name": 3}


@pytest.mark.promise("call.start")
def test_without_an_id_each_start_is_another_saga():
    async def main():
        ids = iter(["a", "b"])
        async with SagaEngine("memory://", sagas=[Stay()], ids=lambda: next(ids)) as engine:
            made = [await engine.start(Stay, MARIA), await engine.start(Stay, MARIA)]
        async with SagaEngine("memory://", sagas=[Stay()]) as engine:
            return made, await engine.start(Stay, MARIA), await engine.start(Stay, MARIA)

    made, one, other = drive(main())
    assert made == ["a", "b"]
    assert one != other


@pytest.mark.promise("error.UnknownDefinition")
def test_what_is_not_registered_is_unknown():
    async def main():
        async with SagaEngine("memory://", sagas=[stays(1)]) as engine:
            refused = []
            for saga in ("stays", stays(2)):
                with pytest.raises(UnknownDefinition) as unknown:
                    await engine.start(saga, MARIA)
                refused.append((unknown.value.name, unknown.value.version, unknown.value.known))
            return refused, (await engine.find()).items

    refused, items = drive(main())
    assert refused == [("stays", None, ("stay",)), ("stay", 2, ("stay",))]
    assert items == ()


@pytest.mark.promise("error.DefinitionError")
@pytest.mark.parametrize("saga", [object(), Trip, 7])
def test_what_is_no_saga_is_no_definition(saga):
    async def main():
        async with SagaEngine("memory://", sagas=[stays(1)]) as engine:
            with pytest.raises(DefinitionError) as refused:
                await engine.start(saga, MARIA)
            return refused.value.where

    assert drive(main()) == "start"


@pytest.mark.promise("error.InvalidInput", "case.poison", "case.payload")
@pytest.mark.parametrize(
    ("given", "saga_id", "what"),
    [
        ({"nights": 2}, "x", "the input of saga 'stay'"),
        ({"customer": "Maria", "nights": "many"}, "x", "the input of saga 'stay'"),
        ("Maria", "x", "the input of saga 'stay'"),
        (None, "x", "the input of saga 'stay'"),
        ({"customer": "nul \x00"}, "x", "the input of saga 'stay'"),
        ({"customer": "half a \ud800"}, "x", "the input of saga 'stay'"),
        (MARIA, "", "saga_id"),
        (MARIA, "x" * 201, "saga_id"),
        (MARIA, "two\nlines", "saga_id"),
        (MARIA, "tab\t", "saga_id"),
        (MARIA, 7, "saga_id"),
        (MARIA, uuid.UUID(int=7), "saga_id"),
    ],
)
def test_a_bad_input_or_id_is_refused_before_anything_happens(house: House, given, saga_id, what):
    async def main():
        stay = Stay()
        async with house.engine(stay) as engine:
            with pytest.raises(InvalidInput) as refused:
                await engine.start(Stay, given, saga_id=saga_id)
            # What was begun before it would have been done by the time another saga has ended.
            await engine.run(Stay, MARIA, saga_id="fine", timeout=SOON)
            return refused.value.what, stay.calls, [it.saga_id for it in (await engine.find()).items]

    assert drive(main()) == (what, 1, ["fine"])


@pytest.mark.parametrize("kind", ["engine", "client"])
@pytest.mark.parametrize("made", [7, uuid.UUID(int=7), None, "two\nlines"])
def test_an_id_that_is_made_is_looked_at_too(house: House, kind, made):
    async def main():
        async with getattr(house, kind)(Stay(), ids=lambda: made) as face:
            with pytest.raises(InvalidInput) as refused:
                await face.start(Stay, MARIA)
            return refused.value.what, (await face.find()).items

    assert drive(main()) == ("saga_id", ())


@pytest.mark.promise("call.start")
@pytest.mark.parametrize("saga_id", ["x", "x" * 200, "trip/42 ü 🚂", "'; DROP TABLE sagas --", "%_"])
def test_any_printable_id_of_up_to_200_characters_will_do(house: House, saga_id):
    async def main():
        async with house.engine(Stay()) as engine:
            outcome = await engine.run(Stay, MARIA, saga_id=saga_id, timeout=SOON)
            history = await engine.history(saga_id)
            return outcome.saga_id, history.saga_id, [it.saga_id for it in (await engine.find()).items]

    assert drive(main()) == (saga_id, saga_id, [saga_id])


@pytest.mark.promise("field.Settings.max_payload", "error.PayloadTooLarge", "case.payload")
def test_an_input_over_the_limit_is_refused_and_one_at_it_is_not(house: House):
    async def main():
        # {"customer":"…","nights":1} is 26 bytes around the name.
        async with house.engine(stays(1), settings=Settings(max_payload=100)) as engine:
            with pytest.raises(PayloadTooLarge) as refused:
                await engine.start("stay", Trip(customer="x" * 75), saga_id="over")
            await engine.run("stay", Trip(customer="x" * 74), saga_id="at", timeout=SOON)
            error = refused.value
            ids = [it.saga_id for it in (await engine.find()).items]
            return (error.what, error.size, error.limit, error.unit), ids

    assert drive(main()) == (("the input of saga 'stay'", 101, 100, "bytes"), ["at"])


@pytest.mark.promise("field.Settings.max_depth", "error.PayloadTooLarge", "case.payload")
def test_an_input_that_is_too_deep_is_refused_and_one_at_the_limit_is_not():
    async def nothing(tree: list[object]) -> int:
        return 1

    def nested(levels: int) -> list[object]:
        tree: list[object] = []
        for _ in range(levels - 1):
            tree = [tree]
        return tree

    async def main():
        saga = define("tree", list).step(nothing)
        async with SagaEngine("memory://", sagas=[saga], settings=Settings(max_depth=5)) as engine:
            with pytest.raises(PayloadTooLarge) as refused:
                await engine.start(saga, nested(6), saga_id="over")
            outcome = await engine.run(saga, nested(5), saga_id="at", timeout=SOON)
            error = refused.value
            return (error.size, error.limit, error.unit), outcome.status

    assert drive(main()) == ((6, 5, "levels"), "succeeded")


@pytest.mark.promise("field.Settings.max_payload", "field.Settings.max_depth")
def test_the_limits_are_256_kib_and_64_levels():
    assert (Settings().max_payload, Settings().max_depth) == (262_144, 64)


@pytest.mark.promise("call.start")
def test_the_recorded_input_is_the_validated_one():
    async def main():
        async with SagaEngine("memory://", sagas=[stays(1)]) as engine:
            await engine.start("stay", {"customer": "Maria", "nights": "2"}, saga_id="x")
            history = await seen(engine, "x", "SagaSucceeded")
            await engine.start("stay", Trip(customer="Maria", nights=2), saga_id="x")
            return history.events[0].event.input

    assert drive(main()) == {"customer": "Maria", "nights": 2}
