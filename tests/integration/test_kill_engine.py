"""Several processes at one store: who holds it, what is left when its holder is killed, what others write to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from saga_es import SagaEngine, define
from saga_es.errors import StoreInUse

ROOT = Path(__file__).parents[2]
ROUNDS = 20


@contextmanager
def process(verb: str, store: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-m", "tests.integration.engine_process", verb, store]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as started:
        try:
            yield started
        finally:
            started.kill()


async def say(word: str) -> str:
    return word


SAYING = define("saying", str).step(say)


@pytest.mark.promise("error.StoreInUse", "invariant.11", "invariant.12")
def test_one_engine_at_a_file_until_it_is_killed(tmp_path, capsys):
    store = f"sqlite:///{tmp_path / 'sagas.db'}"

    async def enter() -> str:
        async with SagaEngine(store, sagas=[SAYING]) as engine:
            return (await engine.outcome("held", timeout=timedelta(seconds=30))).ending

    with process("hold", store) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "asked to say hello\n"
        with pytest.raises(StoreInUse) as refused:
            asyncio.run(enter())
        assert refused.value.holder == f"process {holder.pid}"
        assert refused.value.store == store
        holder.kill()
        holder.wait()
        begun = time.monotonic()
        assert asyncio.run(enter()) == "succeeded"
        took = time.monotonic() - begun
    with capsys.disabled():
        print(f"\nentered after the holder was killed, and ended its saga, in {took * 1000:.0f} ms")
    assert took < 5


@pytest.mark.promise("call.SagaClient", "call.SagaEngine")
def test_an_engine_sees_what_a_client_in_another_process_wrote(tmp_path, capsys):
    store = f"sqlite:///{tmp_path / 'sagas.db'}"

    async def measure() -> list[float]:
        loop = asyncio.get_running_loop()
        called: dict[str, asyncio.Future[int]] = {f"word-{n}": loop.create_future() for n in range(ROUNDS)}

        async def note(word: str) -> str:
            called[word].set_result(time.monotonic_ns())  # one clock for all processes of the machine
            return word

        seen: list[float] = []
        with process("write", store) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
            async with SagaEngine(store, sagas=[define("saying", str).step(note, name="say")]) as engine:
                for word, answer in called.items():
                    client.stdin.write(f"{word}\n")
                    recorded = int(await loop.run_in_executor(None, client.stdout.readline))
                    seen.append((await asyncio.wait_for(answer, 30) - recorded) / 1e6)
                    assert (await engine.outcome(word, timeout=timedelta(seconds=30))).ending == "succeeded"
        return seen

    seen = asyncio.run(measure())
    shown = f"median {median(seen):.0f} ms, longest {max(seen):.0f} ms of {ROUNDS}"
    with capsys.disabled():
        print(f"\nfrom a client's commit to the engine's call: {shown}")
    assert median(seen) < 100, shown
    assert max(seen) < 1000, shown
