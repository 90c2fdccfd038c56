"""What goes wrong in one saga's turn is its own; who gave up waiting is forgotten; what ended is not parked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga_es import Attempt, Settings, define
from saga_es.errors import StoredEventError
from tests.integration.engine.world import BY_ANN, MARIA, SOON, House, Trip, drive, seen, told, types, until
from tests.support.stores import ENDED, NOON, history, put

AT_ONCE = Settings(drain=timedelta(0))


class Dice:
    """Chance that is at fault when it is told to be: every decision asks for it."""

    def __init__(self) -> None:
        self.faulty: set[int] = set()  # the how many-th askings from now
        self._asked = 0

    def fail_at(self, *askings: int) -> None:
        self._asked, self.faulty = 0, set(askings)

    def __call__(self) -> float:
        self._asked += 1
        if self._asked in self.faulty:
            raise ZeroDivisionError("a fault of our own")
        return 0.5


@pytest.mark.promise("invariant.14", "call.start")
def test_a_command_that_can_not_be_decided_on_is_its_callers_error_alone(house: House):
    async def main():
        async def one(trip: Trip) -> int:
            return 1

        saga, dice = define("one", Trip).step(one), Dice()
        async with house.engine(saga, chance=dice) as engine:
            await engine.run(saga, MARIA, saga_id="first", timeout=SOON)  # from here on the plan is known
            dice.fail_at(3)
            starting = [engine.start(saga, MARIA, saga_id=f"s{number}") for number in range(5)]
            answers = await asyncio.gather(*starting, return_exceptions=True)  # in one turn of the loop
            ended = [await engine.outcome(f"s{number}", timeout=SOON) for number in (0, 1, 3, 4)]
            await engine.run(saga, MARIA, saga_id="s2", timeout=SOON)  # nothing of it was recorded
            return answers, ended, (await engine.find(parked=True)).items, types(await engine.history("s2"))

    answers, ended, parked, recorded = drive(main())
    assert [it if isinstance(it, str) else type(it) for it in answers] == [
        "s0", "s1", ZeroDivisionError, "s3", "s4"
    ]  # fmt: skip
    assert [it.status for it in ended] == ["succeeded"] * 4
    assert parked == ()
    assert recorded == ["SagaStarted", "StepDispatched", "StepSucceeded", "SagaSucceeded"]


@pytest.mark.promise("invariant.14", "call.signal")
def test_a_command_at_fault_leaves_what_was_asked_of_the_same_saga(house: House):
    async def main():
        saga, dice = define("words", Trip).signal("a", int).signal("b", int).signal("c", int), Dice()
        async with house.engine(saga, chance=dice) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            await seen(engine, "w", "SignalAwaited", 3)
            dice.fail_at(2)
            sending = [engine.signal("w", name, number) for number, name in enumerate("abc")]
            answers = await asyncio.gather(*sending, return_exceptions=True)
            received = told(await engine.history("w"), "SignalReceived")
            await engine.signal("w", "b", 1)
            return answers, received, (await engine.outcome("w", timeout=SOON)).results

    answers, received, results = drive(main())
    assert [type(it) for it in answers] == [type(None), ZeroDivisionError, type(None)]
    assert received == [{"signal": "a", "payload": 0}, {"signal": "c", "payload": 2}]
    assert results == {"a": 0, "b": 1, "c": 2}


@pytest.mark.promise("invariant.12", "invariant.14", "case.poison", "call.find")
def test_an_answer_that_can_not_be_decided_on_parks_its_saga_and_no_other(lasting: House):
    async def main():
        calls, gate = [], asyncio.Event()

        async def slow(trip: Trip, *, attempt: Attempt) -> int:
            calls.append((attempt.saga_id, attempt.number))
            await gate.wait()
            return 1

        saga, dice = define("slow", Trip).step(slow), Dice()
        names = [f"s{number}" for number in range(5)]
        async with lasting.engine(saga, chance=dice, settings=AT_ONCE) as engine:
            for saga_id in names:
                await engine.start(saga, MARIA, saga_id=saga_id)
            await until(lambda: len(calls) == 5)
            waiting = {saga_id: asyncio.ensure_future(engine.outcome(saga_id)) for saga_id in names}
            await asyncio.sleep(0)
            dice.fail_at(3)
            gate.set()  # all five answer in one turn of the loop
            answers = await asyncio.gather(*waiting.values(), return_exceptions=True)
            while not (shown := (await engine.find(parked=True)).items):
                pass
        async with lasting.engine(saga) as engine:
            again = await engine.outcome("s2", timeout=SOON)
            free = (await engine.find(parked=True)).items
        return answers, shown, again.status, free, calls

    answers, shown, again, free, calls = drive(main())
    assert isinstance(answers.pop(2), ZeroDivisionError)  # whoever waited for it is told
    assert [it.status for it in answers] == ["succeeded"] * 4
    assert [(it.saga_id, it.status) for it in shown] == [("s2", "running")]
    assert shown[0].parked == "ZeroDivisionError: a fault of our own"
    assert (again, free) == ("succeeded", ())
    assert calls[5:] == [("s2", 1)]  # what was lost is issued again by the next entry, under the same number


@pytest.mark.promise("invariant.14", "field.Settings.max_in_flight")
def test_a_saga_that_was_set_aside_holds_no_places(lasting: House):
    async def main():
        gate, begun = asyncio.Event(), []

        async def slow(trip: Trip) -> int:
            begun.append(1)
            await gate.wait()
            return 1

        async def after(trip: Trip, slow: int) -> int:
            return 2

        dice = Dice()
        saga = define("slow", Trip).step(slow, name="one").step(slow, name="two").step(after, needs=["one"])
        two = Settings(max_in_flight=2, drain=timedelta(0))
        async with lasting.engine(saga, chance=dice, settings=two) as engine:
            await engine.start(saga, MARIA, saga_id="faulty")
            await until(lambda: len(begun) == 2)
            dice.fail_at(2)
            gate.set()  # the first answer dispatches "after"; on the second nothing can be decided
            while not (shown := (await engine.find(parked=True)).items):
                pass
            running = [engine.run(saga, MARIA, saga_id=f"s{number}", timeout=SOON) for number in range(5)]
            ended = [it.status for it in await asyncio.gather(*running)]
            held = engine._works.manager._places.reserved, engine._works.manager.dispatcher.in_flight
            return [it.saga_id for it in shown], ended, held, types(await engine.history("faulty"))

    shown, ended, held, recorded = drive(main())
    assert shown == ["faulty"]
    assert ended == ["succeeded"] * 5
    assert held == (0, 0)
    assert recorded == ["SagaStarted", "StepDispatched", "StepDispatched"]  # nothing of that turn


# -- whoever gave up waiting -----------------------------------------------------------------------------


@pytest.mark.promise("call.outcome")
@pytest.mark.parametrize("how", ["timed out", "cancelled"])
def test_who_gave_up_waiting_is_not_kept(house: House, how):
    async def main():
        saga = define("waiting", Trip).signal("word", int)
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            await seen(engine, "w", "SignalAwaited")
            patient = asyncio.ensure_future(engine.outcome("w", timeout=SOON))
            for _ in range(100):
                impatient = asyncio.ensure_future(engine.outcome("w", timeout=timedelta(0)))
                if how == "cancelled":
                    await asyncio.sleep(0)
                    impatient.cancel()
                await asyncio.wait([impatient])
                if how == "timed out":
                    assert isinstance(impatient.exception(), TimeoutError)
            for _ in range(5):
                await asyncio.sleep(0)
            kept = len(engine._works.manager.in_hand("w").waiters)
            await engine.signal("w", "word", 1)
            return kept, (await patient).status

    assert drive(main()) == (1, "succeeded")


@pytest.mark.promise("call.outcome", "error.StoredEventError")
def test_who_waits_for_what_is_set_aside_is_told_and_not_kept(lasting: House):
    async def main():
        saga = define("waiting", Trip).signal("word", int)
        async with lasting.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            await seen(engine, "w", "SignalAwaited")
        store = lasting.place.open()
        row = store.recorder.select_events("w")[0]
        store.recorder.insert_events([type(row)("w", 3, "SagaExploded", b"{}")])
        async with lasting.engine(saga) as engine:
            for _ in range(3):
                with pytest.raises(StoredEventError):
                    await engine.outcome("w", timeout=SOON)
            return engine._works.manager.in_hand("w")

    assert drive(main()) is None


# -- what has ended ------------------------------------------------------------------------------------


@pytest.mark.promise("call.find", "field.SagaSummary.parked")
def test_an_ended_saga_is_not_shown_as_parked_however_late_somebody_says_so(store):
    put(store, "ended", history(1), is_open=False, **ENDED)
    before = store.summary("ended")
    store.set_parked("ended", "too late", at=NOON + timedelta(1))
    assert store.summary("ended") == before
    assert store.find(parked=True).items == ()


@pytest.mark.promise("call.find", "field.SagaSummary.parked")
def test_what_was_parked_when_it_ended_can_still_be_shown_as_free(store):
    put(store, "ended", history(1), is_open=False, parked="an older program's word", **ENDED)
    store.set_parked("ended", None, at=NOON)
    assert store.summary("ended").parked is None


@pytest.mark.promise("call.find", "case.definition-changed", "field.SagaSummary.parked")
def test_an_ended_saga_whose_code_is_gone_is_not_shown_as_parked(lasting: House):
    async def main():
        async def one(trip: Trip) -> int:
            return 1

        saga = define("gone", Trip).step(one)
        async with lasting.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="g", timeout=SOON)
        async with lasting.engine() as engine:
            outcome = await engine.outcome("g", timeout=SOON)
            await engine._works.writer.call(lambda: None)
            return outcome.status, [it.parked for it in (await engine.find()).items]

    assert drive(main()) == ("succeeded", [None])


@pytest.mark.promise("call.find", "case.definition-changed", "field.SagaSummary.parked", "call.cancel")
@pytest.mark.parametrize("by", ["client", "engine"])
def test_a_saga_that_nothing_here_can_run_is_shown_as_parked_until_it_ends(lasting: House, by):
    async def main():
        saga = define("elsewhere", Trip).signal("word", int)
        async with lasting.engine() as engine, lasting.client(saga) as client:
            await client.start(saga, MARIA, saga_id="e")
            while not (shown := (await engine.find(parked=True)).items):
                pass
            await (client if by == "client" else engine).cancel("e", **BY_ANN)
            await seen(client, "e", "SagaFailed")
            return shown[0].parked, [(it.status, it.parked) for it in (await engine.find()).items]

    parked, ended = drive(main())
    assert parked.startswith("incompatible: ")
    assert ended == [("failed", None)]
