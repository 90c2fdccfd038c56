"""The version of a store's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

EVENTS: Final = "saga_log"
"""The log's table: no name that an application of `eventsourcing` takes, so that its tables can stand beside it."""

INDEX: Final = "saga_index"
SCHEMA: Final = "saga_schema"

LAST: Final = (1 << 63) - 1
"""No stream has a later version than this."""

SCHEMA_VERSION: Final = 3
"""Raised with every change of the tables; each recorder has a step that brings an older store up to it."""


def steps_from(found: int | None, steps: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the statements that bring tables up to date.

    Args:
        found: the tables' version, ``None`` where there are none.
        steps: for version 1, 2, …, what makes it from the one before. Of a newer version than that nothing is
            known, and nothing is done to it.
    """
    return tuple(statement for step in steps[found or 0 :] for statement in step)
