"""The chaos command, short: what it does for long is a command of its own (docs/howto/chaos.md)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.chaos.nemesis import ROOT
from tests.support import postgres

CHAOS = (
    "tests.chaos", "--kills", "300", "--pauses", "8", "--leaves", "8", "--cuts", "10", "--crashes", "2", "--rate", "3",
)  # fmt: skip
SPLIT_BRAIN = ("tests.chaos.split_brain", "--pauses", "4")


@pytest.mark.promise("owner.fence", "owner.takeover")
@pytest.mark.parametrize("command", [CHAOS, SPLIT_BRAIN], ids=["chaos", "split brain"])
def test_no_promise_is_broken_whatever_goes_wrong(command: tuple[str, ...]):
    if not any((binaries / "postgres").exists() for binaries in postgres.found_binaries([])):
        postgres.missing("no binaries to start a server of our own with")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=os.environ,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  violations: 0" in done.stdout
