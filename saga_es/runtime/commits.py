"""How a batch of appends is committed: all at once, else taken apart until only the guilty one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from saga_es.errors import StoreUnavailable, VersionConflict
from saga_es.runtime.observing import CommitObserver
from saga_es.store.append import Append
from saga_es.store.port import Store
from saga_es.store.shards import Fenced

LARGE: Final = 64
"""Appends of a piece: more are halved where one of them was refused."""

Done = Callable[[Exception | None], None]
"""Takes ``None`` once the append is durable, or why it is not recorded."""


class Queued:
    """An append and who waits for its outcome."""

    __slots__ = ("append", "done")

    def __init__(self, append: Append, done: Done) -> None:
        self.append, self.done = append, done

    @property
    def saga_id(self) -> str:
        return self.append.saga_id


class Commits:
    """Commits batches; synchronous, with no thread or queue of its own.

    Args:
        outlast: called when the store is lost, with how many times in a row it was lost before: waits a while,
            or returns False to give up for good.
        observer: sees every try; one that raises ends ``write`` with nothing settled, as a crash would.

    Attributes:
        settled: outcomes, in the order they were found, until the owner takes them away.
        broken: sagas of which an append failed, with its error: what was decided on top of it fails too. The
            owner removes one once whoever decides knows.
        newly_broken: those that came to ``broken`` since the owner last looked.
        gave_up: the error on which ``outlast`` gave up; from then on all fails with it.
        unavailable: why nothing is being written just now.
    """

    def __init__(
        self, store: Store, *, outlast: Callable[[int], bool], observer: CommitObserver | None
    ) -> None:
        self._store, self._outlast, self._observer = store, outlast, observer
        self._tries = self._outages = 0
        self.settled: list[tuple[Done, Exception | None]] = []
        self.broken: dict[str, Exception] = {}
        self.newly_broken: list[str] = []
        self.gave_up: StoreUnavailable | None = None
        self.unavailable: StoreUnavailable | None = None

    def write(self, batch: Sequence[Queued]) -> None:
        """Settle every append of the batch; appends of one saga stand in it in the order of their versions."""
        pieces = [list(batch)]  # a stack, so that pieces of one saga are tried in order
        while pieces:
            piece = self.admit(pieces.pop())
            if self.gave_up is not None:
                self._settle(piece, self.gave_up)
            elif piece:
                pieces.extend(reversed(self._try(piece)))

    def admit(self, items: Iterable[Queued]) -> list[Queued]:
        """Fail the appends of broken sagas and return the others."""
        if not self.broken:
            return list(items)
        sound: list[Queued] = []
        for item in items:
            error = self.broken.get(item.saga_id)
            if error is None:
                sound.append(item)
            else:
                self._fail(item, error)
        return sound

    def _try(self, piece: list[Queued]) -> list[list[Queued]]:
        """Commit the piece; return what of it has to be tried again, in order."""
        self._tries += 1
        if self._observer is not None:
            self._observer.before_commit(self._tries)
        try:
            self._store.append([item.append for item in piece])
        except StoreUnavailable as error:
            self._lost(error)
            return [self._read_back(piece)]
        except Fenced as error:
            self._answered()
            return [self._without_lost(piece, error)]
        except Exception as error:  # noqa: BLE001 - whatever the store raised, the appends' owners are told
            self._answered()  # no is an answer
            return self._take_apart(piece, error)
        if self._observer is not None:
            self._observer.after_commit(self._tries)
        self._answered()
        self._settle(piece, None)
        return []

    def _without_lost(self, piece: list[Queued], error: Fenced) -> list[Queued]:
        """Fail what belongs to lost shards, unless a commit whose answer we never got has written it."""
        lost = [item for item in piece if (item.append.shard, item.append.epoch) in error.lost]
        for item in self._read_back(lost):
            self._fail(item, error)
        return [item for item in piece if item not in lost]

    def _take_apart(self, piece: list[Queued], error: Exception) -> list[list[Queued]]:
        named = error.saga_id if isinstance(error, VersionConflict) else None
        suspects = [item for item in piece if item.saga_id == named] or piece
        if named is not None:  # written by a commit whose answer we never got?
            missing = self._read_back(suspects)
            if len(missing) < len(suspects):
                return _smaller([item for item in piece if item not in suspects or item in missing])
        if len(piece) == 1:
            self._fail(piece[0], error)
            return []
        if len(suspects) < len(piece):
            return [*_smaller([item for item in piece if item not in suspects]), suspects]
        return _halves(piece) or [[item] for item in piece]

    def _read_back(self, items: list[Queued]) -> list[Queued]:
        """Settle those that are recorded and return the others, once the store answers or we have given up."""
        missing: list[Queued] = []
        for item in items:
            recorded = self._is_recorded(item)
            if recorded:
                self._settle([item], None)
            elif recorded is not None:
                missing.append(item)
        return missing

    def _is_recorded(self, item: Queued) -> bool | None:
        """Whether the append stands in the log; ``None`` where it failed because its stream can't be read."""
        while self.gave_up is None:
            try:
                recorded = self._store.already_recorded(item.append)
            except StoreUnavailable as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001 - a stream that can't be read is this saga's own matter
                self._fail(item, error)
                return None
            else:
                if recorded:
                    self._answered()
                return recorded
        return False

    def _lost(self, error: StoreUnavailable) -> None:
        self.unavailable = error
        if not self._outlast(self._outages):
            self.gave_up = error
        self._outages += 1

    def _answered(self) -> None:
        self.unavailable, self._outages = None, 0

    def _settle(self, items: Sequence[Queued], error: Exception | None) -> None:
        self.settled.extend((item.done, error) for item in items)

    def _fail(self, item: Queued, error: Exception) -> None:
        if item.saga_id not in self.broken:
            self.broken[item.saga_id] = error
            self.newly_broken.append(item.saga_id)
        elif isinstance(error, VersionConflict):  # of an earlier append of the saga
            error = VersionConflict(item.saga_id, expected=item.append.expected_version)
        self._settle([item], error)


def _smaller(piece: list[Queued]) -> list[list[Queued]]:
    """Return what is left of a piece, in two if it is large: each guilty one in it has all beside it written again."""
    return (_halves(piece) if len(piece) > LARGE else []) or [piece]


def _halves(piece: Sequence[Queued]) -> list[list[Queued]]:
    """Return a piece in two by sagas; none where it is of one saga alone."""
    sagas: dict[str, list[Queued]] = {}
    for item in piece:
        sagas.setdefault(item.saga_id, []).append(item)
    groups = list(sagas.values())
    half = len(groups) // 2
    return [_joined(groups[:half]), _joined(groups[half:])] if half else []


def _joined(groups: Iterable[Sequence[Queued]]) -> list[Queued]:
    return [item for group in groups for item in group]
