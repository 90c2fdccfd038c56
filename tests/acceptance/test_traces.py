"""The traces of the trip, from what an engine recorded: printed by one process, read by another."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from pydantic import BaseModel

from saga_es import History, Rejected, Saga, SagaClient, SagaEngine, signal, step
from saga_es.model.lifecycle import SagaStatus

MARIA = """\
❗ begin saga

✔ book plane ticket
✔ book hotel room
✔ buy tourist tickets

❗ all steps succeeded

✔ end saga (success)"""

KEVIN = """\
❗ begin saga

✔ book plane ticket
❌ book hotel room (no available hotel rooms)
✔ buy tourist tickets

❗ step failed: reverting

✔ cancel plane ticket booking
✔ cancel tourist ticket reservations

❌ end saga (no available hotel rooms)"""


class Trip(BaseModel):
    customer: str


class BuyPackage(Saga[Trip], name="buy package", version=1):
    """The steps finish in another order than they are declared in: the trace must not show it."""

    def __init__(self) -> None:
        self.tickets_bought = asyncio.Event()

    @step(title="book plane ticket")
    async def book_plane(self, trip: Trip) -> str:
        await self.tickets_bought.wait()
        return f"plane for {trip.customer}"

    @book_plane.compensation(title="cancel plane ticket booking")
    async def cancel_plane(self, trip: Trip, booking: str | None) -> None: ...

    @step(title="book hotel room")
    def book_hotel(self, trip: Trip) -> str:
        if trip.customer == "Kevin":
            raise Rejected("no available hotel rooms")
        return f"room for {trip.customer}"

    @book_hotel.compensation(title="cancel hotel room reservation")
    def cancel_hotel(self, trip: Trip, booking: str | None) -> None: ...

    @step(title="buy tourist tickets")
    async def buy_tickets(self, trip: Trip) -> str:
        self.tickets_bought.set()
        return f"tickets for {trip.customer}"

    @buy_tickets.compensation(title="cancel tourist ticket reservations")
    async def cancel_tickets(self, trip: Trip, booking: str | None) -> None: ...


class Approved(Saga[Trip], name="approved"):
    approval = signal(bool, timeout=timedelta(hours=1))


class Nothing(Saga[Trip], name="nothing"):
    pass


@pytest.mark.promise("seed.trace.maria", "seed.trace.kevin")
@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/sagas.db"])
@pytest.mark.parametrize(("customer", "trace"), [("Maria", MARIA), ("Kevin", KEVIN)])
def test_the_trace_of(tmp_path, store, customer, trace):
    async def play() -> str:
        async with SagaEngine(store.format(tmp_path), sagas=[BuyPackage()]) as engine:
            outcome = await engine.run(BuyPackage, Trip(customer=customer), saga_id="trip-42")
            history = await engine.history("trip-42")
            assert (outcome.status, outcome.ending, outcome.residue) == (
                history.state.status,
                history.state.ending,
                history.state.residue,
            )
            return history.trace()

    assert asyncio.run(play()) == trace


@pytest.mark.promise("seed.recorded")
def test_the_trace_is_read_from_the_store_without_the_sagas_code(tmp_path):
    url = f"sqlite:///{tmp_path}/sagas.db"

    async def record() -> str:
        async with SagaEngine(url, sagas=[BuyPackage()]) as engine:
            await engine.run(BuyPackage, Trip(customer="Kevin"), saga_id="trip-42")
            return (await engine.history("trip-42")).to_json()

    async def read() -> History:
        async with SagaClient(url) as client:
            return await client.history("trip-42")

    exported = asyncio.run(record())
    history = asyncio.run(read())
    assert history.trace() == KEVIN
    assert history.to_json() == exported
    assert History.from_json(exported).trace() == KEVIN
    told = (
        "import sys; from saga_es import History; "
        "sys.stdout.buffer.write(History.from_json(sys.stdin.buffer.read().decode()).trace().encode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], input=exported.encode(), capture_output=True, check=True
    )
    assert done.stdout.decode() == KEVIN


@pytest.mark.promise("seed.empty-saga")
def test_an_empty_saga_succeeds():
    async def play() -> str:
        async with SagaEngine("memory://", sagas=[Nothing()]) as engine:
            outcome = await engine.run(Nothing, Trip(customer="Maria"), saga_id="nothing")
            assert outcome.status is SagaStatus.SUCCEEDED
            return (await engine.history("nothing")).trace()

    assert asyncio.run(play()) == "❗ begin saga\n\n❗ all steps succeeded\n\n✔ end saga (success)"


def test_a_signal_in_the_trace():
    async def play() -> str:
        async with SagaEngine("memory://", sagas=[Approved()]) as engine:
            saga_id = await engine.start(Approved, Trip(customer="Maria"))
            await engine.signal(saga_id, Approved.approval, True)
            await engine.outcome(saga_id)
            return (await engine.history(saga_id)).trace()

    assert "\n\n✔ approval\n\n" in asyncio.run(play())


def test_a_cancel_in_the_trace():
    async def play() -> str:
        async with SagaEngine("memory://", sagas=[Approved()]) as engine:
            saga_id = await engine.start(Approved, Trip(customer="Maria"))
            await engine.cancel(saga_id, by="ann", reason="customer asked")
            await engine.outcome(saga_id)
            return (await engine.history(saga_id)).trace()

    told = "❗ begin saga\n\n❗ cancel requested: reverting\n\n❌ end saga (customer asked)"
    assert asyncio.run(play()) == told
