"""What every transport does with an attempt; a new transport joins by a parameter of the fixture."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import Call, SagaBindings, StepBinding
from saga_es.errors import Rejected
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.definition import CompensationDefinition, SagaDefinition, SignalDefinition, StepDefinition
from saga_es.model.effects import RunAttempt
from saga_es.model.problem import ProblemKind
from saga_es.testing.manual_clock import EPOCH
from saga_es.transport.local import Limits, LocalTransport
from saga_es.transport.port import Exchange, Transport


class Trip(BaseModel):
    customer: str
    cities: list[str] = []


class Flight(BaseModel):
    seat: str


class NoRoomsError(Exception):
    pass


Steps = dict[str, dict[str, Any]]


@pytest.fixture(params=["local, coroutines", "local, plain functions"])
def style(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def transport() -> Transport:
    return LocalTransport(Limits(max_payload=200, max_depth=8))


def as_call(function: Callable[..., Any], style: str) -> Call:
    takes_attempt = "attempt" in function.__code__.co_varnames
    if "plain" in style:
        return Call(function, is_coroutine=False, takes_attempt=takes_attempt)

    async def awaited(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return Call(awaited, is_coroutine=True, takes_attempt=takes_attempt)


def bindings(
    style: str, function: Callable[..., Any], result: object = Flight, **options: Any
) -> SagaBindings:
    undo, probe = options.get("undo"), options.get("probe")
    steps = (
        StepDefinition(name="first", title="first"),
        StepDefinition(
            name="second",
            title="second",
            needs=("first", "approval"),
            compensation=CompensationDefinition(name="undo", title="undo") if undo else None,
        ),
    )

    definition = SagaDefinition(
        name="trip",
        steps=steps,
        signals=(SignalDefinition(name="approval", title="approval"),),
        order=("first", "approval", "second"),
    )
    bound = StepBinding(
        action=as_call(function, style),
        result=TypeAdapter(result),
        needs=("first", "approval"),
        compensation=as_call(undo, style) if undo else None,
        probe=as_call(probe, style) if probe else None,
        rejects=options.get("rejects", ()),
    )
    first = StepBinding(
        as_call(lambda trip: Flight(seat="1A"), style), TypeAdapter(Flight), (), None, None, ()
    )
    return SagaBindings(
        definition=definition,
        input=TypeAdapter(Trip),
        steps={"first": first, "second": bound},
        signals={"approval": TypeAdapter(list[int])},
    )


ACTION = RunAttempt(
    saga_id="trip-1", step="second", op="action", round=1, number=2,
    key="trip-1/second/action/1", action_key="trip-1/second/action/1",
    deadline=EPOCH + timedelta(seconds=10),
    arguments=({"customer": "ann", "cities": ["Rio"]}, {"seat": "12C"}, [1, 2]), absent=0, doubtful=False,
)  # fmt: skip
UNDO = replace(
    ACTION, op="compensation", round=2, number=1, key="trip-1/second/compensation/2",
    arguments=({"customer": "ann"}, {"seat": "7F"}),
)  # fmt: skip


def made(exchange: Exchange | None) -> Succeeded | Failed:
    assert exchange is not None
    if exchange.blocks:
        return contextvars.copy_context().run(exchange.made)

    async def main() -> Succeeded | Failed:
        return await exchange.awaited()

    return contextvars.copy_context().run(lambda: asyncio.run(main()))


def problem(answer: Succeeded | Failed) -> tuple[ProblemKind, str, str]:
    assert isinstance(answer, Failed), answer
    return answer.problem.kind, answer.problem.type, answer.problem.message


def test_an_action_takes_the_input_then_what_it_needs_decoded(transport: Transport, style: str):
    got: list[object] = []

    def function(trip: Trip, flight: Flight, approval: list[int]) -> Flight:
        got.extend((trip, flight, approval))
        return Flight(seat="9A")

    answer = made(transport.call(ACTION, bindings(style, function)))
    assert answer == Succeeded({"seat": "9A"})
    assert got == [Trip(customer="ann", cities=["Rio"]), Flight(seat="12C"), [1, 2]]


def test_each_attempt_gets_a_copy_of_its_own(transport: Transport, style: str):
    seen: list[list[str]] = []

    def function(trip: Trip, flight: Flight, approval: list[int]) -> Flight:
        seen.append(list(trip.cities))
        trip.cities.append("changed")
        approval.clear()
        flight.seat = "changed"
        return flight

    bound = bindings(style, function)
    made(transport.call(ACTION, bound))
    made(transport.call(ACTION, bound))
    assert seen == [["Rio"], ["Rio"]]
    assert ACTION.arguments == ({"customer": "ann", "cities": ["Rio"]}, {"seat": "12C"}, [1, 2])


def test_what_is_absent_is_none_without_being_decoded(transport: Transport, style: str):
    def function(trip: Trip, flight: Flight | None, approval: list[int]) -> list[bool]:
        return [flight is None, approval == [1, 2]]

    skipped = replace(ACTION, arguments=(ACTION.arguments[0], None, [1, 2]), absent=0b010)
    assert made(transport.call(skipped, bindings(style, function, list[bool]))) == Succeeded([True, True])


def test_a_compensation_takes_the_input_and_the_result_or_none_and_returns_nothing(
    transport: Transport, style: str
):
    got: list[object] = []

    def undo(trip: Trip, flight: Flight | None) -> str:
        got.append(flight)
        return "ignored"

    bound = bindings(style, lambda *_: None, undo=undo)
    assert made(transport.call(UNDO, bound)) == Succeeded(None)
    unknown = replace(UNDO, arguments=({"customer": "ann"}, None), absent=0b10)
    assert made(transport.call(unknown, bound)) == Succeeded(None)
    assert got == [Flight(seat="7F"), None]


@pytest.mark.promise("field.Attempt.key")
def test_the_attempt_comes_as_keyword_and_by_current(transport: Transport, style: str):
    got: list[Attempt] = []

    def function(trip: Trip, flight: Flight, approval: list[int], *, attempt: Attempt) -> Flight:
        got.extend((attempt, Attempt.current()))
        return flight

    def undo(trip: Trip, flight: Flight | None) -> None:
        got.append(Attempt.current())

    bound = bindings(style, function, undo=undo)
    made(transport.call(ACTION, bound))
    made(transport.call(UNDO, bound))
    assert got[0] == got[1]
    for attempt, run in ((got[0], ACTION), (got[2], UNDO)):
        assert attempt.saga_id == "trip-1"
        assert (attempt.step, attempt.op, attempt.round, attempt.number) == (
            run.step, run.op, run.round, run.number,
        )  # fmt: skip
        assert (attempt.key, attempt.action_key, attempt.deadline) == (run.key, run.action_key, run.deadline)
    with pytest.raises(LookupError):
        Attempt.current()


@pytest.mark.promise("seed.falsy-results")
@pytest.mark.parametrize(
    ("annotation", "value"), [(int, 0), (list[int], []), (str, ""), (bool, False), (None, None)]
)
def test_falsy_results_are_successes(transport: Transport, style: str, annotation: object, value: object):
    answer = made(transport.call(ACTION, bindings(style, lambda *_: value, annotation)))
    assert answer == Succeeded(value)  # type: ignore[arg-type]


@pytest.mark.promise("case.rejected")
@pytest.mark.parametrize("error", [Rejected("no rooms"), NoRoomsError("no rooms")])
def test_a_rejection_is_definite_and_final(transport: Transport, style: str, error: Exception):
    def function(*_: object) -> Flight:
        raise error

    answer = made(transport.call(ACTION, bindings(style, function, rejects=(NoRoomsError,))))
    assert problem(answer) == (ProblemKind.REJECTED, type(error).__name__, "no rooms")
    assert isinstance(answer, Failed)
    assert answer.final


@pytest.mark.promise("case.any-other-exception")
@pytest.mark.parametrize(
    "error", [NoRoomsError("boom"), TimeoutError("boom"), ExceptionGroup("boom", [Rejected()])]
)
def test_any_other_exception_is_an_error(transport: Transport, style: str, error: Exception):
    def function(*_: object) -> Flight:
        raise error

    kind, type_, message = problem(made(transport.call(ACTION, bindings(style, function))))
    assert (kind, type_) == (ProblemKind.ERROR, type(error).__name__)
    assert message.startswith("boom")


@pytest.mark.parametrize("error", [Rejected("no"), NoRoomsError("no"), ValueError("no")])
def test_from_a_compensation_every_exception_is_an_error(transport: Transport, style: str, error: Exception):
    def undo(*_: object) -> None:
        raise error

    answer = made(transport.call(UNDO, bindings(style, lambda *_: None, undo=undo, rejects=(NoRoomsError,))))
    assert problem(answer) == (ProblemKind.ERROR, type(error).__name__, "no")
    assert answer == Failed(answer.problem, final=False)  # type: ignore[union-attr]


def test_exceptions_that_are_no_exceptions_are_errors_too(transport: Transport, style: str):
    class OddError(BaseException):
        pass

    def function(*_: object) -> Flight:
        raise OddError("odd")

    answer = made(transport.call(ACTION, bindings(style, function)))
    assert problem(answer) == (ProblemKind.ERROR, "OddError", "odd")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_nobodys_answer_passes_through(transport: Transport, style: str, error: type[BaseException]):
    def function(*_: object) -> Flight:
        raise error

    exchange = transport.call(ACTION, bindings(style, function))
    make = exchange.made if exchange.blocks else partial(exchange.awaited().send, None)  # type: ignore[attr-defined]
    with pytest.raises(error):
        contextvars.copy_context().run(make)


def test_a_result_over_the_limit_is_too_large(transport: Transport, style: str):
    answer = made(transport.call(ACTION, bindings(style, lambda *_: "x" * 500, str)))
    kind, type_, message = problem(answer)
    assert (kind, type_) == (ProblemKind.TOO_LARGE, "PayloadTooLarge")
    assert "'second'" in message


def test_a_result_that_is_too_deep_is_too_large(transport: Transport, style: str):
    deep: list[Any] = []
    for _ in range(20):
        deep = [deep]
    kind, _, message = problem(made(transport.call(ACTION, bindings(style, lambda *_: deep, list[Any]))))
    assert kind is ProblemKind.TOO_LARGE
    assert "levels" in message


@pytest.mark.parametrize("returned", [object(), {"seat": object()}, "not a flight", float("nan")])
def test_a_result_that_does_not_survive_the_round_trip_is_an_error(
    transport: Transport, style: str, returned: object
):
    kind, _, _ = problem(made(transport.call(ACTION, bindings(style, lambda *_: returned))))
    assert kind is ProblemKind.ERROR


def test_recorded_arguments_that_no_longer_fit_are_an_error_and_no_call_is_made(
    transport: Transport, style: str
):
    called: list[object] = []
    bound = bindings(
        style, lambda *args: called.append(args), rejects=(ValueError,)
    )  # which pydantic's errors are
    stale = replace(ACTION, arguments=({"client": "ann"}, {"seat": "1"}, []))
    assert problem(made(transport.call(stale, bound)))[0] is ProblemKind.ERROR
    assert called == []


@pytest.mark.promise("case.probe")
def test_a_probe_takes_the_input_and_the_attempt_and_answers_for_the_action(transport: Transport, style: str):
    got: list[object] = []

    def probe(trip: Trip, *, attempt: Attempt) -> Flight:
        got.extend((trip, attempt.number, attempt.key, Attempt.current().key))
        return Flight(seat="found")

    answer = made(transport.probe(ACTION, bindings(style, lambda *_: None, probe=probe)))
    assert answer == Succeeded({"seat": "found"})
    assert got == [Trip(customer="ann", cities=["Rio"]), 2, ACTION.key, ACTION.key]


@pytest.mark.parametrize("error", [Rejected("no trace"), NoRoomsError("no trace")])
def test_a_probes_rejection_is_policys_to_retry(transport: Transport, style: str, error: Exception):
    def probe(*_: object) -> Flight:
        raise error

    answer = made(
        transport.probe(ACTION, bindings(style, lambda *_: None, probe=probe, rejects=(NoRoomsError,)))
    )
    assert problem(answer) == (ProblemKind.REJECTED, type(error).__name__, "no trace")
    assert answer == Failed(answer.problem, final=False)  # type: ignore[union-attr]


def test_there_is_no_probe_where_none_was_given_nor_for_a_compensation(transport: Transport, style: str):
    assert transport.probe(ACTION, bindings(style, lambda *_: None)) is None
    asked = bindings(style, lambda *_: None, undo=lambda *_: None, probe=lambda *_: None)
    assert transport.probe(UNDO, asked) is None


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("nul\x00 and \ud800 surrogate"), "nul and ? surrogate"),
        (ValueError("x" * 5_000), "x" * 1_999 + "…"),
        (ValueError(), ""),
        (UnprintableError(), "(ZeroDivisionError while its text was made)"),
    ],
)
def test_messages_are_safe_to_store(transport: Transport, style: str, error: Exception, message: str):
    def function(*_: object) -> Flight:
        raise error

    assert problem(made(transport.call(ACTION, bindings(style, function))))[2] == message
