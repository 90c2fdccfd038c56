"""The saga: three steps in parallel, each with its compensation."""

from __future__ import annotations

from pydantic import BaseModel

from examples.trip.agency import Agency, NoRooms
from saga_es import Attempt, Saga, step


class Trip(BaseModel):
    customer: str
    flight: str
    concert: str


class Booking(BaseModel):
    number: str


class BuyPackage(Saga[Trip], name="buy package", version=1):
    def __init__(self, agency: Agency) -> None:
        self.agency = agency

    @step(title="book plane ticket")
    def book_plane(self, trip: Trip, *, attempt: Attempt) -> Booking:
        return Booking(number=self.agency.book("flight", trip.customer, trip.flight, key=attempt.key))

    @book_plane.compensation(title="cancel plane ticket booking")
    def cancel_plane(self, trip: Trip, booking: Booking | None, *, attempt: Attempt) -> None:
        self.agency.cancel("flight", trip.customer, action_key=attempt.action_key)

    @step(title="book hotel room", rejects=(NoRooms,))
    def book_hotel(self, trip: Trip, *, attempt: Attempt) -> Booking:
        return Booking(number=self.agency.book("hotel", trip.customer, "one week", key=attempt.key))

    @book_hotel.compensation(title="cancel hotel room reservation")
    def cancel_hotel(self, trip: Trip, booking: Booking | None, *, attempt: Attempt) -> None:
        self.agency.cancel("hotel", trip.customer, action_key=attempt.action_key)

    @step(title="buy tourist tickets")
    async def buy_tickets(self, trip: Trip, *, attempt: Attempt) -> Booking:
        return Booking(number=self.agency.book("tickets", trip.customer, trip.concert, key=attempt.key))

    @buy_tickets.compensation(title="cancel tourist ticket reservations")
    async def cancel_tickets(self, trip: Trip, booking: Booking | None, *, attempt: Attempt) -> None:
        self.agency.cancel("tickets", trip.customer, action_key=attempt.action_key)
