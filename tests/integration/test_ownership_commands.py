"""Whoever is asked something of a saga, its owner or another engine or a client: the owner goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from saga_es import History, SagaClient, SagaEngine
from tests.integration.engine.world import BY_ANN, MARIA, SOON, Trip, drive, seen, told
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
    pair,
    settled,
    until,
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


# -- who waits for it has read it before -------------------------------------------------------------


async def waits(face: SagaEngine, saga_id: str) -> asyncio.Task[object]:
    """Let an engine wait for a saga of another's, until it has read how that stands."""
    waiting = asyncio.ensure_future(face.outcome(saga_id, timeout=SOON))
    await until(lambda: saga_id in face._works.manager.watchers.elsewhere())
    await until(lambda: not face._works.manager.in_hand(saga_id).busy)
    return waiting


async def awaiting_word(owner: SagaEngine) -> str:
    """Let an engine bring a saga of its own to its signal; return its id."""
    (saga_id,) = ids_of(owner, 1, Errand)
    await owner.start(Errand, MARIA, saga_id=saga_id)
    await seen(owner, saga_id, "SignalAwaited")
    return saga_id


@pytest.mark.promise("owner.calls", "call.pause", "call.resume", "call.retry")
def test_a_command_through_an_engine_that_waits_is_decided_on_what_is_recorded_by_then(shared: Place):
    async def main():
        calls = Calls()
        async with pair(shared.address, calls) as (first, other):
            paused, retried = ids_of(first, 2, Errand)
            calls.hold("A")
            for saga_id in (paused, retried):
                await first.start(Errand, RAIN, saga_id=saga_id)
            await until(lambda: len(calls.made) == 2)
            waiting = [await waits(other, saga_id) for saga_id in (paused, retried)]
            await first.pause(paused, **BY_ANN)
            calls.let_go("A")
            await seen(first, retried, "StepRetryScheduled")
            await other.resume(paused, **BY_ANN)
            await other.retry(retried, Errand.go, **BY_ANN)
            for saga_id in (paused, retried):
                await seen(first, saga_id, "SagaResumed" if saga_id == paused else "SignalAwaited")
            await other.retry(paused, Errand.go, **BY_ANN)
            for saga_id in (paused, retried):
                await other.signal(saga_id, "word", "dry")
            return [(await it).status for it in waiting]

    assert drive(main()) == ["succeeded", "succeeded"]


@pytest.mark.promise("call.outcome")
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_how_a_saga_elsewhere_stands_is_told_as_it_is_when_the_time_is_over(shared: Place, seconds: float):
    async def main():
        calls = Calls()
        async with pair(shared.address, calls) as (first, other):
            saga_id = await awaiting_word(first)
            waiting = asyncio.ensure_future(other.outcome(saga_id, timeout=timedelta(seconds=seconds)))
            if seconds:
                await until(lambda: saga_id in other._works.manager.watchers.elsewhere())
            await first.pause(saga_id, **BY_ANN)
            try:
                await waiting
            except TimeoutError as late:
                return str(late)

    said = drive(main())
    assert "still to come: word" in said
    assert "paused" in said or not seconds


@pytest.mark.promise("call.outcome")
def test_nobody_waits_any_more_where_asking_how_it_stands_was_given_up(shared: Place, monkeypatch):
    async def main():
        calls = Calls()
        async with pair(shared.address, calls) as (first, other):
            saga_id = await awaiting_word(first)
            loader, manager = other._works.loader, other._works.manager
            asking = asyncio.ensure_future(other.outcome(saga_id, timeout=timedelta(seconds=0.3)))
            await until(lambda: saga_id in manager.watchers.elsewhere())
            await until(lambda: not manager.in_hand(saga_id).busy)
            gate, reading = asyncio.Event(), asyncio.Event()

            async def slow(live, plain=loader.load):
                reading.set()
                await gate.wait()
                await plain(live)

            monkeypatch.setattr(loader, "load", slow)
            await reading.wait()
            asking.cancel()
            await asyncio.wait([asking])
            gate.set()
            await until(lambda: manager.in_hand(saga_id) is None)
            return manager.watchers.elsewhere()

    assert drive(main()) == []


@pytest.mark.promise("owner.calls", "call.signal", "invariant.11")
def test_commands_that_come_while_others_are_being_read_keep_these_from_nothing(shared: Place, monkeypatch):
    """Each is decided on what is read after it came; one after another, and none waits for the last."""
    order: list[str] = []

    async def main():
        calls = Calls()
        async with pair(shared.address, calls) as (first, other):
            (saga_id,) = ids_of(first, 1, Errand)
            await first.start(Errand, RAIN, saga_id=saga_id)
            await seen(first, saga_id, "StepRetryScheduled")
            waiting = await waits(other, saga_id)

            async def ask(number: int) -> None:
                await other.pause(saga_id, by="ann", reason=str(number))
                order.append(f"asked {number}")

            asking: list[asyncio.Task[None]] = []
            loader = other._works.loader

            async def load(live, plain=loader.load):
                order.append("read")
                if len(asking) < 5:  # always one more, while it is being read
                    asking.append(asyncio.ensure_future(ask(len(asking))))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                await plain(live)

            monkeypatch.setattr(loader, "load", load)
            await ask(99)
            while not all(it.done() for it in asking):
                await asyncio.wait(asking)
            waiting.cancel()

    drive(main())
    assert order.index("asked 99") < order.index("asked 4")
    assert [it for it in order if it != "read"] == ["asked 99", *(f"asked {number}" for number in range(5))]
