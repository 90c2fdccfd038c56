"""From decided events to an append: versions, times, and the index row where what it shows changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from saga_es.model.events import Event
from saga_es.model.fold import Fold
from saga_es.model.lifecycle import Ending
from saga_es.model.standing import ending_of, is_open, parked_of, status_of
from saga_es.model.state import SagaState
from saga_es.model.summary import SagaSummary
from saga_es.store.append import Append
from saga_es.store.port import Store
from saga_es.store.shards import Shard

NOBODY: Final[Mapping[str, JsonValue]] = {}
"""What is recorded beside events that nobody answers for but who asked."""


def _differ(before: SagaState, after: SagaState) -> bool:
    """Whether the index has to show another thing after events than before."""
    one, other = before.fold, after.fold
    if one.status != other.status or one.parks != other.parks:
        return True
    # What it shows beside that can only change once the saga has failed.
    return other.status == "failed" and _end(one) != _end(other)


def _end(fold: Fold) -> tuple[Ending | None, bool]:
    return ending_of(fold), is_open(fold)


def summarize(
    state: SagaState, *, started_at: datetime, changed_at: datetime, aside: str | None
) -> SagaSummary:
    fold = state.fold
    parked = parked_of(fold) or (aside if is_open(fold) else None)
    # By position: to tell names to a class that is not compiled costs as much as all else.
    return SagaSummary(
        fold.saga_id,
        fold.definition,
        fold.definition_version,
        status_of(fold),
        ending_of(fold),
        parked,
        started_at,
        changed_at,
    )


def make_append(
    store: Store,
    before: SagaState,
    after: SagaState,
    events: Sequence[Event],
    *,
    at: datetime,
    started_at: datetime | None,
    shard: Shard | None,
    aside: str | None = None,
    metadata: Mapping[str, JsonValue] = NOBODY,
    epoch: int | None = None,
    claims: tuple[int, ...] = (),
) -> Append:
    """Return the append of ``events``, decided at ``at``, which led from ``before`` to ``after``.

    Where nothing here can run the saga, ``aside`` says why, and the index goes on showing it.
    """
    version, fold = before.fold.version, after.fold
    changed = version == 0 or _differ(before, after)
    summary = summarize(after, started_at=started_at or at, changed_at=at, aside=aside) if changed else None
    rows = store.encode(fold.saga_id, version, events, at, metadata)
    return Append(fold.saga_id, version, rows, summary, is_open(fold), shard, epoch, claims)
