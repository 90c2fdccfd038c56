"""Plain functions: in threads, with their attempt and context, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from saga_es import Attempt, Rejected, SagaEngine, define
from tests.integration.engine.world import MARIA, SOON, House, Trip, drive

ROOT = Path(__file__).parents[3]
TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


def adapter() -> Attempt:
    """Ask where we are, as an HTTP client deep inside a step does."""
    return Attempt.current()


@pytest.mark.promise(
    "call.Attempt.current",
    "field.Attempt.saga_id",
    "field.Attempt.step",
    "field.Attempt.op",
    "field.Attempt.round",
    "field.Attempt.number",
    "field.Attempt.key",
    "field.Attempt.action_key",
    "field.Attempt.deadline",
)
def test_the_current_attempt_is_known_in_coroutines_and_threads_alike(house: House):
    async def main():
        seen: dict[str, tuple[Attempt, Attempt]] = {}

        async def coroutine(trip: Trip, *, attempt: Attempt) -> int:
            await asyncio.sleep(0)
            seen["coroutine"] = attempt, adapter()
            return 1

        def thread(trip: Trip, *, attempt: Attempt) -> int:
            seen["thread"] = attempt, adapter()
            return 1

        async def undo_coroutine(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            seen["undo_coroutine"] = attempt, adapter()

        def undo_thread(trip: Trip, result: int | None, *, attempt: Attempt) -> None:
            seen["undo_thread"] = attempt, adapter()

        def last(trip: Trip, *_: int) -> int:
            raise Rejected("no")

        saga = (
            define("where", Trip)
            .step(coroutine, undo=undo_coroutine)
            .step(thread, undo=undo_thread, timeout=None, undo_timeout=None)
            .step(last, needs=(coroutine, thread))
        )
        async with house.engine(saga) as engine:
            await engine.run(saga, MARIA, saga_id="w", timeout=SOON)
            with pytest.raises(LookupError):
                Attempt.current()
            history = await engine.history("w")
            deadlines = {
                (it.type, it.event.step): it.event.deadline
                for it in history.events
                if it.type in ("StepDispatched", "CompensationDispatched")
            }
            return seen, deadlines

    seen, deadlines = drive(main())
    assert all(passed == current for passed, current in seen.values())
    assert {name: passed for name, (passed, _) in seen.items()} == {
        "coroutine": Attempt(
            "w", "coroutine", "action", 1, 1, "w/coroutine/action/1", "w/coroutine/action/1",
            deadlines["StepDispatched", "coroutine"],
        ),
        "thread": Attempt("w", "thread", "action", 1, 1, "w/thread/action/1", "w/thread/action/1", None),
        "undo_coroutine": Attempt(
            "w", "coroutine", "compensation", 1, 1, "w/coroutine/compensation/1", "w/coroutine/action/1",
            deadlines["CompensationDispatched", "coroutine"],
        ),
        "undo_thread": Attempt(
            "w", "thread", "compensation", 1, 1, "w/thread/compensation/1", "w/thread/action/1", None
        ),
    }  # fmt: skip
    assert deadlines["StepDispatched", "coroutine"] is not None


@pytest.mark.promise("call.Attempt.current")
def test_steps_see_a_copy_of_the_context_the_engine_was_entered_in():
    async def main():
        def thread(trip: Trip) -> str:
            was = TENANT.get()
            TENANT.set("thread")
            return was

        async def coroutine(trip: Trip, thread: str) -> str:
            was = TENANT.get()
            TENANT.set("coroutine")
            return was

        def again(trip: Trip, coroutine: str) -> str:
            return TENANT.get()

        saga = (
            define("tenant", Trip)
            .step(thread)
            .step(coroutine, needs=(thread,))
            .step(again, needs=(coroutine,))
        )
        TENANT.set("rio")
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            outcome = await engine.run(saga, MARIA, timeout=SOON)
        return outcome.results, TENANT.get()

    results, left = drive(main())
    assert results == {"thread": "rio", "coroutine": "rio", "again": "rio"}
    assert left == "rio"


@pytest.mark.promise("case.shutting-down", "call.SagaEngine")
def test_the_loop_stays_free_while_threads_work(house: House):
    async def main():
        met = threading.Barrier(31, timeout=30)

        def plain(trip: Trip) -> int:
            met.wait()  # thirty at once, and the loop's own word besides
            return threading.get_ident()

        saga = define("busy", Trip)
        for n in range(30):
            saga = saga.step(plain, name=f"s{n}")
        async with house.engine(saga) as engine:
            await engine.start(saga, MARIA, saga_id="b")
            met.wait()
            outcome = await engine.outcome("b", timeout=SOON)
            return len(set(outcome.results.values()))

    assert drive(main()) == 30


@pytest.mark.promise("call.SagaEngine", "call.signal", "call.start")
def test_a_step_may_use_the_engine_itself(house: House):
    async def main():
        async def talk(trip: Trip, *, attempt: Attempt) -> int:
            await engine.signal(attempt.saga_id, "word", 7)
            await engine.start("child", trip, saga_id=f"{attempt.saga_id}/child")
            return (await engine.outcome(f"{attempt.saga_id}/child", timeout=SOON)).results["work"]

        async def work(trip: Trip) -> int:
            return 5

        parent = define("parent", Trip).step(talk).signal("word", int)
        child = define("child", Trip).step(work)
        async with house.engine(parent, child) as engine:
            return (await engine.run(parent, MARIA, timeout=SOON)).results

    assert drive(main()) == {"talk": 5, "word": 7}


@pytest.mark.promise("call.Attempt.current", "call.probe")
def test_a_probe_asks_under_its_attempts_key():
    async def main():
        def book(trip: Trip) -> int:
            raise OSError("no answer")

        def find(trip: Trip) -> int:
            keys.append((adapter().key, adapter().number))
            return 7

        keys = []
        saga = define("probed", Trip).step(book, probe=find)
        async with SagaEngine("memory://", sagas=[saga]) as engine:
            return (await engine.run(saga, MARIA, saga_id="p", timeout=SOON)).results, keys

    assert drive(main()) == ({"book": 7}, [("p/book/action/1", 1)])


HANGING = """
import asyncio, sys, threading
from datetime import timedelta
from saga_es import SagaEngine, Settings, define

def hang(word: str) -> str:
    print("hanging", flush=True)
    threading.Event().wait()
    return word

saga = define("hanging", str).step(hang, timeout=timedelta(milliseconds=50) if sys.argv[1] == "late" else None)

async def main():
    async with SagaEngine("memory://", sagas=[saga], settings=Settings(drain=timedelta(0))) as engine:
        saga_id = await engine.start(saga, "x")
        if sys.argv[1] == "late":
            print((await engine.outcome(saga_id)).cause.kind, flush=True)
        else:
            while (await engine.history(saga_id)).state.steps["hang"].status != "dispatched":
                pass

asyncio.run(main())
print("left", flush=True)
"""


@pytest.mark.promise("case.timeout", "case.shutting-down", "field.Settings.drain")
@pytest.mark.parametrize(("how", "said"), [("late", ["hanging", "timeout", "left"]), ("open", ["left"])])
def test_a_thread_that_hangs_holds_neither_the_engine_nor_the_interpreters_exit(how, said):
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", HANGING, how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    took = time.monotonic() - begun
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert [line for line in lines if how == "late" or line != "hanging"] == said
    assert timedelta(seconds=took) < timedelta(seconds=20)
