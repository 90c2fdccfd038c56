"""Runs something over and over for a while, and says how often, how long each took, and at what cost."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """One repetition.

    Attributes:
        done: how many were finished in ``seconds``.
        cpu: CPU seconds of this process meanwhile, all its threads (a database server's are its own).
        latencies: seconds from start to end of each.
    """

    done: int
    seconds: float
    cpu: float
    latencies: Sequence[float] = field(repr=False)

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def p50(self) -> float:
        return percentile(self.latencies, 0.50)


def run_for(seconds: float, once: Callable[[], object], *, each: int = 1) -> Run:
    """Run ``once``, which does ``each`` of something, again and again for ``seconds``."""
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    last = began
    while last - began < seconds:
        once()
        now = time.perf_counter()
        latencies.append(now - last)
        last = now
    return Run(each * len(latencies), last - began, time.process_time() - cpu, latencies)


async def run_concurrently_for(seconds: float, once: Callable[[], Awaitable[object]], concurrent: int) -> Run:
    """Keep ``concurrent`` of ``once`` under way for ``seconds``, then let the last ones finish: they count."""
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()

    async def keep_on() -> None:
        while (start := time.perf_counter()) - began < seconds:
            await once()
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(keep_on() for _ in range(concurrent)))
    elapsed = time.perf_counter() - began
    return Run(len(latencies), elapsed, time.process_time() - cpu, latencies)


async def run_all(sagas: int, once: Callable[[], Awaitable[object]], concurrent: int) -> Run:
    """Run ``once`` so many times, ``concurrent`` of them under way."""
    latencies: list[float] = []
    left = iter(range(sagas))
    cpu, began = time.process_time(), time.perf_counter()

    async def keep_on() -> None:
        for _ in left:
            start = time.perf_counter()
            await once()
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(keep_on() for _ in range(concurrent)))
    return Run(sagas, time.perf_counter() - began, time.process_time() - cpu, latencies)


@dataclass(frozen=True)
class Figures:
    """What several repetitions came to: medians, and ranges of the rate."""

    rate: float
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    done: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Figures:
        rates = [run.rate for run in runs]
        return cls(
            rate=statistics.median(rates),
            slowest=min(rates),
            fastest=max(rates),
            p50_ms=1000 * statistics.median(run.p50 for run in runs),
            p99_ms=1000 * statistics.median(percentile(run.latencies, 0.99) for run in runs),
            cpu_ms=1000 * statistics.median(run.cpu / run.done for run in runs),
            done=sum(run.done for run in runs),
        )


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Ratio:
    """One's figures over another's, pairwise within each repetition, so that a noisy moment hits both."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, ours: Sequence[Run], theirs: Sequence[Run]) -> Ratio:
        return cls.between([run.rate for run in ours], [run.rate for run in theirs])

    @classmethod
    def of_p50(cls, ours: Sequence[Run], theirs: Sequence[Run]) -> Ratio:
        return cls.between([run.p50 for run in ours], [run.p50 for run in theirs])

    @classmethod
    def between(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f}-{self.highest:.2f})"
