"""Sagas are killed at every boundary, and taken up by the next process, until their participants' books balance."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE = 900  # seconds for one process

# For each order to finish in: once after the entry, twice for each commit, once for each call.
BOUNDARIES = {
    "trip, all is well": 6 * (1 + 2 * 4 + 3),
    "trip, no rooms": 12 * (1 + 2 * 6 + 5),
    "trip, the last room": 2 * (1 + 2 * 4 + 3),
    "diamond, all is well": 2 * (1 + 2 * 7 + 6),
    "diamond, its last step rejected": 2 * (1 + 2 * 12 + 11),
    "pivot, what follows fails once": 2 * (1 + 2 * 8 + 6),
    "pivot, rejected": 2 * (1 + 2 * 6 + 5),
    "pivot without a way back, rejected": 2 * (1 + 2 * 6 + 5),
    "signal, all is well": 2 * (1 + 2 * 4 + 2),
    "signal, the last answer lost": 2 * (1 + 2 * 6 + 4),
}


def sweep(store: str, folder: Path, *options: str) -> tuple[Counter[str], list[str]]:
    """Run a process that sweeps; return how often it killed one by scenario, and what went wrong."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.integration.crash.runner",
        store,
        str(folder),
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    paths: Counter[str] = Counter()
    failures: list[str] = []
    for line in map(json.loads, done.stdout.splitlines()):
        paths[line["scenario"]] += line["paths"]
        failures += [
            f"{line['scenario']} {line['order']}, killed {path}: {text}" for path, text in line["failures"]
        ]
    return paths, failures


@pytest.mark.promise(
    "case.crash",
    "invariant.3",
    "invariant.9",
    "invariant.11",
    "invariant.12",
    "invariant.13",
)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_killed_at_every_boundary(store, tmp_path, request, capsys):
    address = store if store == "sqlite" else request.getfixturevalue("postgres_url")
    paths, failures = sweep(address, tmp_path)
    with capsys.disabled():
        each = ", ".join(f"{n} {name}" for name, n in paths.items())
        print(f"\ncrash boundaries on {store}: {paths.total()} ({each})")
    assert not failures, f"{len(failures)} of {paths.total()} went wrong, the first: {failures[0]}"
    assert dict(paths) == BOUNDARIES
    assert paths.total() == 600


@pytest.mark.promise("case.crash", "invariant.12")
def test_killed_again_at_every_boundary_of_the_recovery(tmp_path, capsys):
    options = ("--crashes", "2", "--orders", "1", "--only", "trip")
    paths, failures = sweep("sqlite", tmp_path, *options)
    with capsys.disabled():
        print(f"\ncrash boundaries on sqlite, twice in a row: {paths.total()}")
    assert not failures, f"{len(failures)} of {paths.total()} went wrong, the first: {failures[0]}"
    assert dict(paths) == {"trip, all is well": 100, "trip, no rooms": 223, "trip, the last room": 118}
