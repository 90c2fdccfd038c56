"""What is the whole interpreter's while an engine is entered: the switch interval, and when garbage is collected."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from saga_es import SagaEngine, Settings
from saga_es.runtime.process_wide import collecting, switching
from saga_es.store.application import SagaApplication

MS = 0.001


class Interpreter:
    """One whose switch interval is 5 ms, and that looks for garbage after 700 containers."""

    def __init__(self) -> None:
        self.interval, self.thresholds = 0.005, (700, 10, 10)
        self.collecting = collecting(lambda: self.thresholds, self.set_thresholds)
        self.switching = switching(lambda: self.interval, self.set_to)

    def set_to(self, interval: float) -> None:
        self.interval = int(1e6 * interval) / 1e6

    def set_thresholds(self, *thresholds: int) -> None:
        self.thresholds = thresholds


def test_it_is_shortened_and_put_back():
    it = Interpreter()

    back = it.switching.ask(MS)

    assert it.interval == 0.001
    back()
    assert it.interval == 0.005


def test_the_shortest_that_is_asked_for_counts_and_the_last_puts_it_back():
    it = Interpreter()
    backs = [it.switching.ask(2 * MS), it.switching.ask(MS), it.switching.ask(3 * MS)]

    seen = [it.interval]
    for place in (1, 0, 2):
        backs[place]()
        seen.append(it.interval)

    assert seen == [0.001, 0.002, 0.003, 0.005]


def test_one_that_is_shorter_already_is_left():
    it = Interpreter()

    back = it.switching.ask(10 * MS)

    assert it.interval == 0.005
    back()
    assert it.interval == 0.005


def test_what_somebody_else_sets_meanwhile_stays():
    it = Interpreter()
    back = it.switching.ask(MS)
    it.set_to(0.02)

    other = it.switching.ask(MS / 2)
    back()
    other()

    assert it.interval == 0.02
    it.switching.ask(MS)()
    assert it.interval == 0.02


def test_garbage_is_collected_less_often_and_then_as_before():
    it = Interpreter()

    backs = [it.collecting.ask(10_000), it.collecting.ask(20_000)]

    seen = [it.thresholds]
    for place in (1, 0):
        backs[place]()
        seen.append(it.thresholds)
    assert seen == [(20_000, 10, 10), (10_000, 10, 10), (700, 10, 10)]


@pytest.mark.parametrize("threshold", [50_000, 0])
def test_who_collects_less_often_or_never_is_left(threshold: int):
    it = Interpreter()
    it.set_thresholds(threshold, 5, 5)

    back = it.collecting.ask(10_000)

    assert it.thresholds == (threshold, 5, 5)
    back()
    assert it.thresholds == (threshold, 5, 5)


def test_the_older_generations_may_be_set_meanwhile():
    it = Interpreter()
    back = it.collecting.ask(10_000)
    it.set_thresholds(10_000, 50, 50)

    back()

    assert it.thresholds == (700, 50, 50)


@pytest.fixture
def interval() -> Iterator[float]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.007)
    yield 0.007
    sys.setswitchinterval(before)


@pytest.fixture
def threshold() -> Iterator[int]:
    before = gc.get_threshold()
    gc.set_threshold(800, *before[1:])
    yield 800
    gc.set_threshold(*before)


@pytest.mark.promise("field.Settings.thread_switch")
@pytest.mark.parametrize(
    ("settings", "inside"), [(Settings(), 0.0008), (Settings(thread_switch=None), 0.007)]
)
def test_an_engine_shortens_it_while_it_is_entered(interval: float, settings: Settings, inside: float):
    async def main() -> float:
        async with SagaEngine("memory://", sagas=[], settings=settings):
            return sys.getswitchinterval()

    assert asyncio.run(main()) == pytest.approx(inside)
    assert sys.getswitchinterval() == pytest.approx(interval)


@pytest.mark.promise("field.Settings.gc_threshold")
@pytest.mark.parametrize(("settings", "inside"), [(Settings(), 10_000), (Settings(gc_threshold=None), 800)])
def test_an_engine_collects_less_often_while_it_is_entered(threshold: int, settings: Settings, inside: int):
    async def main() -> int:
        async with SagaEngine("memory://", sagas=[], settings=settings):
            return gc.get_threshold()[0]

    assert asyncio.run(main()) == inside
    assert gc.get_threshold()[0] == threshold


def test_it_is_put_back_once():
    it = Interpreter()
    back, other = it.switching.ask(MS), it.switching.ask(MS)

    back()
    back()

    assert it.interval == 0.001
    other()
    assert it.interval == 0.005


def test_it_is_put_back_when_leaving_fails(interval: float, monkeypatch: pytest.MonkeyPatch):
    gc.collect()  # what other tests left closes itself when it is collected, and is not to fail here
    failures = [OSError("the disk is gone")]
    close = SagaApplication.close

    def fail(it: SagaApplication) -> None:
        close(it)
        if failures:
            raise failures.pop()

    async def main() -> None:
        async with SagaEngine("memory://", sagas=[]):
            pass

    monkeypatch.setattr(SagaApplication, "close", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(main())
    assert sys.getswitchinterval() == pytest.approx(interval)
