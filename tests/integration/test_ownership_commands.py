"""Whoever is asked something of a saga, its owner or another engine or a client: the owner goes on with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from saga_es import History, SagaClient, SagaEngine
from tests.integration.engine.world import BY_ANN, MARIA, Trip, drive, seen, told
from tests.support.engines import (
    NEVER,
    Calls,
    Errand,
    check_owners,
    client,
    divided,
    engine,
    ids_of,
    name_of,
    settled,
)
from tests.support.stores import Place
from tests.support.workers import shared

__all__ = ["shared"]
Face = SagaEngine | SagaClient
RAIN = Trip(customer="Maria", nights=2)  # the first attempt fails, and the second is due in an hour


async def signal(face: Face, saga_id: str) -> None:
    await face.signal(saga_id, Errand.word, "hello")


async def cancel(face: Face, saga_id: str) -> None:
    await face.cancel(saga_id, **BY_ANN)


async def pause_and_resume(face: Face, saga_id: str) -> None:
    await face.pause(saga_id, **BY_ANN)
    await face.signal(saga_id, "word", "late")
    assert "StepDispatched" not in [it.type for it in (await face.history(saga_id)).events[-2:]]
    await face.resume(saga_id, **BY_ANN)


async def retry(face: Face, saga_id: str) -> None:
    await face.retry(saga_id, Errand.go, **BY_ANN)
    await face.signal(saga_id, "word", "dry")


async def supply_result(face: Face, saga_id: str) -> None:
    await face.supply_result(saga_id, Errand.go, "by bus", **BY_ANN)
    await face.signal(saga_id, "word", "wet")


async def supply_rejection(face: Face, saga_id: str) -> None:
    await face.supply_rejection(saga_id, Errand.go, **BY_ANN)


async def skip(face: Face, saga_id: str) -> None:
    await face.skip(saga_id, Errand.go, **BY_ANN)
    await face.signal(saga_id, "word", "from afar")


async def force_compensated(face: Face, saga_id: str) -> None:
    await face.pause(saga_id, **BY_ANN)
    await face.cancel(saga_id, **BY_ANN)
    await face.force_compensated(saga_id, Errand.go, **BY_ANN)


@dataclass(frozen=True)
class Story:
    """What is asked of a saga, and what comes of it: its ending, what it tells, and the calls that it takes."""

    ask: Callable[[Face, str], Awaitable[None]]
    trip: Trip
    ending: str
    tells: str | None
    calls: list[str]


STORIES = [
    Story(signal, MARIA, "succeeded", "hello", ["go action", "tell action"]),
    Story(cancel, MARIA, "compensated", None, ["go action", "go compensation"]),
    Story(pause_and_resume, MARIA, "succeeded", "late", ["go action", "tell action"]),
    Story(retry, RAIN, "succeeded", "dry", ["go action", "go action", "tell action"]),
    Story(supply_result, RAIN, "succeeded", "wet", ["go action", "tell action"]),
    Story(supply_rejection, RAIN, "compensated", None, ["go action"]),
    Story(skip, RAIN, "succeeded", "from afar", ["go action", "tell action"]),
    Story(force_compensated, MARIA, "forced", None, ["go action"]),
]


async def lived(story: Story, face: Face, outside: SagaClient, saga_id: str) -> History:
    """Start a saga, ask of it what there is to ask, and wait for its end."""
    await face.start(Errand, story.trip, saga_id=saga_id)
    await seen(outside, saga_id, "SignalAwaited" if story.trip is MARIA else "StepRetryScheduled")
    await story.ask(face, saga_id)
    (history,) = await settled(outside, [saga_id])
    return history


@pytest.mark.promise(
    "owner.calls",
    "call.signal",
    "call.cancel",
    "call.pause",
    "call.resume",
    "call.retry",
    "call.supply_result",
    "call.supply_rejection",
    "call.skip",
    "call.force_compensated",
)
@pytest.mark.parametrize("asked", ["its owner", "another", "a client"])
def test_whoever_is_asked_the_owner_goes_on(shared: Place, asked: str):
    async def main():
        calls = Calls()
        async with (
            engine(shared.address, "A", calls, poll=NEVER) as owner,
            engine(shared.address, "B", calls, poll=NEVER) as other,
            client(shared.address) as outside,
        ):
            await divided(owner, other)
            face = {"its owner": owner, "another": other, "a client": outside}[asked]
            ids = ids_of(owner, len(STORIES), Errand)
            histories = [
                await lived(it, face, outside, saga_id) for it, saga_id in zip(STORIES, ids, strict=True)
            ]
            return calls, histories, name_of(owner)

    calls, histories, owner = drive(main())
    assert calls.by("B") == []
    assert calls.twice == []
    for story, history in zip(STORIES, histories, strict=True):
        assert history.state.ending == story.ending
        made = [key.split("/") for key in calls.by("A") if key.startswith(f"{history.saga_id}/")]
        assert [f"{name} {op}" for _, name, op, _ in made] == story.calls
        tells = [it["result"] for it in told(history, "StepSucceeded") if it["step"] == "tell"]
        assert tells == ([] if story.tells is None else [f"A says {story.tells}"])
        assert {worker for worker, _ in check_owners(history)} == {owner}
        begun = history.events[0].metadata.get("worker")
        assert begun == (owner if asked == "its owner" else None)
