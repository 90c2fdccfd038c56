"""Runs a page's blocks in order, in one process of its own: python -m tests.docs.runner PLAN ANSWERS

Python blocks share one module, as if they were one program; sh blocks share their variables.
"""

from __future__ import annotations

import faulthandler
import io
import json
import subprocess
import sys
import traceback
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final, TypedDict

STATE: Final = ".shell-variables"
PATIENCE: Final = 60  # seconds for one sh block
IN_ALL: Final = (
    100  # seconds for a page; then every thread's stack is shown, since nobody can look into a hang
)


class Asked(TypedDict):
    name: str
    language: str
    text: str
    file: str | None


def main(plan: Path, answers: Path) -> None:
    faulthandler.dump_traceback_later(IN_ALL, exit=True)
    module = types.ModuleType("page")
    sys.modules["page"] = module
    sys.path.insert(0, ".")
    told: list[dict[str, str | None]] = []
    asked: list[Asked] = json.loads(plan.read_text(encoding="utf-8"))
    for block in asked:
        printed, error = did(block, module)
        told.append({"name": block["name"], "printed": printed, "error": error})
        if error is not None:
            break
    answers.write_text(json.dumps(told), encoding="utf-8")


def did(block: Asked, module: types.ModuleType) -> tuple[str, str | None]:
    """Do what a block says; return what it printed, and what went wrong."""
    if block["file"] is not None:
        Path(block["file"]).write_text(block["text"], encoding="utf-8")
        return "", None
    if block["language"] == "sh":
        return in_shell(block["text"])
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            exec(compile(block["text"], block["name"], "exec"), module.__dict__)  # noqa: S102 - the page's own code
    except BaseException:  # noqa: BLE001 - whatever it is, the page is wrong
        return printed.getvalue(), traceback.format_exc()
    return printed.getvalue(), None


def in_shell(text: str) -> tuple[str, str | None]:
    script = f"touch {STATE}; . ./{STATE}; trap 'export -p > {STATE}' EXIT\n{text}"
    done = subprocess.run(
        ["bash", "-e", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.stdout, done.stderr or f"exit code {done.returncode}" if done.returncode else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
