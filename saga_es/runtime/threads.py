"""Where plain functions run: threads that never hold the interpreter's exit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeVar

T = TypeVar("T")
Done = Callable[[T | None, BaseException | None], None]
"""Takes what the function returned and ``None``, or ``None`` and what it raised."""

IDLE: Final = timedelta(seconds=10)


class Threads(Protocol):
    """What runs plain functions beside the event loop."""

    def submit(self, function: Callable[[], T], done: Done[T]) -> None:
        """Run ``function`` in a thread, in a copy of the caller's context; then ``done`` on the loop, in another.

        Called on the running event loop. Where the loop is closed by then, ``done`` is not called.
        """
        ...

    def close(self) -> None:
        """Let idle threads end; what runs is not waited for."""
        ...


def awaited(threads: Threads, function: Callable[[], T]) -> asyncio.Future[T]:
    """Return a future of what ``function`` does in a thread, which goes on when the future is cancelled."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    threads.submit(function, answer_to(future))
    return future


def answer_to(future: asyncio.Future[T]) -> Done[T]:
    """Return a ``done`` that settles the future, unless it was cancelled."""

    def done(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error, T is what it returned

    return done


@dataclass(frozen=True, slots=True)
class Job:
    """A function to run elsewhere, in a copy of the context it was made in.

    Attributes:
        run: runs it in this thread; returns the call that tells the loop, where that is still open.
        refuse: tells, on the loop, that it was not run.
    """

    run: Callable[[], Callable[[], None]]
    refuse: Callable[[BaseException], None]

    @classmethod
    def of(cls, function: Callable[[], T], done: Done[T], loop: asyncio.AbstractEventLoop) -> Job:
        caller, context = contextvars.copy_context(), contextvars.copy_context()

        def run() -> Callable[[], None]:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(function)
            except BaseException as raised:  # noqa: BLE001 - the loop decides what it means; the thread lives on
                error = raised
            return lambda: _tell(loop, caller, done, result, error)

        return cls(run, lambda error: done(None, error))


def _tell(
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    done: Done[T],
    result: T | None,
    error: BaseException | None,
) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left who could be told
        loop.call_soon_threadsafe(done, result, error, context=context)


class DaemonThreads:
    """Threads of our own, made on demand, reused when idle, as many as there are calls, or as may be.

    A stock ThreadPoolExecutor joins its threads when the interpreter exits, so that one hanging call holds
    it for as long as it hangs; these are daemons.

    Args:
        name: what the threads are called in a debugger.
        idle: after how long without work a thread ends.
        most: how many there are at most; calls beyond wait for one. By default whoever submits has a limit.
    """

    def __init__(self, name: str = "saga_es", *, idle: timedelta = IDLE, most: int | None = None) -> None:
        self._name = name
        self._idle_for = idle.total_seconds()
        self._lock = threading.Lock()
        self._idle: deque[SimpleQueue[Job | None]] = deque()  # the newest on the right is taken first
        self._most = most
        self._waiting: deque[Job] = deque()
        self._made = self._running = 0
        self._closed = False

    def submit(self, function: Callable[[], T], done: Done[T]) -> None:
        """Run ``function`` in a thread; see `Threads`."""
        loop = asyncio.get_running_loop()
        job = Job.of(function, done, loop)
        with self._lock:
            if self._idle:
                self._idle.pop().put(job)
                return
            if self._most is not None and self._running >= self._most:
                self._waiting.append(job)
                return
            self._running += 1
            self._made += 1
            name = f"{self._name}-{self._made}"
        inbox: SimpleQueue[Job | None] = SimpleQueue()
        inbox.put(job)
        try:
            threading.Thread(target=self._work, args=(inbox,), name=name, daemon=True).start()
        except RuntimeError as error:  # the system has no more threads; the call never began
            with self._lock:
                self._running -= 1
            loop.call_soon(job.refuse, error)

    def close(self) -> None:
        """Let idle threads end now and busy ones after their call."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, deque()
        for inbox in idle:
            inbox.put(None)

    def _work(self, inbox: SimpleQueue[Job | None]) -> None:
        while (job := self._next(inbox)) is not None:
            tell = job.run()
            del job  # what it holds must not live on in an idle thread
            with self._lock:  # idle before the loop knows, so that its next call finds this thread
                if self._waiting:
                    inbox.put(self._waiting.popleft())
                elif not self._closed:
                    self._idle.append(inbox)
            tell()
            del tell
            with self._lock:
                if self._closed and inbox.empty():
                    if not self._waiting:
                        self._running -= 1
                        return
                    inbox.put(self._waiting.popleft())  # it came since this thread has looked

    def _next(self, inbox: SimpleQueue[Job | None]) -> Job | None:
        """Return the next job, or ``None`` where this thread ends, and is counted no more."""
        while True:
            try:
                job = inbox.get(timeout=self._idle_for)
            except Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        self._running -= 1
                        return None
                continue  # taken in this very moment: its job is on the way
            if job is None:
                with self._lock:
                    if self._waiting:  # it came after the end was told
                        return self._waiting.popleft()
                    self._running -= 1
            return job


class Aside:
    """One thread, for what must not wait behind others; one thing after another, what was given up too."""

    def __init__(self, name: str) -> None:
        self._threads = DaemonThreads(name, most=1)

    def read(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of what ``function`` returns there."""
        return awaited(self._threads, function)

    def close(self) -> None:
        """Let the thread end when it has done what it was given."""
        self._threads.close()


class ExecutorThreads:
    """The same over an executor of the user's own, which stays his to shut down.

    Args:
        executor: has to run functions in this process (a thread pool); its size is a limit of its own, and
            a call that waits for one of its threads has begun as far as its timeout is concerned.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, function: Callable[[], T], done: Done[T]) -> None:
        """Run ``function`` in the executor; see `Threads`. What the executor raises goes to ``done`` too."""
        loop, caller = asyncio.get_running_loop(), contextvars.copy_context()
        try:
            future = self._executor.submit(contextvars.copy_context().run, function)
        except RuntimeError as error:  # it was shut down
            loop.call_soon(done, None, error)
            return

        def tell(future: Future[T]) -> None:
            error: BaseException | None
            result: T | None = None
            if future.cancelled():
                error = RuntimeError("the executor was shut down before the call began")
            elif (error := future.exception()) is None:
                result = future.result()
            _tell(loop, caller, done, result, error)

        future.add_done_callback(tell)

    def close(self) -> None:
        """Do nothing: the executor is the user's."""
