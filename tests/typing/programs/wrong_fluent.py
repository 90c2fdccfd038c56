"""Wrong on purpose: each line with a mark has to be an error, and no other line may be one."""

from __future__ import annotations

from world import (
    Approval,
    Flight,
    NoRooms,
    Parcel,
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
    weigh,
)

from saga_es import Retry, define, do


async def undo_certain(trip: Trip, flight: Flight) -> None: ...


async def undo_blind(trip: Trip) -> None: ...


async def undo_parcel(parcel: Parcel, flight: Flight | None) -> None: ...


async def find_parcel(parcel: Parcel) -> Flight:
    return Flight("")


trip = define("trip", Trip)

trip.step(charge, needs=(book_hotel, book_plane))  # wrong: swapped results
trip.step(charge_by_key, needs=(book_hotel, book_plane))  # wrong: swapped results beside an attempt
trip.step(charge, needs=(book_plane,))  # wrong: too few needs
trip.step(charge)  # wrong: no needs
trip.step(book_plane, needs=(book_hotel,))  # wrong: a surplus need
trip.step(book_hotel_by_key, needs=(book_plane,))  # wrong: a surplus need beside an attempt
trip.step(charge_when_approved, needs=(book_hotel, book_plane, "approval"))  # wrong: swapped before a name
trip.step(weigh)  # wrong: another input
trip.step(count, needs=(book_hotel,) * 8)  # wrong: many results of another type
trip.step("book_plane")  # wrong: no function
trip.step(book_plane, undo=cancel_hotel)  # wrong: undoes another result
trip.step(book_plane_by_key, undo=cancel_hotel)  # wrong: undoes another result
trip.step(book_hotel, undo=cancel_plane_by_key)  # wrong: undoes another result, with an attempt
trip.step(book_plane, undo=undo_certain)  # wrong: does not accept None
trip.step(book_plane, undo=undo_blind)  # wrong: takes no result
trip.step(book_plane, undo=undo_parcel)  # wrong: another input
trip.step(book_plane, undo="cancel")  # wrong: no function
trip.step(book_plane, undo=cancel_plane, probe=find_hotel)  # wrong: finds another result
trip.step(book_plane, probe=find_hotel)  # wrong (mypy): finds another result, and nothing else ties it
trip.step(book_plane, probe=find_parcel)  # wrong: another input
trip.step(book_plane, undo=cancel_plane, probe=find_parcel)  # wrong: another input
trip.step(book_plane, retry=3)  # wrong: a number for a policy
trip.step(book_plane, timeout=3)  # wrong: a number for a duration
trip.step(book_plane, rejects=NoRooms)  # wrong: no tuple
trip.step(book_plane, tittle="x")  # wrong: no such option
trip.step(book_plane, undo=cancel_plane, undo_title=3)  # wrong: a number for a text
trip.signal("approval", Approval, timeout=24)  # wrong: a number for a duration
trip.signal("approval", "Approval")  # wrong: a text for a type

do(charge, needs=(book_hotel, book_plane))  # wrong: swapped results
do(charge_by_key, needs=(book_hotel, book_plane))  # wrong: swapped results beside an attempt
do(charge, needs=(book_plane,))  # wrong: too few needs
do(book_plane, needs=(book_hotel,))  # wrong: a surplus need
do(book_plane, undo=cancel_hotel)  # wrong: undoes another result
do(book_plane, undo=undo_certain)  # wrong: does not accept None
do(book_hotel, undo=cancel_hotel, probe=find_plane)  # wrong: finds another result
do(book_plane, retry=Retry(attempts="3"))  # wrong: a text for a number
do(book_plane, pivot=1)  # wrong: a number for a yes or no

trip | do(weigh)  # wrong: a step with another input
trip | book_plane  # wrong: a function that is no step yet
define("trip", Trip, steps=[do(book_plane), do(weigh)])  # wrong: a step with another input
define("trip", Trip, on_failure="stop")  # wrong: no such policy
define("trip", Trip, version="1")  # wrong: a text for a number
define("trip", Trip("Maria"))  # wrong: a value for a type
