"""The class style: what a class of functions becomes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import bindings_of, name_of
from saga_es.authoring.decorator import step
from saga_es.authoring.fluent import define
from saga_es.authoring.saga import Saga
from saga_es.authoring.step import signal
from saga_es.errors import DefinitionError
from saga_es.model.definition import CompensationDefinition, Retry

T = TypeVar("T")
R = TypeVar("R")


class Trip(BaseModel):
    customer: str


class Flight(BaseModel):
    number: str


class Room(BaseModel):
    key: str


class Approval(BaseModel):
    by: str


class NoRooms(Exception):
    pass


class BuyPackage(Saga[Trip], name="buy package", version=3, on_failure="cancel"):
    def __init__(self, airline: str) -> None:
        self.airline = airline

    @step(title="book plane ticket", retry=Retry(attempts=3), timeout=timedelta(seconds=10))
    async def book_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight(number=f"{self.airline} {attempt.step} {attempt.op} {attempt.key}")

    @book_plane.compensation(title="cancel plane ticket booking", timeout=None, retry=Retry(attempts=2))
    async def cancel_plane(self, trip: Trip, flight: Flight | None, *, attempt: Attempt) -> None:
        self.airline = f"{attempt.step} {attempt.op}"

    @book_plane.probe
    async def find_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight(number=f"{attempt.step} {attempt.op}")

    @step(rejects=(NoRooms,), timeout=None, read_only=True, name="book_room")
    def book_hotel(self, trip: Trip) -> Room | None:
        return Room(key=trip.customer)

    @book_hotel.compensation
    def cancel_hotel(self, trip: Trip, room: Room | None) -> None: ...

    approval = signal(Approval, needs=(book_hotel,), timeout=timedelta(hours=24), title="may we?")

    @step(needs=(book_plane, book_hotel, approval), pivot=True)
    async def charge(self, trip: Trip, flight: Flight, room: Room | None, approval: Approval) -> int:
        return 0


@pytest.mark.promise("call.Saga", "call.step", "call.compensation", "call.probe", "call.signal-node")
def test_the_plan_is_what_the_class_says():
    plan = BuyPackage.definition
    assert (plan.name, plan.version, plan.on_failure) == ("buy package", 3, "cancel")
    assert plan.order == ("book_plane", "book_room", "approval", "charge")
    book_plane, book_room, charge = plan.steps
    assert (book_plane.title, book_plane.retry) == ("book plane ticket", Retry(attempts=3))
    assert (book_plane.timeout, book_plane.probe) == (timedelta(seconds=10), "find_plane")
    assert book_plane.compensation == CompensationDefinition(
        name="cancel_plane", title="cancel plane ticket booking", timeout=None, retry=Retry(attempts=2)
    )
    assert (book_room.timeout, book_room.read_only, book_room.retry) == (None, True, None)
    assert (charge.pivot, charge.timeout) == (True, "default")
    assert charge.needs == ("book_plane", "book_room", "approval")
    assert charge.optional == ("book_room",)
    (approval,) = plan.signals
    assert (approval.title, approval.needs) == ("may we?", ("book_room",))
    assert approval.timeout == timedelta(hours=24)


@pytest.mark.promise("seed.titles")
def test_titles_default_to_names_with_spaces():
    book_room = BuyPackage.definition.step("book_room")
    assert book_room is not None
    assert book_room.compensation is not None
    assert (book_room.title, book_room.compensation.title) == ("book room", "cancel hotel")


def test_schemas_are_recorded_with_the_plan():
    plan = BuyPackage.definition
    assert plan.input_schema == Trip.model_json_schema()
    assert plan.steps[0].result_schema == Flight.model_json_schema()
    assert plan.signals[0].payload_schema == Approval.model_json_schema()


def test_bindings_hold_the_instances_functions():
    saga = BuyPackage("TAP")
    bindings = bindings_of(saga)
    assert bindings.definition is BuyPackage.definition
    plane, room = bindings.steps["book_plane"], bindings.steps["book_room"]
    assert (plane.action.is_coroutine, plane.action.takes_attempt) == (True, True)
    assert (room.action.is_coroutine, room.action.takes_attempt) == (False, False)
    assert room.rejects == (NoRooms,)
    assert room.action.function(Trip(customer="Maria")) == Room(key="Maria")
    assert plane.compensation is not None
    assert plane.probe is not None
    assert plane.probe.takes_attempt
    assert bindings.adapter("book_plane").validate_python({"number": "1"}) == Flight(number="1")
    assert bindings.adapter("approval").validate_python({"by": "ann"}) == Approval(by="ann")
    assert bindings.input.validate_python({"customer": "x"}) == Trip(customer="x")


def test_two_instances_have_functions_of_their_own():
    one, two = bindings_of(BuyPackage("TAP")), bindings_of(BuyPackage("KLM"))
    attempt = Attempt.stand_in("book_plane")
    flights = [
        asyncio.run(each.steps["book_plane"].action.function(Trip(customer="x"), attempt=attempt))
        for each in (one, two)
    ]
    assert [flight.number[:3] for flight in flights] == ["TAP", "KLM"]


@pytest.mark.promise("call.Saga")
def test_a_step_is_called_like_a_function_in_a_unit_test():
    saga, trip = BuyPackage("TAP"), Trip(customer="Maria")
    assert saga.book_hotel(trip) == Room(key="Maria")
    flight = asyncio.run(saga.book_plane(trip))
    assert flight.number == "TAP book_plane action unit-test/book_plane/action/1"
    given = Attempt.stand_in("another")
    assert asyncio.run(saga.book_plane(trip, attempt=given)).number.startswith("TAP another")
    assert asyncio.run(saga.find_plane(trip)).number == "book_plane action"
    asyncio.run(saga.cancel_plane(trip, None))
    assert saga.airline == "book_plane compensation"


def test_an_instances_steps_are_functions_that_a_fluent_definition_takes():
    saga = BuyPackage("TAP")
    plan = define("p", Trip).step(saga.book_plane, undo=saga.cancel_plane, probe=saga.find_plane).definition
    assert plan.order == ("book_plane",)
    assert plan.steps[0].compensation is not None
    assert (plan.steps[0].compensation.name, plan.steps[0].probe) == ("cancel_plane", "find_plane")


def test_the_class_instead_of_an_instance_is_refused():
    with pytest.raises(DefinitionError, match="pass an instance") as refused:
        bindings_of(BuyPackage)  # type: ignore[arg-type]
    assert refused.value.where == "BuyPackage"


@pytest.mark.parametrize("other", [Trip(customer="x"), "buy package", None])
def test_what_is_no_saga_is_refused(other: object):
    with pytest.raises(DefinitionError):
        bindings_of(other)  # type: ignore[arg-type]


def test_names_of_what_start_takes():
    assert name_of(BuyPackage) == name_of(BuyPackage("TAP")) == ("buy package", 3)
    assert name_of("buy package") == ("buy package", None)
    with pytest.raises(DefinitionError):
        name_of(Trip(customer="x"))


# -- inheritance -------------------------------------------------------------------------------------


class Lending(Saga[T], Generic[T, R]):
    @step
    def first(self, given: T) -> R:
        raise LookupError(given)

    @first.compensation
    def undo_first(self, given: T, result: R | None) -> None: ...

    @step(needs=(first,))
    def second(self, given: T, result: R) -> list[R]:
        return [result]


class Borrowing(Lending[Trip, Flight], name="borrowing"):
    @step
    def third(self, trip: Trip) -> None: ...


def test_a_class_without_a_name_lends_its_steps():
    assert Borrowing.definition.order == ("first", "second", "third")
    with pytest.raises(DefinitionError, match="has no name") as refused:
        _ = Lending.definition
    assert refused.value.where == "Lending"


def test_type_variables_stand_for_what_the_subclass_says():
    bindings = bindings_of(Borrowing())
    assert bindings.adapter("first").validate_python({"number": "1"}) == Flight(number="1")
    assert bindings.adapter("second").validate_python([{"number": "1"}]) == [Flight(number="1")]


def test_an_input_that_can_not_fit_an_inherited_step_is_refused():
    with pytest.raises(DefinitionError, match="takes Flight where it is given the input, which is int"):

        class Wrong(Fixed[int], name="wrong"):  # pyright: ignore[reportUnusedClass]
            pass


class Fixed(Saga[T]):
    @step
    def only(self, flight: Flight) -> int:
        return 1


def test_a_subclass_overrides_a_step_and_keeps_its_place_and_its_undo():
    class Patient(BuyPackage, version=4):
        @step(retry=Retry(attempts=9))
        async def book_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
            return Flight(number="patient")

    plan = Patient.definition
    assert (plan.name, plan.version, plan.on_failure) == ("buy package", 4, "cancel")
    assert plan.order == BuyPackage.definition.order
    assert plan.steps[0].retry == Retry(attempts=9)
    assert plan.steps[0].compensation == BuyPackage.definition.steps[0].compensation
    assert plan.steps[2].needs == ("book_plane", "book_room", "approval")
    flight = asyncio.run(Patient("TAP").book_plane(Trip(customer="x")))
    assert flight.number == "patient"


def test_a_need_follows_a_step_that_was_overridden_under_another_name():
    class Renamed(BuyPackage, name="renamed"):
        @step(name="book_flight")
        async def book_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
            return Flight(number="")

    assert Renamed.definition.steps[2].needs == ("book_flight", "book_room", "approval")


def test_a_subclass_without_a_name_is_the_same_saga():
    class Faked(BuyPackage):
        def __init__(self) -> None:
            super().__init__("fake")

    assert Faked.definition == BuyPackage.definition
    assert bindings_of(Faked()).definition.digest == BuyPackage.definition.digest


def test_a_subclass_leaves_a_step_out_by_setting_it_to_none():
    class Shorter(Borrowing, name="shorter"):
        third = None  # type: ignore[assignment]

    assert Shorter.definition.order == ("first", "second")


def test_a_step_overridden_without_a_decorator_is_refused():
    with pytest.raises(DefinitionError, match="decorate it") as refused:

        class Plain(Borrowing):  # pyright: ignore[reportUnusedClass]
            def third(self, trip: Trip) -> None: ...  # type: ignore[override]

    assert refused.value.where == "Plain.third"


def test_names_keep_what_was_recorded_when_functions_are_renamed():
    class Before(Saga[Trip], name="renamed functions"):
        @step
        def book(self, trip: Trip) -> int:
            return 1

        @step(needs=(book,))
        def pay(self, trip: Trip, booked: int) -> int:
            return 1

    class After(Saga[Trip], name="renamed functions"):
        @step(name="book")
        def book_plane(self, trip: Trip) -> int:
            return 1

        @step(needs=["book"], name="pay")
        def charge(self, trip: Trip, booked: int) -> int:
            return 1

    assert Before.definition.digest == After.definition.digest


def test_a_list_of_names_may_name_attributes_and_what_comes_later():
    class Listed(Saga[Trip], name="listed"):
        @step(needs=["later", "book_plane"])
        def first(self, trip: Trip, later: int, flight: str) -> int:
            return later

        @step
        def later(self, trip: Trip) -> int:
            return 1

        @step(name="book")
        def book_plane(self, trip: Trip) -> str:
            return ""

    assert Listed.definition.steps[0].needs == ("later", "book")


def test_an_empty_saga_is_a_saga():
    class Empty(Saga[Trip], name="empty"):
        pass

    assert Empty.definition.order == ()


def test_dependencies_may_come_by_a_dataclass():
    @dataclass
    class Injected(Saga[Trip], name="injected"):
        airline: str

        @step
        def book(self, trip: Trip) -> str:
            return self.airline

    assert bindings_of(Injected("TAP")).steps["book"].action.function(Trip(customer="x")) == "TAP"
