"""The participants, in a process of their own: python -m tests.chaos.participants SOCKET LEDGER

They keep keys and tombstones in a ledger (SQLite, synchronous=FULL), take their time, reject some calls, and
now and then fail before or after they had their effect. A line is a call, or ``{"what": "in flight"}``.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from saga_es import Attempt, Rejected
from saga_es.testing.ledger import Ledger

REJECTED, FAILING, SLOW = 0.04, 0.06, 0.08  # shares; seconds at most
AT_ONCE = 6
"""Calls that are being written down; others wait for their turn, and are not made if their caller has died by then.

Those of the dead would be what all others wait for: with workers killed faster than a disk writes, for ever.
"""


class Participants:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._chance = Random()  # noqa: S311 - any will do
        self._in_flight: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            call = json.loads(await reader.readline())
            if call["what"] == "in flight":
                answer: dict[str, Any] | None = dict(+self._in_flight)
            else:
                answer = await self._call(call, str(call["worker"]), reader)
            if answer is not None:
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, json.JSONDecodeError):
            pass  # whoever called is dead
        finally:
            writer.close()

    async def _call(
        self, call: dict[str, Any], worker: str, caller: asyncio.StreamReader
    ) -> dict[str, Any] | None:
        """Return the answer, or ``None`` for hanging up without one."""
        self._in_flight[worker] += 1
        try:
            await asyncio.sleep(self._chance.uniform(0, SLOW))
            if self._chance.random() < FAILING:
                return None
            is_waiting = self._turns.locked()
            async with self._turns:
                if is_waiting and caller.at_eof():
                    return None
                answer = await asyncio.to_thread(self._do, call["what"], Attempt(**call["attempt"]))
            await asyncio.sleep(self._chance.uniform(0, SLOW))
            return None if self._chance.random() < FAILING else answer
        finally:
            self._in_flight[worker] -= 1

    def _do(self, what: str, attempt: Attempt) -> dict[str, Any]:
        if what == "undo":
            self._ledger.undo(attempt)
            return {"place": 0}
        if self._chance.random() < REJECTED:  # a call, not its key: another process's may find what it needs
            return {"rejected": str(self._ledger.refuse(attempt, f"no {attempt.step} to be had"))}
        try:
            return {"place": self._ledger.act(attempt)}
        except Rejected as error:
            return {"rejected": str(error)}


async def main(socket: Path, ledger: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # connections of the dead linger for a while
    server = await asyncio.start_unix_server(Participants(Ledger(ledger)).serve, socket, backlog=1000)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
