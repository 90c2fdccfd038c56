from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from saga_es.testing.crash import AFTER_CALL, AFTER_COMMIT, BEFORE_COMMIT, Boundary, Crash, in_child

ROOT = Path(__file__).parents[3]

SWEEPS = """
import json, os, sys
from pathlib import Path
from saga_es.testing.crash import sweep

class Letter:
    '''Written in two parts; whoever comes to a first part adds the second.'''
    def __init__(self, path): self.path = path
    def play(self, crash):
        text = self.path.read_text() if self.path.exists() else ""
        if not text:
            crash.before_commit(1)
            self.path.write_text("dear ")
            crash.after_commit(1)
        {between}
        if "ann" not in text:
            self.path.write_text("dear ann")
        crash.call_made()

letters = []
def letter():
    letters.append(Letter(Path(sys.argv[1]) / str(len(letters))))
    return letters[-1]

done = sweep(letter, crashes={crashes})
print(json.dumps([
    [str(each) for each in done.boundaries],
    [[str(each) for each in path] for path in done.paths],
    [[str(each) for each in failure.path] + [failure.text] for failure in done.failures],
]))
"""


def swept(tmp_path, *, between="pass", crashes=1):
    program = SWEEPS.format(between=between, crashes=crashes)
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr or json.loads(done.stdout)


def test_a_crash_counts_what_it_comes_past():
    crash = Crash()
    crash.before_commit(1)
    crash.after_commit(1)
    crash.call_made()
    crash.before_commit(2)
    assert crash.passed == [
        Boundary(BEFORE_COMMIT, 1),
        Boundary(AFTER_COMMIT, 1),
        Boundary(AFTER_CALL, 1),
        Boundary(BEFORE_COMMIT, 2),
    ]
    assert str(crash.passed[-1]) == "before commit 2"


def test_a_crash_kills_at_its_boundary_alone():
    killed: list[int] = []
    crash = Crash(Boundary(AFTER_CALL, 2), kill=lambda: killed.append(len(crash.passed)))
    crash.call_made()
    crash.after_commit(1)
    assert not killed
    crash.call_made()
    crash.call_made()
    assert killed == [3]


def test_listeners_hear_of_commits_and_of_nothing_else():
    heard: list[str] = []
    crash = Crash()
    crash.on_commit(lambda: heard.append("commit"))
    crash.before_commit(1)
    crash.call_made()
    assert heard == []
    crash.after_commit(1)
    assert heard == ["commit"]


def test_a_sweep_kills_at_every_boundary(tmp_path):
    boundaries, paths, failures = swept(tmp_path)
    assert boundaries == ["before commit 1", "after commit 1", "after call 1"]
    assert paths == [["before commit 1"], ["after commit 1"], ["after call 1"]]
    assert failures == []


def test_a_sweep_with_two_crashes_kills_the_next_process_at_its_own(tmp_path):
    _, paths, failures = swept(tmp_path, crashes=2)
    first = [path for path in paths if len(path) == 1]
    assert len(first) == 3
    assert [path for path in paths if len(path) == 2] == [
        ["before commit 1", "before commit 1"],
        ["before commit 1", "after commit 1"],
        ["before commit 1", "after call 1"],
        ["after commit 1", "after call 1"],
        ["after call 1", "after call 1"],
    ]
    assert failures == []


def test_a_sweep_tells_where_it_was_not_put_right(tmp_path):
    between = "assert text != 'dear ', 'a letter without a name'"
    _, _, failures = swept(tmp_path, between=between)
    ((path, text),) = failures
    assert path == "after commit 1"
    assert "AssertionError: a letter without a name" in text


def test_a_run_that_fails_without_a_crash_ends_the_sweep(tmp_path):
    assert "the run without a crash failed" in swept(tmp_path, between="raise ValueError(text)")


def test_runs_that_differ_end_the_sweep(tmp_path):
    between = "None if self.path.name == '0' else crash.call_made()"
    assert "two runs came past different boundaries" in swept(tmp_path, between=between)


def test_a_process_with_threads_is_not_forked():
    end = threading.Event()
    other = threading.Thread(target=end.wait, name="the other")
    other.start()
    try:
        with pytest.raises(RuntimeError, match="the other"):
            in_child(lambda: None)
    finally:
        end.set()
        other.join()


def test_a_child_says_how_it_ended():
    program = (
        "import os, signal, sys, threading\n"
        "from datetime import timedelta\n"
        "from saga_es.testing.crash import in_child, kill_this_process\n"
        "print(in_child(lambda: [1]).value)\n"
        "print(in_child(kill_this_process).signal)\n"
        "print(in_child(lambda: threading.Event().wait(), timedelta(seconds=1)).text)\n"
        "print(in_child(lambda: os._exit(3)).text)\n"
        "print(in_child(lambda: sys.exit(4)).text.splitlines()[-1])\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "[1]",
        str(int(signal.SIGKILL)),
        "it hung for 0:00:01",
        "it exited with 3",
        "SystemExit: 4",
    ]
