"""The trip with steps that do nothing: three in parallel, each with a compensation; Kevin's hotel has no rooms."""

from __future__ import annotations

from pydantic import BaseModel

from saga_es import Rejected, Saga, step


class Trip(BaseModel):
    customer: str
    nights: int


class Booking(BaseModel):
    number: str


class BuyPackage(Saga[Trip], name="buy package", version=1):
    """No-op coroutines, so that what is measured is the library."""

    @step(title="book plane ticket")
    async def book_plane(self, trip: Trip) -> Booking:
        return Booking(number="LIS-GIG")

    @book_plane.compensation(title="cancel plane ticket booking")
    async def cancel_plane(self, trip: Trip, booking: Booking | None) -> None:
        pass

    @step(title="book hotel room")
    async def book_hotel(self, trip: Trip) -> Booking:
        if trip.customer == "Kevin":
            raise Rejected("no available hotel rooms")
        return Booking(number="room 12")

    @book_hotel.compensation(title="cancel hotel room reservation")
    async def cancel_hotel(self, trip: Trip, booking: Booking | None) -> None:
        pass

    @step(title="buy tourist tickets")
    async def buy_tickets(self, trip: Trip) -> Booking:
        return Booking(number="Maracanã")

    @buy_tickets.compensation(title="cancel tourist ticket reservations")
    async def cancel_tickets(self, trip: Trip, booking: Booking | None) -> None:
        pass


CASES = {"happy": Trip(customer="Maria", nights=7), "failing": Trip(customer="Kevin", nights=7)}
STATUS = {"happy": "succeeded", "failing": "failed"}
