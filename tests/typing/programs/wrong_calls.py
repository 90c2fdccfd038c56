"""Wrong on purpose: each line with a mark has to be an error, and no other line may be one."""

from __future__ import annotations

import psycopg
from right_class_style import BuyPackage
from right_fluent import buy_package
from world import Approval, Parcel, Receipt, Trip

from saga_es import SagaClient, SagaEngine


async def run(engine: SagaEngine, client: SagaClient) -> None:
    trip = Trip("Maria")
    await engine.start(BuyPackage, Parcel(1))  # wrong: another input
    await engine.start(BuyPackage("airline"), Parcel(1))  # wrong: another input for an instance
    await engine.start(buy_package, Parcel(1))  # wrong: another input for a fluent definition
    await engine.start(BuyPackage, {"customer": "Maria"})  # wrong: JSON for an input
    await engine.start(BuyPackage)  # wrong: no input
    await engine.start(Trip, trip)  # wrong: no saga
    await engine.run(BuyPackage, Parcel(1))  # wrong: another input
    await engine.run(buy_package, Parcel(1))  # wrong: another input for a fluent definition
    await engine.run(BuyPackage, trip, timeout=60)  # wrong: a number for a duration
    await engine.outcome("trip-42", timeout=60)  # wrong: a number for a duration
    await engine.signal("trip-42", BuyPackage.approval, Receipt(1))  # wrong: another payload
    await engine.signal("trip-42", BuyPackage.approval, "ann")  # wrong: a text for a payload
    await engine.signal("trip-42", BuyPackage.book_plane, Approval("ann"))  # wrong: a step for a signal
    await engine.cancel("trip-42")  # wrong: who and why are missing
    await client.start(BuyPackage, Parcel(1))  # wrong: another input
    await client.start(buy_package, Parcel(1))  # wrong: another input for a fluent definition
    await client.signal("trip-42", BuyPackage.approval, Receipt(1))  # wrong: another payload
    SagaEngine("memory://", sagas=[BuyPackage])  # wrong: a class for an instance
    SagaEngine("memory://", sagas=[Trip("Maria")])  # wrong: no saga
    SagaEngine("memory://")  # wrong: no sagas


async def start_in(client: SagaClient, plain: psycopg.Connection, other: psycopg.AsyncConnection) -> None:
    client.start_in(plain, BuyPackage, Parcel(1))  # wrong: another input
    await client.start_in(other, buy_package, Parcel(1))  # wrong: another input for a fluent definition
    await client.start_in(plain, BuyPackage, Trip("Maria"))  # wrong: nothing to await
    client.start_in("postgresql://", BuyPackage, Trip("Maria"))  # wrong: no connection
