"""Programs that must and must not type-check, each checker once over all of them.

A line that has to be an error carries a mark: ``# wrong: why``; ``# wrong (mypy): why`` where one checker alone can
see it. Every other line has to be clean.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[2]
MARK = re.compile(r"# wrong(?: \((?P<checker>\w+)\))?: ")
MYPY_ERROR = re.compile(r"(?P<path>.+?):(?P<line>\d+): error: ")

Place = tuple[str, int]


def marked(checker: str) -> set[Place]:
    places = set()
    for path in PROGRAMS.glob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            mark = MARK.search(line)
            if mark and mark["checker"] in (None, checker):
                places.add((path.name, number))
    return places


def run(*command: str) -> str:
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), str(PROGRAMS)])}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 2 and more: the checker itself failed
    return done.stdout


def test_mypy_finds_what_is_wrong_and_nothing_else(tmp_path):
    found = run(
        "mypy", "--strict", "--follow-imports", "silent", "--hide-error-context", "--no-error-summary",
        "--config-file", os.devnull, "--cache-dir", str(tmp_path), *map(str, sorted(PROGRAMS.glob("*.py"))),
    )  # fmt: skip
    errors = {
        (Path(match["path"]).name, int(match["line"]))
        for match in map(MYPY_ERROR.match, found.splitlines())
        if match
    }
    assert sorted(errors ^ marked("mypy")) == [], found


def test_pyright_finds_what_is_wrong_and_nothing_else(tmp_path):
    # Its settings are a file's, and their paths are relative to it.
    (tmp_path / "programs").symlink_to(PROGRAMS)
    settings = {
        "include": ["programs"],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "reportMissingTypeStubs": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    found = json.loads(
        run("pyright", "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson")
    )
    errors = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert sorted(errors ^ marked("pyright")) == [], found["generalDiagnostics"]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_there_are_programs_enough(checker):
    assert len(marked(checker)) >= 100
