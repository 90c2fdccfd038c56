"""The engine's settings: their defaults, what they refuse, and those that only a clock and a stuck store show."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from pydantic import ValidationError

from saga_es import Retry, SagaClient, SagaEngine, Settings, define
from saga_es.errors import StoreUnavailable
from saga_es.testing.manual_clock import ManualClock

DEFAULTS = {
    "max_in_flight": 1024,
    "max_in_flight_per_saga": 64,
    "step_timeout": timedelta(minutes=5),
    "compensation_retry": Retry(attempts=10),
    "lease": timedelta(seconds=15),
    "drain": timedelta(seconds=10),
    "store_timeout": timedelta(seconds=30),
    "max_payload": 262_144,
    "max_depth": 64,
    "migrate": None,
    "poll": timedelta(milliseconds=50),
    "thread_switch": timedelta(microseconds=800),
    "gc_threshold": 10_000,
}
MARKED = [pytest.param(name, marks=pytest.mark.promise(f"field.Settings.{name}")) for name in DEFAULTS]


def test_there_are_no_other_settings():
    assert list(Settings.model_fields) == list(DEFAULTS)
    with pytest.raises(ValidationError):
        Settings(max_inflight=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", MARKED)
def test_the_default_of(name):
    assert getattr(Settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_in_flight", 0), ("max_in_flight_per_saga", 0), ("max_payload", 0), ("max_depth", 0),
        ("step_timeout", timedelta(0)), ("lease", timedelta(0)), ("drain", timedelta(seconds=-1)),
        ("store_timeout", timedelta(0)), ("poll", timedelta(0)), ("thread_switch", timedelta(0)),
        ("gc_threshold", 0), ("gc_threshold", 2**31),
        ("compensation_retry", 3), ("migrate", "maybe"),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_refused(name, value):
    with pytest.raises(ValidationError):
        Settings(**{name: value})


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Settings().drain = timedelta(0)  # type: ignore[misc]


class StuckStore:
    """Holds every commit until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def before_commit(self, n: int) -> None:
        self.begun.set()
        assert self.let_go.wait(10)

    def after_commit(self, n: int) -> None:
        pass


@pytest.mark.promise("field.Settings.store_timeout", "error.StoreUnavailable", "case.store-goes-away")
def test_a_caller_is_told_when_the_store_has_not_answered_in_time():
    async def main() -> None:
        clock, stuck = ManualClock(), StuckStore()
        saga = define("nothing", int)
        settings = Settings(store_timeout=timedelta(seconds=7))
        async with SagaEngine(
            "memory://", sagas=[saga], settings=settings, clock=clock, observer=stuck
        ) as engine:
            asked = asyncio.ensure_future(engine.start(saga, 1, saga_id="s"))
            await clock.until(stuck.begun.is_set)
            await clock.advance(timedelta(seconds=6.9))
            assert not asked.done()
            await clock.advance(timedelta(seconds=0.1))
            with pytest.raises(StoreUnavailable) as caught:
                await asked
            assert caught.value.store == "memory://"
            stuck.let_go.set()
            assert await engine.start(saga, 1, saga_id="s") == "s"  # calling again is safe
            assert (await engine.outcome("s")).status == "succeeded"

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.promise("field.Settings.poll")
def test_a_client_looks_again_after_each_poll(tmp_path):
    url = f"sqlite:///{tmp_path}/sagas.db"

    async def main() -> None:
        gate = asyncio.Event()

        async def wait(_: int) -> str:
            await gate.wait()
            return "done"

        saga, clock = define("waiting", int).step(wait), ManualClock()
        settings = Settings(poll=timedelta(minutes=3))
        async with (
            SagaEngine(url, sagas=[saga]) as engine,
            SagaClient(url, settings=settings, clock=clock) as client,
        ):
            await engine.start(saga, 1, saga_id="s")
            asked = asyncio.ensure_future(client.outcome("s"))
            assert client._entered is not None
            await clock.until(lambda: client._entered.waiting)  # it has looked once
            gate.set()
            await engine.outcome("s")
            await clock.advance(timedelta(minutes=2, seconds=59))
            assert client._entered.waiting
            await clock.advance(timedelta(seconds=1))
            assert (await asked).results == {"wait": "done"}

    asyncio.run(asyncio.wait_for(main(), 30))
