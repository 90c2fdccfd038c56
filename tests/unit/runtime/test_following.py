"""What the engine reads of a log that others write to as well."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel

from saga_es.authoring.decorator import step
from saga_es.authoring.saga import Saga
from saga_es.runtime.client import SagaClient
from saga_es.runtime.engine import SagaEngine
from saga_es.runtime.loading import Loader
from saga_es.runtime.settings import Settings

SOON = Settings(poll=timedelta(milliseconds=5))


class Order(BaseModel):
    number: int


class Ship(Saga[Order], name="ship"):
    @step
    async def pack(self, order: Order) -> int:
        return order.number


def test_sagas_the_engine_ended_itself_are_not_read_again_when_others_write(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path / 'sagas.db'}"
    read: list[str] = []
    load = Loader.load

    async def noted(self, live):
        read.append(live.saga_id)
        await load(self, live)

    monkeypatch.setattr(Loader, "load", noted)

    async def main():
        async with (
            SagaEngine(address, sagas=[Ship()], settings=SOON) as engine,
            SagaClient(address, sagas=[Ship()], settings=SOON) as client,
        ):
            for number in range(10):
                await engine.run("ship", Order(number=number))
                await client.start("ship", Order(number=number), saga_id=f"theirs-{number}")
                await client.outcome(f"theirs-{number}")

    asyncio.run(main())
    assert read == [f"theirs-{number}" for number in range(10)]
