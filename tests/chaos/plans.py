"""Random sagas whose steps call the participants: the same ones in every process that is given the same seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from random import Random

from pydantic import BaseModel

from saga_es import Attempt, Definition, Rejected, Retry, define

RETRY = Retry(attempts=4, delay=timedelta(milliseconds=50))
SURE = Retry(attempts=50, delay=timedelta(milliseconds=50))


class Order(BaseModel):
    number: int


class Calls:
    """Calls the participants over their socket, a connection for each call."""

    def __init__(self, socket: Path, worker: int) -> None:
        self._socket, self._worker = socket, worker

    async def act(self, order: Order, *needed: int, attempt: Attempt) -> int:
        return int(await self._ask("act", attempt))

    async def undo(self, order: Order, place: int | None, *, attempt: Attempt) -> None:
        await self._ask("undo", attempt)

    async def _ask(self, what: str, attempt: Attempt) -> int:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            said = {**asdict(attempt), "deadline": None}
            writer.write(json.dumps({"what": what, "worker": self._worker, "attempt": said}).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            raise ConnectionResetError("the participant hung up")
        answer = json.loads(line)
        if "rejected" in answer:
            raise Rejected(answer["rejected"])
        return int(answer["place"])


def sagas(seed: int, count: int, calls: Calls) -> Sequence[Definition[Order]]:
    """Return so many sagas of one to eight steps that need each other at random; some have a pivot."""
    chance = Random(seed)  # noqa: S311 - chance that can be had again
    return [_saga(f"graph {number}", chance, calls) for number in range(count)]


def _saga(name: str, chance: Random, calls: Calls) -> Definition[Order]:
    steps = chance.randint(1, 8)
    pivot = chance.choice([None, steps - 1, steps // 2])
    made = define(name, Order)
    loose: set[str] = set()  # nobody needs these yet
    for number in range(steps):
        step = f"step_{number}"
        if number == pivot:
            needs = sorted(loose)  # it cuts the graph in two
        else:
            first = 0 if pivot is None or number < pivot else pivot
            needs = [f"step_{need}" for need in range(first, number) if chance.random() < 0.3]
            if pivot is not None and number > pivot and not needs:
                needs = [f"step_{pivot}"]
        loose = (loose - set(needs)) | {step}
        if pivot is not None and number >= pivot:
            made = made.step(
                calls.act,
                name=step,
                needs=needs,
                pivot=number == pivot,
                retry=SURE if number > pivot else RETRY,
            )
        else:
            made = made.step(calls.act, undo=calls.undo, name=step, needs=needs, retry=RETRY, undo_retry=SURE)
    return made
