"""The interpreter's switch interval while an engine is entered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from saga_es import SagaEngine, Settings
from saga_es.runtime.switching import Switching
from saga_es.store.application import SagaApplication

MS = timedelta(milliseconds=1)


class Interpreter:
    """One whose switch interval is 5 ms."""

    def __init__(self) -> None:
        self.interval = 0.005
        self.switching = Switching(lambda: self.interval, self.set_to)

    def set_to(self, interval: float) -> None:
        self.interval = int(1e6 * interval) / 1e6


def test_it_is_shortened_and_put_back():
    it = Interpreter()

    back = it.switching.shorten(MS)

    assert it.interval == 0.001
    back()
    assert it.interval == 0.005


def test_the_shortest_that_is_asked_for_counts_and_the_last_puts_it_back():
    it = Interpreter()
    backs = [it.switching.shorten(2 * MS), it.switching.shorten(MS), it.switching.shorten(3 * MS)]

    seen = [it.interval]
    for place in (1, 0, 2):
        backs[place]()
        seen.append(it.interval)

    assert seen == [0.001, 0.002, 0.003, 0.005]


def test_one_that_is_shorter_already_is_left():
    it = Interpreter()

    back = it.switching.shorten(10 * MS)

    assert it.interval == 0.005
    back()
    assert it.interval == 0.005


def test_what_somebody_else_sets_meanwhile_stays():
    it = Interpreter()
    back = it.switching.shorten(MS)
    it.set_to(0.02)

    other = it.switching.shorten(MS / 2)
    back()
    other()

    assert it.interval == 0.02
    it.switching.shorten(MS)()
    assert it.interval == 0.02


@pytest.fixture
def interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.007)
    yield 0.007
    sys.setswitchinterval(before)


@pytest.mark.promise("field.Settings.thread_switch")
@pytest.mark.parametrize(("settings", "inside"), [(Settings(), 0.001), (Settings(thread_switch=None), 0.007)])
def test_an_engine_shortens_it_while_it_is_entered(interval: float, settings: Settings, inside: float):
    async def main() -> float:
        async with SagaEngine("memory://", sagas=[], settings=settings):
            return sys.getswitchinterval()

    assert asyncio.run(main()) == pytest.approx(inside)
    assert sys.getswitchinterval() == pytest.approx(interval)


def test_it_is_put_back_once():
    it = Interpreter()
    back, other = it.switching.shorten(MS), it.switching.shorten(MS)

    back()
    back()

    assert it.interval == 0.001
    other()
    assert it.interval == 0.005


def test_it_is_put_back_when_leaving_fails(interval: float, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        raise OSError("the disk is gone")

    async def main() -> None:
        async with SagaEngine("memory://", sagas=[]):
            pass

    monkeypatch.setattr(SagaApplication, "close", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(main())
    assert sys.getswitchinterval() == pytest.approx(interval)
