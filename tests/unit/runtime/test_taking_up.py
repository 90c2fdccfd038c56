"""In which order the sagas of shards that were gained are taken up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from random import Random
from typing import TypeVar

import pytest

from saga_es.runtime.live import Live
from saga_es.runtime.ownership import Holds
from saga_es.runtime.taking_up import AT_ONCE, TakingUp
from saga_es.runtime.timers import Timers
from saga_es.store.shards import SHARDS, Shard
from saga_es.testing.manual_clock import ManualClock

T = TypeVar("T")
ALL = {Shard("lane", number): 1 for number in range(SHARDS)}


class Store:
    """A crew, a loader, patience and a manager: no saga is open, and what is asked about is noted."""

    def __init__(self) -> None:
        self.asked: list[Shard] = []

    def open_in(self, shards: Collection[Shard], *, after: str, limit: int) -> Sequence[tuple[str, None]]:
        assert len(shards) <= AT_ONCE
        self.asked += shards
        return []

    async def read(self, function: Callable[[], T]) -> T:
        return function()

    async def lives_of(self, saga_ids: Sequence[str]) -> list[Live]:
        return []

    async def ask(self, make: Callable[[], Awaitable[T]], what: str) -> T:
        return await make()

    def adopt(self, lives: Iterable[Live]) -> None:
        assert list(lives) == []


def taken_up(seed: int) -> list[Shard]:
    async def main() -> list[Shard]:
        store, holds, timers = Store(), Holds("me"), Timers(ManualClock())
        chance = Random(seed).random  # noqa: S311 - any will do
        taking = TakingUp(
            store, holds, loader=store, manager=store, timers=timers, patience=store, chance=chance
        )
        taking.unread, _ = holds.take(ALL)
        await taking.all()
        return store.asked

    return asyncio.run(main())


@pytest.mark.promise("owner.takeover")
def test_who_takes_over_begins_where_chance_has_it_and_leaves_nothing_out():
    one, other = taken_up(1), taken_up(2)
    assert sorted(one) == sorted(other) == sorted(ALL)
    assert set(one[:AT_ONCE]) != set(other[:AT_ONCE])
