"""Connections to PostgreSQL are cut at every message that passes over them; no engine ends of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest

from saga_es import Attempt, Rejected, SagaEngine, define
from saga_es.store.address import open_store
from saga_es.testing.invariants import check_history
from saga_es.testing.ledger import Ledger
from tests.integration.cutting_proxy import CuttingProxy, Side

PATIENCE = timedelta(seconds=60)
AT_LEAST = 20  # messages that a run takes, with much to spare


def cut_all(dsn: str) -> None:
    """Have the server end every connection to the database but this one."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def run_through(dsn: str, saga_id: str, ledger: Ledger) -> None:
    async def act(name: str, *needed: int, attempt: Attempt) -> int:
        return ledger.act(attempt)

    async def undo(name: str, place: int | None, *, attempt: Attempt) -> None:
        ledger.undo(attempt)

    async def refuse(name: str, *needed: int) -> int:
        raise Rejected("no rooms")

    trip = (
        define("trip", str)
        .step(act, undo=undo, name="plane")
        .step(act, undo=undo, name="tickets")
        .step(refuse, undo=undo, name="hotel", needs=["plane", "tickets"])
    )
    async with SagaEngine(dsn, sagas=[trip]) as engine:
        outcome = await engine.run("trip", "Kevin", saga_id=saga_id, timeout=PATIENCE)
        history = await engine.history(saga_id)
    assert outcome.ending == "compensated", history.trace()
    broken = check_history(history.definition, history.events, settled=True)
    assert not broken, (broken, history.timeline())
    assert not ledger.complaints(saga_id, stands=())


@pytest.mark.promise("case.store-goes-away")
@pytest.mark.parametrize("side", ["request", "answer"])
def test_cut_at_every_message(side: Side, postgres_url: str, tmp_path: Path, capsys):
    open_store(postgres_url, migrate=True).close()
    ledger = Ledger(tmp_path / "ledger.db")
    for at in count(1):
        saga_id = f"cut-{side}-{at}"
        with CuttingProxy(postgres_url, lambda: cut_all(postgres_url), side=side, at=at) as proxy:
            asyncio.run(run_through(proxy.dsn, saga_id, ledger))
            if not proxy.has_cut:
                break
    with capsys.disabled():
        print(f"\ncut at each of {at - 1} messages ({side})")
    assert at > AT_LEAST
