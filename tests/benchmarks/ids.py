"""Ids for sagas; a module of its own, so that a peer's process need not load saga_es for one."""

from __future__ import annotations

import itertools
import uuid

_process = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)


def new_id() -> str:
    """Return an id that no other process of the run draws, as long as a UUID's 32 digits."""
    return f"trip-{_process}-{next(_numbers):018d}"
