"""From one store to another: all that is recorded, as it is stored, in the log's order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from eventsourcing.persistence import IntegrityError, Notification, StoredEvent

from saga_es.errors import CopyConflict, InvalidInput, VersionConflict
from saga_es.store.address import MODULES, environment, open_store, shown
from saga_es.store.application import PLANS, SagaApplication
from saga_es.store.index import IndexRow

PAGE: Final = 256
"""Events, or index rows, of one transaction: what an engine writes at once, at most."""

TRIES: Final = 3
"""How often a page is looked at anew when a client of the target came between."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy found in its source; all of it is in the target now.

    Attributes:
        sagas: how many there are.
        unfinished: how many of them an engine goes on with.
        events: of the sagas; recorded plans do not count.
        were_there: how many of the events the target had already.
    """

    sagas: int
    unfinished: int
    events: int
    were_there: int


Tell = Callable[[int, int, int], None]
"""Is told how many events are done, the place in the source's log, and that log's end when the copy began."""


def check_addresses(source: str, target: str) -> None:
    """Raise InvalidInput where there is nothing to copy from, or to."""
    for what, url in (("source", source), ("target", target)):
        if environment(url)["PERSISTENCE_MODULE"] == MODULES["eventsourcing.popo"]:
            problem = (
                f"{url!r} is the memory of one engine, which no other process sees; name SQLite or PostgreSQL"
            )
            raise InvalidInput(f"the copy's {what}", problem=problem)
    if environment(source) == environment(target):
        raise InvalidInput("the copy's target", problem=f"{shown(target)!r} is its source")


@contextlib.contextmanager
def both_held(
    source: str, target: str, *, migrate: bool | None = None
) -> Generator[tuple[SagaApplication, SagaApplication]]:
    """Open two stores and hold the engine's place on both: what is copied must have one engine, or none.

    Args:
        source: an address; its tables are left alone.
        target: an address.
        migrate: whether to make or upgrade the target's tables; by default SQLite yes, PostgreSQL no.

    Raises:
        InvalidInput: one is memory, or they are the same.
        StoreInUse: an engine works on one of them.
        StoreSchemaError: tables are missing, or of another version.
        StoreUnavailable: one does not answer.
    """
    check_addresses(source, target)
    with contextlib.ExitStack() as stack:
        held: list[SagaApplication] = []
        for url, may_migrate in ((source, False), (target, migrate)):
            store = open_store(url, migrate=may_migrate)
            stack.callback(store.close)
            store.claim()
            held.append(store)
        yield held[0], held[1]


def copy_store(
    source: SagaApplication, target: SagaApplication, *, page: int = PAGE, tell: Tell | None = None
) -> Copied:
    """Copy every stream, then the index: an engine finds nothing to go on with before all events are there.

    What is there already is compared and skipped, so that a copy which ended half-way is made whole by another.
    Whoever calls holds the place on both. What clients append to the source meanwhile is copied, too.

    Raises:
        CopyConflict: the target has other events of a saga, or more; nothing is written of that saga's then.
        StoreUnavailable: one does not answer; what was written is whole pages, and stays.
    """
    return _Copying(source, target, page, tell or _tell_nobody).all()


def _tell_nobody(_: int, __: int, ___: int) -> None: ...


class _Copying:
    """One copy under way."""

    def __init__(self, source: SagaApplication, target: SagaApplication, page: int, tell: Tell) -> None:
        self._source, self._target, self._page, self._tell = source, target, page, tell
        self._end = source.position()
        self._sagas = self._events = self._were_there = 0

    def all(self) -> Copied:
        position = 0
        while log := self._source.log_page(position, limit=self._page):
            position = self._copy_events(log)
        self._copy_index()
        while log := self._source.log_page(position, limit=self._page):  # clients have written meanwhile
            position = self._copy_events(log)
            self._copy_rows([stream for stream in _by_stream(log) if not stream.startswith(PLANS)])
        return Copied(self._sagas, self._unfinished(), self._events, self._were_there)

    # -- events --------------------------------------------------------------------------------------

    def _copy_events(self, log: Sequence[Notification]) -> int:
        """Write what the target lacks of a page, in one transaction; return where the page ends."""
        lacking = self._write(log)
        of_sagas = [it for it in log if not str(it.originator_id).startswith(PLANS)]
        lacking_of_sagas = [it for it in lacking if not str(it.originator_id).startswith(PLANS)]
        self._sagas += sum(it.originator_version == 1 for it in of_sagas)
        self._events += len(of_sagas)
        self._were_there += len(of_sagas) - len(lacking_of_sagas)
        self._tell(self._events, log[-1].id, self._end)
        return log[-1].id

    def _write(self, log: Sequence[Notification]) -> Sequence[StoredEvent]:
        for _ in range(TRIES):
            lacking = self._lacking(log)
            try:
                self._target.insert(lacking, ())
            except (
                IntegrityError
            ):  # a client of the target was quicker: what it did is a conflict, or the same
                continue
            return lacking
        raise VersionConflict(str(log[0].originator_id), expected=log[0].originator_version - 1)

    def _lacking(self, log: Sequence[Notification]) -> list[StoredEvent]:
        """Return those events that the target does not have, or raise CopyConflict where it has others."""
        streams = _by_stream(log)
        there = self._target.versions([*streams])
        here = self._source.versions([*streams])
        for stream, events in streams.items():
            # A plan's stream is named by its digest: what is there is that plan, however it is encrypted.
            if stream in there and not stream.startswith(PLANS):
                self._compare(stream, events, here=here[stream], there=there[stream])
        return [stored(it) for it in log if it.originator_version > there.get(str(it.originator_id), 0)]

    def _compare(self, saga_id: str, events: Sequence[StoredEvent], *, here: int, there: int) -> None:
        if there > here:
            problem = f"it has gone on there, to version {there}, and is at {here} in the source"
            raise CopyConflict(saga_id, version=there, store=self._target.url, problem=problem)
        known = [it for it in events if it.originator_version <= there]
        if not known:
            return
        first, last = known[0].originator_version, known[-1].originator_version
        found = self._target.stored(saga_id, after=first - 1, upto=last)
        for ours, theirs in zip(known, found, strict=True):
            if ours != theirs:
                problem = f"event {ours.originator_version} there is another one"
                raise CopyConflict(
                    saga_id, version=ours.originator_version, store=self._target.url, problem=problem
                )

    # -- index ---------------------------------------------------------------------------------------

    def _copy_index(self) -> None:
        after: str | None = None
        while True:
            found = self._source.find(limit=self._page, after=after)
            self._copy_rows([summary.saga_id for summary in found.items])
            after = found.next
            if after is None:
                return

    def _copy_rows(self, saga_ids: Sequence[str]) -> None:
        """Write the rows that are new, of sagas whose events are all there: of others the rest is still to come.

        The rows are read before the versions, so that a row is never ahead of its events.
        """
        rows, there = self._source.rows(saga_ids), self._target.rows(saga_ids)
        here_last, there_last = self._source.versions(saga_ids), self._target.versions(saga_ids)
        new = [
            row
            for saga_id, row in rows.items()
            if here_last.get(saga_id) == there_last.get(saga_id) and _is_news(row, there.get(saga_id))
        ]
        if new:
            self._target.insert((), new)

    def _unfinished(self) -> int:
        count, after = 0, None
        while found := self._source.open_sagas(after=after, limit=self._page):
            count, after = count + len(found), found[-1]
        return count


def _is_news(row: IndexRow, there: IndexRow | None) -> bool:
    """Say whether the target lacks it; what was changed there later, by parking say, is left."""
    return there is None or (row != there and row.summary.changed_at >= there.summary.changed_at)


def _by_stream(log: Sequence[Notification]) -> dict[str, list[StoredEvent]]:
    streams: dict[str, list[StoredEvent]] = {}
    for it in log:
        streams.setdefault(str(it.originator_id), []).append(stored(it))
    return streams


def stored(it: Notification) -> StoredEvent:
    """Return the event of a notification, without its place in that log."""
    return StoredEvent(it.originator_id, it.originator_version, it.topic, it.state)
