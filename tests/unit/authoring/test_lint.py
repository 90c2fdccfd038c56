"""What can't work is refused when it is written, and the place is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import bindings_of
from saga_es.authoring.decorator import step
from saga_es.authoring.do import do
from saga_es.authoring.fluent import define
from saga_es.authoring.saga import Saga
from saga_es.authoring.step import signal
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
def test_a_step_that_can_not_work_is_refused_when_it_is_added(function, options, where, told):
    with pytest.raises(DefinitionError) as refused:
        step_with(function, **options)
    assert refused.value.where == where
    assert told in str(refused.value)


def test_a_bad_name_is_refused_with_the_definition():
    with pytest.raises(DefinitionError, match="'two words' is not allowed"):
        bindings_of(define("p", Trip).step(fly, name="two words"))


@pytest.mark.parametrize(
    ("header", "told"),
    [({"version": 0}, "version"), ({"on_failure": "stop"}, "on_failure"), ({"name": ""}, "name")],
)
def test_a_bad_header_is_refused_with_the_definition(header: dict[str, Any], told: str):
    with pytest.raises(DefinitionError, match=told):
        bindings_of(define(**{"name": "p", "input": Trip, **header}))


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


# -- the class style ---------------------------------------------------------------------------------


def test_a_class_is_linted_when_it_is_made():
    with pytest.raises(DefinitionError, match="no return annotation") as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step  # type: ignore[arg-type]
            def book(self, trip: Trip):
                return 1

    assert refused.value.where == "bad.book"


def test_a_class_with_a_swapped_result_is_refused():
    with pytest.raises(
        DefinitionError, match="takes Room where it is given plane, which is Flight"
    ) as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def plane(self, trip: Trip) -> Flight:
                return Flight(number="")

            @step
            def hotel(self, trip: Trip) -> Room:
                return Room(key="")

            @step(needs=(plane, hotel))  # type: ignore[arg-type]
            def charge(self, trip: Trip, room: Room, flight: Flight) -> int:
                return 1

    assert refused.value.where == "bad.charge"


def test_a_lone_step_with_another_input_is_refused():
    with pytest.raises(DefinitionError, match="takes Parcel where it is given the input, which is Trip"):

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, parcel: Parcel) -> int:
                return 1


def test_a_compensation_has_to_accept_none():
    with pytest.raises(DefinitionError, match="has to accept None for book's result") as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, trip: Trip) -> Flight:
                return Flight(number="")

            @book.compensation  # type: ignore[arg-type]
            def cancel(self, trip: Trip, flight: Flight) -> None: ...

    assert refused.value.where == "bad.cancel"


def test_one_compensation_is_enough():
    with pytest.raises(DefinitionError, match="second compensation of 'book', beside 'cancel'") as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, trip: Trip) -> Flight:
                return Flight(number="")

            @book.compensation
            def cancel(self, trip: Trip, flight: Flight | None) -> None: ...

            @book.compensation
            def cancel_again(self, trip: Trip, flight: Flight | None) -> None: ...

    assert refused.value.where == "Bad.cancel_again"


class Other(Saga[Trip], name="other"):
    @step
    def elsewhere(self, trip: Trip) -> int:
        return 1


def test_needs_are_of_the_same_saga():
    with pytest.raises(DefinitionError, match="'elsewhere' of another saga") as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step(needs=(Other.elsewhere,))
            def book(self, trip: Trip, result: int) -> int:
                return 1

    assert refused.value.where == "Bad.book"


def test_needs_are_steps():
    with pytest.raises(DefinitionError, match="no step or signal of this saga"):

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step(needs=(fly,))  # type: ignore[call-overload]
            def book(self, trip: Trip, result: Flight) -> int:
                return 1


def test_circles_unknown_and_doubled_names_are_refused():
    with pytest.raises(DefinitionError, match="one → two → one") as circle:

        class Circle(Saga[Trip], name="circle"):  # pyright: ignore[reportUnusedClass]
            @step(needs=["two"])
            def one(self, trip: Trip, result: int) -> int:
                return 1

            @step(needs=["one"])
            def two(self, trip: Trip, result: int) -> int:
                return 1

    assert circle.value.where == "circle"
    with pytest.raises(DefinitionError, match="needs 'nowhere'") as unknown:

        class Unknown(Saga[Trip], name="unknown"):  # pyright: ignore[reportUnusedClass]
            @step(needs=["nowhere"])
            def one(self, trip: Trip, result: int) -> int:
                return 1

    assert unknown.value.where == "unknown.one"
    with pytest.raises(DefinitionError, match="two nodes are named 'one'"):

        class Doubled(Saga[Trip], name="doubled"):  # pyright: ignore[reportUnusedClass]
            @step
            def one(self, trip: Trip) -> int:
                return 1

            @step(name="one")
            def two(self, trip: Trip) -> int:
                return 1


def test_nothing_after_the_pivot_is_undone():
    with pytest.raises(DefinitionError, match="comes after the pivot"):

        class Late(Saga[Trip], name="late"):  # pyright: ignore[reportUnusedClass]
            @step(pivot=True)
            def turn(self, trip: Trip) -> int:
                return 1

            @step(needs=(turn,))
            def after(self, trip: Trip, result: int) -> int:
                return 1

            @after.compensation
            def undo(self, trip: Trip, result: int | None) -> None: ...


def test_the_plan_has_its_place_in_the_class():
    with pytest.raises(DefinitionError) as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def definition(self, trip: Trip) -> int:  # type: ignore[override]
                return 1

    assert refused.value.where == "Bad.definition"


def test_a_class_says_what_its_input_is():
    with pytest.raises(DefinitionError, match=r"write Saga\[YourInput\]") as refused:

        class Bare(Saga, name="bare"):  # type: ignore[type-arg]
            pass

    assert refused.value.where == "Bare"


@pytest.mark.parametrize("options", [{"retry": 3}, {"pivot": True}, {"timeout": 1}])
def test_options_of_a_compensation_are_looked_at(options: dict[str, Any]):
    with pytest.raises(DefinitionError, match="compensation of 'book'"):

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, trip: Trip) -> int:
                return 1

            @book.compensation(**options)
            def cancel(self, trip: Trip, result: int | None) -> None: ...


def test_decorators_take_functions():
    with pytest.raises(DefinitionError, match="has to be callable"):
        step(3)  # type: ignore[call-overload]

    class Bad(Saga[Trip]):
        @step
        def book(self, trip: Trip) -> int:
            return 1

    with pytest.raises(DefinitionError, match="the compensation of 'book'"):
        Bad.book.compensation(3)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="the probe of 'book'"):
        Bad.book.probe(3)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match="needs= has to be"):
        signal(Trip, needs="book")


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
