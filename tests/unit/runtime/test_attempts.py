"""What a step's function is told of the attempt it runs in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from saga_es.authoring.attempt import Attempt
from saga_es.testing.manual_clock import EPOCH
from tests.unit.runtime.airport import SECOND, Airport, at_airport, attempt, saga, undoing


@pytest.mark.promise("field.Attempt.saga_id", "field.Attempt.step", "field.Attempt.op", "field.Attempt.round")
@pytest.mark.promise("field.Attempt.number", "field.Attempt.key", "field.Attempt.action_key")
@pytest.mark.promise("field.Attempt.deadline", "call.Attempt.current")
@pytest.mark.parametrize("plain", [True, False])
def test_a_step_and_its_compensation_are_told_who_calls(plain: bool):
    told: list[Attempt] = []

    def fly(who: str, *, attempt: Attempt) -> None:
        told.append(attempt)
        assert Attempt.current() is attempt

    async def fly_too(who: str, *, attempt: Attempt) -> None:
        fly(who, attempt=attempt)

    def undo(who: str, result: object, *, attempt: Attempt) -> None:
        fly(who, attempt=attempt)

    async def undo_too(who: str, result: object, *, attempt: Attempt) -> None:
        fly(who, attempt=attempt)

    async def story(airport: Airport) -> None:
        bound = saga(fly if plain else fly_too, undo=undo if plain else undo_too)
        airport.run(attempt("trip-42", number=3), bound)
        await airport.reported()
        back = replace(undoing("trip-42", round_=2), deadline=None, action_key="trip-42/fly/action/1")
        airport.run(back, bound)
        await airport.reported(2)
        assert airport.kinds() == ["succeeded None"] * 2

    at_airport(story)
    due = EPOCH + 10 * SECOND
    assert told == [
        Attempt("trip-42", "fly", "action", 1, 3, "trip-42/fly/action/1", "trip-42/fly/action/1", due),
        Attempt(
            saga_id="trip-42",
            step="fly",
            op="compensation",
            round=2,
            number=1,
            key="trip-42/fly/compensation/2",
            action_key="trip-42/fly/action/1",
            deadline=None,
        ),
    ]


@pytest.mark.promise("field.Attempt.key")
def test_the_key_stays_the_same_over_retries():
    told: list[tuple[int, str]] = []

    def fly(who: str, *, attempt: Attempt) -> None:
        told.append((attempt.number, attempt.key))

    async def story(airport: Airport) -> None:
        for number in (1, 2, 3):
            airport.run(attempt(number=number), saga(fly))
            await airport.reported(number)

    at_airport(story)
    assert told == [(number, "s/fly/action/1") for number in (1, 2, 3)]
