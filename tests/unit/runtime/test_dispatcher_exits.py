from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import pytest
from pydantic import AfterValidator, TypeAdapter

from saga_es.model.commands import Failed
from saga_es.model.effects import CancelAttempt
from saga_es.model.problem import ProblemKind
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.threads import DaemonThreads
from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.unit.runtime.airport import (
    SECOND,
    Airport,
    at_airport,
    attempt,
    failing,
    hang,
    probed_by,
    saga,
)

# -- CancelledError, exits


@pytest.mark.promise("case.cancelled-error")
@pytest.mark.parametrize("plain", [True, False])
def test_a_cancelled_error_that_the_engine_did_not_cause_is_an_error(plain: bool):
    async def story(airport: Airport) -> None:
        def fly(_: str) -> None:
            raise asyncio.CancelledError("by the user")

        airport.run(attempt(), saga(fly if plain else failing(asyncio.CancelledError("by the user"))))
        (report,) = await airport.reported()
        assert isinstance(report.outcome, Failed)
        problem = report.outcome.problem
        assert (problem.kind, problem.type, problem.message) == (
            ProblemKind.ERROR,
            "CancelledError",
            "by the user",
        )

    at_airport(story)


def test_a_step_that_cancels_its_own_task_has_failed():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        airport.run(attempt(), saga(fly))
        await airport.clock.advance(SECOND)
        assert airport.kinds() == ["error"]
        assert airport.dispatcher.in_flight == 0

    at_airport(story)


def test_a_call_that_whoever_ends_the_loop_cancels_before_it_begins_holds_up_nobody():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(hang))
        (flight,) = airport.dispatcher._flights.values()
        assert flight.task is not None
        flight.task.cancel()
        await airport.dispatcher.drain(timedelta(hours=1))
        assert airport.reports == []
        assert airport.dispatcher.in_flight == airport.dispatcher._tasks == 0

    at_airport(story)


def test_a_call_that_is_stopped_before_it_begins_gives_its_place_back():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(hang))
        airport.dispatcher.cancel(CancelAttempt("s", "fly", 1))
        await airport.empty()
        assert airport.kinds() == ["cancelled"]
        assert airport.dispatcher._tasks == 0

    at_airport(story)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks before Python 3.12")
def test_an_eager_task_lands_too():
    async def story(airport: Airport) -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        airport.run(attempt("a"), probed_by(failing(ValueError("no"))))
        await airport.empty()
        assert len(airport.reports) == 1
        assert airport.dispatcher._tasks == 0

    at_airport(story)


def test_a_probe_that_is_cancelled_before_it_begins_leaves_nothing_behind():
    async def story(airport: Airport) -> None:
        airport.run(attempt(timeout=None), probed_by(hang))
        await airport.clock.until(lambda: any(it.probe for it in airport.dispatcher._flights.values()))
        (flight,) = airport.dispatcher._flights.values()
        assert flight.probe is not None
        assert flight.probe.task is not None
        flight.probe.task.cancel()
        await airport.empty()
        assert airport.dispatcher._tasks == 0

    at_airport(story)


class Panic(BaseException):
    """What a library in another language may raise."""


def test_whatever_comes_of_a_call_it_lands():
    async def story(airport: Airport) -> None:
        def panic(_: str) -> str:
            raise Panic("out of order")

        async def fly(_: str) -> None:
            pass

        bound = replace(saga(fly), input=TypeAdapter(Annotated[str, AfterValidator(panic)]))
        airport.run(attempt(timeout=None), bound)
        await airport.empty()
        assert airport.kinds() == ["error"]
        assert airport.dispatcher._tasks == 0

    at_airport(story)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks before Python 3.12")
def test_an_eager_task_that_ends_at_once_lands_whatever_it_raises():
    async def story(airport: Airport) -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        airport.run(attempt("a"), saga(failing(GeneratorExit())))
        await airport.empty()
        assert airport.kinds() == ["error"]

    at_airport(story)


def test_nothing_of_a_flight_waits_for_the_garbage_collector():
    async def story(airport: Airport) -> None:
        async def fly(_: str) -> int:
            return 0

        airport.run(attempt(), saga(fly))
        (flight,) = airport.dispatcher._flights.values()
        await airport.empty()
        await asyncio.sleep(0)
        assert airport.kinds() == ["succeeded 0"]
        assert sys.getrefcount(flight) == 2  # ours, and the call's

    at_airport(story)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_order_to_exit_is_handed_on_and_never_reported(plain: bool, error: BaseException):
    async def story(airport: Airport) -> None:
        def fly(_: str) -> None:
            raise error

        airport.run(attempt(), saga(fly if plain else failing(error)))
        await airport.clock.until(lambda: airport.fatal)
        await airport.clock.advance(timedelta(hours=1))
        assert airport.fatal == [error]
        assert airport.reports == []
        assert airport.dispatcher.in_flight == 0

    at_airport(story)


@pytest.mark.parametrize("plain", [True, False])
def test_by_default_an_order_to_exit_ends_the_loop(plain: bool):
    reports: list[Report] = []

    async def main() -> None:
        dispatcher = Dispatcher(timers=Timers(ManualClock()), threads=DaemonThreads(), deliver=reports.append)
        dispatcher.run(
            attempt(), saga((lambda _: sys.exit(3)) if plain else failing(SystemExit(3))), reissued=False
        )
        await asyncio.get_running_loop().create_future()

    with pytest.raises(SystemExit) as caught:
        asyncio.run(main())
    assert caught.value.code == 3
    assert reports == []


@pytest.mark.parametrize("turns", [0, 3])
def test_a_loop_that_is_closed_under_a_coroutine_is_nobodys_answer(turns: int):
    reports: list[Report] = []

    async def main() -> None:
        dispatcher = Dispatcher(timers=Timers(ManualClock()), threads=DaemonThreads(), deliver=reports.append)
        dispatcher.run(attempt(), saga(hang), reissued=False)
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert reports == []


# -- shutting down


@pytest.mark.promise("case.shutting-down")
def test_drain_waits_for_what_is_in_flight_and_begins_nothing_more():
    async def story(airport: Airport) -> None:
        leave = asyncio.Event()

        async def fly(_: str) -> int:
            await leave.wait()
            return 7

        airport.run(attempt("a"), saga(fly))
        airport.run(attempt("b"), saga(lambda _: airport.gate.wait(10)))
        draining = asyncio.create_task(airport.dispatcher.drain(60 * SECOND))
        await airport.clock.settle()
        airport.run(attempt("late"), saga(fly))
        assert airport.dispatcher.in_flight == 2
        leave.set()
        await airport.reported(1)
        assert not draining.done()
        airport.gate.set()
        await draining
        assert airport.kinds() == ["succeeded 7", "succeeded True"]
        assert airport.clock.now() == EPOCH

    at_airport(story)


@pytest.mark.promise("case.cancelled-error")
def test_what_drain_cancels_is_not_reported_and_threads_are_left_alone():
    async def story(airport: Airport) -> None:
        unwound: list[bool] = []

        async def fly(_: str) -> None:
            try:
                await hang(_)
            finally:
                unwound.append(True)

        airport.run(attempt("a", timeout=None), saga(fly))
        airport.run(attempt("b", timeout=None), saga(lambda _: airport.gate.wait(10)))
        airport.run(attempt("c"), probed_by(hang))
        draining = asyncio.create_task(airport.dispatcher.drain(5 * SECOND))
        await airport.clock.advance(4 * SECOND)
        assert (draining.done(), unwound) == (False, [])
        await airport.clock.advance(SECOND)
        await draining
        assert unwound == [True]
        assert airport.dispatcher.in_flight == 1
        airport.gate.set()
        await airport.empty()
        await airport.clock.advance(timedelta(hours=1))
        assert airport.reports == []

    at_airport(story)


def test_drain_does_not_wait_for_a_thread_that_was_reported_as_timed_out():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), saga(lambda _: airport.gate.wait(10)))
        await airport.clock.advance(10 * SECOND)
        await airport.dispatcher.drain(60 * SECOND)
        assert airport.kinds() == ["timeout"]

    at_airport(story)


def test_drain_leaves_a_coroutine_that_ignores_cancellation_behind():
    async def story(airport: Airport) -> None:
        leave = asyncio.Event()

        async def fly(_: str) -> int:
            try:
                await hang(_)
            except asyncio.CancelledError:
                await leave.wait()
            return 7

        airport.run(attempt(timeout=None), saga(fly))
        await airport.clock.settle()
        draining = asyncio.create_task(airport.dispatcher.drain(timedelta(0)))
        await airport.clock.advance(SECOND)
        await draining
        leave.set()
        await airport.empty()
        assert airport.reports == []

    at_airport(story)


def test_an_idle_dispatcher_drains_at_once():
    async def story(airport: Airport) -> None:
        await airport.dispatcher.drain(60 * SECOND)
        airport.dispatcher.close()

    at_airport(story)
