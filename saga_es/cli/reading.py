"""How the verbs get at a store and at what it holds."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from saga_es.cli.terminal import DefiniteNo
from saga_es.errors import IllegalTransition, StoredEventError, StoreUnavailable, UnknownSaga
from saga_es.history import History
from saga_es.model.events import SagaStarted
from saga_es.store.address import environment, open_store
from saga_es.store.port import Store


@contextmanager
def opened(url: str | None, *, migrate: bool = False) -> Generator[Store]:
    """Open the store that was named, or say that none was."""
    if not url:
        raise click.UsageError("which store? Say --store URL, or set SAGA_ES_STORE; sqlite:///sagas.db, say.")
    if not migrate:
        check_is_there(url)
    store = open_store(url, migrate=migrate)
    try:
        yield store
    finally:
        store.close()


def check_is_there(url: str) -> None:
    """Looking at a file that is not there must not make it, as SQLite would."""
    name = environment(url).get("SQLITE_DBNAME")
    if name is not None and ":" not in name and not Path(name).exists():
        raise StoreUnavailable(url, problem=f"there is no file {name}; saga-es migrate makes one")


def read_history(store: Store, saga_id: str) -> History:
    """Return a saga's history with its plan as recorded; what can't be read is a definite no."""
    if not saga_id.isprintable():
        raise UnknownSaga(saga_id)
    try:
        recorded = store.read(saga_id)
        if not recorded:
            raise UnknownSaga(saga_id)
        started = recorded[0].event
        definition = store.definition(started.digest) if isinstance(started, SagaStarted) else None
        if definition is None:
            raise DefiniteNo(f"the plan of saga {saga_id!r} is not recorded in this store; it can't be read.")
        return History.of(saga_id, definition, recorded)
    except (StoredEventError, IllegalTransition) as error:
        raise DefiniteNo(f"saga {saga_id!r} can't be read: {error}") from error
