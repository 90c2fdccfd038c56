"""Holds the tests to tests/promises.toml: every promise has a test that passes, every mark names a promise.

A session that ran all the test files fails when a promise was kept by no test that passed; any session fails
when a mark names an unknown promise. ``python -m tests.support.promises`` prints the marks as JSON, running nothing.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

REGISTER: Final = Path("tests/promises.toml")


def read_register(path: Path) -> dict[str, str]:
    """Return each promise by its id: the keys of the file's tables, joined by dots."""

    def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from flat(f"{prefix}.{key}" if prefix else key, inner)
        else:
            yield prefix, str(value)

    return dict(flat("", tomllib.loads(path.read_text(encoding="utf-8"))))


def promises_of(item: pytest.Item) -> set[str]:
    return {str(name) for mark in item.iter_markers("promise") for name in mark.args}


def can_pass(item: pytest.Item) -> bool:
    """Whether nothing beside the test says that it is skipped, or expected to fail."""
    return not any(item.iter_markers("skip")) and not any(item.iter_markers("xfail"))


def unkept(register: Iterable[str], tests: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the promises that no test kept, each with what its tests came to.

    Args:
        register: the ids.
        tests: by id, what became of each test that is marked with it; ``"passed"`` keeps the promise.
    """
    missing: dict[str, str] = {}
    for promise in register:
        became = tests.get(promise, {})
        if "passed" not in became.values():
            missing[promise] = ", ".join(sorted(set(became.values()))) or "no test"
    return missing


@dataclass(eq=False)
class Promises:
    """Watches one session; where several processes share its tests, what each has collected comes with its end."""

    register: Mapping[str, str]
    files: frozenset[str]  # all that there are
    modules: set[str] = field(default_factory=set)  # those that were collected
    marks: dict[str, set[str]] = field(default_factory=dict)  # by test
    became: dict[str, str] = field(default_factory=dict)  # by test
    narrowed: bool = False  # -k, -m, --deselect, --last-failed
    missing: dict[str, str] | None = None  # None while nobody asks for all of them

    @property
    def unknown(self) -> dict[str, list[str]]:
        """The ids that are in no register, each with its tests."""
        found: dict[str, list[str]] = defaultdict(list)
        for test, names in self.marks.items():
            for name in names - set(self.register):
                found[name].append(test)
        return dict(found)

    def by_promise(self) -> dict[str, dict[str, str]]:
        tests: dict[str, dict[str, str]] = defaultdict(dict)
        for test, names in self.marks.items():
            for name in names:
                tests[name][test] = self.became[test]
        return tests

    @property
    def collected(self) -> str:
        """What a process of several has collected, for the one that they report to."""
        marks = {test: sorted(names) for test, names in self.marks.items()}
        return json.dumps({"marks": marks, "modules": sorted(self.modules), "narrowed": self.narrowed})

    # -- what pytest tells -----------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # pytest-xdist's, which has no types
        told = json.loads(node.workeroutput["promises"])
        self.marks |= {test: set(names) for test, names in told["marks"].items()}
        self.modules |= set(told["modules"])
        self.narrowed |= told["narrowed"]

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.nodeid.endswith(".py"):
            self.modules.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)  # before anything is deselected
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.marks = {item.nodeid: promises_of(item) for item in items}

    @pytest.hookimpl
    def pytest_deselected(self) -> None:
        self.narrowed = True

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            expected = hasattr(report, "wasxfail")
            self.became[report.nodeid] = "expected to fail" if expected else report.outcome

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["promises"] = self.collected
            return
        one_by_one = any("::" in argument for argument in session.config.args)
        collected_all = self.files <= self.modules and not self.narrowed and not one_by_one
        if collected_all and self.marks.keys() == self.became.keys():
            self.missing = unkept(self.register, self.by_promise())
        if exitstatus == pytest.ExitCode.OK and (self.missing or self.unknown):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unknown:
            terminalreporter.section(f"marked with a promise that {REGISTER} does not have", red=True)
            for name, tests in sorted(self.unknown.items()):
                terminalreporter.line(f"{name}: {', '.join(tests)}")
        if self.missing:
            terminalreporter.section(f"promises of {REGISTER} that no passing test keeps", red=True)
            for name, why in sorted(self.missing.items()):
                terminalreporter.line(f"{name}: {why}")
        elif self.missing is not None:
            terminalreporter.line(f"each of {len(self.register)} promises is kept by a test that passed")


def pytest_configure(config: pytest.Config) -> None:
    register = config.rootpath / REGISTER
    if register.exists():
        folder = register.parent
        paths = [path for pattern in config.getini("python_files") for path in folder.rglob(pattern)]
        files = frozenset(path.relative_to(config.rootpath).as_posix() for path in paths)
        config.pluginmanager.register(Promises(read_register(register), files))


class Collected:
    """Prints which tests are marked with which promise, and which of them could pass."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        told = [
            {"test": item.nodeid, "promises": sorted(promises_of(item)), "can_pass": can_pass(item)}
            for item in session.items
        ]
        sys.stdout.write(f"\n{json.dumps(told)}\n")


if __name__ == "__main__":
    sys.exit(pytest.main(["--collect-only", "-qqq", *sys.argv[1:]], plugins=[Collected()]))
