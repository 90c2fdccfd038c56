"""The fluent form: the same definition from plain functions."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from datetime import timedelta

import pytest
from pydantic import BaseModel
from pydantic_core import core_schema

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import bindings_of, name_of
from saga_es.authoring.decorator import step
from saga_es.authoring.do import do
from saga_es.authoring.entries import Adapters
from saga_es.authoring.fluent import Definition, define
from saga_es.authoring.saga import Saga
from saga_es.authoring.step import signal
from saga_es.errors import DefinitionError
from saga_es.model.definition import Retry


class Trip(BaseModel):
    customer: str


class NoRooms(Exception):
    pass


async def book_plane(trip: Trip) -> str:
    return "plane"


async def cancel_plane(trip: Trip, flight: str | None, *, attempt: Attempt) -> None: ...


async def find_plane(trip: Trip, *, attempt: Attempt) -> str:
    return attempt.key


def book_hotel(trip: Trip) -> int:
    return 0


def charge(trip: Trip, flight: str, room: int, approval: float) -> list[int]:
    return []


def sum_up(trip: Trip, *rooms: int) -> int:
    return sum(rooms)


def greet(trip: Trip, *, greeting: str, attempt: Attempt) -> str:
    return f"{greeting}, {trip.customer} ({attempt.number})"


class Airline:
    async def book(self, trip: Trip) -> str:
        return "method"

    async def __call__(self, trip: Trip) -> str:
        return "object"


@pytest.mark.promise("call.define", "call.Definition.step", "call.Definition.signal")
def test_it_makes_the_same_definition_as_the_class_style():
    class BuyPackage(Saga[Trip], name="buy package", version=2):
        @step(title="book it", retry=Retry(attempts=3), rejects=(NoRooms,))
        async def book_plane(self, trip: Trip) -> str:
            return "plane"

        @book_plane.compensation(title="cancel it", timeout=None, retry=Retry())
        async def cancel_plane(self, trip: Trip, flight: str | None, *, attempt: Attempt) -> None: ...

        @book_plane.probe
        async def find_plane(self, trip: Trip, *, attempt: Attempt) -> str:
            return attempt.key

        @step
        def book_hotel(self, trip: Trip) -> int:
            return 0

        approval = signal(float, (book_hotel,), timedelta(hours=1), "may we")

        @step(needs=(book_plane, book_hotel, approval), pivot=True, timeout=timedelta(seconds=1))
        def charge(self, trip: Trip, flight: str, room: int, approval: float) -> list[int]:
            return []

    fluent = (
        define("buy package", Trip, version=2)
        .step(
            book_plane,
            title="book it",
            retry=Retry(attempts=3),
            rejects=(NoRooms,),
            undo=cancel_plane,
            undo_title="cancel it",
            undo_timeout=None,
            undo_retry=Retry(),
            probe=find_plane,
        )
        .step(book_hotel)
        .signal("approval", float, needs=(book_hotel,), timeout=timedelta(hours=1), title="may we")
        .step(charge, needs=(book_plane, book_hotel, "approval"), pivot=True, timeout=timedelta(seconds=1))
    )
    assert fluent.definition == BuyPackage.definition
    assert fluent.definition.digest == BuyPackage.definition.digest
    assert name_of(fluent) == ("buy package", 2)
    bindings = bindings_of(fluent)
    assert bindings.steps["book_plane"].rejects == (NoRooms,)
    assert bindings.steps["book_plane"].compensation is not None


@pytest.mark.promise("call.do", "call.Definition.pipe", "seed.chaining-and-piping")
def test_ready_made_steps_piped_chained_and_listed_are_the_same():
    chained = define("p", Trip).step(book_plane).step(book_hotel, name="room")
    piped = define("p", Trip) | do(book_plane) | do(book_hotel, name="room")
    parts = [do(book_plane), do(book_hotel, name="room")]
    reduced = functools.reduce(lambda saga, part: saga | part, parts, define("p", Trip))
    listed = define("p", Trip, steps=parts)
    digests = {each.definition.digest for each in (chained, piped, reduced, listed)}
    assert len(digests) == 1


@pytest.mark.promise("call.define", "call.Definition.step", "call.Definition.pipe")
def test_a_definition_is_immutable():
    one = define("p", Trip).step(book_plane)
    two, other = one.step(book_hotel), one | do(book_hotel, name="other")
    assert one.definition.order == ("book_plane",)
    assert two.definition.order == ("book_plane", "book_hotel")
    assert other.definition.order == ("book_plane", "other")


def test_an_empty_definition_is_one():
    assert bindings_of(define("empty", Trip)).definition.order == ()


@pytest.mark.parametrize(
    ("function", "name", "coroutine", "result"),
    [
        (Airline().book, "book", True, "method"),
        (Airline(), "Airline", True, "object"),
        (functools.partial(book_plane), "book_plane", True, "plane"),
        (functools.partial(Airline().book), "book", True, "method"),
        (functools.partial(functools.partial(book_hotel)), "book_hotel", False, 0),
    ],
)
@pytest.mark.promise("seed.chaining-and-piping")
def test_methods_objects_and_partials_are_steps(function, name, coroutine, result):
    bindings = bindings_of(define("p", Trip).step(function))
    call = bindings.steps[name].action
    answer = call.function(Trip(customer="x"))
    assert call.is_coroutine is coroutine
    assert (asyncio.run(answer) if coroutine else answer) == result


@pytest.mark.promise("seed.keyword-arguments")
def test_keyword_arguments_may_be_bound_beforehand():
    saga = define("p", Trip).step(functools.partial(greet, greeting="Olá"))
    call = bindings_of(saga).steps["greet"].action
    assert call.takes_attempt
    attempt = Attempt.stand_in("greet")
    assert call.function(Trip(customer="Maria"), attempt=attempt) == "Olá, Maria (1)"


def test_wrappers_are_what_they_wrap():
    @functools.wraps(book_plane)
    def plain(*args: object) -> object:
        return book_plane(*args)  # type: ignore[arg-type]

    @functools.wraps(book_hotel)
    async def coroutine(*args: object) -> object:
        return book_hotel(*args)  # type: ignore[arg-type]

    bindings = bindings_of(define("p", Trip).step(plain).step(coroutine))  # type: ignore[arg-type]
    assert bindings.steps["book_plane"].action.is_coroutine
    assert bindings.steps["book_hotel"].action.is_coroutine


def test_a_plain_function_that_returns_a_coroutine_is_a_coroutine():
    from collections.abc import Awaitable

    def delegating(trip: Trip) -> Awaitable[str]:
        return book_plane(trip)

    bindings = bindings_of(define("p", Trip).step(delegating))
    assert bindings.steps["delegating"].action.is_coroutine
    assert bindings.adapter("delegating").validate_python("x") == "x"


def test_a_name_may_come_later_and_a_function_may_not():
    saga = define("p", Trip).step(charge, needs=("book_plane", "book_hotel", "approval"))
    whole = saga.signal("approval", float).step(book_hotel).step(book_plane)
    assert whole.definition.order == ("charge", "approval", "book_hotel", "book_plane")
    with pytest.raises(DefinitionError, match="needs 'book_plane'") as unknown:
        bindings_of(saga)
    assert unknown.value.where == "p.charge"
    with pytest.raises(DefinitionError, match="is no step of it yet") as early:
        define("p", Trip).step(charge, needs=(book_plane, book_hotel, "approval"))
    assert early.value.where == "p.charge"


def test_a_function_under_two_names_is_needed_by_name():
    twice = define("p", Trip).step(book_hotel, name="one").step(book_hotel, name="two")
    with pytest.raises(DefinitionError, match="several steps \\(one, two\\)"):
        twice.step(sum_up, needs=(book_hotel,))
    assert twice.step(sum_up, needs=("one", "two")).definition.steps[2].needs == ("one", "two")
    own = define("p", Trip).step(book_hotel).step(book_hotel, name="two").step(sum_up, needs=(book_hotel,))
    assert own.definition.steps[2].needs == ("book_hotel",)


def test_methods_and_renamed_functions_are_needed_by_what_they_are():
    airline = Airline()

    def fly(trip: Trip, booked: str) -> str:
        return booked

    saga = define("p", Trip).step(airline.book, name="seat").step(fly, needs=(airline.book,))
    assert saga.definition.steps[1].needs == ("seat",)


def test_a_list_of_needs_is_for_graphs_made_at_run_time():
    saga = define("p", Trip)
    for number in range(3):
        saga = saga.step(book_hotel, name=f"room_{number}")
    saga = saga.step(sum_up, needs=[f"room_{number}" for number in range(3)])
    assert saga.definition.steps[3].needs == ("room_0", "room_1", "room_2")


def test_thousands_of_steps_are_a_matter_of_a_moment():
    saga = define("p", Trip)
    for number in range(300):
        saga = saga.step(sum_up, name=f"s{number}", needs=[f"s{number - 1}"] if number else [])
    assert len(bindings_of(saga).steps) == 300


class Hotel(BaseModel):
    rooms: int


def test_steps_that_return_one_class_share_what_reads_it():
    async def book(trip: Trip) -> Hotel:
        return Hotel(rooms=1)

    saga = define("p", Trip, steps=[do(book, name=f"book_{number}") for number in range(3)])
    longer = saga.step(book, name="book_more").signal("offer", Hotel)

    bindings = bindings_of(longer)
    assert {id(bindings.adapter(name)) for name in longer.definition.order} == {
        id(bindings.adapter("book_0"))
    }
    assert [step.result_schema for step in longer.definition.steps] == [Hotel.model_json_schema()] * 4
    assert len(saga.definition.order) == 3


class Unhashable(type):
    __hash__ = None  # type: ignore[assignment] # what it is about

    def __eq__(cls, other: object) -> bool:
        return cls is other


class Odd(metaclass=Unhashable):
    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        return core_schema.any_schema()


def test_a_class_that_can_not_be_hashed_is_read_too():
    async def book(trip: Trip) -> Odd:
        return Odd()

    adapters = bindings_of(define("p", Trip, steps=[do(book, name=name) for name in ("one", "two")])).adapter
    assert adapters("one") is adapters("two")


def with_a_class_of_its_own(begun: Definition[Trip]) -> weakref.ref[type[BaseModel]]:
    class Local(BaseModel):
        rooms: int

    async def book(trip: Trip) -> Local:
        return Local(rooms=1)

    longer = begun.step(book)
    assert bindings_of(longer).adapter("book").validate_python({"rooms": 1}) == Local(rooms=1)
    return weakref.ref(Local)


def test_what_grew_from_a_definition_is_not_kept_by_it():
    begun = define("p", Trip).step(book_plane)
    gone = with_a_class_of_its_own(begun)

    gc.collect()

    assert gone() is None
    assert bindings_of(begun).definition.order == ("book_plane",)


def test_what_is_known_of_a_class_is_not_another_s_with_its_id():
    adapters = Adapters()
    adapters.of(Hotel, "p")
    adapters.known[id(Trip)] = adapters.known[
        id(Hotel)
    ]  # as by pickling, to a process where the id is Trip's

    adapter, schema = adapters.of(Trip, "p")

    assert adapter.validate_python({"customer": "ann"}) == Trip(customer="ann")
    assert schema == Trip.model_json_schema()
