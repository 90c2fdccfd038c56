"""Of a batch that was fenced what is lost is refused, by shard and epoch, and the rest is written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from saga_es.errors import StoreUnavailable, VersionConflict
from saga_es.runtime.commits import Commits, Queued
from saga_es.store.append import Append
from saga_es.store.shards import Fenced, Shard

pytestmark = pytest.mark.promise("owner.fence")
ONE, TWO = Shard("lane", 1), Shard("lane", 2)


class FencedStore:
    """Knows the epochs that hold. Where it is slow, its first write lands later than it says that it is not there."""

    def __init__(self, *held: tuple[Shard, int], slow: bool = False) -> None:
        self.held, self.slow = set(held), slow
        self.written: list[str] = []
        self._lands: list[str] = []
        self.lost_then: set[tuple[Shard, int]] = set()

    def append(self, batch: Sequence[Append]) -> None:
        self.written += self._lands
        self._lands = []
        lost = {(it.shard, it.epoch) for it in batch} - self.held
        if lost:
            raise Fenced(lost)
        saga_ids = [it.saga_id for it in batch]
        if self.slow:
            self.slow, self._lands = False, saga_ids
            self.held -= self.lost_then
            raise StoreUnavailable("memory://", problem="the line was cut")
        if set(saga_ids) & set(self.written):
            raise VersionConflict(saga_ids[0], expected=0)
        self.written += saga_ids

    def already_recorded(self, append: Append) -> bool:
        return append.saga_id in self.written


def of(saga_id: str, shard: Shard, epoch: int) -> Append:
    return Append(saga_id, 0, (), None, is_open=True, shard=shard, epoch=epoch)


def came_to(store: FencedStore, *appends: Append) -> dict[str, type[Exception] | None]:
    """Write one batch, and return what each append came to."""
    outcomes: dict[str, type[Exception] | None] = {}
    commits = Commits(store, outlast=lambda _: True, observer=None)
    queued = [
        Queued(it, lambda error, it=it: outcomes.update({it.saga_id: error and type(error)}))
        for it in appends
    ]
    commits.write(queued)
    for done, error in commits.settled:
        done(error)
    assert commits.unavailable is None  # no is an answer
    return outcomes


def test_what_is_held_is_written_and_what_is_lost_is_refused():
    store = FencedStore((ONE, 1))
    appends = [of("a", ONE, 1), of("b", TWO, 1), of("c", ONE, 1), of("d", TWO, 1)]
    assert came_to(store, *appends) == {"a": None, "b": Fenced, "c": None, "d": Fenced}
    assert store.written == ["a", "c"]


def test_of_two_epochs_of_one_shard_the_older_is_lost():
    store = FencedStore((ONE, 2))
    assert came_to(store, of("old", ONE, 1), of("new", ONE, 2)) == {"old": Fenced, "new": None}


def test_where_all_is_lost_nothing_is_written():
    store = FencedStore()
    assert came_to(store, of("a", ONE, 1), of("b", TWO, 3)) == {"a": Fenced, "b": Fenced}
    assert store.written == []


def test_what_was_written_before_the_shard_was_lost_is_written_though_the_answer_was_not_heard():
    store = FencedStore((ONE, 1), (TWO, 1), slow=True)
    store.lost_then = {(ONE, 1)}
    assert came_to(store, of("a", ONE, 1), of("b", TWO, 1)) == {"a": None, "b": None}
    assert store.written == ["a", "b"]
