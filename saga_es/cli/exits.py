"""SIGTERM as a way out: what is in flight is drained, temporary files are removed, children end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code that shells give a process which SIGTERM has ended."""


def run_until_terminated(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as ``asyncio.run`` does; SIGTERM cancels it, so that an engine in it is left in order.

    Raises:
        SystemExit: it was terminated, and has ended.
    """
    before = signal.getsignal(signal.SIGTERM)
    was_told = False

    async def guarded() -> T:
        task = asyncio.current_task()

        def end() -> None:
            nonlocal was_told
            was_told = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await main

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if was_told:
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def terminable() -> Generator[None]:
    """Let SIGTERM raise SystemExit within, so that what is open is closed."""

    def end(_: int, __: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def putting_off() -> Generator[None]:
    """Let SIGTERM wait until the end of this: a process that is just being made would be left to itself."""
    was_told = False

    def note(_: int, __: FrameType | None) -> None:
        nonlocal was_told
        was_told = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if was_told:
            signal.raise_signal(signal.SIGTERM)
