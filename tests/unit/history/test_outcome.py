from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from saga_es import define
from saga_es.authoring.bindings import bindings_of
from saga_es.errors import DefinitionError, InvalidInput, SagaFailed
from saga_es.model.commands import ForceCompensated, SupplyResult
from saga_es.model.definition import Retry, SignalDefinition
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.problem import ProblemKind
from saga_es.runtime.results import outcome_with


def said(play):
    return outcome_with(None, play.state)


@pytest.mark.promise("invariant.15", "field.Outcome.saga_id", "field.Outcome.status", "field.Outcome.ending")
@pytest.mark.promise("field.Outcome.results", "field.Outcome.cause", "field.Outcome.residue")
def test_what_the_outcome_says_equals_what_the_log_says(theatre):
    play = theatre.kevin()
    outcome = said(play)
    assert outcome.saga_id == "trip-42"
    assert outcome.status is SagaStatus.FAILED
    failed = play.events[-1].event
    assert outcome.ending is failed.ending is Ending.COMPENSATED
    assert outcome.cause == failed.cause
    assert (outcome.cause.kind, outcome.cause.step) == (ProblemKind.REJECTED, "book_hotel")
    assert outcome.residue == failed.residue == ()
    recorded = {r.event.step: r.event.result for r in play.events if r.type == "StepSucceeded"}
    assert outcome.results == recorded
    assert list(outcome.results) == ["book_plane", "buy_tickets"]


async def book(trip: str) -> Decimal:
    return Decimal(trip)


def booked(theatre, result):
    bindings = bindings_of(define("trip", str).step(book))
    return bindings, theatre.play(theatre.step("book")).start().ok("book", result).state


def test_results_are_what_the_annotations_say(theatre):
    assert outcome_with(*booked(theatre, "12.50")).results == {"book": Decimal("12.50")}


def test_a_result_that_does_not_fit_its_annotation_any_more(theatre):
    with pytest.raises(
        DefinitionError, match=r"does not fit the annotation any more: value: .*another version"
    ) as caught:
        outcome_with(*booked(theatre, "a lot"))
    assert caught.value.where == "trip.book"


def test_success(theatre):
    outcome = said(theatre.trip().start().ok("book_plane", 0).ok("book_hotel", []).ok("buy_tickets"))
    assert outcome.ending is Ending.SUCCEEDED
    assert outcome.cause is None
    assert outcome.results == {
        "book_plane": 0,
        "book_hotel": [],
        "buy_tickets": None,
    }
    outcome.raise_for_failure()


@pytest.mark.promise("call.Outcome.raise_for_failure", "error.SagaFailed")
def test_raise_for_failure(theatre):
    play = theatre.play(theatre.step("a", undo=None), theatre.step("b")).start().ok("a").rejected("b", "no")
    with pytest.raises(SagaFailed) as caught:
        said(play).raise_for_failure()
    error = caught.value
    assert (error.saga_id, error.ending, error.cause, error.residue) == ("trip-42", "residue", "no", ("a",))


def test_signals_stand_among_the_results_and_as_causes(theatre):
    signal = SignalDefinition(name="approval", title="approval", timeout=timedelta(hours=1))
    play = theatre.play(theatre.step("a"), signal).start().signal("approval", {"by": "ann"}).ok("a", 1)
    assert said(play).results == {"a": 1, "approval": {"by": "ann"}}
    late = theatre.play(theatre.step("a"), signal).start().ok("a", 1).wait(timedelta(hours=2)).undone("a")
    outcome = said(late)
    assert (outcome.cause.kind, outcome.cause.step) == (ProblemKind.TIMEOUT, "approval")
    assert list(outcome.results) == ["a"]


def test_a_cancel_has_no_step(theatre):
    outcome = said(theatre.trip(room=0).start().cancel("enough"))
    assert (outcome.cause.kind, outcome.cause.step, outcome.cause.message) == (
        ProblemKind.CANCELLED,
        None,
        "enough",
    )


def test_supplied_results_count_and_late_ones_of_unknown_steps_do_not(theatre):
    nodes = [
        theatre.step("p", undo=None, pivot=True),
        theatre.step("q", undo=None, needs=("p",), retry=Retry(attempts=1)),
    ]
    play = theatre.play(*nodes).start().ok("p", 1).error("q", "lost").repair(SupplyResult, "q", result=2)
    assert said(play).results == {"p": 1, "q": 2}
    late = theatre.play(theatre.step("a")).start().error("a", "lost").undone("a").ok("a", 3)
    assert said(late).results == {}
    assert (said(late).ending, said(late).residue) == (Ending.RESIDUE, ("a",))
    assert said(late.undone("a", round_=2)).ending is Ending.COMPENSATED


def test_forced(theatre):
    play = theatre.play(theatre.step("a"), theatre.step("b")).start().ok("a").rejected("b", "no")
    assert said(play.undo_error("a", "down").repair(ForceCompensated, "a")).ending is Ending.FORCED


def test_a_saga_that_has_not_ended_has_no_outcome(theatre):
    with pytest.raises(InvalidInput) as caught:
        said(theatre.trip().start())
    assert "running" in caught.value.problem
