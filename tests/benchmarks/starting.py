"""How long importing the library takes, and what it does not import: python -m tests.benchmarks.starting"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.benchmarks.bars import Bar

IMPORTED = """
import json, sys, time
began = time.perf_counter()
import saga_es
print(json.dumps([1000 * (time.perf_counter() - began), sorted(sys.modules)]))
"""
UNWANTED = (
    "click",
    "fastapi",
    "httpx",
    "matplotlib",
    "psycopg",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "uvicorn",
)


def import_once(cache: str) -> tuple[float, list[str]]:
    """Return the milliseconds that an import takes in a fresh interpreter, and what is loaded by then.

    Args:
        cache: a folder for byte code, which an installed package has beside it and a checkout may not.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = cache
    command = [sys.executable, "-c", IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    took, modules = json.loads(done.stdout)
    return float(took), list(modules)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.starting", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=15)
    asked = parser.parse_args(given)
    times: list[float] = []
    loaded: list[str] = []
    with tempfile.TemporaryDirectory(prefix="saga_es-") as cache:
        import_once(cache)
        for _ in range(asked.repetitions):
            took, loaded = import_once(cache)
            times.append(took)
    found = [name for name in UNWANTED if name in loaded]
    print(f"import saga_es: {statistics.median(times):.0f} ms (range {min(times):.0f}-{max(times):.0f})")
    print(f"not imported: {', '.join(name for name in UNWANTED if name not in found)}")
    bars = [
        Bar("importing, ms", 250, statistics.median(times), at_most=True),
        Bar("imported of what is for others", 0, len(found), at_most=True),
    ]
    print(*bars, sep="\n")
    return 0 if all(bar.passed for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
