"""SIGTERM to the programs we ship: they end in order, and leave nothing behind but what is recorded."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from saga_es.store.address import open_store
from tests.integration.engine.world import types

ROOT = Path(__file__).parents[2]
PATIENCE = 60
TERMINATED = 143

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="children are looked for in /proc"
)


@contextmanager
def program(*command: str, folder: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Run one of ours, with a folder of its own for temporary files, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=env, text=True, start_new_session=True, **pipes
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def family(leader: int) -> dict[int, str]:
    """Return the living processes of a group, each with its command."""
    found: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
            command = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile
            continue
        if int(group) == leader and state != "Z":
            found[int(stat.parent.name)] = command
    return found


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()


def read_until(process: subprocess.Popen[str], part: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(f"ended without saying {part!r}: {process.stderr and process.stderr.read()}")


# -- what it does: an engine in a program ----------------------------------------------------------------

PROGRAM = """
import asyncio, sys, tempfile
from pathlib import Path
from saga_es import SagaEngine, define
from saga_es.cli.exits import run_until_terminated, terminable

def slow(word: str) -> str:
    print("begun", flush=True)
    return sys.stdin.readline().strip()

async def after(word: str, slow: str) -> str:
    print("after", flush=True)
    return slow

async def main(folder):
    saga = define("slow", str).step(slow).step(after, needs=(slow,))
    async with SagaEngine(f"sqlite:///{sys.argv[1]}", sagas=[saga]) as engine:
        try:
            await engine.run(saga, "hello", saga_id="s")
        except asyncio.CancelledError:
            print("leaving", flush=True)
            raise

with terminable(), tempfile.TemporaryDirectory() as name:
    run_until_terminated(main(Path(name)))
"""


@pytest.mark.promise("case.shutting-down", "cli.exit-codes")
def test_an_engine_is_drained_and_the_folder_is_gone(tmp_path):
    log, folder = tmp_path / "sagas.db", tmp_path / "temporary"
    with program("-c", PROGRAM, str(log), folder=folder) as process:
        read_until(process, "begun")
        assert len(list(folder.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        read_until(process, "leaving")
        said, complaints = process.communicate("an answer\n", timeout=PATIENCE)
    assert (process.returncode, said, complaints) == (TERMINATED, "", "")
    assert list(folder.iterdir()) == []
    store = open_store(f"sqlite:///{log}")
    try:
        events = store.read("s")
    finally:
        store.close()
    assert types(events) == ["SagaStarted", "StepDispatched", "StepSucceeded"]  # and nothing new was begun
    assert events[2].event.result == "an answer"


@pytest.mark.promise("case.shutting-down", "case.cancelled-error")
def test_told_twice_it_waits_no_longer_for_what_is_in_flight(tmp_path):
    log, folder = tmp_path / "sagas.db", tmp_path / "temporary"
    with program("-c", PROGRAM, str(log), folder=folder) as process:
        read_until(process, "begun")
        process.send_signal(signal.SIGTERM)
        read_until(process, "leaving")
        process.send_signal(signal.SIGTERM)
        said, complaints = process.communicate(timeout=PATIENCE)  # the step has no answer, and holds nobody
    assert (process.returncode, said, complaints) == (TERMINATED, "", "")
    assert list(folder.iterdir()) == []


def ordinary(code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout


def test_what_is_not_told_to_end_ends_as_ever():
    assert ordinary(
        "import signal\n"
        "from saga_es.cli.exits import run_until_terminated, terminable\n"
        "async def main(): return 7\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "with terminable(): print(run_until_terminated(main()))\n"
        "print(signal.getsignal(signal.SIGTERM) is before)\n"
    ) == (0, "7\nTrue\n")


def test_a_cancellation_of_another_origin_is_passed_on():
    code, said = ordinary(
        "import asyncio\n"
        "from saga_es.cli.exits import run_until_terminated\n"
        "async def main(): raise asyncio.CancelledError\n"
        "try: run_until_terminated(main())\n"
        "except asyncio.CancelledError: print('passed on')\n"
    )
    assert (code, said) == (0, "passed on\n")


def test_what_must_not_be_cut_in_two_is_finished_first():
    assert ordinary(
        "import signal\n"
        "from saga_es.cli.exits import putting_off, terminable\n"
        "with terminable():\n"
        "    with putting_off():\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        print('a child is made')\n"
        "    print('and nothing more')\n"
    ) == (TERMINATED, "a child is made\n")


# -- what we ship ----------------------------------------------------------------------------------------


def has_ended(folder: Path, saga_id: str) -> bool:
    """Look into a log that is perhaps being made just now."""
    for path in folder.glob("*/sagas.db"):
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db,
            suppress(sqlite3.OperationalError),
        ):
            found = db.execute("SELECT status FROM saga_index WHERE saga_id = ?", (saga_id,)).fetchone()
            return found == ("succeeded",)
    return False


@pytest.mark.promise("case.shutting-down")
def test_the_example_leaves_no_folder_behind(tmp_path):
    folder = tmp_path / "temporary"
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    try:  # with a full pipe it can't have printed its first trace, and so not have ended, before it is told to
        while True:
            os.write(writer, b".")
    except BlockingIOError:
        pass
    fcntl.fcntl(writer, fcntl.F_SETFL, 0)  # the child shares this description, and is to wait
    with program("-m", "examples.trip", folder=folder, stdout=writer) as process:
        os.close(writer)
        wait_for(lambda: has_ended(folder, "trip-maria"), process)
        process.send_signal(signal.SIGTERM)
        with os.fdopen(reader, encoding="utf-8") as out:
            out.read()  # whatever it still has to say
        complaints = process.communicate(timeout=PATIENCE)[1]
        assert family(process.pid) == {}
    assert (process.returncode, complaints) == (TERMINATED, "")
    assert list(folder.iterdir()) == []


@pytest.mark.promise("cli.demo", "cli.exit-codes", "case.shutting-down")
@pytest.mark.parametrize(
    ("part", "children"),
    [("Maria books.", 0), ("Maria books again", 1), ("A new process opens", 1)],
    ids=["customers", "crash", "resume"],
)
def test_the_demo_leaves_neither_folder_nor_child(tmp_path, part, children):
    folder = tmp_path / "temporary"
    with program("-m", "saga_es.cli", "demo", "--pace", "1", folder=folder) as process:
        read_until(process, part)
        wait_for(lambda: len(family(process.pid)) == 1 + children, process)
        assert len(list(folder.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        complaints = process.communicate(timeout=PATIENCE)[1]
        assert family(process.pid) == {}
    assert process.returncode == TERMINATED
    assert "Traceback" not in complaints
    assert list(folder.iterdir()) == []


@pytest.mark.promise("cli.demo", "cli.exit-codes", "case.shutting-down")
def test_the_demo_that_was_told_to_keep_its_folder_keeps_a_log_that_can_be_read(tmp_path):
    folder, kept = tmp_path / "temporary", tmp_path / "kept"
    with program("-m", "saga_es.cli", "demo", "--pace", "1", "--keep", str(kept), folder=folder) as process:
        read_until(process, "Maria books.")
        store = f"sqlite:///{kept / 'sagas.db'}"
        read_until(process, "begin saga")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == TERMINATED
    command = [sys.executable, "-m", "saga_es.cli", "--store", store, "list", "--json"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
    # All three calls of Maria's were in flight, and were drained; Kevin's saga was never started.
    assert [(it["saga_id"], it["status"]) for it in listed["items"]] == [("maria", "succeeded")]
