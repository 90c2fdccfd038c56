"""For each row of the lifecycles: what its marked tests come to with the row and without it, as JSON.

The tests are collected once; each run of them is a fork of that process, so that a deleted row is deleted for
that run alone and no import is paid twice.

    python -m tests.architecture.without_a_row
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pytest

from saga_es.model.lifecycle import SAGA_LIFECYCLE, SIGNAL_LIFECYCLE, STEP_LIFECYCLE, Lifecycle

LIFECYCLES: Final = (SAGA_LIFECYCLE, STEP_LIFECYCLE, SIGNAL_LIFECYCLE)
TESTS: Final = "tests/unit/model"  # the rows' own tests; they need no store, no loop and no fixture


def rows() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield each row's id, and what deletes the row from the running process."""
    for lifecycle in LIFECYCLES:
        for source, trigger in lifecycle.rows:

            def delete(it: Lifecycle = lifecycle, row: tuple[str, str] = (source, trigger)) -> None:
                state, by = row
                moves = it.moves[by]
                assert isinstance(moves, dict)
                del moves[state]

            yield f"row.{lifecycle.name}.{source}.{trigger}", delete


class Deletions:
    """Instead of running what was collected, runs each row's tests with the row and without."""

    def __init__(self) -> None:
        self.told: dict[str, dict[str, list[str]]] = {}
        self.failed: list[str] = []  # in this process or fork

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted(f"{session.testsfailed} errors during collection")
        from tests.support.promises import promises_of  # here, after pytest has imported that plugin itself

        marked: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            for promise in promises_of(item):
                marked[promise].append(item)
        for row, delete in rows():
            items = marked[row]
            self.told[row] = {
                "tests": [item.nodeid for item in items],
                "with": self.failures(items, lambda: None),
                "without": self.failures(items, delete),
            }
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.failed.append(report.nodeid)

    def failures(self, items: Sequence[pytest.Item], prepare: Callable[[], object]) -> list[str]:
        """Run tests in a fork of this process, after ``prepare`` there; return those that did not pass."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                prepare()
                for item in items:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                os.write(writing, json.dumps(self.failed).encode())
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise RuntimeError(f"the fork that ran {[item.nodeid for item in items]} ended with {status}")
        return list(json.loads(told))


def main() -> int:
    deletions = Deletions()
    code = pytest.main(["-qq", "-s", "-p", "no:cacheprovider", TESTS], plugins=[deletions])
    sys.stdout.write(f"\n{json.dumps(deletions.told)}\n")
    return 0 if deletions.told else int(code)


if __name__ == "__main__":
    sys.exit(main())
