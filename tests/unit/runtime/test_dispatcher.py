from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import Call, SagaBindings, StepBinding
from saga_es.errors import Rejected
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.definition import CompensationDefinition, SagaDefinition, StepDefinition
from saga_es.model.effects import CancelAttempt, RunAttempt
from saga_es.model.problem import ProblemKind
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.threads import DaemonThreads, ExecutorThreads, Threads
from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock

SECOND = timedelta(seconds=1)
TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")


class Airport:
    """A dispatcher with all that it needs, and what it reported."""

    def __init__(self, threads: Threads | None = None) -> None:
        self.clock = ManualClock()
        self.reports: list[Report] = []
        self.times: list[datetime] = []
        self.room: list[int] = []
        self.fatal: list[BaseException] = []
        self.in_deliver: Callable[[Report], None] = lambda report: None
        self.threads = threads or DaemonThreads()
        self.dispatcher = Dispatcher(
            timers=Timers(self.clock),
            threads=self.threads,
            deliver=self.deliver,
            on_room=lambda: self.room.append(self.dispatcher.in_flight),
            fatal=self.fatal.append,
        )
        self.gate = threading.Event()

    def deliver(self, report: Report) -> None:
        self.reports.append(report)
        self.times.append(self.clock.now())
        self.in_deliver(report)

    def run(self, attempt: RunAttempt, bindings: SagaBindings, *, reissued: bool = False) -> None:
        self.dispatcher.run(attempt, bindings, reissued=reissued)

    async def reported(self, count: int = 1) -> list[Report]:
        await self.clock.until(lambda: len(self.reports) >= count)
        return self.reports

    async def empty(self) -> None:
        await self.clock.until(lambda: self.dispatcher.in_flight == 0)

    def kinds(self) -> list[str]:
        """Return what was reported, in short."""
        words: list[str] = []
        for report in self.reports:
            outcome = report.outcome
            word = str(outcome.problem.kind) if isinstance(outcome, Failed) else f"succeeded {outcome.result}"
            words.append(" ".join([word, *["probed"] * report.probed, *["late"] * report.late]))
        return words


def at_airport(story: Callable[[Airport], Awaitable[None]], threads: Threads | None = None) -> Airport:
    async def main() -> Airport:
        airport = Airport(threads)
        await asyncio.wait_for(story(airport), 30)
        airport.gate.set()
        airport.threads.close()
        assert airport.dispatcher._of_saga == {} or airport.dispatcher.in_flight
        return airport

    return asyncio.run(main())


def call(function: Callable[..., Any] | None) -> Call | None:
    if function is None:
        return None
    takes_attempt = "attempt" in inspect.signature(function).parameters
    return Call(function, is_coroutine=inspect.iscoroutinefunction(function), takes_attempt=takes_attempt)


def saga(function: Callable[..., Any], *, timeout: timedelta | None = None, **options: Any) -> SagaBindings:
    undo = options.get("undo")
    step = StepDefinition(
        name="fly",
        title="fly",
        timeout=timeout or "default",
        compensation=CompensationDefinition(name="undo", title="undo") if undo else None,
    )
    action = call(function)
    assert action is not None
    bound = StepBinding(
        action=action,
        result=TypeAdapter(Any),
        needs=(),
        compensation=call(undo),
        probe=call(options.get("probe")),
        rejects=(),
    )
    definition = SagaDefinition(name="trip", steps=(step,), order=("fly",))
    return SagaBindings(definition=definition, input=TypeAdapter(str), steps={"fly": bound}, signals={})


def attempt(saga_id: str = "s", *, number: int = 1, timeout: timedelta | None = 10 * SECOND) -> RunAttempt:
    key = f"{saga_id}/fly/action/1"
    deadline = None if timeout is None else EPOCH + timeout
    return RunAttempt(saga_id, "fly", "action", 1, number, key, key, deadline, ("ann",), 0, doubtful=False)


def undoing(saga_id: str = "s", *, round_: int = 1) -> RunAttempt:
    key = f"{saga_id}/fly/compensation/{round_}"
    return replace(attempt(saga_id), op="compensation", round=round_, key=key, arguments=("ann", 7))


async def hang(_: str) -> None:
    await asyncio.get_running_loop().create_future()


def failing(error: BaseException) -> Callable[[str], Coroutine[Any, Any, None]]:
    async def fail(_: str) -> None:
        raise error

    return fail


# -- running


def test_an_attempts_answer_is_reported_once_with_its_names():
    async def story(airport: Airport) -> None:
        async def fly(who: str) -> dict[str, str]:
            return {"who": who}

        airport.run(attempt("a", number=3), saga(fly))
        assert (airport.dispatcher.in_flight, airport.dispatcher.in_flight_of("a")) == (1, 1)
        await airport.reported()
        assert airport.reports == [
            Report("a", "fly", "action", 1, 3, Succeeded({"who": "ann"}), probed=False, late=False)
        ]
        assert (airport.dispatcher.in_flight, airport.dispatcher.in_flight_of("a")) == (0, 0)
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
        assert airport.dispatcher.in_flight_of("s") == 2
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


# -- cancelling


def cancellation(number: int = 1) -> CancelAttempt:
    return CancelAttempt("s", "fly", number)


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


# -- CancelledError, exits


@pytest.mark.promise("case.cancellederror-that-the-engine-caused")
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


# -- probes


def probed_by(
    probe: Callable[..., Any], action: Callable[..., Any] | None = None, **options: Any
) -> SagaBindings:
    return saga(action or failing(ValueError("lost")), probe=probe, **options)


async def found(_: str, *, attempt: Attempt) -> str:
    return f"found {attempt.number}"


async def not_found(_: str) -> str:
    raise Rejected("no trace")


async def no_idea(_: str) -> str:
    raise ConnectionError("no idea")


@pytest.mark.promise("case.the-step-has-a-probe")
@pytest.mark.parametrize(
    ("probe", "expected"),
    [(found, "succeeded found 1 probed"), (not_found, "rejected probed"), (no_idea, "error")],
)
def test_a_probe_is_asked_when_there_is_no_definite_answer(probe: Callable[..., Any], expected: str):
    async def story(airport: Airport) -> None:
        airport.run(attempt(), probed_by(probe))
        (report,) = await airport.reported()
        assert airport.kinds() == [expected]
        if isinstance(report.outcome, Failed):
            assert report.outcome.problem.message == ("no trace" if report.probed else "lost")
            assert not report.outcome.final
        assert airport.room == [0]

    at_airport(story)


def test_a_probe_may_be_a_plain_function_and_the_place_is_held_while_it_runs():
    async def story(airport: Airport) -> None:
        asked = threading.Event()

        def probe(_: str) -> str:
            asked.set()
            airport.gate.wait(10)
            return Attempt.current().key

        airport.run(attempt(), probed_by(probe))
        await airport.clock.until(asked.is_set)
        assert (airport.dispatcher.in_flight, airport.room, airport.reports) == (1, [], [])
        airport.gate.set()
        await airport.reported()
        assert airport.kinds() == ["succeeded s/fly/action/1 probed"]
        assert airport.dispatcher.in_flight == 0

    at_airport(story)


@pytest.mark.parametrize("plain", [True, False])
def test_a_probe_is_asked_after_a_timeout(plain: bool):
    async def story(airport: Airport) -> None:
        airport.run(attempt(), probed_by(found, (lambda _: airport.gate.wait(10)) if plain else hang))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["succeeded found 1 probed"]
        assert airport.dispatcher.in_flight == (1 if plain else 0)  # the thread still runs
        airport.gate.set()
        await airport.empty()
        assert airport.kinds()[1:] == (["succeeded True late"] if plain else [])

    at_airport(story)


def test_a_probe_has_the_steps_timeout_and_is_cancelled_then():
    async def story(airport: Airport) -> None:
        airport.run(attempt(timeout=9.99 * SECOND), probed_by(hang, hang, timeout=10 * SECOND))
        await airport.clock.advance(19 * SECOND)
        assert airport.kinds() == []
        await airport.clock.advance(SECOND)
        assert airport.kinds() == ["timeout"]
        assert airport.times == [EPOCH + 19.99 * SECOND]
        assert airport.dispatcher.in_flight == 0

    at_airport(story)


def test_a_probe_in_a_thread_that_hangs_holds_the_place_but_not_the_report():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), probed_by(lambda _: airport.gate.wait(10)))
        await airport.clock.settle()
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == ["error"]
        assert airport.dispatcher.in_flight == 1
        airport.gate.set()
        await airport.empty()
        assert airport.kinds() == ["error"]
        assert airport.room == [0]

    at_airport(story)


def test_a_thread_that_answers_while_its_probe_asks_needs_no_probe():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), probed_by(hang, lambda _: airport.gate.wait(10)))
        await airport.clock.advance(10 * SECOND)
        assert airport.kinds() == []
        airport.gate.set()
        await airport.empty()
        assert airport.kinds() == ["succeeded True"]

    at_airport(story)


def test_a_thread_that_fails_while_its_probe_asks_leaves_it_to_the_probe():
    async def story(airport: Airport) -> None:
        leave = asyncio.Event()

        async def probe(_: str) -> int:
            await leave.wait()
            return 7

        def fly(_: str) -> None:
            airport.gate.wait(10)
            ended.set()
            raise ValueError

        ended = threading.Event()
        airport.run(attempt(), probed_by(probe, fly))
        await airport.clock.advance(10 * SECOND)
        airport.gate.set()
        await airport.clock.until(ended.is_set)
        await airport.clock.settle()
        assert airport.kinds() == []
        leave.set()
        await airport.empty()
        assert airport.kinds() == ["succeeded 7 probed"]

    at_airport(story)


@pytest.mark.parametrize(
    ("doubtful", "reissued", "expected"),
    [
        (False, False, "rejected"),
        (True, False, "succeeded found 1 probed"),
        (False, True, "succeeded found 1 probed"),
    ],
)
def test_a_rejection_is_probed_only_where_it_is_not_definite(doubtful: bool, reissued: bool, expected: str):
    async def story(airport: Airport) -> None:
        run = replace(attempt(), doubtful=doubtful)
        airport.run(run, probed_by(found, failing(Rejected("no seats"))), reissued=reissued)
        (report,) = await airport.reported()
        assert airport.kinds() == [expected]
        if isinstance(report.outcome, Failed):
            assert report.outcome.final

    at_airport(story)


def test_a_doubtful_rejection_that_no_probe_betters_stays_what_it_was():
    async def story(airport: Airport) -> None:
        airport.run(attempt(), probed_by(no_idea, failing(Rejected("no seats"))), reissued=True)
        (report,) = await airport.reported()
        assert isinstance(report.outcome, Failed)
        assert report.outcome.final
        assert airport.kinds() == ["rejected"]

    at_airport(story)


def test_no_probe_follows_a_success_a_result_that_is_too_large_or_a_compensation():
    async def story(airport: Airport) -> None:
        asked: list[str] = []

        async def fine(_: str) -> int:
            return 1

        async def large(_: str) -> str:
            return "x" * 300_000

        async def undo(_: str, result: object) -> None:
            raise ValueError(result)

        airport.run(attempt("fine"), probed_by(asked.append, fine))
        airport.run(attempt("large"), probed_by(asked.append, large))
        airport.run(undoing("undone"), probed_by(asked.append, fine, undo=undo))
        await airport.reported(3)
        assert sorted(airport.kinds()) == ["error", "succeeded 1", "too_large"]
        assert asked == []

    at_airport(story)


def test_a_cancelled_attempt_is_probed_too_and_that_is_not_cancelled_again():
    async def story(airport: Airport) -> None:
        leave = asyncio.Event()

        async def probe(_: str) -> int:
            await leave.wait()
            return 7

        airport.run(attempt(), probed_by(probe, hang))
        await airport.clock.settle()
        for _ in range(3):
            airport.dispatcher.cancel(cancellation())
            await airport.clock.settle()
        assert airport.kinds() == []
        leave.set()
        await airport.reported()
        assert airport.kinds() == ["succeeded 7 probed"]

    at_airport(story)


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


@pytest.mark.promise("case.cancellederror-that-the-engine-caused")
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
