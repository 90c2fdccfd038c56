"""Which process this is, and whether another is dead: told where the machine can tell, and nowhere guessed."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from saga_es.store.crew import Process

PROC: Final = Path("/proc")
GONE: Final = frozenset("ZX")
"""States of a process that has ended, and whose parent has not asked for it."""


def this_process() -> Process:
    """Return where this runs. Its machine is empty where there is no /proc: the others wait for its lease then."""
    pid = os.getpid()
    found = _state_and_start(pid)
    machine = _machine()
    if found is None or machine is None:
        return Process(platform.node(), "", pid, "")
    return Process(platform.node(), machine, pid, found[1])


def is_dead(process: Process) -> bool:
    """Whether a process has surely ended; of one on another machine nobody here can say."""
    if not process.machine or process.machine != _machine():
        return False
    found = _state_and_start(process.pid)
    if found is None:  # /proc may hide the processes of others, or be out of reach for the moment
        return _is_gone(process.pid)
    return found[0] in GONE or found[1] != process.began


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is there, and another user's
        return False
    return False


def _machine() -> str | None:
    """Return the boot and the namespace in which a process's number means that process."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _state_and_start(pid: int) -> tuple[str, str] | None:
    """Return a process's state and when it began, in ticks since the boot."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    after_name = text.rpartition(")")[2].split()  # a process's name may have anything in it
    return after_name[0], after_name[19]
