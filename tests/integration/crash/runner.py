"""Sweeps scenarios on one store, in a process without threads: python -m tests.integration.crash.runner --help"""

from __future__ import annotations

import argparse
import json
import shutil
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path

from saga_es.store.address import open_store
from saga_es.testing.crash import in_child, sweep
from tests.integration.crash.cases import SagaCase
from tests.integration.crash.scenarios import SCENARIOS, Scenario


class Bench:
    """Makes cases on stores of their own: a fresh file on SQLite, fresh ids on PostgreSQL."""

    def __init__(self, store: str, folder: Path) -> None:
        self._store, self._folder, self._ids = store, folder, count(1)
        self._template = folder / "template.db"
        address = f"sqlite:///{self._template}" if store == "sqlite" else store
        migrated = in_child(lambda: open_store(address, migrate=True).close())
        assert migrated.text is None, migrated.text
        self._last: Path | None = None

    def case(self, scenario: Scenario, order: tuple[str, ...]) -> SagaCase:
        if self._last is not None:
            shutil.rmtree(self._last)
        saga_id = f"case-{next(self._ids)}"
        self._last = folder = self._folder / saga_id
        folder.mkdir()
        store = self._store
        if store == "sqlite":
            shutil.copy(self._template, folder / "sagas.db")
            store = f"sqlite:///{folder / 'sagas.db'}"
        return SagaCase(scenario, order, store, saga_id, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="sqlite, or the address of an empty PostgreSQL database")
    parser.add_argument("folder", type=Path, help="where files may be left")
    parser.add_argument(
        "--crashes", type=int, default=1, help="how often each saga's process is killed, at most"
    )
    parser.add_argument("--orders", type=int, help="how many orders of each scenario; by default all")
    parser.add_argument("--only", help="scenarios whose name has this in it")
    arguments = parser.parse_args()
    bench = Bench(arguments.store, arguments.folder.absolute())
    for module in ("sqlite",) if arguments.store == "sqlite" else ("sqlite", "postgres"):
        import_module(f"saga_es.store.recorders.{module}")  # else every child does it
    for scenario in SCENARIOS:
        for order in scenario.orders[: arguments.orders]:
            if arguments.only and arguments.only not in scenario.name:
                continue
            done = sweep(partial(bench.case, scenario, order), crashes=arguments.crashes)
            line = {
                "scenario": scenario.name,
                "order": order,
                "boundaries": len(done.boundaries),
                "paths": len(done.paths),
                "failures": [[", ".join(map(str, failure.path)), failure.text] for failure in done.failures],
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
