"""Whether a process is dead is said where the machine can tell, and nowhere guessed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from saga_es.store import processes
from saga_es.store.crew import Process
from saga_es.store.processes import is_dead, this_process

NOBODY = 2**22 + 1  # Linux gives no process a number above 2**22
NAME = "postgres"  # of the process in a folder that stands for /proc
pytestmark = pytest.mark.promise("owner.takeover")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc of the test's own, in which this process has just begun."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot-1\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").touch()
    monkeypatch.setattr(processes, "PROC", tmp_path)
    runs(tmp_path, os.getpid(), began=100)
    return tmp_path


def runs(proc: Path, pid: int, *, began: int, state: str = "S", name: str = NAME) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    numbers = " ".join(map(str, range(4, 22)))
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {state} {numbers} {began} 23 24\n")


def another(process: Process, pid: int, began: int) -> Process:
    return replace(process, pid=pid, began=str(began))


def test_a_process_tells_where_it_runs_and_since_when(proc):
    me = this_process()
    inode = (proc / "self/ns/pid").stat().st_ino
    assert (me.pid, me.machine, me.began) == (os.getpid(), f"boot-1/{inode}", "100")
    assert me.host
    assert not is_dead(me)


def test_one_that_is_not_there_is_dead(proc):
    other = another(this_process(), NOBODY, 200)
    runs(proc, NOBODY, began=200)
    assert not is_dead(other)
    (proc / f"{NOBODY}/stat").unlink()
    assert is_dead(other)


@pytest.mark.parametrize("said", [None, PermissionError()], ids=["ours", "another user's"])
def test_one_that_is_hidden_from_us_is_not_dead(proc, monkeypatch, said):
    """As where /proc is mounted with hidepid, or this process has no file descriptor left."""
    asked: list[tuple[int, int]] = []

    def kill(pid: int, signal: int) -> None:
        asked.append((pid, signal))
        if said is not None:
            raise said

    monkeypatch.setattr(os, "kill", kill)
    assert not is_dead(another(this_process(), 7, 200))
    assert asked == [(7, 0)]


def test_another_with_its_number_is_not_it(proc):
    other = another(this_process(), 7, 200)
    runs(proc, 7, began=201)
    assert is_dead(other)


@pytest.mark.parametrize(("state", "dead"), [(it, it in "ZX") for it in "RSDTtIZX"])
def test_one_that_has_ended_is_dead_before_its_parent_asks_and_one_that_is_stopped_is_not(proc, state, dead):
    runs(proc, 7, began=200, state=state)
    assert is_dead(another(this_process(), 7, 200)) is dead


@pytest.mark.parametrize("name", ["a b", "(sd-pam)", ") Z 1 (", "sh) R 0 0"])
def test_a_name_may_have_anything_in_it(proc, name):
    runs(proc, 7, began=200, name=name)
    assert not is_dead(another(this_process(), 7, 200))


def test_of_one_on_another_machine_nobody_here_can_say(proc):
    gone = another(this_process(), NOBODY, 200)
    assert is_dead(gone)
    assert not is_dead(replace(gone, machine="another/1"))
    assert not is_dead(replace(gone, machine=""))


def test_after_a_boot_a_number_of_before_means_nobody(proc):
    gone = another(this_process(), NOBODY, 200)
    (proc / "sys/kernel/random/boot_id").write_text("boot-2\n")
    assert not is_dead(gone)  # its lease has to run out


@pytest.mark.parametrize(
    "missing", ["sys/kernel/random/boot_id", "self/ns/pid", f"{os.getpid()}/stat"], ids=range(3)
)
def test_where_the_machine_can_not_tell_nobody_is_taken_for_dead(proc, missing):
    gone = another(this_process(), NOBODY, 200)
    (proc / missing).unlink()
    me = this_process()
    assert (me.machine, me.began, me.pid) == ("", "", os.getpid())
    assert not is_dead(me)
    assert is_dead(gone) is (missing == f"{os.getpid()}/stat")


# -- on the machine itself ---------------------------------------------------------------------------


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as made:
        yield made


def process_of(child: subprocess.Popen[bytes]) -> Process:
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return replace(this_process(), pid=child.pid, began=stat[19])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_a_child_is_alive_until_it_has_ended_whether_or_not_it_was_waited_for(child):
    process = process_of(child)
    assert not is_dead(process)
    assert not is_dead(this_process())
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked for it
    assert is_dead(process)
    child.wait()
    assert is_dead(process)
