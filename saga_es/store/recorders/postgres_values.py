"""What an append's statement is given: columns as lines of text, since psycopg takes long to write arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from saga_es.store.encoding import StoredRow
from saga_es.store.index import IndexRow, micros, storable
from saga_es.store.shards import Beside


def lines(values: Iterable[object]) -> str:
    return "\n".join(map(str, values))


def values_of(events: Sequence[StoredRow], rows: Sequence[IndexRow]) -> dict[str, object]:
    """Return the events' columns, and the index rows' where there are any."""
    states = [state for _, _, _, state in events]
    sizes = [len(state) for state in states]
    values: dict[str, object] = {
        "ids": "\n".join([stream for stream, _, _, _ in events]),
        "versions": lines([version for _, version, _, _ in events]),
        "topics": "\n".join([topic for _, _, topic, _ in events]),
        "states": b"".join(states),  # one after another, and cut apart by the server
        "begins": lines([*accumulate(sizes, initial=1)][:-1]),
        "sizes": lines(sizes),
    }
    return values | _index_values(rows) if rows else values


def _index_values(rows: Sequence[IndexRow]) -> dict[str, object]:
    shown = [row.summary for row in rows]
    return {
        **_words("definition", [it.definition for it in shown]),
        **_words("parked", [storable(it.parked) for it in shown]),
        **_words("lane", [None if row.shard is None else row.shard.lane for row in rows]),
        "saga_id": "\n".join([it.saga_id for it in shown]),
        "definition_version": lines([it.definition_version for it in shown]),
        "status": "\n".join([it.status for it in shown]),
        "ending": "\n".join([it.ending or "" for it in shown]),
        "is_open": lines([row.is_open for row in rows]),
        "started_at": lines([micros(it.started_at) for it in shown]),
        "changed_at": lines([micros(it.changed_at) for it in shown]),
        "shard": lines(["" if row.shard is None else row.shard.number for row in rows]),
    }


def _words(name: str, texts: Sequence[str | None]) -> dict[str, object]:
    """Return a column of any texts, most of them alike: each a number among the different ones, null an empty line."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(filter(_is_text, texts)), start=1)}
    return {name: lines([numbers.get(text, "") for text in texts]), f"{name}_words": [*numbers]}


def _is_text(text: str | None) -> bool:
    return text is not None


def values_beside(beside: Beside) -> dict[str, object]:
    """Return what goes beside the events: claims, fences and calls."""
    fenced = [shard for shard, _ in beside.fences]
    called = [shard for shard, _ in beside.calls]
    return {
        "claims": list(beside.claims),
        "fence_lanes": lines(shard.lane for shard in fenced),
        "fence_shards": lines(shard.number for shard in fenced),
        "fence_epochs": lines(epoch for _, epoch in beside.fences),
        "call_lanes": lines(shard.lane for shard in called),
        "call_shards": lines(shard.number for shard in called),
        "call_sagas": lines(call.saga_id for _, call in beside.calls),
        "call_versions": lines(call.version for _, call in beside.calls),
    }
