"""Each command runs with the least of everything; the figures themselves are no test's matter."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

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


LEAST = ("--seconds", "0.02", "--repetitions", "1")
PEERS = ["(b) aggregate", "(b5) without intents", "(a) raw SQL", "(a100) 100 a commit"]
ON_POSTGRES = ["(a1) in one statement", "(a100) in one statement"]
BARS = (
    "PostgreSQL, happy, sagas/s of DBOS's: ",
    "SQLite, happy, sagas/s of DBOS's: ",
    "PostgreSQL, happy, sagas/s of (a) raw SQL's: ",
    "PostgreSQL, happy, sagas/s of (a100) 100 a commit's: ",
    "SQLite, happy, sagas/s of (a100) 100 a commit's: ",
    "PostgreSQL, happy, one saga alone, p50 of DBOS's: ",
    "SQLite, happy, one saga alone, p50 of DBOS's: ",
    "replay, postgres, 8 events, as recovery does, 50 at once, events/s: ",
    "(at least 40; stretch goal 60 ",
    "(at most 0.3)",
    "(at least 250,000; stretch goal 1,000,000 ",
)


@pytest.fixture
def on_postgres(postgres_dsn, monkeypatch):
    monkeypatch.setenv("SAGA_ES_TEST_DSN", postgres_dsn)


def test_compare_measures_every_peer_and_draws_the_figures(tmp_path, on_postgres):
    few = (*LEAST, "--cases", "happy", "--concurrent", "1", "--stores", "sqlite", "postgres")
    figures_file, drawn = tmp_path / "figures.json", tmp_path / "drawn.svg"

    printed = run("compare", *few, "--json", str(figures_file), "--picture", str(drawn))

    figures = json.loads(figures_file.read_text(encoding="utf-8"))
    assert sorted((row["store"], row["who"]) for row in figures["sagas"]) == sorted(
        [(store, who) for store in ("sqlite", "postgres") for who in ("saga_es", "DBOS", *PEERS)]
        + [("postgres", who) for who in ON_POSTGRES]
    )
    assert all(looks_right(row) for row in figures["sagas"])
    assert {name for row in figures["sagas"] for name in row["ratios"]} == {
        "of (a)", "of (a100)", "of (b)", "of DBOS"
    }  # fmt: skip
    assert len(figures["replay"]) == 12
    for shown in ("synchronous=full", "synchronous_commit=on", "Settings: ", "happy: 8 events", *BARS):
        assert shown in printed
    assert "payload of a saga, sqlite, happy, bytes: saga_es and raw SQL 1,127, DBOS " in printed
    assert [bar["what"] for bar in figures["bars"]] == [bar.rpartition(": ")[0] for bar in bars_in(printed)]
    assert words_of(drawn) >= {
        "saga_es", "DBOS", "(b) aggregate", "(a) raw SQL", "(a100) raw SQL, 100 a commit",
        "PostgreSQL: sagas a second, 1 at once", "SQLite: one saga alone, p50",
    }  # fmt: skip
    run("picture", str(figures_file), str(again := tmp_path / "again.svg"))
    assert again.read_bytes() == drawn.read_bytes()


def looks_right(row):
    return (
        row["done"] > 0
        and row["rates"] == [row["rate"]]
        and 0 < row["p50_ms"] <= row["p99_ms"]
        and row["cpu_ms"] > 0
        and row["peak_mb"] > 10
    )


def bars_in(printed):
    return [line[6:] for line in printed.splitlines() if line.startswith(("PASS  ", "FAIL  "))]


def words_of(picture):
    """Return the texts in a picture, which has to be well-formed."""
    found = ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own file
    return {"".join(text.itertext()).strip() for text in found}


def test_compare_fails_sagas_too(tmp_path):
    few = (*LEAST, "--cases", "failing", "--concurrent", "3", "--stores", "sqlite")

    printed = run("compare", *few, "--json", str(tmp_path / "figures.json"))

    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    rows = [(row["who"], row["concurrent"]) for row in figures["sagas"] if looks_right(row)]
    assert sorted(rows) == sorted([("saga_es", 3), ("DBOS", 3), *((who, 1) for who in PEERS)])
    assert "failing: 13 events" in printed


def test_compare_leaves_out_what_it_is_told_to():
    printed = run("compare", *LEAST, "--concurrent", "2", "--stores", "memory", "--without-dbos")

    assert "DBOS: left out" in printed
    assert "DBOS's" not in printed
    assert "payload of a saga, memory, failing, bytes: saga_es 2,033, (b) aggregate " in printed


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_growth_compares_stores_widths_and_times(store, on_postgres):
    least = {"finished": [10, 50], "turn": 8, "turns": 1, "steps": 40, "repetitions": 1, "sagas": [5, 20]}

    printed = run("growth", "--store", store, "--sizes", json.dumps(least))

    for shown in (
        "10 finished sagas in the store: ",
        "sagas/s with 50 finished ones in the store, of those with 10: ",
        "1 saga of 40 steps: ",
        "4 sagas of 10 steps: ",
        "time a step of a saga of 40, of sagas of 10: ",
        "MB at most with 20 sagas: ",
    ):
        assert shown in printed
    assert printed.count("PASS  ") + printed.count("FAIL  ") == 3


def test_open_sagas_loses_none():
    printed = run("open_sagas", "--sagas", "40")

    assert printed.count("PASS  no saga is lost: 40 of 40 succeeded") == 2
    assert printed.count("held open at once: 40 of 40") == 2
    assert printed.count("resident memory at most 400 MB") == 2


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_large_store_runs_what_is_open_in_it(store, on_postgres):
    printed = run("large_store", "--finished", "50", "--open", "5", "--store", store)

    assert "PASS  calls: 15 of 15" in printed
    assert "first call after" in printed


def test_starting_prints_how_long_an_import_takes():
    printed = run("starting", "--repetitions", "2")

    assert "import saga_es: " in printed
    assert "PASS  imported of what is for others: 0" in printed
    assert "not imported: click, fastapi, httpx, matplotlib, psycopg" in printed


def test_fold_prints_the_cost_of_an_event():
    printed = run("fold", "--sizes", "30", "300", "--repetitions", "1")

    assert "300 steps over 30" in printed


def test_workers_prints_rates_and_the_cost_of_fencing(on_postgres):
    few = ("--sagas", "16", "--concurrent", "4", "--workers", "2", "--repetitions", "1", "--commits", "2")

    printed = run("workers", *few)

    assert "2 workers, of one" in printed
    assert printed.count("fencing, 50 sagas x 1") == 2
    assert printed.count("2 commits each") == 4
