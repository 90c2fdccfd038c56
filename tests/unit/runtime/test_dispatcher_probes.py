from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from saga_es.authoring.attempt import Attempt
from saga_es.errors import Rejected
from saga_es.model.commands import Failed
from saga_es.testing.manual_clock import EPOCH
from tests.unit.runtime.airport import (
    SECOND,
    Airport,
    at_airport,
    attempt,
    cancellation,
    failing,
    hang,
    probed_by,
    undoing,
)

# -- probes


async def found(_: str, *, attempt: Attempt) -> str:
    return f"found {attempt.number}"


async def not_found(_: str) -> str:
    raise Rejected("no trace")


async def no_idea(_: str) -> str:
    raise ConnectionError("no idea")


@pytest.mark.promise("case.probe")
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
