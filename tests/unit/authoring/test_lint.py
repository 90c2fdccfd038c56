"""What can't work is refused when it is written, and the place is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import bindings_of
from saga_es.authoring.do import do
from saga_es.authoring.fluent import define
from saga_es.errors import DefinitionError
from saga_es.model.definition import Retry


class Trip(BaseModel):
    customer: str


class Parcel(BaseModel):
    weight: int


class Flight(BaseModel):
    number: str


class Room(BaseModel):
    key: str


def fly(trip: Trip) -> Flight:
    return Flight(number="1")


def unannotated(trip: Trip):
    return 1


def takes_parcel(parcel: Parcel) -> int:
    return 1


def takes_room(trip: Trip, room: Room) -> int:
    return 1


def takes_two(trip: Trip, flight: Flight, room: Room) -> int:
    return 1


def takes_nothing() -> int:
    return 1


def takes_keyword(trip: Trip, *, colour: str) -> int:
    return 1


def takes_attempt_by_position(trip: Trip, attempt: Attempt) -> int:
    return 1


def generates(trip: Trip) -> Iterator[int]:
    yield 1


async def generates_too(trip: Trip) -> AsyncIterator[int]:
    yield 1


def returns_the_unreadable(trip: Trip) -> timedelta | Lock:
    return Lock()


class Lock:
    pass


def undo_certain(trip: Trip, flight: Flight) -> None: ...


def undo_room(trip: Trip, room: Room | None) -> None: ...


def undo_nothing(trip: Trip) -> None: ...


def undo_parcel(parcel: Parcel, flight: Flight | None) -> None: ...


def find_room(trip: Trip) -> Room:
    return Room(key="1")


def find_with_result(trip: Trip, flight: Flight) -> Flight:
    return flight


def step_with(function: Any, **options: Any) -> Any:
    return define("p", Trip).step(fly, name="flight").step(function, **options)


@pytest.mark.parametrize(
    ("function", "options", "where", "told"),
    [
        (unannotated, {}, "p.unannotated", "has no return annotation"),
        (takes_parcel, {}, "p.takes_parcel", "takes Parcel where it is given the input, which is Trip"),
        (takes_room, {"needs": ["flight"]}, "p.takes_room", "takes Room where it is given flight, which is Flight"),
        (takes_room, {}, "p.takes_room", "takes 2 (trip, room) by position, but is given 1 (the input)"),
        (takes_two, {"needs": ["flight"]}, "p.takes_two", "takes 3"),
        (fly, {"needs": ["flight"]}, "p.fly", "takes 1 (trip) by position, but is given 2 (the input, flight)"),
        (takes_nothing, {}, "p.takes_nothing", "takes 0 (nothing)"),
        (takes_keyword, {}, "p.takes_keyword", "the keyword 'colour'"),
        (takes_attempt_by_position, {}, "p.takes_attempt_by_position", "passed by keyword"),
        (generates, {}, "p.generates", "is a generator"),
        (generates_too, {}, "p.generates_too", "is a generator"),
        (returns_the_unreadable, {}, "p.returns_the_unreadable", "can't be read back"),
        (fly, {"undo": undo_certain}, "p.undo_certain", "annotate it Flight | None"),
        (fly, {"undo": undo_room}, "p.undo_room", "takes Room | None where it is given fly's result"),
        (fly, {"undo": undo_nothing}, "p.undo_nothing", "takes 1 (trip)"),
        (fly, {"undo": undo_parcel}, "p.undo_parcel", "takes Parcel"),
        (fly, {"probe": find_room}, "p.find_room", "returns Room, but has to return fly's result, Flight"),
        (fly, {"probe": find_with_result}, "p.find_with_result", "takes 2"),
        ("fly", {}, "a step", "has to be callable, not str 'fly'"),
        (fly, {"undo": "cancel"}, "the compensation of 'fly'", "has to be callable"),
        (fly, {"undo": 0}, "the compensation of 'fly'", "has to be callable"),
        (fly, {"probe": "find"}, "the probe of 'fly'", "has to be callable"),
        (fly, {"needs": "flight"}, "fly", "needs= has to be a tuple or a list"),
        (fly, {"needs": (3,)}, "p.fly", "needs 3"),
        (fly, {"name": "flight"}, "p", "two nodes are named 'flight'"),
        (fly, {"tittle": "x"}, "fly", "has no option 'tittle'"),
        (fly, {"title": ""}, "fly", "title= has to be a text"),
        (fly, {"retry": 3}, "fly", "retry= has to be a Retry"),
        (fly, {"timeout": 3}, "fly", "timeout= has to be a timedelta above zero"),
        (fly, {"timeout": timedelta(0)}, "fly", "timeout= has to be a timedelta above zero"),
        (fly, {"rejects": ValueError}, "fly", "rejects= has to be a tuple of exception classes"),
        (fly, {"rejects": (KeyboardInterrupt,)}, "fly", "rejects= has to be a tuple of exception classes"),
        (fly, {"pivot": 1}, "fly", "pivot= has to be True or False"),
        (fly, {"undo": undo_room, "undo_retry": 3}, "fly", "undo_retry= has to be a Retry"),
    ],
)  # fmt: skip
@pytest.mark.promise("case.bad-definition")
def test_a_step_that_can_not_work_is_refused_when_it_is_added(function, options, where, told):
    with pytest.raises(DefinitionError) as refused:
        step_with(function, **options)
    assert refused.value.where == where
    assert told in str(refused.value)


@pytest.mark.promise("case.bad-definition")
def test_a_bad_name_is_refused_with_the_definition():
    with pytest.raises(DefinitionError, match="'two words' is not allowed"):
        bindings_of(define("p", Trip).step(fly, name="two words"))


@pytest.mark.parametrize(
    ("header", "told"),
    [({"version": 0}, "version"), ({"on_failure": "stop"}, "on_failure"), ({"name": ""}, "name")],
)
@pytest.mark.promise("case.bad-definition")
def test_a_bad_header_is_refused_with_the_definition(header: dict[str, Any], told: str):
    with pytest.raises(DefinitionError, match=told):
        bindings_of(define(**{"name": "p", "input": Trip, **header}))


@pytest.mark.promise("case.bad-definition")
def test_signals_are_looked_at_too():
    with pytest.raises(DefinitionError) as refused:
        define("p", Trip).signal("approval", Room, timeout=timedelta(seconds=-1))
    assert refused.value.where == "p.approval"
    with pytest.raises(DefinitionError, match="can't be read back"):
        define("p", Trip).signal("approval", Lock)

    def takes_payload(trip: Trip, payload: Flight) -> int:
        return 1

    with pytest.raises(DefinitionError, match="takes Flight where it is given approval, which is Room"):
        define("p", Trip).signal("approval", Room).step(takes_payload, needs=("approval",))


def test_what_is_fine_is_let_through():
    def open_step(
        trip: object, flight: Any, *more: object, attempt: Attempt | None = None, tone: int = 1
    ) -> None: ...

    def untyped(trip, flight) -> int:  # type: ignore[no-untyped-def]
        return 1

    def defaulted(trip: Trip, flight: Flight | None = None, room: Room | None = None) -> int:
        return 1

    def undo(*anything: object) -> None: ...

    saga = (
        define("p", Trip)
        .step(fly, undo=undo, retry=Retry(attempts=2))
        .step(open_step, needs=[fly, fly])
        .step(untyped, needs=[fly])
        .step(defaulted, needs=[fly])
    )
    plan = bindings_of(saga | do(lambda_like)).definition
    assert [one.optional for one in plan.steps] == [(), ("fly", "fly"), ("fly",), ("fly",), ()]


def lambda_like(trip: Trip) -> Any:
    return trip.customer
