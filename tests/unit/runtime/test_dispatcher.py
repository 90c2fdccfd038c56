from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga_es.authoring.attempt import Attempt
from saga_es.model.commands import Succeeded
from saga_es.runtime.dispatcher import Report
from tests.unit.runtime.airport import (
    TENANT,
    Airport,
    at_airport,
    attempt,
    failing,
    hang,
    saga,
)

# -- running


def test_an_attempts_answer_is_reported_once_with_its_names():
    async def story(airport: Airport) -> None:
        async def fly(who: str) -> dict[str, str]:
            return {"who": who}

        airport.run(attempt("a", number=3), saga(fly))
        assert airport.dispatcher.in_flight == 1
        await airport.reported()
        (report,) = airport.reports
        assert (report.saga_id, report.step, report.op, report.round, report.number) == (
            "a",
            "fly",
            "action",
            1,
            3,
        )
        assert (report.outcome, report.probed, report.late) == (Succeeded({"who": "ann"}), False, False)
        assert airport.dispatcher.in_flight == 0
        assert airport.room == [0]
        await airport.clock.advance(timedelta(days=1))
        assert len(airport.reports) == 1

    at_airport(story)


@pytest.mark.promise("seed.parallel-start")
def test_coroutines_and_plain_functions_run_beside_each_other():
    async def story(airport: Airport) -> None:
        together = threading.Barrier(3)
        began: list[str] = []
        leave = asyncio.Event()

        async def fly(who: str) -> None:
            began.append(who)
            await leave.wait()

        for n in range(3):
            airport.run(attempt(f"coroutine {n}"), saga(fly))
            airport.run(attempt(f"thread {n}"), saga(lambda _: together.wait(10) >= 0))
        await airport.reported(3)  # all three threads met
        assert began == ["ann"] * 3
        assert airport.dispatcher.in_flight == 3
        leave.set()
        await airport.reported(6)

    at_airport(story)


@pytest.mark.promise("seed.mixed-functions")
def test_the_loop_stays_free_while_a_plain_function_runs():
    async def story(airport: Airport) -> None:
        airport.run(attempt("slow"), saga(lambda _: airport.gate.wait(10)))
        airport.run(attempt("quick"), saga(failing(ValueError())))
        await airport.reported()
        assert [report.saga_id for report in airport.reports] == ["quick"]
        airport.gate.set()
        await airport.reported(2)

    at_airport(story)


def test_an_attempt_that_holds_a_place_is_not_begun_again():
    async def story(airport: Airport) -> None:
        began: list[int] = []

        async def fly(_: str, *, attempt: Attempt) -> None:
            began.append(attempt.number)
            await hang(_)

        for number in (1, 1, 2, 1):
            airport.run(attempt(number=number), saga(fly))
        await airport.clock.settle()
        assert began == [1, 2]
        assert airport.dispatcher.in_flight == 2
        airport.dispatcher.close()
        await airport.empty()

    at_airport(story)


def test_the_room_is_there_when_the_report_is_delivered():
    async def story(airport: Airport) -> None:
        seen: list[int] = []
        airport.in_deliver = lambda _: seen.append(airport.dispatcher.in_flight)
        airport.run(attempt("a"), saga(failing(ValueError())))
        airport.run(attempt("b"), saga(lambda _: None))
        await airport.reported(2)
        assert seen == [1, 0]
        assert airport.room == [1, 0]

    at_airport(story)


def test_a_report_that_cannot_be_delivered_still_gives_the_place_back():
    async def story(airport: Airport) -> None:
        heard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: heard.append(context["exception"])
        )
        error = RuntimeError("scripted")

        def refuse(report: Report) -> None:
            raise error

        airport.in_deliver = refuse
        airport.run(attempt("a"), saga(failing(ValueError())))
        airport.run(attempt("b"), saga(lambda _: None))
        await airport.empty()
        assert heard == [error, error]
        assert airport.room == [1, 0]

    at_airport(story)


def test_thousands_of_attempts_leave_nothing_behind():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> int:
            return 0

        bound = saga(fly)
        for n in range(3_000):
            airport.run(attempt(f"s{n}"), bound)
        await airport.reported(3_000)
        assert airport.dispatcher.in_flight == 0
        assert len(airport.dispatcher._timers) == 0
        assert airport.dispatcher._owed == airport.dispatcher._tasks == 0

    at_airport(story)


# -- context


@pytest.mark.parametrize("plain", [True, False])
def test_steps_see_the_engines_context_and_keep_their_own_changes(plain: bool):
    seen: list[str] = []

    def look(_: str) -> None:
        seen.append(TENANT.get())
        TENANT.set("changed by a step")
        assert Attempt.current().key == "s/fly/action/1"

    async def look_too(_: str) -> None:
        look(_)

    async def story(airport: Airport) -> None:
        function = look if plain else look_too
        delivered_in: list[str] = []

        def go_on(report: Report) -> None:
            delivered_in.append(TENANT.get())
            with pytest.raises(LookupError):
                Attempt.current()
            if (
                report.number == 1
            ):  # as the process manager does: the next attempt begins in the report of this
                airport.run(attempt(number=2), saga(function))

        airport.in_deliver = go_on
        TENANT.set("changed later")
        airport.run(attempt(), saga(function))
        await airport.reported(2)
        assert airport.kinds() == ["succeeded None"] * 2
        assert seen == ["the engine's"] * 2
        assert delivered_in == ["the engine's"] * 2

    TENANT.set("the engine's")
    at_airport(story)
