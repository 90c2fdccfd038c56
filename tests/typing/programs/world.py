"""What the programs beside this one talk about."""

from __future__ import annotations

from dataclasses import dataclass

from saga_es import Attempt


@dataclass
class Trip:
    customer: str


@dataclass
class Parcel:
    weight: int


@dataclass
class Flight:
    number: str


@dataclass
class Room:
    key: str


@dataclass
class Approval:
    by: str


@dataclass
class Approvals(Approval):
    together_with: str


@dataclass
class Receipt:
    amount: int


class NoRooms(Exception):
    pass


async def book_plane(trip: Trip) -> Flight:
    return Flight(trip.customer)


async def book_plane_by_key(trip: Trip, *, attempt: Attempt) -> Flight:
    return Flight(trip.customer + attempt.key)


async def cancel_plane(trip: Trip, flight: Flight | None) -> None: ...


async def cancel_plane_by_key(trip: Trip, flight: Flight | None, *, attempt: Attempt) -> None: ...


async def find_plane(trip: Trip) -> Flight:
    return Flight(trip.customer)


def book_hotel(trip: Trip) -> Room:
    return Room(trip.customer)


def book_hotel_by_key(trip: Trip, *, attempt: Attempt) -> Room:
    return Room(trip.customer + attempt.key)


def cancel_hotel(trip: Trip, room: Room | None) -> None: ...


def find_hotel(trip: Trip, *, attempt: Attempt) -> Room:
    return Room(trip.customer + attempt.key)


async def charge(trip: Trip, flight: Flight, room: Room) -> Receipt:
    return Receipt(1)


def charge_by_key(trip: Trip, flight: Flight, room: Room, *, attempt: Attempt) -> Receipt:
    return Receipt(attempt.number)


async def charge_when_approved(trip: Trip, flight: Flight, room: Room, approval: Approval) -> Receipt:
    return Receipt(1)


def weigh(parcel: Parcel) -> int:
    return parcel.weight


def count(trip: Trip, *flights: Flight) -> int:
    return len(flights)
