"""Where workers come from: a process that has everything imported forks one for each line that it reads.

python -m tests.chaos.nursery STORE SOCKET SEED SAGAS

It says "born PID", "gone PID CODE", and its workers say "in PID". It ends, and its workers with it, with its input.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import select
import signal
import sys
from pathlib import Path

import saga_es.store.recorders.postgres  # noqa: F401 - imported for those who are forked
from tests.chaos.worker import main

TURN = 0.02
"""Seconds between two looks at who has ended."""


def bear(arguments: list[str]) -> int:
    """Fork a worker, and return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(sys.stdin.fileno())
        random.seed()
        store, socket, seed, count = arguments
        asyncio.run(main(store, Path(socket), int(seed), int(count)))
        code = 0
    finally:
        os._exit(code)


def say(*words: object) -> None:
    os.write(
        sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode()
    )  # one write, so that lines stay whole


def gone() -> set[int]:
    """Say who has ended, and return their numbers."""
    found: set[int] = set()
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        say("gone", pid, os.waitstatus_to_exitcode(status))
        found.add(pid)


def run(arguments: list[str]) -> None:
    gc.freeze()
    alive: set[int] = set()
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], TURN)
        if ready:
            asked = os.read(sys.stdin.fileno(), 4096).count(b"\n")
            if not asked:
                break
            for _ in range(asked):
                alive.add(pid := bear(arguments))
                say("born", pid)
        alive -= gone()
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    run(sys.argv[1:])
