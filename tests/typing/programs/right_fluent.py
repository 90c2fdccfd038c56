"""The fluent form, as it is meant."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import assert_type

from world import (
    Approval,
    NoRooms,
    Trip,
    book_hotel,
    book_hotel_by_key,
    book_plane,
    book_plane_by_key,
    cancel_hotel,
    cancel_plane,
    cancel_plane_by_key,
    charge,
    charge_by_key,
    charge_when_approved,
    count,
    find_hotel,
    find_plane,
)

from saga_es import Retry, define, do
from saga_es.authoring.fluent import Definition


class Airline:
    async def book(self, trip: Trip) -> str:
        return trip.customer

    def cancel(self, trip: Trip, booked: str | None) -> None: ...

    def __call__(self, trip: Trip) -> int:
        return 1


def greet(trip: Trip, *, greeting: str) -> str:
    return greeting + trip.customer


def takes_anything(trip: object) -> bool:
    return bool(trip)


buy_package = (
    define("buy package", Trip, version=1)
    .step(book_plane, undo=cancel_plane, title="book plane ticket", undo_title="cancel plane ticket booking")
    .step(book_hotel, undo=cancel_hotel, rejects=(NoRooms,))
    .signal("approval", Approval)
    .step(charge_when_approved, name="charge", needs=(book_plane, book_hotel, "approval"), pivot=True)
)
assert_type(buy_package, Definition[Trip])

piped = (
    define("buy package", Trip, on_failure="cancel")
    | do(book_plane, undo=cancel_plane, probe=find_plane)
    | do(book_hotel, undo=cancel_hotel, probe=find_hotel)
    | do(charge, needs=(book_plane, book_hotel), retry=Retry(attempts=2), timeout=None)
)
assert_type(piped, Definition[Trip])

airline = Airline()
more = (
    define("more", Trip, steps=[do(book_plane), do(takes_anything)])
    .step(book_plane_by_key, undo=cancel_plane_by_key, probe=find_plane)
    .step(book_hotel_by_key, probe=find_hotel, undo=None)
    .step(charge_by_key, needs=(book_plane, book_hotel_by_key), undo_retry=Retry(), undo_timeout=None)
    .step(charge_by_key, name="again", needs=("book_plane", book_hotel_by_key), timeout=timedelta(seconds=1))
    .step(airline.book, undo=airline.cancel)
    .step(airline, name="called")
    .step(functools.partial(greet, greeting="Olá"), name="greet")
    .step(count, needs=(book_plane, book_plane, book_plane, book_plane, book_plane, book_plane, book_plane))
    .step(count, name="few", needs=[book_plane, "book_plane"])
    .step(count, name="none")
    .step(lambda trip: trip.customer, name="short")
    .signal("late", Approval, needs=(charge, "again"), timeout=timedelta(hours=1), title="late approval")
)
assert_type(more, Definition[Trip])
