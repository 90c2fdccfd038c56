"""Workers, participants, and everything that can go wrong between them: python -m tests.chaos --help

Workers share one PostgreSQL server, started for the run, and divide the sagas. Some from random graphs are started all
the while, and a few cancelled; a nemesis kills workers (SIGKILL), stops them beyond their lease, lets them leave in
order, cuts sessions, and crashes the server. Afterwards every saga has to be ended or parked, no epoch may stand after
a newer one, and what the participants wrote down has to balance. SIGTERM ends the harm; what there was is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import Sequence
from functools import partial

from tests.chaos.nemesis import Nemesis
from tests.chaos.running import Plan, Stream, run, say


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--pauses", type=int, default=50)
    parser.add_argument("--leaves", type=int, default=30, help="of workers, in order, while another comes")
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--crashes", type=int, default=10, help="of the server")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=4, help="sagas started a second")
    parser.add_argument("--hits", type=int, default=100, help="faults that have to hit work in flight")
    parser.add_argument("--seed", type=int, help="of graphs and faults; by default another each time")
    return parser.parse_args(given)


async def all_faults(asked: argparse.Namespace, nemesis: Nemesis, stream: Stream) -> None:
    faults = ["kill"] * asked.kills + ["pause"] * asked.pauses + ["leave"] * asked.leaves
    faults += ["cut"] * asked.cuts + ["crash"] * asked.crashes
    nemesis.chance.shuffle(faults)
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    for number, fault in enumerate(faults, start=1):
        if enough.is_set():
            break
        await nemesis.strike(fault)
        if number % 25 == 0:
            print(f"{number} of {len(faults)} faults, {len(stream.acknowledged)} sagas", flush=True)


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    nemesis, verdict = run(Plan(seed, asked.workers, asked.rate), partial(all_faults, asked))
    say(nemesis, verdict)
    passed = not verdict.violations and nemesis.hits >= asked.hits
    said = f"violations: {len(verdict.violations)}; hits: {nemesis.hits} (at least {asked.hits})"
    print(f"{'PASS' if passed else 'FAIL'}  {said}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
