from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from saga_es.cli import main
from saga_es.history import History
from saga_es.model.commands import (
    CancelSaga,
    Failed,
    PauseSaga,
    RecordOutcome,
    StartSaga,
    Succeeded,
)
from saga_es.model.decide import decide_with_state
from saga_es.model.definition import (
    CompensationDefinition,
    Retry,
    SagaDefinition,
    SignalDefinition,
    StepDefinition,
)
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState
from saga_es.runtime.recording import make_append
from saga_es.store.address import open_store

BEGIN = datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=UTC)


def a_step(name: str, title: str, undo: str | None, **fields) -> StepDefinition:
    once = Retry(attempts=1)
    back = None if undo is None else CompensationDefinition(name=f"undo_{name}", title=undo, retry=once)
    return StepDefinition(name=name, title=title, compensation=back, **fields)


TRIP = SagaDefinition(
    name="buy package",
    steps=(
        a_step("book_plane", "book plane ticket", "cancel plane ticket booking"),
        a_step("book_hotel", "book hotel room", None),
        a_step("buy_tickets", "buy tourist tickets", "cancel tourist ticket reservations"),
    ),
    signals=(SignalDefinition(name="approval", title="approval \x1b[31m", needs=("buy_tickets",)),),
    order=("book_plane", "book_hotel", "buy_tickets", "approval"),
)


class Writer:
    """Writes sagas into a store as an engine would."""

    def __init__(self, store) -> None:
        self.store = store
        self.now = BEGIN
        store.record_definition(TRIP)

    def saga(self, saga_id: str, *commands) -> SagaState:
        state, started = SagaState.unborn(TRIP, saga_id), self.now
        for kind, fields in [(StartSaga, {"input": {"customer": f"{saga_id}\x1b[2J"}}), *commands]:
            command = kind(at=self.now, room=10, **fields)
            decided = decide_with_state(TRIP, state, command)
            self.store.append(
                [
                    make_append(
                        self.store,
                        state,
                        decided.state,
                        decided.events,
                        at=self.now,
                        started_at=started,
                        shard=None,
                    )
                ]
            )
            state = decided.state
            self.now += timedelta(seconds=1)
        return state


def outcome(step: str, result, op: str = "action"):
    return RecordOutcome, {"step": step, "op": op, "round": 1, "attempt": 1, "outcome": result}


def ok(step: str, op: str = "action"):
    return outcome(step, Succeeded({"note": "ünï\x1b[31m\n"}), op)


def no(step: str, message: str = "no\x1b]0;rooms\x07", op: str = "action"):
    return outcome(
        step, Failed(Problem(kind=ProblemKind.REJECTED, type="NoRooms", message=message), final=True), op
    )


PLANE, HOTEL, TICKETS = ok("book_plane"), ok("book_hotel"), ok("buy_tickets")
UNDO_PLANE, UNDO_TICKETS = ok("book_plane", "compensation"), ok("buy_tickets", "compensation")


@pytest.fixture
def url(tmp_path) -> str:
    made = f"sqlite:///{tmp_path / 'sagas.db'}"
    store = open_store(made, migrate=True)
    try:
        writer = Writer(store)
        writer.saga("compensated", PLANE, no("book_hotel"), TICKETS, UNDO_PLANE, UNDO_TICKETS)
        writer.saga("residue", HOTEL, no("book_plane"), TICKETS, UNDO_TICKETS)
        writer.saga("open", PLANE)
        writer.saga(
            "stuck", PLANE, no("book_hotel"), TICKETS, no("book_plane", "down\x1b[5m", op="compensation")
        )
        writer.saga("paused", TICKETS, (PauseSaga, {"by": "ann", "reason": "look"}))
        writer.saga("draining", PLANE, (CancelSaga, {"by": "ann", "reason": "enough"}))
    finally:
        store.close()
    return made


def run(*arguments: str, env: dict[str, str] | None = None):
    return CliRunner().invoke(main, arguments, env={"SAGA_ES_STORE": None, "NO_COLOR": None, **(env or {})})


def control_bytes(text: str) -> list[str]:
    return [char for char in text if ord(char) < 0x20 and char != "\n"]


@pytest.mark.promise("cli.list")
def test_list_for_people(url):
    result = run("--store", url, "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["SAGA", "STATUS", "DEFINITION", "STARTED", "(UTC)", "CHANGED", "(UTC)"]
    rows = {line.split("  ")[0]: line for line in lines[1:] if not line.startswith(" ")}
    assert set(rows) == {"compensated", "residue", "open", "stuck", "paused", "draining"}
    assert "failed, compensated" in rows["compensated"]
    assert "failed, residue" in rows["residue"]
    assert "buy package v1" in rows["open"]
    assert "parked: book_plane: down\\x1b[5m" in result.stdout
    assert control_bytes(result.stdout) == []


@pytest.mark.promise("cli.list", "cli.json")
def test_list_as_json_and_its_filters(url):
    def ids(*arguments: str) -> list[str]:
        result = run("--store", url, "list", "--json", *arguments)
        assert result.exit_code == 0, result.output
        return [item["saga_id"] for item in json.loads(result.stdout)["items"]]

    assert set(ids("--status", "failed")) == {"compensated", "residue"}
    assert ids("--parked") == ["stuck"]
    assert "stuck" not in ids("--not-parked")
    assert ids("--definition", "another") == []
    first = json.loads(run("--store", url, "list", "--json", "--limit", "4").stdout)
    assert len(first["items"]) == 4
    rest = ids("--limit", "4", "--after", first["next"])
    assert len(rest) == 2
    assert {item["saga_id"] for item in first["items"]}.isdisjoint(rest)
    assert json.loads(run("--store", url, "list", "--json").stdout)["next"] is None
    (item,) = json.loads(run("--store", url, "list", "--parked", "--json").stdout)["items"]
    assert list(item) == [
        "saga_id", "definition", "definition_version", "status", "ending", "parked", "started_at", "changed_at"
    ]  # fmt: skip
    assert item["status"] == "compensating"
    assert item["ending"] is None


def test_an_empty_list_says_so(url):
    assert run("--store", url, "list", "--definition", "another").stdout == "No sagas here.\n"


@pytest.mark.promise("cli.show")
def test_show_tells_compensated_from_residue_in_words(url):
    compensated = run("--store", url, "show", "compensated").stdout
    assert "\nfailed, compensated: all that it did has been undone\n" in compensated
    assert "❌ end saga (no\\x1b]0;rooms\\x07)\n" in compensated
    residue = run("--store", url, "show", "residue").stdout
    assert "\nfailed, residue: effects may still stand of book_hotel\n" in residue
    assert "Still to come" not in residue
    assert control_bytes(residue) == []


@pytest.mark.promise("cli.show")
def test_show_prints_the_trace_and_what_remains(url):
    shown = run("--store", url, "show", "open").stdout
    assert shown.startswith("open · buy package v1\nrunning\nstarted 2026-11-24 05:00:")
    assert "❗ begin saga\n\n✔ book plane ticket\n" in shown
    assert "Still to come:\n  book hotel room      attempt 1 in flight\n" in shown
    assert "  approval \\x1b[31m    waits for buy_tickets\n" in shown
    stuck = run("--store", url, "show", "stuck").stdout
    assert "\nparked: book_plane: down\\x1b[5m\n" in stuck
    assert "  cancel plane ticket booking         stuck after attempt 1 (down\\x1b[5m)\n" in stuck
    assert "  cancel tourist ticket reservations  attempt 1 in flight\n" in stuck
    assert "\nrunning, paused\n" in run("--store", url, "show", "paused").stdout
    draining = run("--store", url, "show", "draining").stdout
    assert "\nrunning, cancel requested\n" in draining
    assert "attempt 1 in flight; its answer is recorded before the saga turns round" in draining
    assert "to be undone once nothing is in flight" in draining


@pytest.mark.promise("cli.show", "cli.json")
def test_show_as_json(url):
    value = json.loads(run("--store", url, "show", "stuck", "--json").stdout)
    assert (value["saga_id"], value["status"], value["ending"]) == ("stuck", "compensating", None)
    assert value["parked"] == "book_plane: down\x1b[5m"
    assert value["cause"] == {
        "kind": "rejected", "type": "NoRooms", "message": "no\x1b]0;rooms\x07", "step": "book_hotel"
    }  # fmt: skip
    assert [step["name"] for step in value["steps"]] == list(TRIP.order)
    assert value["steps"][0]["status"] == "stuck"
    assert value["steps"][3]["kind"] == "signal"
    assert [one["op"] for one in value["remaining"]] == ["compensation", "compensation"]
    assert value["trace"].startswith("❗ begin saga")
    ended = json.loads(run("--store", url, "show", "residue", "--json").stdout)
    assert (ended["ending"], ended["residue"], ended["remaining"]) == ("residue", ["book_hotel"], [])


@pytest.mark.promise("cli.events", "cli.json")
def test_events(url):
    lines = run("--store", url, "events", "compensated").stdout.splitlines()
    assert lines[0].endswith('\'buy package\' version 1 started  {"customer": "compensated\\u001b[2J"}')
    assert lines[0].split()[:2] == ["1", "2026-11-24T05:00:00.123456Z"]
    assert control_bytes("\n".join(lines)) == []
    value = json.loads(run("--store", url, "events", "compensated", "--json").stdout)
    assert [event["version"] for event in value] == list(range(1, len(lines) + 1))
    assert list(value[0]) == ["version", "type", "at", "data", "metadata"]


@pytest.mark.promise("cli.export", "cli.json")
def test_export_writes_the_history_byte_for_byte(url):
    for flags in ([], ["--json"]):
        result = run("--store", url, "export", "compensated", *flags)
        assert result.exit_code == 0
        history = History.from_json(result.stdout_bytes.decode())
        assert history.to_json().encode() == result.stdout_bytes
        assert history.saga_id == "compensated"


@pytest.mark.promise("cli.migrate")
def test_migrate_makes_the_tables_and_may_be_repeated(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    for _ in range(2):
        result = run("--store", url, "migrate")
        assert (result.exit_code, result.stdout) == (0, f"The tables of {url} are up to date.\n")
    assert run("--store", url, "list").stdout == "No sagas here.\n"


@pytest.mark.promise("cli.exit-codes")
@pytest.mark.parametrize("verb", ["show", "events", "export"])
def test_an_unknown_saga_is_a_definite_no(url, verb):
    for saga_id in ("nobody", "\tdefinition/" + TRIP.digest, "x" * 300):
        result = run("--store", url, verb, saga_id)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "no saga" in result.stderr
        assert control_bytes(result.stderr) == []


@pytest.mark.promise("cli.exit-codes")
@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["--store", "mysql://x", "list"],
        ["--store", "memory://", "list", "--status", "happy"],
        ["--store", "memory://", "list", "--limit", "0"],
        ["--store", "memory://", "show"],
        ["--store", "memory://", "dance"],
    ],
)
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.promise("cli.exit-codes")
def test_a_cursor_that_is_none_is_wrong_usage(url):
    result = run("--store", url, "list", "--after", "garbage")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.promise("cli.exit-codes")
def test_a_store_out_of_reach(tmp_path):
    missing = tmp_path / "missing.db"
    for verb in (["list"], ["show", "x"], ["events", "x"], ["export", "x"]):
        result = run("--store", f"sqlite:///{missing}", *verb)
        assert result.exit_code == 3, result.output
        assert result.stdout == ""
    assert not missing.exists()
    assert run("--store", "postgresql://nobody@127.0.0.1:1/none", "list").exit_code == 3
    no_database = tmp_path / "text.db"
    no_database.write_text("not a database, but long enough to be looked at" * 100)
    assert run("--store", f"sqlite:///{no_database}", "list").exit_code == 3


@pytest.mark.promise("cli.store")
def test_the_store_comes_from_the_option_before_or_after_the_verb_or_from_the_environment(url):
    assert "open" in run("list", env={"SAGA_ES_STORE": url}).stdout
    assert "open" in run("list", "--store", url).stdout
    assert "open" in run("--store", url, "list", env={"SAGA_ES_STORE": "memory://"}).stdout


def as_a_process(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    settings = {
        key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))
    }
    return subprocess.run(
        [sys.executable, "-m", "saga_es.cli", *arguments],
        env={**settings, **env},
        check=False,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("env", "mark"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, b"\n! begin saga\n"),
        ({"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b" begin saga\n"),
        ({"LANG": "C"}, b"begin saga\n"),
    ],
)
def test_no_encoding_ends_it(url, env, mark):
    shown = as_a_process("--store", url, "show", "open", **env)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert mark in shown.stdout
    exported = as_a_process("--store", url, "export", "open", **env)
    assert History.from_json(exported.stdout.decode("utf-8")).to_json().encode() == exported.stdout


def test_a_pipe_gets_no_colours_and_a_terminal_does(url):
    assert "\x1b[" not in run("--store", url, "list").stdout
    coloured = CliRunner().invoke(main, ["--store", url, "show", "open"], color=True)
    assert "\x1b[" in coloured.stdout
    plain = CliRunner().invoke(main, ["--store", url, "show", "open"], color=True, env={"NO_COLOR": "1"})
    assert "\x1b[" not in plain.stdout


def test_importing_the_library_does_not_load_click():
    loaded = "import saga_es, sys; print('click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.promise("cli.demo")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the demo kills a process of its own")
def test_demo(tmp_path):
    done = as_a_process("demo", "--pace", "0", "--keep", str(tmp_path / "kept"))
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode()
    for part in ("Maria books.", "Kevin books too", "SIGKILL", "Still to come:", "A new process"):
        assert part in said
    assert said.count("✔ end saga (success)") == 2
    assert said.count("❌ end saga (no available hotel rooms)") == 1
    assert "  kevin        nothing\n" in said
    assert "the hotel was called 2 times with one and the same key, and 1 room is booked." in said
    url = f"sqlite:///{tmp_path / 'kept' / 'sagas.db'}"
    listed = json.loads(as_a_process("--store", url, "list", "--json").stdout)["items"]
    assert {item["saga_id"]: item["ending"] for item in listed} == {
        "maria": "succeeded", "kevin": "compensated", "maria-again": "succeeded"
    }  # fmt: skip
    again = as_a_process("demo", "--keep", str(tmp_path / "kept"))
    assert again.returncode == 2
