"""The engine's and the client's calls, as they are meant."""

from __future__ import annotations

from datetime import timedelta

import psycopg
from right_class_style import BuyPackage
from right_fluent import buy_package
from sqlalchemy import Connection
from sqlalchemy.orm import Session
from world import Approval, Approvals, Trip

from saga_es import SagaClient, SagaEngine


async def run() -> None:
    async with SagaEngine("memory://", sagas=[BuyPackage("airline"), buy_package]) as engine:
        trip = Trip("Maria")
        saga_id: str = await engine.start(BuyPackage, trip, saga_id="trip-42")
        await engine.start(BuyPackage("x"), trip)
        await engine.start(buy_package, trip)
        await engine.start("buy package", {"customer": "Maria"})
        await engine.run(BuyPackage, trip, timeout=timedelta(minutes=1))
        await engine.run("buy package", trip)
        await engine.signal(saga_id, BuyPackage.approval, Approval("ann"))
        await engine.signal(saga_id, BuyPackage.approval, Approvals("ann", "bob"))
        await engine.signal(saga_id, "approval", {"by": "ann"})
        await engine.outcome(saga_id, timeout=timedelta(minutes=1))
        await engine.retry(saga_id, BuyPackage.book_plane, by="ann", reason="again")
        await engine.cancel(saga_id, by="ann", reason="customer asked")
    async with SagaClient("sqlite:///sagas.db", sagas=(BuyPackage("airline"),)) as client:
        await client.start(BuyPackage, trip)
        await client.start(buy_package, trip)
        await client.signal(saga_id, BuyPackage.approval, Approval("ann"))


def start_in(
    client: SagaClient, plain: psycopg.Connection, connection: Connection, session: Session, trip: Trip
) -> list[str]:
    return [
        client.start_in(plain, BuyPackage, trip, saga_id="trip-42"),
        client.start_in(connection, BuyPackage("x"), trip),
        client.start_in(session, buy_package, trip),
        client.start_in(session, "buy package", {"customer": "Maria"}),
    ]


async def start_in_async(engine: SagaEngine, connection: psycopg.AsyncConnection, trip: Trip) -> str:
    await engine.start_in(connection, "buy package", {"customer": "Maria"})
    return await engine.start_in(connection, BuyPackage, trip, saga_id="trip-42")
