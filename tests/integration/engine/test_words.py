"""Who asked for something, and why: it is recorded, so that it has to be something that can be."""

from __future__ import annotations

import asyncio

import pytest

from saga_es import Settings, define
from saga_es.errors import InvalidInput, PayloadTooLarge
from tests.integration.engine.world import MARIA, SOON, House, Trip, drive, told, types

VERBS = (
    "cancel", "pause", "resume", "retry", "supply_result", "supply_rejection", "skip", "force_compensated",
)  # fmt: skip


async def one(trip: Trip) -> int:
    return 1


WAITING = define("waiting", Trip).signal("word", int).step(one)
FINE = define("fine", Trip).step(one)


async def ask(face, verb: str, **words: object) -> None:
    given = {"supply_result": ("one", 1)}.get(verb, ("one",) if verb not in VERBS[:3] else ())
    await getattr(face, verb)("w", *given, **words)


@pytest.mark.promise(
    "error.InvalidInput", "case.poison", "invariant.14", "call.cancel", "call.pause", "call.retry"
)
@pytest.mark.parametrize("kind", ["engine", "client"])
@pytest.mark.parametrize(
    ("words", "what"),
    [
        ({"by": 7, "reason": "x"}, "by"),
        ({"by": None, "reason": "x"}, "by"),
        ({"by": "half a \ud800", "reason": "x"}, "by"),
        ({"by": "ann", "reason": None}, "reason"),
        ({"by": "ann", "reason": "nul \x00"}, "reason"),
    ],
)
def test_words_that_can_not_be_recorded_are_refused_and_hurt_nobody(file: House, kind, words, what):
    async def main():
        async with file.engine(WAITING, FINE) as engine, file.client() as client:
            await engine.start(WAITING, MARIA, saga_id="w")
            face = engine if kind == "engine" else client
            others = [asyncio.ensure_future(engine.run(FINE, MARIA, timeout=SOON)) for _ in range(3)]
            for verb in VERBS:
                with pytest.raises(InvalidInput) as refused:
                    await ask(face, verb, **words)
                assert refused.value.what == what
            ended = [(await it).status for it in others]
            shown = (await engine.find(parked=True)).items
            recorded = types(await engine.history("w"))
            await engine.signal("w", "word", 1)
            await engine.outcome("w", timeout=SOON)
            return ended, shown, set(recorded)

    ended, shown, recorded = drive(main())
    assert ended == ["succeeded"] * 3
    assert shown == ()
    assert recorded <= {"SagaStarted", "SignalAwaited", "StepDispatched", "StepSucceeded"}


@pytest.mark.promise("error.PayloadTooLarge", "field.Settings.max_payload", "case.payload")
def test_words_have_the_limit_of_payloads(house: House):
    async def main():
        async with house.engine(WAITING, settings=Settings(max_payload=100)) as engine:
            await engine.start(WAITING, MARIA, saga_id="w")
            with pytest.raises(PayloadTooLarge) as refused:
                await engine.cancel("w", by="ann", reason="x" * 99)
            await engine.cancel("w", by="ann", reason="x" * 98)
            return refused.value, told(await engine.history("w"), "CancelRequested")

    refused, recorded = drive(main())
    assert (refused.what, refused.size, refused.limit) == ("reason", 101, 100)
    assert recorded == [{"by": "ann", "reason": "x" * 98}]


@pytest.mark.promise("call.cancel", "event.CancelRequested")
@pytest.mark.parametrize("reason", ["", "two\nlines", "ünï 🚂", "\x1b[2J"])
def test_any_other_words_are_kept_as_they_were_said(house: House, reason):
    async def main():
        async with house.engine(WAITING) as engine:
            await engine.start(WAITING, MARIA, saga_id="w")
            await engine.cancel("w", by=reason, reason=reason)
            return told(await engine.history("w"), "CancelRequested")

    assert drive(main()) == [{"by": reason, "reason": reason}]
