"""A class that can't work is refused when it is made, and the place is named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from saga_es.authoring.decorator import step
from saga_es.authoring.saga import Saga
from saga_es.authoring.step import signal
from saga_es.errors import DefinitionError


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


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
def test_a_class_is_linted_when_it_is_made():
    with pytest.raises(DefinitionError, match="no return annotation") as refused:

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step  # type: ignore[arg-type]
            def book(self, trip: Trip):
                return 1

    assert refused.value.where == "bad.book"


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
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


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
def test_a_lone_step_with_another_input_is_refused():
    with pytest.raises(DefinitionError, match="takes Parcel where it is given the input, which is Trip"):

        class Bad(Saga[Trip], name="bad"):  # pyright: ignore[reportUnusedClass]
            @step
            def book(self, parcel: Parcel) -> int:
                return 1


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
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


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
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


@pytest.mark.promise("case.bad-definition", "error.DefinitionError")
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


@pytest.mark.promise("case.bad-definition", "case.pivot")
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
