from __future__ import annotations

import os
import time
from collections.abc import Callable


def new_saga_id(
    milliseconds: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> str:
    """Return an id for a saga that is given none: 32 hexadecimal digits, in the order of time to the millisecond.

    Neighbours in time are neighbours in every index, so that a store with many sagas is no slower to write than one
    with few; with ids that begin at random each append would touch pages of its own.

    Args:
        milliseconds: since 1970, UTC.
        random_bytes: as many as it is asked for.

    Source: UUID version 7, RFC 9562.
    """
    chance = int.from_bytes(random_bytes(10)) & ((1 << 74) - 1)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    value = (milliseconds() & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    return f"{value:032x}"
