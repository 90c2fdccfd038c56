"""Every promise is in the register, and every promise there has a test; the checker that says so is tested here."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import saga_es
from saga_es import errors
from saga_es.cli import main
from saga_es.model.events import EVENT_TYPES
from saga_es.model.lifecycle import SAGA_LIFECYCLE, SIGNAL_LIFECYCLE, STEP_LIFECYCLE
from tests.support.promises import read_register, unkept

ROOT = Path(__file__).parents[2]
REGISTER = read_register(ROOT / "tests" / "promises.toml")
CASES = (
    "a-step-fails rejected any-other-exception timeout probe cancelled-error compensation-order compensation-fails "
    "how-it-ended pivot cancel pause retry-supply-skip signal duplicate late-reply crash definition-changed poison "
    "shutting-down clock-jumps bad-definition huge-fan-out payload store-goes-away"
)
INSIDE = {"SagaState.fold"}  # for the library's own rooms


# -- the register is whole -----------------------------------------------------------------------------


def fields_of(kind: type) -> set[str]:
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    named = getattr(kind, "model_fields", None) or getattr(kind, "_fields", ())
    properties = {name for name, value in vars(kind).items() if isinstance(value, property)}
    return {*named, *properties}


def calls_of(kind: type) -> set[str]:
    mine = [cls for cls in kind.__mro__ if cls.__module__.startswith("saga_es.")]
    return {name for cls in mine for name, value in vars(cls).items() if name[0] != "_" and is_call(value)}


def is_call(value: object) -> bool:
    return callable(value) or isinstance(value, classmethod | staticmethod)


KINDS = (
    saga_es.Settings,
    saga_es.Outcome,
    saga_es.SagaSummary,
    saga_es.Page,
    saga_es.SagaState,
    saga_es.StepState,
    saga_es.History,
    saga_es.Recorded,
    saga_es.Attempt,
    saga_es.Retry,
    saga_es.Problem,
)
DERIVED = {
    "event": {f"event.{name}" for name in EVENT_TYPES},
    "row": {
        f"row.{lifecycle.name}.{source}.{trigger}"
        for lifecycle in (SAGA_LIFECYCLE, STEP_LIFECYCLE, SIGNAL_LIFECYCLE)
        for source, trigger in lifecycle.rows
    },
    "error": {
        f"error.{name}"
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    },
    "field": {
        f"field.{kind.__name__}.{field}"
        for kind in KINDS
        for field in fields_of(kind)
        if f"{kind.__name__}.{field}" not in INSIDE
    },
    "call": {f"call.{name}" for kind in (saga_es.SagaEngine, saga_es.SagaClient) for name in calls_of(kind)}
    | {f"call.History.{name}" for name in calls_of(saga_es.History)}
    | {f"call.Outcome.{name}" for name in calls_of(saga_es.Outcome)}
    | {
        f"call.{name}" for name in ("SagaEngine", "SagaClient", "Saga", "define", "do", "step", "signal-node")
    },
    "cli": {f"cli.{verb}" for verb in main.commands} | {"cli.json", "cli.store", "cli.exit-codes"},
    "case": {f"case.{slug}" for slug in CASES.split()},
    "invariant": {f"invariant.{number}" for number in range(1, 16)},
}


@pytest.mark.parametrize("kind", DERIVED)
def test_the_register_has_all_that_there_is(kind):
    assert len(DERIVED[kind]) >= 5
    assert DERIVED[kind] - set(REGISTER) == set()


@pytest.mark.parametrize("kind", ["event", "row", "error", "field", "cli", "case", "invariant"])
def test_the_register_has_nothing_that_is_not_there(kind):
    assert {promise for promise in REGISTER if promise.startswith(f"{kind}.")} == DERIVED[kind]


def test_each_promise_is_a_sentence():
    assert {promise for promise, said in REGISTER.items() if not said.endswith(".")} == set()


# -- the marks, with nothing run -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tests_by_promise() -> dict[str, dict[str, str]]:
    command = [sys.executable, "-m", "tests.support.promises"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    told = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    assert told, done.stdout + done.stderr
    tests: dict[str, dict[str, str]] = defaultdict(dict)
    for item in json.loads(told[-1]):
        for promise in item["promises"]:
            tests[promise][item["test"]] = "passed" if item["can_pass"] else "skipped or expected to fail"
    return tests


def test_every_promise_has_a_test_that_may_pass(tests_by_promise):
    missing = unkept(REGISTER, tests_by_promise)
    assert not missing, "\n".join(f"{promise}: {why}" for promise, why in missing.items())


def test_every_mark_names_a_promise(tests_by_promise):
    unknown = set(tests_by_promise) - set(REGISTER)
    assert not unknown, "\n".join(f"{promise}: {', '.join(tests_by_promise[promise])}" for promise in unknown)


# -- the checker ---------------------------------------------------------------------------------------


def session(folder: Path, tests: str, *arguments: str, register: str = 'call.start = "It starts."'):
    """Run a test session of its own over one file of tests and a register."""
    (folder / "tests").mkdir()
    (folder / "tests" / "promises.toml").write_text(register)
    (folder / "tests" / "test_it.py").write_text(f"import pytest\n{tests}\n")
    (folder / "tests" / "test_more.py").write_text("def test_more(): pass\n")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = promise(id): kept\ntestpaths = tests\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.promises", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


KEPT = "@pytest.mark.promise('call.start')\ndef test_start(): pass"
ONE_SKIPPED = """
@pytest.mark.promise('call.start')
@pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.skip)])
def test_start(n): pass
"""


@pytest.mark.parametrize("tests", [KEPT, ONE_SKIPPED])
def test_a_promise_that_is_kept_lets_the_session_pass(tmp_path, tests):
    done = session(tmp_path, tests)
    assert done.returncode == 0, done.stdout
    assert "each of 1 promises is kept by a test that passed" in done.stdout


@pytest.mark.parametrize(
    ("decorator", "body", "why"),
    [
        ("", "pass", "no test"),
        ("@pytest.mark.promise('call.start')\n@pytest.mark.skip\n", "pass", "skipped"),
        ("@pytest.mark.promise('call.start')\n@pytest.mark.skipif(True, reason='no')\n", "pass", "skipped"),
        ("@pytest.mark.promise('call.start')\n", "pytest.skip()", "skipped"),
        ("@pytest.mark.promise('call.start')\n@pytest.mark.xfail\n", "raise ValueError", "expected to fail"),
        ("@pytest.mark.promise('call.start')\n@pytest.mark.xfail\n", "pass", "expected to fail"),
        ("@pytest.mark.promise('call.start')\n", "pytest.xfail()", "expected to fail"),
    ],
)
def test_a_promise_that_no_test_kept_fails_the_session(tmp_path, decorator, body, why):
    done = session(tmp_path, f"{decorator}def test_start(): {body}")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "promises of tests/promises.toml that no passing test keeps" in done.stdout
    assert f"\ncall.start: {why}\n" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("-k", "start"), ("tests/test_it.py",)])
def test_an_unknown_promise_fails_any_session(tmp_path, arguments):
    done = session(
        tmp_path, f"{KEPT}\n@pytest.mark.promise('call.dance')\ndef test_dance(): pass", *arguments
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "\ncall.dance: tests/test_it.py::test_dance\n" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "start"),
        ("-m", "not promise"),
        ("tests/test_it.py",),
        ("tests/test_it.py::test_start", "tests/test_more.py"),
        ("--deselect", "tests/test_more.py::test_more"),
        ("--collect-only",),
    ],
)
def test_a_session_that_ran_a_part_is_not_asked_for_the_rest(tmp_path, arguments):
    register = 'call.start = "It starts."\ncall.run = "It runs."'
    done = session(tmp_path, f"{KEPT}\ndef test_other(): pass", *arguments, register=register)
    assert done.returncode == 0, done.stdout
    assert "call.run" not in done.stdout
    assert "promises" not in done.stdout


def test_a_failed_test_keeps_no_promise_and_stays_the_reason(tmp_path):
    done = session(tmp_path, "@pytest.mark.promise('call.start')\ndef test_start(): assert False")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "\ncall.start: failed\n" in done.stdout


def test_a_session_that_stopped_early_is_not_asked_for_what_it_did_not_run(tmp_path):
    done = session(tmp_path, f"def test_first(): assert False\n{KEPT}", "-x")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "promises" not in done.stdout


def test_keys_of_the_register_are_joined_by_dots(tmp_path):
    path = tmp_path / "promises.toml"
    path.write_text('[row.step]\nwaiting.StepDispatched = "It begins."\n[invariant]\n1 = "No gaps."\n')
    assert read_register(path) == {
        "row.step.waiting.StepDispatched": "It begins.",
        "invariant.1": "No gaps.",
    }
