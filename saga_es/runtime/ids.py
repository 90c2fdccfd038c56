from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

CHANCE: Final = 10
"""Random bytes of an id."""
AT_ONCE: Final = 64
"""Ids whose random bytes are drawn together: each draw lets other threads have the interpreter, and waits for it."""

_drawn: Final = deque[tuple[int, bytes]]()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_drawn.clear)  # else parent and child would have the same


def draw(moment: int) -> bytes:
    """Return random bytes that nobody was given; any thread may ask, since a deque is changed at once.

    What is left of another second (of 1,024 ms) is not used: the machine may have been copied with it meanwhile.
    """
    second = moment >> 10
    with suppress(IndexError):
        while True:
            of, chance = _drawn.pop()
            if of == second:
                return chance
    drawn = os.urandom(AT_ONCE * CHANCE)
    first, *others = [drawn[start : start + CHANCE] for start in range(0, len(drawn), CHANCE)]
    _drawn.extend([(second, chance) for chance in others])
    return first


def new_saga_id(
    milliseconds: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    random_bytes: Callable[[int], bytes] = draw,
) -> str:
    """Return an id for a saga that is given none: 32 hexadecimal digits, in the order of time to the millisecond.

    Neighbours in time are neighbours in every index, so that a store with many sagas is no slower to write than one
    with few; with ids that begin at random each append would touch pages of its own.

    Args:
        milliseconds: since 1970, UTC.
        random_bytes: ten of them, for an id of a moment.

    Source: UUID version 7, RFC 9562.
    """
    moment = milliseconds()
    chance = int.from_bytes(random_bytes(moment)) & ((1 << 74) - 1)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    value = (moment & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    return f"{value:032x}"
