"""Group commit: one thread writes what gathered while it wrote the last time, many sagas in one transaction."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from saga_es.errors import StoreUnavailable
from saga_es.runtime.commits import Commits, Done, Queued
from saga_es.runtime.observing import CommitObserver
from saga_es.runtime.threads import Job, answer_to
from saga_es.store.append import Append
from saga_es.store.port import Store

T = TypeVar("T")

FIRST_DELAY: Final = timedelta(milliseconds=50)
LONGEST_DELAY: Final = timedelta(seconds=5)
MOST_EVENTS: Final = 1024
"""Of a batch. What a commit costs beside its rows, a flush and a few changes of hands, is not felt among so many."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of a batch, so that large payloads neither stand in memory several times over nor hold up everybody else's."""


def wait_for(delay: timedelta, closing: threading.Event) -> None:
    """Wait ``delay``, or until the writer is asked to close."""
    closing.wait(delay.total_seconds())


@dataclass(frozen=True, slots=True)
class _Told:
    """The loop knows that these sagas' appends failed: what follows in the queue was decided after it."""

    saga_ids: tuple[str, ...]


class _Close:
    """The last thing in the queue."""


class Writer:
    """Writes appends in the order they were put, and acknowledges none before it is durable.

    Made and used on the event loop; the store's ``append`` runs on a daemon thread of the writer's own.

    * On a VersionConflict, or any other definite error, the batch is read back (is it ours already?) and taken
      apart by saga until only the guilty one fails; with it fail the later appends of that saga in the queue,
      which were decided on what is not recorded.
    * On StoreUnavailable, where a commit's outcome is unknown, the batch is kept and read back before it is
      written again, with jittered exponential delays, until the store answers or ``close``.

    Args:
        loop: where ``done`` is called; the running one by default.
        max_events: how many events a batch has at most; a larger append goes alone.
        max_bytes: the same of their states' bytes.
        observer: sees every commit from the writer's thread.
        chance: in [0, 1), for the jitter of delays.
        pause: waits between tries, in the writer's thread; has to end early when the event is set.
    """

    def __init__(
        self,
        store: Store,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        max_events: int = MOST_EVENTS,
        max_bytes: int = MOST_BYTES,
        observer: CommitObserver | None = None,
        chance: Callable[[], float] = random.random,
        pause: Callable[[timedelta, threading.Event], None] = wait_for,
    ) -> None:
        self._url, self._chance, self._pause = store.url, chance, pause
        self._max_events, self._max_bytes = max_events, max_bytes
        self._loop = loop if loop is not None else asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # the thread's own would be empty
        self._inbox: SimpleQueue[Queued | Job | _Told | _Close] = SimpleQueue()
        self._closing = threading.Event()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # What follows belongs to the thread.
        self._commits = Commits(store, outlast=self._outlast, observer=observer)
        self._arrived: deque[Queued | _Told | _Close] = deque()
        self._backlog: deque[Queued] = deque()
        self._stopping = False
        self._asked_a_last_time = False
        threading.Thread(target=self._run, name="saga_es-writer", daemon=True).start()

    @property
    def unavailable(self) -> StoreUnavailable | None:
        """Why nothing is being written just now, or ``None``."""
        return self._commits.unavailable

    def put(self, append: Append, done: Done) -> None:
        """Queue an append; ``done`` is called on the loop, in a later turn, with its outcome.

        ``done`` takes ``None`` (durable), VersionConflict, StoreUnavailable (only when the writer is closed before
        the store answers), or what else the store raised for these events.
        """
        if self._closing.is_set():
            self._loop.call_soon(done, self._closed())
        else:
            self._inbox.put(Queued(append, done))

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of what ``function`` does on the writer's thread, between two commits.

        It may overtake appends that are queued. While the store is away it runs between two tries.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closing.is_set():
            future.set_exception(self._closed())
        else:
            self._inbox.put(Job.of(function, answer_to(future), self._loop))
        return future

    async def close(self) -> None:
        """Write what is queued, then end the thread; a store that is away is asked a last time.

        What could not be written by then is answered with StoreUnavailable.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._inbox.put(_Close())
        await asyncio.shield(self._ended)

    # The loop's side.

    def _deliver(self, settled: Sequence[tuple[Done, Exception | None]], told: _Told) -> None:
        if told.saga_ids:
            self._inbox.put(told)  # before anybody can put what was decided with this knowledge
        for done, error in settled:
            try:
                done(error)
            except Exception as raised:  # noqa: BLE001 - one callback's fault must not lose the others' answers
                context = {"message": "a writer's callback raised", "exception": raised}
                self._loop.call_exception_handler(context)

    def _finish(self, left: Sequence[Queued]) -> None:
        """Answer what the thread left behind, and let ``close`` return."""
        items: list[Queued | Job | _Told | _Close] = list(left)
        with suppress(Empty):
            while True:
                items.append(self._inbox.get_nowait())
        for item in items:
            if isinstance(item, Queued):
                item.done(self._closed())
            elif isinstance(item, Job):
                item.refuse(self._closed())
        if not self._ended.done():
            self._ended.set_result(None)

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(self._url, problem="the writer is closed")

    # The thread's side.

    def _run(self) -> None:
        try:
            while self._backlog or not self._stopping:
                self._sort(wait=not self._backlog)
                if self._backlog:
                    self._commits.write(self._take_batch())
                    self._backlog = deque(self._commits.admit(self._backlog))
                self._hand_back()
        finally:
            if not self._stopping:  # an observer ended the thread: say so to whoever waits
                self._commits.unavailable = StoreUnavailable(
                    self._url, problem="the writer's thread has ended"
                )
            self._closing.set()
            self._hand_back()
            left = [*self._backlog, *(item for item in self._arrived if isinstance(item, Queued))]
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish, left)

    def _sort(self, *, wait: bool) -> None:
        """Take in what came, waiting for something if asked to."""
        self._fetch(wait=wait and not self._arrived)
        while self._arrived:
            match self._arrived.popleft():
                case Queued() as item:
                    self._backlog.extend(self._commits.admit([item]))
                case _Told(saga_ids):
                    for saga_id in saga_ids:
                        self._commits.broken.pop(saga_id, None)
                case _Close():
                    self._stopping = True

    def _fetch(self, *, wait: bool) -> None:
        jobs: list[Job] = []
        with suppress(Empty):
            while True:
                item = self._inbox.get() if wait else self._inbox.get_nowait()
                wait = False
                if isinstance(item, Job):
                    jobs.append(item)
                else:
                    self._arrived.append(item)
        for job in jobs:
            job.run()()

    def _take_batch(self) -> list[Queued]:
        batch: list[Queued] = []
        events, size = self._max_events, self._max_bytes
        while self._backlog:
            rows = self._backlog[0].append.events
            events -= len(rows)
            for _, _, _, state in rows:
                size -= len(state)
            if batch and (events < 0 or size < 0):
                break
            batch.append(self._backlog.popleft())
        return batch

    def _outlast(self, outages: int) -> bool:
        """Wait before the store is asked again; False when we are closing and it was asked a last time."""
        self._hand_back()
        if self._closing.is_set():
            if self._asked_a_last_time:
                return False
            self._asked_a_last_time = True
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(outages, 10))
        self._pause(delay * (0.5 + self._chance() / 2), self._closing)
        self._fetch(wait=False)
        return True

    def _hand_back(self) -> None:
        commits = self._commits
        if commits.settled:
            settled, commits.settled = commits.settled, []
            told, commits.newly_broken = _Told(tuple(commits.newly_broken)), []
            try:
                self._loop.call_soon_threadsafe(self._deliver, settled, told, context=self._context)
            except RuntimeError:  # the loop is closed: nobody is left who could be told, or who puts more
                self._stopping = True
