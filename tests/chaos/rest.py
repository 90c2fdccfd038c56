"""Whether all has come to rest once nothing goes wrong any more: the sagas, and the workers among themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import psycopg

PATIENCE: Final = 180.0
"""Seconds for all of it."""

MOVING: Final = "SELECT saga_id FROM saga_index WHERE is_open AND parked IS NULL ORDER BY saga_id"
CALLS: Final = "SELECT saga_id, version FROM saga_calls ORDER BY number"
WORKERS: Final = "SELECT pid FROM saga_workers ORDER BY pid"
SHARES: Final = """
SELECT lane, coalesce(owner, 'nobody'), count(*) FROM saga_shards GROUP BY 1, 2 ORDER BY 1, 2"""


async def at_rest(store: str, pids: Sequence[int]) -> Sequence[str]:
    """Wait until all is at rest, and return what is not when that takes too long."""
    end = time.monotonic() + PATIENCE
    async with await psycopg.AsyncConnection.connect(store, autocommit=True) as db:
        while (found := await _unrest(db, pids)) and time.monotonic() < end:
            await asyncio.sleep(0.2)
    return found


async def _unrest(db: psycopg.AsyncConnection, pids: Sequence[int]) -> list[str]:
    found = [f"{saga_id}: is neither ended nor parked" for (saga_id,) in await _all(db, MOVING)]
    found += [
        f"{saga_id}: nobody has answered the call that tells of version {version}"
        for saga_id, version in await _all(db, CALLS)
    ]
    members = [pid for (pid,) in await _all(db, WORKERS)]
    if members != sorted(pids):
        found.append(f"the workers are the processes {members}, not {sorted(pids)}")
    fair = {256 // len(pids), -(-256 // len(pids))}
    found += [
        f"{owner} holds {shards} shards of lane {lane}"
        for lane, owner, shards in await _all(db, SHARES)
        if shards not in fair or owner == "nobody"
    ]
    return found


async def _all(db: psycopg.AsyncConnection, query: str) -> list[tuple[object, ...]]:
    return await (await db.execute(query.encode())).fetchall()
