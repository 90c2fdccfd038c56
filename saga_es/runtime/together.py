"""Questions that come at the same time, asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

R = TypeVar("R")

MOST: Final = 500
"""Of one question."""

AT_ONCE: Final = 4
"""Questions under way; what comes meanwhile waits, and is asked together."""


class Together(Generic[R]):
    """Asks of each key for itself, in as few questions as there are answers to wait for.

    Args:
        question: brings an answer for each key it is given; what it leaves out is ``None``.
    """

    def __init__(self, question: Callable[[Sequence[str]], Awaitable[Mapping[str, R]]]) -> None:
        self._question = question
        self._waiting: dict[str, list[asyncio.Future[R | None]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, key: str) -> R | None:
        """Return the answer to a question that is asked from here on; raises what it raises."""
        future: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._begin)  # so that who comes in this turn comes along
        return await future

    def _begin(self) -> None:
        while self._waiting and len(self._under_way) < AT_ONCE:
            some = {key: self._waiting.pop(key) for key in list(self._waiting)[:MOST]}
            task = asyncio.get_running_loop().create_task(self._answer(some))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._begin()

    async def _answer(self, asked: Mapping[str, Sequence[asyncio.Future[R | None]]]) -> None:
        found: Mapping[str, R] = {}
        failure: Exception | None = None
        try:
            found = await self._question(list(asked))
        except Exception as error:  # noqa: BLE001 - it is theirs who asked
            failure = error
        for key, futures in asked.items():
            for future in futures:
                if future.done():  # whoever asked has given up
                    continue
                if failure is not None:
                    future.set_exception(failure)
                else:
                    future.set_result(found.get(key))
