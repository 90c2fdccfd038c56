"""What a definition says where its author said nothing, in both styles."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from saga_es import Attempt, Saga, define, do, signal, step
from saga_es.authoring.bindings import bindings_of
from saga_es.model.definition import SagaDefinition


class Trip(BaseModel):
    customer: str


def book(trip: Trip) -> int:
    return 1


def cancel(trip: Trip, booked: int | None) -> None: ...


def ask(trip: Trip) -> int:
    return 1


class Bare(Saga[Trip], name="bare"):
    @step
    def book(self, trip: Trip) -> int:
        return 1

    @book.compensation
    def cancel(self, trip: Trip, booked: int | None) -> None: ...

    @book.probe
    def ask(self, trip: Trip, *, attempt: Attempt) -> int:
        return attempt.number

    approval = signal(bool)


BY_HAND = define("bare", Trip).step(book, undo=cancel, probe=ask).signal("approval", bool)
PIPED = (define("bare", Trip) | do(book, undo=cancel, probe=ask)).signal("approval", bool)


@pytest.mark.promise("call.Saga", "call.define", "call.do", "call.Definition.step", "call.Definition.signal")
@pytest.mark.promise("call.step", "call.compensation", "call.probe", "call.signal-node")
@pytest.mark.parametrize(
    "plan",
    [Bare.definition, BY_HAND.definition, PIPED.definition],
    ids=["class", "chained", "piped"],
)
def test_defaults(plan: SagaDefinition):
    assert (plan.name, plan.version, plan.on_failure) == ("bare", 1, "drain")
    assert plan.order == ("book", "approval")
    (booking,) = plan.steps
    assert (booking.title, booking.needs, booking.pivot, booking.read_only) == ("book", (), False, False)
    assert (booking.retry, booking.timeout, booking.optional) == (None, "default", ())
    assert booking.compensation is not None
    assert (booking.compensation.name, booking.compensation.title) == ("cancel", "cancel")
    assert (booking.compensation.retry, booking.compensation.timeout) == (None, "default")
    assert booking.probe == "ask"
    (approval,) = plan.signals
    assert (approval.title, approval.needs, approval.timeout) == ("approval", (), None)


@pytest.mark.promise("call.Definition.pipe", "call.do")
def test_a_piped_step_is_bound_as_a_chained_one_is():
    for definition in (BY_HAND, PIPED):
        bound = bindings_of(definition).steps["book"]
        assert bound.action.function is book
        assert bound.compensation is not None
        assert bound.compensation.function is cancel
        assert bound.probe is not None
        assert bound.probe.function is ask
        assert bound.rejects == ()
    assert BY_HAND.definition.digest == PIPED.definition.digest


@pytest.mark.promise("call.Saga", "call.define")
@pytest.mark.parametrize("on_failure", ["drain", "cancel"])
def test_what_happens_to_attempts_in_flight_is_said_with_the_name(on_failure):
    class Told(Saga[Trip], name="told", version=7, on_failure=on_failure):
        pass

    by_hand = define("told", Trip, version=7, on_failure=on_failure).definition
    for plan in (Told.definition, by_hand):
        assert (plan.name, plan.version, plan.on_failure) == ("told", 7, on_failure)
