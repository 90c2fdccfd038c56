from __future__ import annotations

import asyncio
import threading

from saga_es.testing.crash import Crash
from saga_es.testing.turnstile import Turnstile


async def turns(loops: int = 5) -> None:
    for _ in range(loops):
        await asyncio.sleep(0)


def test_calls_pass_in_the_scripted_order_each_after_a_commit():
    async def run() -> None:
        crash, through = Crash(), []
        turnstile = Turnstile(("b", "a", "b"), crash)

        async def call(name: str) -> None:
            await turnstile.turn(name)
            through.append(name)

        tasks = [asyncio.ensure_future(call(name)) for name in ("a", "b", "b")]
        await turns()
        assert through == ["b"]
        crash.after_commit(1)
        await turns()
        assert through == ["b", "a"]
        crash.before_commit(2)
        await turns()
        assert through == ["b", "a"]
        crash.after_commit(2)
        await asyncio.gather(*tasks)
        assert through == ["b", "a", "b"]

    asyncio.run(run())


def test_a_commit_before_anybody_is_through_lets_nobody_in():
    async def run() -> None:
        crash = Crash()
        turnstile = Turnstile(("a", "b"), crash)
        crash.after_commit(1)
        b = asyncio.ensure_future(turnstile.turn("b"))
        await turns()
        assert not b.done()
        await turnstile.turn("a")
        crash.after_commit(2)
        await b

    asyncio.run(run())


def test_who_is_not_in_the_script_passes_at_once():
    async def run() -> None:
        crash = Crash()
        turnstile = Turnstile(("a",), crash)
        await turnstile.turn("b")
        await turnstile.turn("a")
        crash.after_commit(1)
        await turnstile.turn("a")

    asyncio.run(run())


def test_threads_wait_for_their_turn_too():
    crash, through = Crash(), threading.Event()
    turnstile = Turnstile(("a", "b"), crash)

    def call() -> None:
        turnstile.turn_in_thread("b")
        through.set()

    thread = threading.Thread(target=call)
    thread.start()
    turnstile.turn_in_thread("a")
    assert not through.is_set()
    crash.after_commit(1)
    thread.join(10)
    assert through.is_set()
