"""A client in a process of its own: python -m tests.integration.engine.other_process STORE

Reads a JSON array [verb, arguments, keywords] a line, calls the client, and answers with a JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from saga_es import History, Outcome, Page, SagaClient, SagaError, define

ROOT = Path(__file__).parents[3]


class Other:
    """The near end: each call is answered by the process at the far end."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    async def __call__(self, verb: str, *arguments: object, **keywords: object) -> Any:
        """Return what the verb returned there, as JSON; a SagaError is the name of its class."""
        return await asyncio.get_running_loop().run_in_executor(None, self._ask, verb, arguments, keywords)

    def _ask(self, *asked: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        return json.loads(self._process.stdout.readline())


@contextmanager
def other_process(store: object) -> Iterator[Other]:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.integration.engine.other_process",
        json.dumps(store),
    ]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as process:
        try:
            yield Other(process)
        finally:
            process.kill()


def told(answer: object) -> object:
    match answer:
        case Outcome():
            return {"status": answer.status, "ending": answer.ending, "results": answer.results}
        case History():
            return [recorded.type for recorded in answer.events]
        case Page():
            return [[it.saga_id, it.status] for it in answer.items]
        case _:
            return answer


async def serve(store: Any) -> None:
    async def never_called_here(trip: dict[str, object]) -> int:
        raise AssertionError("a client runs no step")

    saga = define("known", dict[str, object]).step(never_called_here, name="one")
    async with SagaClient(store, sagas=[saga]) as client:
        for line in sys.stdin:
            verb, arguments, keywords = json.loads(line)
            if "timeout" in keywords:
                keywords["timeout"] = timedelta(seconds=keywords["timeout"])
            try:
                answer = told(await getattr(client, verb)(*arguments, **keywords))
            except SagaError as error:
                answer = type(error).__name__
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
