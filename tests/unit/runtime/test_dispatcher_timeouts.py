from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from saga_es.errors import Rejected
from saga_es.model.commands import Failed
from saga_es.model.effects import CancelAttempt
from saga_es.model.problem import ProblemKind
from saga_es.runtime.threads import ExecutorThreads
from saga_es.testing.manual_clock import EPOCH
from tests.unit.runtime.airport import (
    SECOND,
    Airport,
    at_airport,
    attempt,
    cancellation,
    hang,
    saga,
)

# -- timeouts and late replies


@pytest.mark.promise("case.timeout")
def test_a_coroutine_is_cancelled_at_its_deadline():
    async def story(airport: Airport) -> None:
        unwound: list[datetime] = []

        async def fly(_: str) -> None:
            try:
                await hang(_)
            finally:
                unwound.append(airport.clock.now())

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(9 * SECOND)
        assert airport.reports == []
        await airport.clock.advance(SECOND)
        (report,) = airport.reports
        assert isinstance(report.outcome, Failed)
        problem = report.outcome.problem
        assert (problem.kind, problem.type) == (ProblemKind.TIMEOUT, "TimeoutError")
        assert problem.message == "no answer within 10 s"
        assert unwound == airport.times == [EPOCH + 10 * SECOND]
        assert airport.room == [0]

    at_airport(story)


@pytest.mark.parametrize(
    ("planned", "left", "shown"),
    [(2.5, 2.4987, "2.5"), (None, 299.998, "300"), (None, 0.05, "0.05"), (3600, 3600, "3600")],
)
def test_a_timeouts_message_says_the_seconds_of_the_plan(planned: float | None, left: float, shown: str):
    async def story(airport: Airport) -> None:
        timeout = None if planned is None else timedelta(seconds=planned)
        airport.run(attempt(timeout=timedelta(seconds=left)), saga(hang, timeout=timeout))
        await airport.clock.advance(timedelta(hours=2))
        outcome = airport.reports[0].outcome
        assert isinstance(outcome, Failed)
        assert outcome.problem.message == f"no answer within {shown} s"

    at_airport(story)


def test_without_a_deadline_an_attempt_waits_for_ever():
    async def story(airport: Airport) -> None:
        airport.run(attempt(timeout=None), saga(hang))
        await airport.clock.advance(timedelta(days=365))
        assert airport.reports == []
        airport.dispatcher.close()
        await airport.empty()

    at_airport(story)


@pytest.mark.promise("case.late-reply")
def test_a_thread_keeps_its_place_after_its_timeout_and_what_it_returns_is_late():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(lambda _: airport.gate.wait(10)))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout"]
        assert (airport.dispatcher.in_flight, airport.room) == (1, [])
        airport.gate.set()
        await airport.reported(2)
        assert airport.kinds() == ["timeout", "succeeded True late"]
        assert (airport.dispatcher.in_flight, airport.room) == (0, [0])

    at_airport(story)


def test_a_threads_late_exception_is_reported_as_late_too():
    async def story(airport: Airport) -> None:
        def fly(_: str) -> None:
            airport.gate.wait(10)
            raise Rejected("no seats")

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(10 * SECOND)
        airport.gate.set()
        await airport.reported(2)
        assert airport.kinds() == ["timeout", "rejected late"]

    at_airport(story)


def test_a_coroutine_that_ignores_cancellation_is_reported_without_it_and_its_return_is_late():
    async def story(airport: Airport) -> None:
        leave = asyncio.Event()

        async def fly(_: str) -> int:
            try:
                await hang(_)
            except asyncio.CancelledError:
                await leave.wait()
            return 7

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == []  # it has a moment for its finally
        await airport.clock.advance(SECOND)
        assert airport.kinds() == ["timeout"]
        assert airport.dispatcher.in_flight == 1
        leave.set()
        await airport.reported(2)
        assert airport.kinds() == ["timeout", "succeeded 7 late"]
        assert airport.dispatcher.in_flight == 0

    at_airport(story)


def test_a_coroutine_that_swallows_the_cancellation_has_timed_out_all_the_same():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> int:
            try:
                await hang(_)
            except asyncio.CancelledError:
                return 7
            return 8

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout", "succeeded 7 late"]

    at_airport(story)


def test_what_a_coroutine_raises_while_it_unwinds_is_no_reply():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> None:
            try:
                await hang(_)
            finally:
                raise ValueError

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout"]

    at_airport(story)


def test_a_call_that_found_no_thread_before_its_timeout_is_not_made_after_it():
    called: list[str] = []

    async def story(airport: Airport) -> None:
        airport.run(attempt("first", timeout=None), saga(lambda _: airport.gate.wait(10)))
        airport.run(attempt("second"), saga(called.append))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout"]
        airport.gate.set()
        await airport.empty()
        assert airport.kinds() == ["timeout", "succeeded True"]
        assert called == []

    with ThreadPoolExecutor(1) as executor:
        at_airport(story, ExecutorThreads(executor))


# -- made anew after it was reported


async def made_anew(airport: Airport, *ends: object) -> list[threading.Event]:
    """Let an attempt time out in its thread, then make it again; returns what lets each call come to its end."""
    gates = [threading.Event() for _ in ends]
    calls = iter(zip(gates, ends, strict=True))

    def fly(_: str) -> object:
        gate, end = next(calls)
        gate.wait(10)
        if isinstance(end, Exception):
            raise end
        return end

    airport.run(attempt(), saga(fly))
    airport.run(attempt(), saga(fly), reissued=True)  # in flight: it is left alone
    await airport.clock.advance(10 * SECOND)
    assert (airport.kinds(), airport.dispatcher.in_flight) == (["timeout"], 1)
    airport.run(replace(attempt(), deadline=EPOCH + 20 * SECOND), saga(fly), reissued=True)
    assert airport.dispatcher.in_flight == airport.dispatcher.in_flight == 2
    return gates


@pytest.mark.promise("case.late-reply", "case.timeout")
def test_an_attempt_whose_thread_outlives_its_timeout_can_be_made_anew_beside_it():
    async def story(airport: Airport) -> None:
        old, new = await made_anew(airport, "old", "new")
        new.set()
        await airport.reported(2)
        assert (airport.dispatcher.in_flight, airport.room) == (1, [1])
        old.set()
        await airport.reported(3)
        assert airport.kinds() == ["timeout", "succeeded new", "succeeded old late"]
        assert (airport.dispatcher.in_flight, airport.room) == (0, [1, 0])

    at_airport(story)


@pytest.mark.promise("case.late-reply", "case.timeout")
def test_what_is_made_anew_has_a_timeout_of_its_own():
    async def story(airport: Airport) -> None:
        gates = await made_anew(airport, "old", "new")
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout", "timeout"]
        for gate in gates:
            gate.set()
        await airport.reported(4)
        await airport.empty()

    at_airport(story)


@pytest.mark.promise("case.late-reply", "case.rejected")
@pytest.mark.parametrize("end", [Rejected("no seats"), OSError("rain")])
def test_that_the_outlived_call_failed_says_nothing_of_the_one_in_flight(end: Exception):
    async def story(airport: Airport) -> None:
        old, new = await made_anew(airport, end, "new")
        old.set()
        await airport.clock.until(lambda: airport.dispatcher.in_flight == 1)
        assert airport.kinds() == ["timeout"]
        new.set()
        await airport.reported(2)
        assert airport.kinds() == ["timeout", "succeeded new"]

    at_airport(story)


def test_leaving_waits_for_no_outlived_call():
    async def story(airport: Airport) -> None:
        old, new = await made_anew(airport, "old", "new")
        leaving = asyncio.ensure_future(airport.dispatcher.drain(5 * SECOND))
        await airport.clock.settle()
        assert not leaving.done()
        new.set()
        await leaving
        old.set()
        await airport.empty()
        assert airport.kinds() == ["timeout", "succeeded new"]

    at_airport(story)


# -- cancelling


def test_a_coroutine_in_flight_is_cancelled_on_demand():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(hang))
        await airport.clock.settle()
        airport.dispatcher.cancel(cancellation(2))  # another attempt: nothing
        airport.dispatcher.cancel(CancelAttempt("s", "other", 1))
        airport.dispatcher.cancel(cancellation())
        airport.dispatcher.cancel(cancellation())
        await airport.clock.settle()
        (report,) = airport.reports
        assert isinstance(report.outcome, Failed)
        assert (report.outcome.problem.kind, report.outcome.problem.type) == (
            ProblemKind.CANCELLED,
            "CancelledError",
        )
        await airport.clock.advance(20 * SECOND)
        assert len(airport.reports) == 1

    at_airport(story)


def test_a_coroutine_cancelled_before_its_first_turn_is_reported_too():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(hang))
        airport.dispatcher.cancel(cancellation())
        await airport.clock.settle()
        assert airport.kinds() == ["cancelled"]

    at_airport(story)


def test_a_thread_drains_when_it_is_cancelled_and_may_still_time_out():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(lambda _: airport.gate.wait(10)))
        airport.dispatcher.cancel(cancellation())
        await airport.clock.settle()
        assert airport.kinds() == []
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["timeout"]

    at_airport(story)


def test_an_answer_given_in_spite_of_the_cancelling_stands():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> int:
            try:
                await hang(_)
            except asyncio.CancelledError:
                return 7
            return 8

        airport.run(attempt(), saga(fly))
        await airport.clock.settle()
        airport.dispatcher.cancel(cancellation())
        await airport.clock.settle()
        assert airport.kinds() == ["succeeded 7"]

    at_airport(story)
