"""``saga-es demo``: the trip for both customers, live, and once with the power cut in the middle.

Also run by itself, ``python -m saga_es.cli.demo DIRECTORY PACE crash|resume``: the child processes of the demo.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from saga_es import SagaEngine
from saga_es.cli.exits import putting_off, run_until_terminated
from saga_es.cli.reading import opened, read_history
from saga_es.cli.terminal import DefiniteNo, say, use_any_encoding
from saga_es.cli.trip import HOTEL, BuyPackage, Trip, World
from saga_es.cli.words import coloured_line, still_to_come
from saga_es.history import History
from saga_es.history.remaining import remaining

POLL: Final = 0.02  # seconds between two looks at the log
LOG: Final = "sagas.db"
BOOKS: Final = "world.db"
PATIENCE: Final = 60  # seconds that a child process may take before the demo gives up
READY: Final = "ready"
CRASHED: Final = "maria-again"


def run_demo(directory: Path, pace: timedelta, *, kept: bool) -> None:
    """Show it all, with the log and the participants' books in ``directory``; ``pace`` is the time of a call."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / LOG).exists():
        raise click.UsageError(f"{directory / LOG} is there already; --keep wants a directory without one.")
    world = World(directory / BOOKS)
    say("A trip to Rio: plane, hotel and tourist tickets, sold as one package or not at all.")
    run_until_terminated(_both_customers(directory, pace, world))
    _crash(directory, pace)
    _show_what_the_crash_left(directory)
    _resume(directory, pace)
    _balance(world)
    if kept:
        say()
        say(f"Look for yourself: saga-es --store {_url(directory)} list")


def _headline(text: str) -> str:
    return click.style(text, bold=True)


async def _both_customers(directory: Path, pace: timedelta, world: World) -> None:
    async with SagaEngine(_url(directory), sagas=[BuyPackage(world, pace)]) as engine:
        for customer, comment in (("Maria", "books."), ("Kevin", "books too; his hotel is full.")):
            say()
            say(_headline(f"{customer} {comment}"))
            say()
            await engine.start(BuyPackage, Trip(customer=customer), saga_id=customer.lower())
            await follow(engine, customer.lower())


async def follow(engine: SagaEngine, saga_id: str) -> None:
    """Print a saga's trace as it grows, until the saga has ended."""
    told: list[str] = []
    while True:
        history = await engine.history(saga_id)
        for version in range(1, len(history.events) + 1):
            told += _tell_news(history, version, told)
        if not history.state.is_open:
            return
        await asyncio.sleep(POLL)


def _tell_news(history: History, version: int, told: list[str]) -> list[str]:
    """Print the lines of the trace that this version added, blocks apart as in the trace."""
    then = History.of(history.saga_id, history.definition, history.events[:version])
    news = [line for line in then.trace().splitlines() if line and line not in told]
    before = told[-1] if told else None
    for line in news:
        if before is not None and (_opens_block(before) or _opens_block(line)):
            say()
        say(coloured_line(line))
        before = line
    return news


def _opens_block(line: str) -> bool:
    return line.startswith("❗") or " end saga " in line


def _crash(directory: Path, pace: timedelta) -> None:
    """Run the saga in a child process until it is half-way, and kill it there."""
    say()
    say(
        _headline(
            "Maria books again, and her process is killed (SIGKILL): the room is booked, its answer is lost."
        )
    )
    with _child(directory, pace, "crash", stdout=subprocess.PIPE) as child:
        said = child.stdout.readline().strip() if child.stdout else ""
    if said != READY:
        raise DefiniteNo("the demo's child process ended before it was half-way; its error stands above.")


def _show_what_the_crash_left(directory: Path) -> None:
    with opened(_url(directory)) as store:
        history = read_history(store, CRASHED)
    say("The log that it left:")
    say()
    for line in (*history.trace().splitlines(), "", *still_to_come(history)):
        say(coloured_line(line))


def _resume(directory: Path, pace: timedelta) -> None:
    say()
    say(_headline("A new process opens the same log and goes on."))
    say()
    sys.stdout.flush()
    with _child(directory, pace, "resume") as child:
        code = child.wait(PATIENCE)
    if code:
        raise DefiniteNo(f"the demo's child process ended with {code}; its error stands above.")


def _balance(world: World) -> None:
    say()
    say(_headline("What is booked in the end"))
    for saga_id in ("maria", "kevin", CRASHED):
        say(f"  {saga_id.ljust(len(CRASHED))}  {', '.join(world.booked(saga_id)) or 'nothing'}")
    calls = world.calls(CRASHED).count(HOTEL)
    rooms = world.booked(CRASHED).count(HOTEL)
    say(
        f"For {CRASHED} the hotel was called {calls} times with one and the same key, and {rooms} room is booked."
    )


# -- the child processes -------------------------------------------------------------------------------


@contextmanager
def _child(
    directory: Path, pace: timedelta, part: str, *, stdout: int | None = None
) -> Generator[subprocess.Popen[str]]:
    """Play one part in a process of its own, which is killed at the end of this if it still runs."""
    command = [sys.executable, "-m", "saga_es.cli.demo", str(directory), str(pace.total_seconds()), part]
    with ExitStack() as stack:
        with putting_off():
            child = stack.enter_context(subprocess.Popen(command, stdout=stdout, text=True))  # noqa: S603 - ourselves
            stack.callback(child.kill)
        yield child


def child_main(directory: Path, pace: timedelta, part: str) -> None:
    """Play one part of the demo in a process of its own."""
    use_any_encoding()
    saga = BuyPackage(World(directory / BOOKS), pace, hotel_hangs=part == "crash")
    run_until_terminated((_run_into_the_crash if part == "crash" else _go_on)(directory, saga))


async def _run_into_the_crash(directory: Path, saga: BuyPackage) -> None:
    async with SagaEngine(_url(directory), sagas=[saga]) as engine, asyncio.timeout(PATIENCE):
        await engine.start(BuyPackage, Trip(customer="Maria"), saga_id=CRASHED)
        while not _half_way(await engine.history(CRASHED), saga.world):  # noqa: ASYNC110 - what it waits for stands in the log
            await asyncio.sleep(POLL)
        print(READY, flush=True)  # noqa: T201 - a word to the parent, which kills us now
        await asyncio.Event().wait()


def _half_way(history: History, world: World) -> bool:
    rest = [one.name for one in remaining(history.definition, history.state)]
    return rest == ["book_hotel"] and HOTEL in world.booked(CRASHED)


async def _go_on(directory: Path, saga: BuyPackage) -> None:
    async with SagaEngine(_url(directory), sagas=[saga]) as engine, asyncio.timeout(PATIENCE):
        await follow(engine, CRASHED)


def _url(directory: Path) -> str:
    return f"sqlite:///{(directory / LOG).absolute()}"


if __name__ == "__main__":
    child_main(Path(sys.argv[1]), timedelta(seconds=float(sys.argv[2])), sys.argv[3])
