"""Kill a process before and after every commit and after every call, and see the next one put it right.

A boundary is a place where a process can die: what it has written by then is all that is left of it. ``sweep`` runs
a case once to learn its boundaries, then once for each of them in a child process that ends itself there with
SIGKILL, and lets another child go on with what is left.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, NoReturn, Protocol

from pydantic import JsonValue

AFTER_ENTRY: Final = "after entry"
BEFORE_COMMIT: Final = "before commit"
AFTER_COMMIT: Final = "after commit"
AFTER_CALL: Final = "after call"
PATIENCE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Boundary:
    """The ``n``-th place (from 1) of a kind: one of the constants above, or your own."""

    kind: str
    n: int

    def __str__(self) -> str:
        return f"{self.kind} {self.n}"


def kill_this_process() -> None:
    """End the process as a power cut would: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


class Crash:
    """Notes the boundaries that a run comes past, and ends the process at one of them.

    It is the ``observer`` of a `SagaEngine`, which tells it of commits; participants tell it of their calls. Called
    from any thread.

    Args:
        at: where to end; by default nowhere.
        kill: ends the process.

    Attributes:
        passed: the boundaries so far, in order.
    """

    def __init__(self, at: Boundary | None = None, *, kill: Callable[[], None] = kill_this_process) -> None:
        self.passed: list[Boundary] = []
        self._at, self._kill = at, kill
        self._counts: Counter[str] = Counter()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def reach(self, kind: str) -> None:
        """Come past a boundary: the process ends here if it is the one."""
        with self._lock:
            self._counts[kind] += 1
            boundary = Boundary(kind, self._counts[kind])
            self.passed.append(boundary)
            if boundary == self._at:
                self._kill()

    def before_commit(self, n: int) -> None:  # noqa: ARG002 - the observer's interface; counted here
        self.reach(BEFORE_COMMIT)

    def after_commit(self, n: int) -> None:  # noqa: ARG002 - the observer's interface; counted here
        self.reach(AFTER_COMMIT)
        for listener in self._listeners:
            listener()

    def call_made(self) -> None:
        """Say that a participant has done its part, and its answer is not recorded yet."""
        self.reach(AFTER_CALL)

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each commit, on the writer's thread."""
        self._listeners.append(listener)


class Case(Protocol):
    """One run of a scenario on a store of its own."""

    def play(self, crash: Crash) -> None:
        """Enter an engine, with ``observer=crash``, on what is there; bring the saga to its end; look at it.

        Called in a child process: first on nothing, then on what the child before it left when it was killed. It
        starts the saga unless that is recorded, and raises AssertionError where anything is not as it should be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong when a process was killed at each boundary of ``path``, one after the other."""

    path: tuple[Boundary, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep came to.

    Attributes:
        boundaries: those that an undisturbed run comes past, in order.
        paths: where processes were killed: each boundary, and with ``crashes=2`` each two in a row.
        failures: where the last process did not put it right; empty if all is well.
    """

    boundaries: tuple[Boundary, ...]
    paths: tuple[tuple[Boundary, ...], ...]
    failures: tuple[Failure, ...]


def sweep(make_case: Callable[[], Case], *, crashes: int = 1, patience: timedelta = PATIENCE) -> Sweep:
    """Kill a case at every boundary, take it up again each time, and return what came of it.

    The run has to come past the same boundaries each time; see `Turnstile` for calls that run in parallel.

    Args:
        make_case: makes a fresh one, on a store of its own; called in this process, which is then forked.
        crashes: with 2, the process that takes it up is killed at each of its own boundaries too, and so on.
        patience: after which a child counts as hung.

    Raises:
        RuntimeError: this process has other threads, so it can't be forked safely.
        AssertionError: the run without a crash failed, or two such runs came past different boundaries.
    """
    found = _undisturbed(make_case(), patience)
    again = _undisturbed(make_case(), patience)
    if found != again:
        shown = [", ".join(map(str, each)) for each in (found, again)]
        raise AssertionError(f"two runs came past different boundaries: {shown[0]} and {shown[1]}")
    paths: list[tuple[Boundary, ...]] = []
    failures: list[Failure] = []
    ahead: list[tuple[Boundary, ...]] = [(boundary,) for boundary in found]
    for depth in range(1, crashes + 1):
        beyond: list[tuple[Boundary, ...]] = []
        for path in ahead:
            paths.append(path)
            passed, text = _killed_along(path, make_case(), patience)
            if text is not None:
                failures.append(Failure(path, text))
            elif depth < crashes:
                beyond += [(*path, boundary) for boundary in passed]
        ahead = beyond
    return Sweep(found, tuple(paths), tuple(failures))


def _undisturbed(case: Case, patience: timedelta) -> tuple[Boundary, ...]:
    passed, text = _killed_along((), case, patience)
    if text is not None:
        raise AssertionError(f"the run without a crash failed: {text}")
    return passed


def _killed_along(
    path: tuple[Boundary, ...], case: Case, patience: timedelta
) -> tuple[tuple[Boundary, ...], str | None]:
    """Kill the case at each boundary in turn; return what the process after that came past, and what went wrong."""
    for boundary in path:
        killed = in_child(partial(_played, case, Crash(boundary)), patience)
        if killed.signal != signal.SIGKILL:
            return (), f"it did not come past {boundary}: {killed.text or 'it ended by itself'}"
    end = in_child(partial(_played, case, Crash()), patience)
    return tuple(Boundary(kind, n) for kind, n in json.loads(end.value)), end.text


def _played(case: Case, crash: Crash) -> JsonValue:
    case.play(crash)
    return [[boundary.kind, boundary.n] for boundary in crash.passed]


# -- children ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended.

    Attributes:
        signal: the signal that ended it, or ``None``.
        value: what its function returned, as JSON text; ``[]`` where it did not.
        text: what went wrong, a traceback or a sentence, or ``None``.
    """

    signal: int | None
    value: str
    text: str | None


def in_child(function: Callable[[], JsonValue], patience: timedelta = PATIENCE) -> ChildEnd:
    """Call ``function`` in a fork of this process, and return what came of it.

    Raises:
        RuntimeError: this process has other threads: what locks they hold would be held for ever in the fork.
    """
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate())
        raise RuntimeError(
            f"a process with several threads ({names}) can't be forked safely; run the sweep in a process of its own"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # what stands here is not gone through in every child
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(function, writing, patience)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        text = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        name = signal.Signals(-code).name
        said = f"it hung for {patience}" if -code == signal.SIGALRM else f"it was ended by {name}"
        return ChildEnd(-code, "[]", said)
    return ChildEnd(None, text, None) if code == 0 else ChildEnd(None, "[]", text or f"it exited with {code}")


def _be_the_child(function: Callable[[], JsonValue], writing: int, patience: timedelta) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(max(1, round(patience.total_seconds())))
    code, text = 0, ""
    try:
        text = json.dumps(function())
    except BaseException:  # noqa: BLE001 - the parent tells it; this copy of its stack must not go on
        code, text = 1, traceback.format_exc()
    with os.fdopen(writing, "w", encoding="utf-8") as answer:
        answer.write(text)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
