"""Two stores of which one is copied to the other, and what to look at in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from click.testing import CliRunner
from eventsourcing.persistence import StoredEvent

from saga_es.cli import main
from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication
from saga_es.store.index import IndexRow
from tests.support.stores import ENDED, NOON, PLAN, history, put

LATER = NOON + timedelta(hours=1)


class Pair:
    """A source and a target, each with its address, closed at the test's end."""

    def __init__(self, source: str, target: str, stack: ExitStack) -> None:
        self.source_url, self.target_url = source, target
        self._stack = stack

    def open(self, url: str, *, migrate: bool | None = True) -> SagaApplication:
        return self.keep(open_store(url, migrate=migrate))

    def keep(self, store: SagaApplication) -> SagaApplication:
        self._stack.callback(store.close)
        return store

    @property
    def source(self) -> SagaApplication:
        return self.open(self.source_url)

    @property
    def target(self) -> SagaApplication:
        return self.open(self.target_url)


@pytest.fixture
def pair_urls(tmp_path, postgres_dsn, monkeypatch) -> dict[str, str]:
    monkeypatch.setenv("SAGA_ES_POSTGRES_SCHEMA", f"copy_{secrets.token_hex(4)}")
    return {"sqlite": f"sqlite:///{tmp_path}/one.db", "postgresql": postgres_dsn}


@pytest.fixture(params=[("sqlite", "postgresql"), ("postgresql", "sqlite")], ids="-to-".join)
def pair(request, pair_urls) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(*(pair_urls[kind] for kind in request.param), stack)


@pytest.fixture
def two_files(tmp_path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db", stack)


def fill(store: SagaApplication) -> None:
    """Three sagas whose events lie between each other's: open, ended, parked."""
    store.record_definition(PLAN)
    for versions in ((1, 2), (3, 3), (4, 6)):
        for saga_id in ("open", "ended", "pärked"):
            events = history(6)[versions[0] - 1 : versions[1]]
            last = versions[1] == 6
            row = ENDED if saga_id == "ended" and last else {}
            put(store, saga_id, events, is_open=saga_id != "ended" or not last, changed_at=LATER, **row)
    store.set_parked("pärked", "no code for \0 it", at=LATER + timedelta(seconds=1))


def log_of(store: SagaApplication) -> list[StoredEvent]:
    return [
        StoredEvent(str(it.originator_id), it.originator_version, it.topic, it.state)
        for it in store.log_page(0, limit=10_000)
    ]


def rows_of(store: SagaApplication) -> dict[str, IndexRow]:
    return dict(store.rows([summary.saga_id for summary in store.find(limit=1000).items]))


def run(*arguments: str):
    return CliRunner().invoke(main, arguments, env={"SAGA_ES_STORE": None, "NO_COLOR": None})
