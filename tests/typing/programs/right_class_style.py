"""The class style, as it is meant: clean in mypy --strict and pyright strict."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Generic, TypeVar, assert_type

from world import Approval, Flight, NoRooms, Receipt, Room, Trip

from saga_es import Attempt, Retry, Saga, define, signal, step

T = TypeVar("T")


class BuyPackage(Saga[Trip], name="buy package", version=1, on_failure="drain"):
    def __init__(self, airline: str) -> None:
        self.airline = airline

    @step(title="book plane ticket", retry=Retry(attempts=3), timeout=timedelta(seconds=10))
    async def book_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight(self.airline + attempt.key)

    @book_plane.compensation(title="cancel plane ticket booking", retry=Retry(), timeout=None)
    async def cancel_plane(self, trip: Trip, flight: Flight | None, *, attempt: Attempt) -> None: ...

    @book_plane.probe
    async def find_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight(attempt.action_key)

    @step(rejects=(NoRooms,))
    def book_hotel(self, trip: Trip) -> Room:
        return Room(trip.customer)

    @book_hotel.compensation
    def cancel_hotel(self, trip: Trip, room: Room | None) -> None: ...

    @book_hotel.probe
    def find_hotel(self, trip: Trip) -> Room:
        return Room(trip.customer)

    @step
    async def look(self, trip: Trip) -> int:
        return 0

    @step(read_only=True, name="glance")
    def look_again(self, trip: Trip, *, attempt: Attempt) -> list[str]:
        return [attempt.saga_id]

    @look_again.compensation()
    async def look_away(self, trip: Trip, seen: list[str] | None, *, attempt: Attempt) -> None: ...

    approval = signal(Approval, timeout=timedelta(hours=24), title="approval")
    again = signal(Approval, needs=(approval, book_plane))

    @step(needs=(approval,))
    def note(self, trip: Trip, approval: Approval) -> None: ...

    @step(needs=(book_plane, book_hotel, approval), pivot=True)
    async def charge(self, trip: Trip, flight: Flight, room: Room, approval: Approval) -> Receipt:
        return Receipt(1)

    @step(needs=(charge, look, look_again, book_plane, book_hotel, note))
    def six(self, trip: Trip, a: Receipt, b: int, c: list[str], d: Flight, e: Room, f: None) -> None: ...  # noqa: PLR0917 - six needs

    @step(needs=(book_plane, book_plane, book_plane, book_plane, book_plane, book_plane, book_plane))
    def many(self, trip: Trip, *flights: Flight) -> int:
        return len(flights)

    @step(needs=(book_plane, book_hotel), title="wider types are fine")
    def wider(self, trip: object, flight: Flight | Room, room: object, *, attempt: Attempt) -> None: ...

    @step(needs=["book_plane", book_hotel])
    def from_a_list(self, trip: Trip, flight: Flight, room: Room) -> str:
        return room.key


class Patient(BuyPackage, version=2):
    @step
    async def book_plane(self, trip: Trip, *, attempt: Attempt) -> Flight:
        return Flight("")


class Lending(Saga[T], Generic[T]):
    @step
    def keep(self, given: T) -> int:
        return 1


class Borrowing(Lending[Trip], name="borrowing"):
    pass


async def call_as_in_a_unit_test() -> None:
    saga = BuyPackage("airline")
    trip = Trip("Maria")
    assert_type(await saga.book_plane(trip), Flight)
    assert_type(await saga.book_plane(trip, attempt=Attempt.stand_in("book_plane")), Flight)
    assert_type(saga.book_hotel(trip), Room)
    saga.cancel_hotel(trip, None)
    await saga.cancel_plane(trip, Flight(""))
    assert_type(await saga.charge(trip, Flight(""), Room(""), Approval("ann")), Receipt)
    waiting: Coroutine[Any, Any, Flight] = saga.find_plane(trip)
    await waiting
    BuyPackage.definition.digest.upper()
    define("other", Trip).definition.digest.upper()
