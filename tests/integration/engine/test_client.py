"""Clients beside an engine: every verb, from the same process and from another one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from saga_es import Rejected, Retry, SagaClient, Settings, define
from saga_es.errors import (
    InvalidInput,
    PastPivot,
    PayloadTooLarge,
    SagaAlreadyEnded,
    SagaIdConflict,
    SignalConflict,
    UnknownDefinition,
    UnknownSaga,
    UnknownSignal,
    UnknownStep,
)
from tests.integration.engine.other_process import other_process
from tests.integration.engine.world import (
    BY_ANN,
    KEVIN,
    MARIA,
    SOON,
    Approval,
    Flight,
    House,
    Trip,
    drive,
    seen,
    told,
    types,
)

ONCE = Settings(compensation_retry=Retry(attempts=1))
HOURLY = Retry(attempts=2, delay=timedelta(hours=1), max_delay=timedelta(hours=1))


async def fly(trip: Trip) -> Flight:
    return Flight(number="RG 861", price=Decimal("123.40"))


async def land(trip: Trip, flight: Flight | None) -> None: ...


async def charge(trip: Trip, flight: Flight, approval: Approval) -> str:
    return f"{flight.number} {approval.by}"


PACKAGE = (
    define("package", Trip).step(fly, undo=land).signal("approval", Approval).step(charge, needs=(fly, "approval"))
)  # fmt: skip


@pytest.mark.promise(
    "call.SagaClient", "call.start", "call.signal", "call.outcome", "call.history", "call.find"
)
def test_a_client_starts_signals_and_reads_what_the_engine_runs(lasting: House):
    async def main():
        async with lasting.engine(PACKAGE), lasting.client(PACKAGE) as client:
            assert await client.start(PACKAGE, MARIA, saga_id="c") == "c"
            await client.start("package", {"customer": "Maria"}, saga_id="c")
            await client.signal("c", "approval", Approval(by="ann"))
            outcome = await client.outcome("c", timeout=SOON)
            shown = (await client.find()).items
            return outcome, shown, await client.history("c")

    outcome, shown, history = drive(main())
    assert outcome.results == {
        "fly": Flight(number="RG 861", price=Decimal("123.40")),
        "approval": Approval(by="ann"),
        "charge": "RG 861 ann",
    }
    assert [(it.saga_id, it.status) for it in shown] == [("c", "succeeded")]
    assert types(history)[0] == "SagaStarted"
    assert types(history).count("SagaStarted") == 1


@pytest.mark.promise("call.SagaClient", "event.StepDispatched", "invariant.13")
def test_a_client_dispatches_nothing(lasting: House):
    async def main():
        async with lasting.client(PACKAGE) as client:
            await client.start(PACKAGE, MARIA, saga_id="c")
            await client.signal("c", "approval", Approval(by="ann"))
            with pytest.raises(TimeoutError) as late:
                await client.outcome("c", timeout=timedelta(milliseconds=120))
            return types(await client.history("c")), str(late.value), (await client.find()).items[0].status

    recorded, message, status = drive(main())
    assert recorded == ["SagaStarted", "SignalAwaited", "SignalReceived"]
    assert "'c'" in message
    assert "is running" in message
    assert status == "running"


@pytest.mark.promise("call.SagaClient", "field.Outcome.results")
def test_results_that_a_client_has_no_types_for_are_json_values(lasting: House):
    async def main():
        async with lasting.engine(PACKAGE) as engine, lasting.client() as client:
            await engine.start(PACKAGE, MARIA, saga_id="c")
            await client.signal("c", "approval", {"by": "ann"})
            return await client.outcome("c", timeout=SOON), await engine.outcome("c", timeout=SOON)

    bare, typed = drive(main())
    assert bare.results == {
        "fly": {"number": "RG 861", "price": "123.40"},
        "approval": {"by": "ann"},
        "charge": "RG 861 ann",
    }
    assert typed.results["approval"] == Approval(by="ann")


@pytest.mark.promise("call.SagaClient", "call.cancel", "call.pause", "call.resume")
def test_a_client_cancels_pauses_and_resumes(lasting: House):
    async def main():
        async def last(trip: Trip, word: int) -> int:
            return word

        saga = define("pausing", Trip).signal("word", int).step(last, needs=("word",))
        async with lasting.engine(saga) as engine, lasting.client() as client:
            await engine.start(saga, MARIA, saga_id="p")
            await client.pause("p", **BY_ANN)
            await client.signal("p", "word", 1)
            held = types(await client.history("p"))
            await client.resume("p", **BY_ANN)
            ended = await client.outcome("p", timeout=SOON)
            await engine.start(saga, MARIA, saga_id="c")
            await client.cancel("c", by="ann", reason="customer asked")
            cancelled = await client.outcome("c", timeout=SOON)
            return held, ended.status, cancelled, told(await client.history("c"), "CancelRequested")

    held, ended, cancelled, requested = drive(main())
    assert held == ["SagaStarted", "SignalAwaited", "SagaPaused", "SignalReceived"]
    assert ended == "succeeded"
    assert (cancelled.ending, cancelled.cause.kind) == ("compensated", "cancelled")
    assert requested == [{"by": "ann", "reason": "customer asked"}]


@pytest.mark.promise(
    "call.SagaClient",
    "call.retry",
    "call.supply_result",
    "call.supply_rejection",
    "call.skip",
    "call.force_compensated",
)
@pytest.mark.parametrize(
    ("verb", "status", "results"),
    [
        ("retry", "succeeded", {"shaky": 7}),
        ("supply_result", "succeeded", {"shaky": 9}),
        ("skip", "succeeded", {}),
        ("supply_rejection", "failed", {}),
    ],
)
def test_a_client_repairs_a_step_and_the_engine_goes_on(lasting: House, verb, status, results):
    async def main():
        tries = []

        async def shaky(trip: Trip) -> int:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("again")
            return 7

        saga = define("shaky", Trip).step(shaky, retry=HOURLY)
        async with lasting.engine(saga) as engine, lasting.client(saga) as client:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(client, "s", "StepRetryScheduled")
            given = (9,) if verb == "supply_result" else ()
            await getattr(client, verb)("s", "shaky", *given, **BY_ANN)
            outcome = await engine.outcome("s", timeout=SOON)
            return outcome.status, outcome.results

    assert drive(main()) == (status, results)


@pytest.mark.promise("call.SagaClient", "call.force_compensated", "call.outcome")
def test_a_client_forces_a_compensation_and_its_timeout_tells_what_is_parked(lasting: House):
    async def main():
        async def break_down(trip: Trip, flight: Flight | None) -> None:
            raise OSError("the line is dead")

        async def bad(trip: Trip, flight: Flight) -> int:
            raise Rejected("no")

        saga = define("stuck", Trip).step(fly, undo=break_down).step(bad, needs=(fly,))
        async with lasting.engine(saga, settings=ONCE) as engine, lasting.client() as client:
            await engine.start(saga, MARIA, saga_id="s")
            await seen(client, "s", "SagaParked")
            with pytest.raises(TimeoutError) as late:
                await client.outcome("s", timeout=timedelta(milliseconds=10))
            shown = (await client.find(parked=True)).items
            await client.force_compensated("s", "fly", **BY_ANN)
            return str(late.value), [it.saga_id for it in shown], await client.outcome("s", timeout=SOON)

    message, shown, outcome = drive(main())
    assert "is compensating; parked: fly: the line is dead" in message
    assert shown == ["s"]
    assert outcome.ending == "forced"


@pytest.mark.promise("call.SagaClient", "case.definition-changed", "call.find", "call.outcome")
def test_what_the_running_engine_has_no_code_for_is_shown_as_parked(lasting: House):
    async def main():
        other = define("other", Trip).step(fly)
        async with lasting.engine(other) as engine, lasting.client(PACKAGE) as client:
            await client.start(PACKAGE, MARIA, saga_id="c")
            while not (shown := (await client.find(parked=True)).items):
                pass
            await client.signal("c", "approval", Approval(by="ann"))  # still shown after it moved
            messages = []
            for face in (engine, client):
                with pytest.raises(TimeoutError) as late:
                    await face.outcome("c", timeout=timedelta(milliseconds=10))
                messages.append(str(late.value))
            assert (await engine.run(other, MARIA, timeout=SOON)).status == "succeeded"
            while not (still := (await client.find(parked=True)).items):
                pass
            recorded = types(await client.history("c"))
        async with lasting.engine(PACKAGE) as engine:
            outcome = await engine.outcome("c", timeout=SOON)
            return shown, messages, still, recorded, outcome, (await engine.find(parked=True)).items

    shown, messages, still, recorded, outcome, after = drive(main())
    assert [(it.saga_id, it.parked[:12]) for it in (*shown, *still)] == [("c", "incompatible")] * 2
    assert all("parked: incompatible" in message for message in messages)
    assert recorded == ["SagaStarted", "SignalAwaited", "SignalReceived"]
    assert outcome.status == "succeeded"
    assert after == ()


@pytest.mark.promise(
    "call.SagaClient", "error.UnknownDefinition", "error.UnknownSaga", "error.SagaIdConflict"
)
def test_a_client_refuses_as_an_engine_does(lasting: House):
    async def main():
        async with (
            lasting.engine(PACKAGE) as engine,
            lasting.client(PACKAGE, settings=Settings(max_payload=60)) as client,
        ):
            await engine.start(PACKAGE, MARIA, saga_id="c")
            await client.signal("c", "approval", Approval(by="ann"))
            await engine.outcome("c", timeout=SOON)
            await engine.start(PACKAGE, MARIA, saga_id="open")
            await client.signal("open", "approval", Approval(by="ann"))
            await engine.outcome("open", timeout=SOON)
            long = "x" * 60
            refused = {
                UnknownDefinition: lambda: client.start("packag", MARIA),
                InvalidInput: lambda: client.start(PACKAGE, {"nights": 2}, saga_id="bad"),
                PayloadTooLarge: lambda: client.start(PACKAGE, Trip(customer=long), saga_id="large"),
                SagaIdConflict: lambda: client.start(PACKAGE, KEVIN, saga_id="c"),
                UnknownSaga: lambda: client.outcome("nobody"),
                UnknownSignal: lambda: client.signal("c", "aproval", Approval(by="ann")),
                UnknownStep: lambda: client.retry("c", "flee", **BY_ANN),
                SagaAlreadyEnded: lambda: client.cancel("c", **BY_ANN),
            }
            for error, call in refused.items():
                with pytest.raises(error):
                    await call()
            return sorted(it.saga_id for it in (await client.find()).items)

    assert drive(main()) == ["c", "open"]


@pytest.mark.promise("call.SagaClient", "error.PastPivot", "error.SignalConflict")
def test_a_client_knows_what_is_past_the_pivot_or_was_said_already(lasting: House):
    async def main():
        gate = asyncio.Event()

        async def pay(trip: Trip) -> int:
            await gate.wait()
            return 1

        saga = define("paying", Trip).step(pay, pivot=True).signal("word", int, needs=(pay,))
        async with lasting.engine(saga) as engine, lasting.client() as client:
            await engine.start(saga, MARIA, saga_id="p")
            await seen(client, "p", "StepDispatched")
            with pytest.raises(PastPivot) as past:
                await client.cancel("p", **BY_ANN)
            await client.signal("p", "word", 1)
            with pytest.raises(SignalConflict):
                await client.signal("p", "word", 2)
            gate.set()
            return past.value.pivot, (await client.outcome("p", timeout=SOON)).results

    assert drive(main()) == ("pay", {"pay": 1, "word": 1})


@pytest.mark.promise("call.SagaClient", "call.SagaEngine")
def test_every_verb_works_from_another_process(lasting: House):
    async def main(other):
        async def one(trip: dict[str, object]) -> int:
            return 1

        known = define("known", dict[str, object]).step(one)
        retried = define("retried", Trip).step(one_of_trip, retry=HOURLY).signal("word", int)
        async with lasting.engine(known, retried) as engine:
            assert await other("start", "known", {"customer": "Maria"}, saga_id="k") == "k"
            ended = await other("outcome", "k", timeout=30)
            answers = [
                await other("start", "known", {"customer": "Kevin"}, saga_id="k"),
                await other("cancel", "k", **BY_ANN),
                await other("history", "nobody"),
            ]
            await engine.start(retried, MARIA, saga_id="r")
            await seen(engine, "r", "StepRetryScheduled")
            done = [
                await other("pause", "r", **BY_ANN),
                await other("signal", "r", "word", 7),
                await other("resume", "r", **BY_ANN),
                await other("supply_result", "r", "one_of_trip", 8, **BY_ANN),
            ]
            repaired = await other("outcome", "r", timeout=30)
            for saga_id, verb in ("s", "skip"), ("j", "supply_rejection"), ("t", "retry"):
                await engine.start(retried, MARIA, saga_id=saga_id)
                await seen(engine, saga_id, "StepRetryScheduled")
                done.append(await other(verb, saga_id, "one_of_trip", **BY_ANN))
            rejected = await other("outcome", "j", timeout=30)
            await seen(engine, "t", "StepOutcomeUnknown")
            done.append(await other("cancel", "s", **BY_ANN))
            await engine.outcome("s", timeout=SOON)
            return (
                ended,
                answers,
                done,
                repaired,
                rejected,
                await other("history", "k"),
                await other("find", limit=1),
            )

    async def one_of_trip(trip: Trip) -> int:
        raise OSError("again")

    with other_process(lasting.place.address) as other:
        ended, answers, done, repaired, rejected, history, found = drive(main(other))
    assert ended == {"status": "succeeded", "ending": "succeeded", "results": {"one": 1}}
    assert answers == ["SagaIdConflict", "SagaAlreadyEnded", "UnknownSaga"]
    assert done == [None] * 8
    assert repaired == {
        "status": "succeeded",
        "ending": "succeeded",
        "results": {"one_of_trip": 8, "word": 7},
    }
    assert (rejected["status"], rejected["ending"]) == ("failed", "compensated")
    assert history == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]
    assert [it[0] for it in found] == ["t"]


@pytest.mark.promise("call.SagaClient")
def test_a_clients_ids_are_its_own_and_its_store_may_be_empty(lasting: House):
    async def main():
        ids = iter(["first"])
        client = SagaClient(lasting.place.address, sagas=[PACKAGE], ids=lambda: next(ids))
        async with client:
            empty = (await client.find()).items
            return empty, await client.start(PACKAGE, MARIA)

    assert drive(main()) == ((), "first")


@pytest.mark.promise("call.SagaClient", "call.cancel", "case.a-step-fails")
def test_a_clients_cancel_reaches_a_coroutine_in_flight(lasting: House):
    async def main():
        begun, cancelled = asyncio.Event(), []

        async def for_ever(trip: Trip) -> int:
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(trip.customer)
                raise
            return 0

        saga = define("hasty", Trip, on_failure="cancel").step(for_ever, read_only=True)
        async with lasting.engine(saga) as engine, lasting.client() as client:
            await engine.start(saga, MARIA, saga_id="h")
            await begun.wait()
            await client.cancel("h", **BY_ANN)
            return (await engine.outcome("h", timeout=SOON)).ending, cancelled

    assert drive(main()) == ("compensated", ["Maria"])
