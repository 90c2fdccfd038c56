"""Who owns which sagas where several engines share a store: the store is the coordinator, there is no other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from saga_es.store.shards import HeldCall, Lane, Shard


@dataclass(frozen=True, slots=True)
class Process:
    """Where a worker runs.

    Attributes:
        machine: where its number means this process and no other; empty where that can't be said.
        began: tells it from another that has the number later.
    """

    host: str
    machine: str
    pid: int
    began: str


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as the store knows it.

    Attributes:
        lanes: keys of those it can run; none while it is leaving.
        lease: after how long a silence it is taken for dead.
        heard_at: when it was last heard of, aware UTC, by the store's clock.
        is_expired: whether it has been silent for longer than its lease.
    """

    worker: str
    process: Process
    lanes: frozenset[str]
    lease: timedelta
    entered_at: datetime
    heard_at: datetime
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Muster:
    """What the store says of the crew.

    Attributes:
        members: all workers, the dead of whom nobody has taken note too.
        holds: the asking worker's shards, each with its epoch.
        lanes: every lane that a worker ever knew.
    """

    members: tuple[Member, ...]
    holds: Mapping[Shard, int]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Owned:
    """What a worker owns of the sagas of one definition.

    Attributes:
        shards: their numbers, of 256.
    """

    definition: str
    version: int
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker, and what it owns.

    Attributes:
        worker: its id, as in the metadata of the events that it appends.
        lease: after how long a silence it loses what it owns.
        heard_at: when it was last heard of, aware UTC, by the store's clock.
        is_alive: whether it has been heard of within its lease.
        owns: by definition and version.
    """

    worker: str
    host: str
    pid: int
    lease: timedelta
    entered_at: datetime
    heard_at: datetime
    is_alive: bool
    owns: tuple[Owned, ...]


class CrewRows(Protocol):
    """What a crew asks of a recorder that several engines can share; see ``Crew``."""

    def insert_worker(
        self, worker: str, process: Process, lanes: Sequence[Lane], lease: timedelta
    ) -> bool: ...
    def update_beat(self, worker: str) -> bool: ...
    def select_muster(self, worker: str) -> Muster: ...
    def update_shards(
        self, worker: str, wanted: Mapping[str, int], dead: Collection[str], *, spare_the_silent: bool
    ) -> None: ...
    def release_shards(self, worker: str, shards: Collection[Shard]) -> None: ...
    def update_leaving(self, worker: str) -> None: ...
    def delete_worker(self, worker: str) -> None: ...
    def select_calls(self, worker: str, limit: int, answered: Collection[int]) -> Sequence[HeldCall]: ...
    def delete_calls_to_nobody(self) -> None: ...
    def select_open_in(
        self, shards: Collection[Shard], after: str, limit: int
    ) -> Sequence[tuple[str, str | None]]: ...
    def select_owned(self) -> Mapping[str, Sequence[Shard]]: ...
    def select_unplaced(self, after: str, limit: int) -> Sequence[tuple[str, str | None]]: ...
    def update_places(self, places: Mapping[str, Shard]) -> None: ...
    def select_ended(self, saga_ids: Sequence[str]) -> Sequence[str]: ...
    def select_open_lanes(self) -> Sequence[str]: ...
    def select_going_on(self, lane: str) -> str | None: ...
    def update_parked_in(self, lane: str, reason: str, at: datetime, limit: int) -> int: ...
    def update_parked(self, reasons: Mapping[str, str | None], at: datetime) -> None: ...
    def listen(self, worker: str, on_news: Callable[[str], None]) -> Listening: ...
    def apart(self, patience: timedelta) -> CrewRows: ...
    def close(self) -> None: ...


class Listening(Protocol):
    """Hears what others tell a worker, on a thread of its own, until it is stopped."""

    @property
    def hears(self) -> bool:
        """Whether it is connected just now."""
        ...

    def hang_up(self) -> None:
        """Hear nothing more, and close the connection in a moment."""
        ...

    def stop(self) -> None:
        """The same, and wait until it is closed."""
        ...


class Crew:
    """The workers of a store; synchronous, as all of a store.

    Ownership is rows in the store: each shard has an owner and an epoch, which rises with every claim. A commit
    that names an epoch gone by writes nothing (``Append.epoch``). Whoever is silent for longer than its lease, by
    the store's clock, loses its shards to those who are there.

    Args:
        rows: the recorder's.
        reaching: turns what a database says into our errors.
    """

    def __init__(self, rows: CrewRows, reaching: Callable[[], AbstractContextManager[None]]) -> None:
        self._rows, self._reaching = rows, reaching

    def join(self, worker: str, process: Process, lanes: Sequence[Lane], lease: timedelta) -> bool:
        """Become a member, or one again, and tell the others; False while a copy holds the store."""
        with self._reaching():
            return self._rows.insert_worker(worker, process, lanes, lease)

    def beat(self, worker: str) -> bool:
        """Say that a worker lives; touches its row alone. False where it is no member any more."""
        with self._reaching():
            return self._rows.update_beat(worker)

    def muster(self, worker: str) -> Muster:
        with self._reaching():
            return self._rows.select_muster(worker)

    def claim(
        self,
        worker: str,
        wanted: Mapping[str, int],
        dead: Collection[str],
        *,
        spare_the_silent: bool = False,
    ) -> None:
        """Take up to ``wanted`` shards of each lane that nobody holds, each with its epoch one higher.

        What those hold that are known to be ``dead`` is free, and what those hold that have been silent for longer
        than their lease, unless these are spared; they are members no more.
        """
        with self._reaching():
            self._rows.update_shards(worker, wanted, dead, spare_the_silent=spare_the_silent)

    def release(self, worker: str, shards: Collection[Shard]) -> None:
        """Give shards back and tell the others, who may claim them at once."""
        with self._reaching():
            self._rows.release_shards(worker, shards)

    def retire(self, worker: str) -> None:
        """Say that a worker wants no shards any more, so that the others take theirs of what it gives back."""
        with self._reaching():
            self._rows.update_leaving(worker)

    def leave(self, worker: str) -> None:
        """Give everything back, and be no member any more."""
        with self._reaching():
            self._rows.delete_worker(worker)

    def calls(self, worker: str, *, limit: int, answered: Collection[int] = ()) -> Sequence[HeldCall]:
        """Return what others appended to sagas that the store knows for this worker's, the oldest first.

        They are told again until they are ``answered``: their numbers, once the sagas have been read since they were
        told; by this worker, or by who folds the sagas after it.
        """
        with self._reaching():
            return self._rows.select_calls(worker, limit, answered)

    def forget_calls(self) -> None:
        """Forget calls that have no owner to be told: whoever claims the shard reads its sagas anyway."""
        with self._reaching():
            self._rows.delete_calls_to_nobody()

    def open_in(
        self, shards: Collection[Shard], *, after: str, limit: int
    ) -> Sequence[tuple[str, str | None]]:
        """Return the sagas (ascending ids, after one) of these shards that recovery has to look at.

        Each with the reason for which the index shows it as parked, or ``None``.
        """
        with self._reaching():
            return self._rows.select_open_in(shards, after, limit)

    def workers(self) -> tuple[WorkerInfo, ...]:
        """Return all workers, the oldest first, and what each owns."""
        with self._reaching():
            muster, owned = self._rows.select_muster(""), self._rows.select_owned()
        made = [_info(member, owned.get(member.worker, ()), muster.lanes) for member in muster.members]
        return tuple(sorted(made, key=lambda it: (it.entered_at, it.worker)))

    def unplaced(self, *, after: str, limit: int) -> Sequence[tuple[str, str | None]]:
        """Return open sagas (ascending ids, after one) of which the index does not tell the shard.

        They are copied, or of older tables, or could not be read. Each with the reason for which the index shows it
        as parked, or ``None``.
        """
        with self._reaching():
            return self._rows.select_unplaced(after, limit)

    def place(self, places: Mapping[str, Shard]) -> None:
        """Note in the index which shards sagas belong to that are unplaced, and tell the shards' owners."""
        with self._reaching():
            self._rows.update_places(places)

    def ended(self, saga_ids: Sequence[str]) -> Sequence[str]:
        """Return those of these sagas that have ended."""
        with self._reaching():
            return self._rows.select_ended(saga_ids)

    def open_lanes(self) -> Sequence[str]:
        """Return the lanes that have open sagas."""
        with self._reaching():
            return self._rows.select_open_lanes()

    def going_on(self, lane: str) -> str | None:
        """Return an open saga of a lane that is not shown as parked, if there is one."""
        with self._reaching():
            return self._rows.select_going_on(lane)

    def park(self, lane: str, reason: str, *, at: datetime, limit: int) -> int:
        """Show some of a lane's open sagas as parked, in the index alone, and return how many.

        None where a worker has come meanwhile that can run them.
        """
        with self._reaching():
            return self._rows.update_parked_in(lane, reason, at, limit)

    def show_parked(self, reasons: Mapping[str, str | None], *, at: datetime) -> None:
        """Show open sagas as parked for these reasons, or as not, in the index alone."""
        with self._reaching():
            self._rows.update_parked(reasons, at)

    def apart(self, patience: timedelta) -> Crew:
        """Return the same over a connection of its own, that no other question holds up; to be closed by the caller.

        Args:
            patience: for how long what takes shards, or gives them back, waits for the appends that are under way:
                StoreUnavailable after that, and nothing is done.
        """
        return Crew(self._rows.apart(patience), self._reaching)

    def close(self) -> None:
        """Close the connection, where it is one apart; nothing is asked after that."""
        self._rows.close()

    def listen(self, worker: str, on_news: Callable[[str], None]) -> Listening:
        """Call ``on_news``, from a thread, with what others tell the worker: "call", or "crew"."""
        return self._rows.listen(worker, on_news)


def _info(member: Member, owned: Sequence[Shard], lanes: Sequence[Lane]) -> WorkerInfo:
    numbers: dict[str, list[int]] = {}
    for shard in owned:
        numbers.setdefault(shard.lane, []).append(shard.number)
    return WorkerInfo(
        worker=member.worker,
        host=member.process.host,
        pid=member.process.pid,
        lease=member.lease,
        entered_at=member.entered_at,
        heard_at=member.heard_at,
        is_alive=not member.is_expired,
        owns=tuple(
            Owned(lane.definition, lane.version, tuple(numbers[lane.key]))
            for lane in lanes
            if lane.key in numbers
        ),
    )
