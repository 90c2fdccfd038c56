"""Each command runs with the least of everything; the figures themselves are no test's matter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(module, *arguments):
    """Return the lines that a command prints; a bar that is missed (1) is for whoever reads the figures."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    return done.stdout


def test_compare_prints_rates_ratios_and_bars(tmp_path):
    few = (
        "--seconds",
        "0.02",
        "--repetitions",
        "1",
        "--concurrent",
        "1",
        "8",
        "--stores",
        "memory",
        "sqlite",
    )

    printed = run("compare", *few, "--json", str(tmp_path / "figures.json"))

    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    ours = {
        (row["store"], row["case"], row["concurrent"]) for row in figures["sagas"] if row["who"] == "saga_es"
    }
    assert ours == {(s, c, n) for s in ("memory", "sqlite") for c in ("happy", "failing") for n in (1, 8)}
    assert all(row["done"] > 0 for row in figures["sagas"])
    assert len(figures["replay"]) == 12
    for shown in (
        "synchronous=full",
        "Settings: ",
        "happy: 8 events",
        "failing: 13 events",
        "SQLite, happy, of (b)",
    ):
        assert shown in printed


def test_open_sagas_loses_none():
    printed = run("open_sagas", "--sagas", "40")

    assert printed.count("PASS  no saga is lost: 40 of 40 succeeded") == 2
    assert printed.count("held open at once: 40 of 40") == 2
    assert printed.count("resident memory at most 400 MB") == 2


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_large_store_runs_what_is_open_in_it(store, postgres_dsn, monkeypatch):
    monkeypatch.setenv("SAGA_ES_TEST_DSN", postgres_dsn)

    printed = run("large_store", "--finished", "50", "--open", "5", "--store", store)

    assert "PASS  calls: 15 of 15" in printed
    assert "first call after" in printed


def test_fold_prints_the_cost_of_an_event():
    printed = run("fold", "--sizes", "30", "300", "--repetitions", "1")

    assert "300 steps over 30" in printed


def test_workers_prints_rates_and_the_cost_of_fencing(postgres_dsn, monkeypatch):
    monkeypatch.setenv("SAGA_ES_TEST_DSN", postgres_dsn)
    few = ("--sagas", "16", "--concurrent", "4", "--workers", "2", "--repetitions", "1", "--commits", "2")

    printed = run("workers", *few)

    assert "2 workers, of one" in printed
    assert printed.count("fencing, 50 sagas x 1") == 2
    assert printed.count("2 commits each") == 4
