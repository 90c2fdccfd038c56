"""Kill a process before and after every commit and after every call, and see the next one put it right.

A boundary is a place where a process can die: what it has written by then is all that is left of it. ``sweep`` runs
a case once to learn its boundaries, then once for each of them in a child process that ends itself there with
SIGKILL, and starts another child on what is left.
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
from typing import Final, NoReturn, Protocol

from pydantic import JsonValue

BEFORE_START: Final = "before start"
BEFORE_COMMIT: Final = "before commit"
AFTER_COMMIT: Final = "after commit"
AFTER_CALL: Final = "after call"
PATIENCE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Boundary:
    """The ``n``-th place (from 1) of a kind: ``before commit``, ``after commit``, ``after call`` or one of your own."""

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
    """One run of a scenario on a store of its own; each method is called in a child process of its own."""

    def play(self, crash: Crash) -> None:
        """Run the saga to its end, with ``observer=crash``, unless the process is ended before."""
        ...

    def recover(self) -> None:
        """Enter an engine on what ``play`` left, let it come to an end, and raise AssertionError if it is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong at a boundary; ``text`` is a traceback or a sentence."""

    boundary: Boundary
    text: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep came to.

    Attributes:
        boundaries: every one, in the order that a run comes past them; the process was killed at each.
        failures: where the restart did not put it right; empty if all is well.
    """

    boundaries: tuple[Boundary, ...]
    failures: tuple[Failure, ...]


def sweep(make_case: Callable[[], Case], *, patience: timedelta = PATIENCE) -> Sweep:
    """Crash a case at every boundary, restart it each time, and return what came of it.

    The run has to come past the same boundaries each time; see `Turnstile` for calls that run in parallel.

    Args:
        make_case: makes a fresh one, on a store of its own; called in this process, which is then forked.
        patience: after which a child counts as hung.

    Raises:
        RuntimeError: this process has other threads, so it can't be forked safely.
        AssertionError: the run without a crash failed, or two such runs came past different boundaries.
    """
    found, again = boundaries_of(make_case(), patience), boundaries_of(make_case(), patience)
    if found != again:
        shown = [", ".join(map(str, each)) for each in (found, again)]
        raise AssertionError(f"two runs came past different boundaries: {shown[0]} and {shown[1]}")
    failures: list[Failure] = []
    for boundary in found:
        text = _crashed_at(boundary, make_case(), patience)
        if text is not None:
            failures.append(Failure(boundary, text))
    return Sweep(found, tuple(failures))


def boundaries_of(case: Case, patience: timedelta = PATIENCE) -> tuple[Boundary, ...]:
    """Run a case to its end, check it, and return the boundaries that it came past."""

    def count() -> JsonValue:
        crash = Crash()
        case.play(crash)
        return [[boundary.kind, boundary.n] for boundary in crash.passed]

    end = in_child(count, patience)
    assert end.text is None, f"the run without a crash failed: {end.text}"  # noqa: S101 - it says so
    checked = in_child(_nothing_after(case.recover), patience)
    assert checked.text is None, f"the run without a crash came to a wrong end: {checked.text}"  # noqa: S101
    return tuple(Boundary(kind, n) for kind, n in json.loads(end.value))


def _crashed_at(boundary: Boundary, case: Case, patience: timedelta) -> str | None:
    """Return what went wrong, or ``None``."""
    played = in_child(_nothing_after(lambda: case.play(Crash(boundary))), patience)
    if played.signal != signal.SIGKILL:
        return f"the run did not come past it: {played.text or 'it ended by itself'}"
    return in_child(_nothing_after(case.recover), patience).text


def _nothing_after(function: Callable[[], None]) -> Callable[[], JsonValue]:
    def call() -> JsonValue:
        function()
        return None

    return call


# -- children ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended.

    Attributes:
        signal: the signal that ended it, or ``None``.
        value: what its function returned, as JSON text.
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
        return ChildEnd(-code, "null", said)
    return (
        ChildEnd(None, text, None) if code == 0 else ChildEnd(None, "null", text or f"it exited with {code}")
    )


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
