"""Each row of the lifecycles is needed: without it, a test that is marked with it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.without_a_row import LIFECYCLES, rows

ROOT = Path(__file__).parents[2]
ROWS = [row for row, _ in rows()]


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, list[str]]]:
    if not hasattr(os, "fork"):
        pytest.skip("each row is deleted in a fork of one process")
    command = [sys.executable, "-m", "tests.architecture.without_a_row"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_row_is_looked_at(told):
    assert list(told) == ROWS
    assert len(ROWS) == sum(len(lifecycle.rows) for lifecycle in LIFECYCLES) == 54


@pytest.mark.parametrize("row", ROWS)
def test_a_marked_test_fails_without_the_row(told, row):
    assert told[row]["tests"], f"no test of the model is marked with {row}"
    assert told[row]["with"] == []
    assert told[row]["without"], f"{told[row]['tests']} pass without {row}"
